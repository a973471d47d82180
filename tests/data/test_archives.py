"""Archives that would do harm are refused and leave nothing; good ones come out as they went in."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pix2pix.data import archives
from pix2pix.data.archive_readers import ArchiveLimits
from pix2pix.data.archives import pack_zip, unpack
from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.files import atomic_folder

ROOT = Path(__file__).resolve().parents[2]
GIGABYTE = 10**9
TOO_MANY = f"more than {ArchiveLimits().entries:,} entries"
PNG = b"\x89PNG\r\n\x1a\n not a whole picture, but archives do not look inside"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, links not followed: contents by name, None for folders."""
    return {
        f.relative_to(folder).as_posix(): f.read_bytes() if f.is_file() else None
        for f in folder.rglob("*")
    }


def refusal(archive: Path, limits: ArchiveLimits | None = None) -> str:
    """The one sentence with which the archive is refused, once nothing was seen to be written."""
    before = tree(archive.parent)
    with pytest.raises(UserError) as caught:
        unpack(archive, archive.parent / "out", **({"limits": limits} if limits else {}))
    assert tree(archive.parent) == before
    said = str(caught.value)
    assert said.startswith(archive.name) and said.endswith(".") and said.isprintable()
    return said


# -------------------------------------------------------------- archives that no program writes


@dataclass
class Raw:
    """One entry of a ZIP, with whatever its heads are to claim."""

    name: str | bytes
    data: bytes = PNG
    size: int | None = None
    mode: int = 0
    flags: int = 0x800  # names are UTF-8
    method: int = 0
    crc: int | None = None
    local_name: bytes = b""


def write_zip(path: Path, entries: Iterable[Raw]) -> Path:
    local, directory, count = io.BytesIO(), io.BytesIO(), 0
    for e in entries:
        name = e.name if isinstance(e.name, bytes) else e.name.encode("utf-8", "surrogateescape")
        crc = zlib.crc32(e.data) if e.crc is None else e.crc
        size = len(e.data) if e.size is None else e.size
        extra = b""
        if size >= 2**32 - 1:
            extra, size = struct.pack("<HHQ", 1, 8, size), 2**32 - 1
        sizes = crc, len(e.data), size, len(e.local_name or name), len(extra)
        at = local.tell()
        head = struct.pack("<4s5H3I2H", b"PK\3\4", 45, e.flags, e.method, 0, 33, *sizes)
        local.write(head + (e.local_name or name) + extra + e.data)
        sizes = crc, len(e.data), size, len(name), len(extra), 0, 0, 0, e.mode << 16, at
        head = struct.pack("<4s6H3I5H2I", b"PK\1\2", 0x32D, 45, e.flags, e.method, 0, 33, *sizes)
        directory.write(head + name + extra)
        count += 1
    listing = directory.getvalue()
    numbers = count % 2**16, count % 2**16, len(listing), local.tell(), 0
    end = struct.pack("<4s2H2H2IH", b"PK\5\6", 0, 0, *numbers)
    path.write_bytes(local.getvalue() + listing + end)
    return path


def write_tar(
    path: Path, entries: Iterable[tuple[tarfile.TarInfo, bytes]], mode: str = "w"
) -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as packed:
        for info, data in entries:
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    if "\0" in name:  # the field for the name ends at the first one
        info.pax_headers = {"path": name}
    return info


def squeezed_zeros(total: int) -> bytes:
    """`total` zeros as raw deflate: one compressed megabyte, said again and again."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = codec.compress(bytes(10**6)) + codec.flush(zlib.Z_FULL_FLUSH)
    return block * (total // 10**6) + codec.flush()


# --------------------------------------------------------------------------------- hostile names

NAMES = {
    "up": ("../x.png", "leads out"),
    "up inside": ("train/../../x.png", "leads out"),
    "up at the end": ("train/..", "leads out"),
    "absolute": ("/tmp/x.png", "relative"),
    "UNC": ("//server/share/x.png", "relative"),
    "drive": ("C:/x.png", "relative"),
    "drive without a slash": ("c:x.png", "relative"),
    "backslashes": ("..\\x.png", "leads out"),
    "UNC with backslashes": ("\\\\server\\x.png", "relative"),
    "control": ("train/x\n.png", "not text"),
    "NUL": ("x.png\0.exe", "not text"),
    "long part": ("x" * 300 + ".png", "long"),
    "long accents": ("é" * 130 + ".png", "long"),
    "long path": ("a/" * 600 + "x.png", "long"),
    "deep": ("a/" * 40 + "x.png", "long"),
    "skipped anyway": ("../.DS_Store", "leads out"),
}
CLASHES = {
    "case": (("x.png", "X.png"), "twice"),
    "sharp s": (("straße.png", "STRASSE.png"), "twice"),
    "two ways to write an accent": (("caf\u00e9.png", "cafe\u0301.png"), "twice"),
    "the same": (("x.png", "x.png"), "twice"),
    "the same behind a dot": (("x.png", "./x.png"), "twice"),
    "case of folders": (("Train/1.png", "train/2.png"), "upper and lower"),
    "file, then folder": (("x.png", "x.png/y.png"), "also a folder"),
    "folder, then file": (("x.png/y.png", "X.png"), "also a folder"),
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(("name", "word"), NAMES.values(), ids=NAMES)
def test_hostile_names_are_refused(tmp_path: Path, kind: str, name: str, word: str) -> None:
    good, path = "train/0.png", tmp_path / f"a.{kind}"
    if kind == "zip":
        write_zip(path, [Raw(good), Raw(name)])
    else:
        write_tar(path, [(tar_entry(good), PNG), (tar_entry(name), PNG)])
    assert word in refusal(path)


STORED = {
    "stream": ("x.png:y.png", "x.png_y.png"),
    "a time": ("train/12:30:05.png", "train/12_30_05.png"),
    "backslashes": ("train\\sub\\x.png", "train/sub/x.png"),
    "device": ("train/CON.png", "train/CON_.png"),
    "device with two dots": ("com1.tar.png", "com1_.tar.png"),
    "device folder": ("aux/x.png", "aux_/x.png"),
    "last dot": ("set v1./x.png", "set v1_/x.png"),
    "last space": ("x /y.png", "x_/y.png"),
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(("name", "stored"), STORED.values(), ids=STORED)
def test_names_that_some_disk_cannot_hold_are_written_otherwise(
    tmp_path: Path, kind: str, name: str, stored: str
) -> None:
    path, junk = tmp_path / f"a.{kind}", "Icon\r"  # macOS makes such
    if kind == "zip":
        write_zip(path, [Raw(name), Raw(junk)])
    else:
        write_tar(path, [(tar_entry(name), PNG), (tar_entry(junk), PNG)])
    assert unpack(path, tmp_path / "out") == 1
    assert [n for n, data in tree(tmp_path / "out").items() if data is not None] == [stored]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(("names", "word"), CLASHES.values(), ids=CLASHES)
def test_names_that_clash_on_some_disk_are_left_out_by_name(
    tmp_path: Path, kind: str, names: tuple[str, ...], word: str
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        write_zip(path, map(Raw, names))
    else:
        write_tar(path, [(tar_entry(name), PNG) for name in names])
    heard: list[tuple[str, str]] = []
    unpack(path, tmp_path / "out", on_left_out=lambda *left: heard.append(left))
    assert [name for name, _ in heard] == [names[1]] and word in heard[0][1]
    assert [n for n, data in tree(tmp_path / "out").items() if data is not None] == [names[0]]


def test_names_in_the_code_page_of_an_old_program_are_read(tmp_path: Path) -> None:
    for number, (name, encoding) in enumerate(
        {
            "写真.png": "cp932",
            "été.png": "utf-8",
            "Müller.png": "cp437",
            "사진.png": "cp949",
        }.items()
    ):
        path, fake = tmp_path / f"{number}.zip", "x" * len(name.encode(encoding))
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(fake, PNG)
        path.write_bytes(path.read_bytes().replace(fake.encode(), name.encode(encoding)))
        unpack(path, tmp_path / f"out{number}")
        assert [*tree(tmp_path / f"out{number}")] == [name]


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as packed:
        packed.addfile(tar_entry("train/\udcff.png"))
    assert "not text" in refusal(tmp_path / "a.tar")
    assert "damaged" in refusal(write_zip(tmp_path / "a.zip", [Raw(b"train/\xff.png")]))


LINKS = {
    "symlink": (tarfile.SYMTYPE, stat.S_IFLNK),
    "device": (tarfile.CHRTYPE, stat.S_IFCHR),
    "disk": (tarfile.BLKTYPE, stat.S_IFBLK),
    "pipe": (tarfile.FIFOTYPE, stat.S_IFIFO),
    "hard link": (tarfile.LNKTYPE, stat.S_IFSOCK),  # a ZIP has no hard links: a socket
    "sparse": (tarfile.GNUTYPE_SPARSE, stat.S_IFLNK),
    "unknown": (b"Z", 0o130000),
}


@pytest.mark.parametrize(("type_", "mode"), LINKS.values(), ids=LINKS)
def test_all_but_plain_files_and_folders_are_refused(
    tmp_path: Path, type_: bytes, mode: int
) -> None:
    (tmp_path / "secret.png").write_bytes(b"outside")
    target = str(tmp_path / "secret.png")
    link = tar_entry("train/1.png", type_, target), b""
    assert "which is" in refusal(write_tar(tmp_path / "a.tar", [(tar_entry("0.png"), PNG), link]))
    entries = [Raw("train/0.png"), Raw("train/1.png", target.encode(), mode=mode | 0o777)]
    assert "a link or a device" in refusal(write_zip(tmp_path / "a.zip", entries))


def test_files_behind_a_link_to_elsewhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tar_entry("train", tarfile.SYMTYPE, str(tmp_path / "elsewhere")), b""
    refusal(write_tar(tmp_path / "a.tar", [link, (tar_entry("train/0.png"), PNG)]))


def test_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    info = tar_entry("0.png")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000"}
    assert "holes" in refusal(write_tar(tmp_path / "a.tar", [(info, b"x")]))


def test_encrypted_and_unbounded_methods_are_refused(tmp_path: Path) -> None:
    assert "encrypted" in refusal(write_zip(tmp_path / "a.zip", [Raw("0.png", flags=0x801)]))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99):
        assert "method" in refusal(write_zip(tmp_path / "a.zip", [Raw("0.png", method=method)]))


# ----------------------------------------------------------------------------- bombs and damage


def many_zip(path: Path, count: int = 200_000) -> None:
    write_zip(path, (Raw(f"train/{i:06}.png", b"") for i in range(count)))


def many_tar(path: Path, count: int = 200_000) -> None:
    """Heads of empty files 000000.png and so on; a tar's own way to write them takes minutes."""
    heads = np.tile(np.frombuffer(tar_head("000000.png", 0), np.uint8), (count, 1))
    number = np.arange(count)
    for place in range(6):
        heads[:, place] = 48 + number // 10 ** (5 - place) % 10
    heads[:, 148:156] = 32  # the checksum counts itself as spaces
    total = heads.sum(axis=1)
    for place in range(6):
        heads[:, 148 + place] = 48 + total // 8 ** (5 - place) % 8
    heads[:, 154] = 0
    path.write_bytes(gzip.compress(heads.tobytes() + bytes(1024), 1))


def zip_bomb(path: Path) -> None:
    zeros = squeezed_zeros(10 * GIGABYTE)
    write_zip(path, [Raw("0.png", zeros, size=10 * GIGABYTE, method=8)])


def zip_of_lies(path: Path) -> None:
    """Ten gigabytes that call themselves a thousand bytes."""
    write_zip(path, [Raw("0.png", squeezed_zeros(10 * GIGABYTE), size=1000, method=8)])


def tar_head(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tar_entry(name, kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def gz_bomb(path: Path, name: str = "0.png", kind: bytes = tarfile.REGTYPE) -> None:
    head = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = head.compress(tar_head(name, 10 * GIGABYTE, kind)) + head.flush(zlib.Z_FULL_FLUSH)
    gz = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    path.write_bytes(gz + begin + squeezed_zeros(10 * GIGABYTE))


def bz2_bomb(path: Path) -> None:
    """Ten gigabytes of zeros in some ten kilobytes, in files of a modest size each."""
    piece = bz2.compress(bytes(45 * 2**20))
    heads = (bz2.compress(tar_head(f"{i}.png", 45 * 2**20)) for i in range(220))
    path.write_bytes(b"".join(head + piece for head in heads))


def xz_bomb(path: Path) -> None:
    piece = lzma.compress(bytes(50 * 10**6 // 512 * 512))
    head = lzma.compress(tar_head("0.png", 50 * 10**6 // 512 * 512 * 200))
    path.write_bytes(head + piece * 200)


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "zip": (zip_bomb, "times its size"),
    "zip that lies": (zip_of_lies, "damaged"),
    "gz": (gz_bomb, "times its size"),
    "gz with an endless name": (lambda path: gz_bomb(path, "x", b"L"), "no archive"),
    "gz with an endless pax head": (lambda path: gz_bomb(path, "x", b"x"), "no archive"),
    "bz2": (bz2_bomb, "times its size"),
    "xz": (xz_bomb, "times its size"),
    "zip of 200,000 files": (many_zip, TOO_MANY),
    "tar of 200,000 files": (many_tar, TOO_MANY),
}
WATCH = """
import resource, sys
from pathlib import Path
from pix2pix.data.archives import unpack
from pix2pix.errors import UserError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
except UserError as error:
    print(error)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(peak * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.parametrize(("write", "word"), BOMBS.values(), ids=BOMBS)
@pytest.mark.skipif(sys.platform == "win32", reason="memory is measured with `resource`")
def test_bombs_are_refused_before_they_take_disk_or_memory(
    tmp_path: Path, write: Callable[[Path], None], word: str
) -> None:
    bomb = tmp_path / "bomb"
    write(bomb)
    assert bomb.stat().st_size < 25 * 10**6
    command = [sys.executable, "-c", WATCH, str(bomb), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    said, peak = done.stdout.splitlines()
    assert word in said and not done.stderr
    assert int(peak) < 100 * 10**6
    assert list(tmp_path.iterdir()) == [bomb]


def test_what_is_written_is_judged_and_not_only_what_is_claimed(tmp_path: Path) -> None:
    limits = ArchiveLimits(bytes=100_000)
    big = [(tar_entry(f"{i}.png"), bytes(30_000)) for i in range(4)]
    unpack(write_tar(tmp_path / "small.tar", big[:2]), tmp_path / "small", limits=limits)
    assert "GB" in refusal(write_tar(tmp_path / "a.tar", big), limits)
    empty = [(tar_entry(f"{i}.png"), b"") for i in range(300)]  # 512 bytes each, claimed by none
    assert "GB" in refusal(write_tar(tmp_path / "a.tar", empty), limits)
    files = [Raw(f"{i}.png", bytes(30_000)) for i in range(4)]
    assert "GB" in refusal(write_zip(tmp_path / "a.zip", files), limits)


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = write_zip(tmp_path / "a.zip", [Raw("0.png", bytes(5000))])
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(archives.shutil, "disk_usage", lambda folder: usage(4999))
        assert "make room" in refusal(packed)

    def full(path: Path, content: Iterable[bytes]) -> None:
        path.write_bytes(next(iter(content))[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_write", full)
    before = tree(tmp_path)
    with pytest.raises(UserError, match="free space"):
        unpack(packed, tmp_path / "out")
    assert tree(tmp_path) == before


def test_lying_sizes_and_checksums_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for lie in ({"size": 10}, {"size": len(PNG) + 1}, {"crc": 1}, {"local_name": b"1.png"}):
        assert "damaged" in refusal(write_zip(path, [Raw("0.png", **lie)])), lie


@pytest.mark.parametrize("write", [many_zip, many_tar], ids=["zip", "tar"])
def test_too_many_entries_are_refused(tmp_path: Path, write: Callable[[Path, int], None]) -> None:
    write(tmp_path / "many", 20)
    unpack(tmp_path / "many", tmp_path / "twenty", limits=ArchiveLimits(entries=20))
    assert len(list((tmp_path / "twenty").rglob("*.png"))) == 20
    assert "more than 19 entries" in refusal(tmp_path / "many", ArchiveLimits(entries=19))


def test_the_count_of_a_zip_is_not_taken_from_what_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_zip(tmp_path / "a.zip")  # the end record has room for 65,535 and says 3,392

    def made(*_: object) -> None:
        raise AssertionError("zipfile began to make objects of the entries")

    monkeypatch.setattr(zipfile, "ZipInfo", made)
    assert TOO_MANY in refusal(tmp_path / "a.zip")


def test_a_tar_cut_between_its_files_is_not_taken_for_whole(tmp_path: Path) -> None:
    """As tarfile takes it, and as a download ends that was broken off."""
    many_tar(tmp_path / "whole.gz", 5)
    whole = gzip.decompress((tmp_path / "whole.gz").read_bytes())
    for length in range(0, 5 * 512 + 1, 256):
        (tmp_path / "a.tar").write_bytes(whole[:length])
        refusal(tmp_path / "a.tar")
    for at in range(0, 5 * 512, 512):
        (tmp_path / "a.tar").write_bytes(whole[: at + 150] + b"9" + whole[at + 151 :])
        refusal(tmp_path / "a.tar")


def test_every_cut_and_every_changed_byte_leaves_nothing_or_all(tmp_path: Path) -> None:
    """No damage ends in a trace, and none in half of a tar."""
    rng = random.Random(0)
    packed, out = tmp_path / "packed", tmp_path / "out"
    for name, whole in good_archives(tmp_path / "made").items():
        for _ in range(40):
            data = bytearray(whole)
            if cut := rng.random() < 0.5:
                del data[rng.randrange(len(data) - (600 if name == "tar" else 0)) :]
            else:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            packed.write_bytes(data)
            try:
                unpack(packed, out)
            except UserError:
                assert not out.exists()
            else:
                assert not cut or tree(out) == GOOD_TREE
                archives.shutil.rmtree(out)
            assert {f.name for f in tmp_path.iterdir()} == {"made", "packed"}


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    for content in (b"", b"hello", PNG * 50, b"\x1f\x8b", b"PK\3\4", b"BZh9", gzip.compress(b"x")):
        (tmp_path / "a.zip").write_bytes(content)
        refusal(tmp_path / "a.zip")
    (tmp_path / "a.zip").unlink()
    assert "cannot be read" in refusal(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("program.exe", b"MZ")
    assert "no pictures" in refusal(tmp_path / "a.zip")


# --------------------------------------------------------------------------------- good archives

GOOD = {
    "train/0.png": PNG,
    "train/été 1.JPG": random.Random(0).randbytes(70_000),
    "val/empty.png": b"",
    "dataset.json": b"{}",
    "notes/read me.md": b"# hello",
}
SKIPPED = {
    ".DS_Store": b"x", "__MACOSX/train/._0.png": b"x", "train/._0.png": b"x",
    "Thumbs.db": b"x", "run.exe": b"MZ", "inner.zip": b"PK", "noname": b"x",
}  # fmt: skip
GOOD_TREE = {**GOOD, "train": None, "val": None, "notes": None}


def good_archives(folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    files = {**GOOD, **SKIPPED}
    with zipfile.ZipFile(folder / "zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train/", b"")
        for name, data in files.items():
            packed.writestr(name, data)
    entries = [(tar_entry("./", tarfile.DIRTYPE), b""), (tar_entry("train", tarfile.DIRTYPE), b"")]
    entries += [(tar_entry(f"./{name}"), data) for name, data in files.items()]
    for mode in ("", "gz", "bz2", "xz"):
        write_tar(folder / f"tar{mode}", entries, f"w:{mode}")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_good_archives_come_out_equal_whatever_they_are_called(tmp_path: Path) -> None:
    for kind, data in good_archives(tmp_path / "made").items():
        (tmp_path / "download").write_bytes(data)
        heard: list[tuple[int, int]] = []
        out = tmp_path / f"out-{kind}"
        skipped = unpack(
            tmp_path / "download", out, on_progress=lambda *now, heard=heard: heard.append(now)
        )
        assert tree(out) == GOOD_TREE and skipped == len(SKIPPED), kind
        assert heard == sorted(heard) and heard[-1][0] == heard[-1][1]
        if os.name == "posix":
            assert stat.S_IMODE(out.stat().st_mode) == 0o755


def test_an_xz_of_several_streams_and_padding_is_one_file(tmp_path: Path) -> None:
    plain = good_archives(tmp_path / "made")["tar"]
    parts = [lzma.compress(plain[at : at + 30_000]) for at in range(0, len(plain), 30_000)]
    (tmp_path / "a.tar.xz").write_bytes(bytes(8).join(parts) + bytes(4))
    unpack(tmp_path / "a.tar.xz", tmp_path / "out")
    assert tree(tmp_path / "out") == GOOD_TREE


def test_an_xz_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(good_archives(tmp_path / "made")["tar"]))
    end = 12 + (data[12] + 1) * 4 - 4  # of the first block's head, where its checksum begins
    at = data.index(b"\x21\x01", 12, end) + 2
    for size, allowed in ((data[at], True), (40, False)):  # 40: a dictionary of 4 GB
        data[at] = size
        data[end : end + 4] = struct.pack("<I", zlib.crc32(data[12:end]))
        (tmp_path / "a.tar.xz").write_bytes(data)
        if allowed:
            unpack(tmp_path / "a.tar.xz", tmp_path / "good")
        else:
            assert "damaged" in refusal(tmp_path / "a.tar.xz")


def test_what_is_there_is_never_written_to(tmp_path: Path) -> None:
    good_archives(tmp_path / "made")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        unpack(tmp_path / "made" / "zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_stopping_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    for kind in good_archives(tmp_path / "made"):
        before = tree(tmp_path)
        for patience in range(100):
            left = iter(range(patience))
            try:
                unpack(
                    tmp_path / "made" / kind,
                    tmp_path / "out",
                    should_stop=lambda left=left: next(left, None) is None,
                )
            except Cancelled:
                assert tree(tmp_path) == before
            else:
                assert patience > 5
                archives.shutil.rmtree(tmp_path / "out")
                break
        else:
            pytest.fail("it never ended")


def test_a_large_file_can_be_stopped_in_its_midst(tmp_path: Path) -> None:
    data = bytes(5 * 10**6)
    zipped = write_zip(tmp_path / "a", [Raw("0.png", data)])
    for archive in (zipped, write_tar(tmp_path / "b", [(tar_entry("0.png"), data)])):
        asked: list[None] = []
        unpack(archive, tmp_path / "out", should_stop=lambda a=asked: bool(a.append(None)))
        assert len(asked) > 15
        archives.shutil.rmtree(tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_killed_process_leaves_no_dataset_and_its_remains_are_removed(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", [Raw(f"train/{i}.png") for i in range(5)])
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pix2pix.data import archives\n"
        "def hang(*_): print('writing', flush=True); time.sleep(600)\n"
        "archives._write = hang\n"
        "archives.unpack(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.zip"), str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    (left,) = set(tmp_path.iterdir()) - {tmp_path / "a.zip"}
    assert left.name.startswith(".")
    with atomic_folder(tmp_path / "soon"):
        assert left.exists()  # it might be another process's, at work
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert {f.name for f in tmp_path.iterdir()} == {"a.zip", "soon", "out"}


def test_a_packed_folder_unpacks_to_itself_and_equal_folders_to_equal_bytes(tmp_path: Path) -> None:
    good_archives(tmp_path / "made")
    unpack(tmp_path / "made" / "tar", tmp_path / "one")
    unpack(tmp_path / "made" / "zip", tmp_path / "two")
    (tmp_path / "two" / ".hidden.png").write_bytes(PNG)
    os.utime(tmp_path / "two" / "train" / "0.png", (1, 1))
    for name in ("one", "two"):
        pack_zip(tmp_path / name, tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    unpack(tmp_path / "one.zip", tmp_path / "again")
    assert tree(tmp_path / "again") == GOOD_TREE
    with zipfile.ZipFile(tmp_path / "one.zip") as packed:
        assert packed.testzip() is None
        assert packed.namelist() == sorted(GOOD)
        methods = {i.filename: i.compress_type for i in packed.infolist()}
    assert methods["train/0.png"] == zipfile.ZIP_STORED
    assert methods["dataset.json"] == zipfile.ZIP_DEFLATED


def test_packing_that_is_stopped_leaves_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "0.png").write_bytes(PNG)
    (tmp_path / "data.zip").write_bytes(b"old")
    before = tree(tmp_path)
    with pytest.raises(Cancelled):
        pack_zip(folder, tmp_path / "data.zip", should_stop=lambda: True)
    with pytest.raises(UserError, match="nothing to pack"):
        pack_zip(tmp_path / "missing", tmp_path / "data.zip")
    assert tree(tmp_path) == before


def test_what_another_removes_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """A folder is listed and then gone, as is what a link leads to."""
    (tmp_path / ".unfinished-gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".unfinished-old").mkdir()
    os.utime(tmp_path / ".unfinished-old", (0, 0))
    with atomic_folder(tmp_path / "new") as folder:
        (folder / "a.txt").write_text("kept")
    assert (tmp_path / "new" / "a.txt").exists() and not (tmp_path / ".unfinished-old").exists()
