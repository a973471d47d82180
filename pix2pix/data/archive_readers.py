"""Read ZIP and tar files from strangers, entry by entry, in bounded memory.

A reader yields (entry, content) in the archive's own order; content may be left unread. Names are
not judged here: see `utils.text`.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
from bz2 import BZ2File
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.text import printable

CHUNK = 2**18  # bytes read at once
_DIRECTORY_ENTRY = 512  # bytes that a ZIP's directory may take for an entry, on average
_TAR_HEADER = 2**17  # bytes that the headers of one tar entry may take, read-ahead included
_XZ_MEMORY = 2**28  # bytes; the strongest preset of xz asks for a quarter of it


@dataclass(frozen=True)
class ArchiveLimits:
    """How much one archive may hold. The largest published pix2pix set, edges2handbags, has 139
    thousand pictures in 8 GB; pictures pack by a factor of 1, flat label maps by some dozens."""

    entries: int = 150_000
    bytes: int = 20 * 10**9  # unpacked; never more than the disk has free
    ratio: int = 200  # unpacked : packed, of the archive as a whole
    ratio_from: int = 64 * 2**20  # unpacked bytes below which every ratio will do

    def judge(self, total: int, packed: int, free: int, name: str) -> None:
        """Raise UserError where `packed` bytes of archive may not become `total`."""
        if total > self.bytes:
            advice = f"unpacks to more than {self.bytes / 1e9:g} GB: split it into smaller ones."
        elif total > max(self.ratio_from, self.ratio * packed):
            advice = f"unpacks to over {self.ratio} times its size: choose one that holds pictures."
        elif total > free:
            advice = f"needs more than the {free / 1e9:.1f} GB that the disk has free: make room."
        else:
            return
        raise UserError(f"{printable(name)} {advice}")


LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Entry:
    """What an archive says of one of its files or folders. Nothing in it is checked."""

    name: str
    size: int  # bytes, unpacked
    is_folder: bool


_UTF8_FLAG = 0x800  # of a ZIP's entry
# Of names that a ZIP says nothing of, with the letters that make one likely: macOS, Windows in
# Japan, Korea, China, Taiwan and Russia. The first of equals is taken.
_ENCODINGS = {
    "utf-8": r"[^\W\d_]",
    "cp932": r"[\u3041-\u30ff\u4e00-\u9fff]",
    "cp949": r"[\uac00-\ud7a3]",
    "gb18030": r"[\u4e00-\u9fff]",
    "big5": r"[\u4e00-\u9fff]",
    "cp866": r"[\u0400-\u04ff]",
}
Step = tuple[Entry, Iterator[bytes]]


def is_zip(archive: Path) -> bool:
    """Return whether a file begins as a ZIP does. Raises OSError where it cannot be read."""
    with open(archive, "rb") as stream:
        return stream.read(4) in (b"PK\3\4", b"PK\5\6")


def zip_steps(
    archive: Path,
    limits: ArchiveLimits,
    judge: Callable[[int], None],
    report: Callable[[int], None],
) -> Iterator[Step]:
    """Yield the steps of a ZIP; `report` hears packed bytes, and `judge` is asked with 0 at each
    chunk whether to go on. Raises UserError for an entry that is not read, or too many of them."""
    name, done = printable(archive.name), 0
    with open_zip(archive, limits) as opened:
        names = zip_names(opened.infolist())
        for info, original in zip(opened.infolist(), names):
            # `filename` is what zipfile made of it: cut at a NUL, separators replaced.
            if fault := zip_entry_fault(info):
                archive_error(name, original, fault)
            is_folder = stat.S_ISDIR(info.external_attr >> 16) or original.endswith(("/", "\\"))
            entry = Entry(original, info.file_size, is_folder)
            yield entry, _read_zip_entry(opened, info, judge)
            done += info.compress_size
            report(min(done, archive.stat().st_size))


def zip_names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the names of a ZIP's entries as they were meant.

    A ZIP says of a name that it is UTF-8 or nothing; then zipfile takes the code page of the first
    PC. Where that makes signs that no person writes in a name, all such names are read in the
    first encoding in which they are letters.
    """
    old = [e for e in entries if not e.flag_bits & _UTF8_FLAG and not e.orig_filename.isascii()]
    text = "".join(entry.orig_filename for entry in old)
    if not any(not c.isascii() and not c.isalpha() for c in text):
        return [entry.orig_filename for entry in entries]
    raw = {id(entry): entry.orig_filename.encode("cp437") for entry in old}
    best = max(_ENCODINGS, key=lambda encoding: _plausible(raw.values(), encoding))
    if _plausible(raw.values(), best) < 0:
        return [entry.orig_filename for entry in entries]
    return [raw[id(e)].decode(best) if id(e) in raw else e.orig_filename for e in entries]


def _plausible(names: Iterable[bytes], encoding: str) -> float:
    """Return the share of a language's own letters among all that are not ASCII, -1 where the
    bytes are none in its encoding."""
    try:
        text = "".join(name.decode(encoding) for name in names)
    except UnicodeDecodeError:
        return -1.0
    foreign = [c for c in text if not c.isascii()]
    own = re.compile(_ENCODINGS[encoding])
    return sum(own.match(c) is not None for c in foreign) / max(1, len(foreign))


def tar_steps(
    archive: Path,
    limits: ArchiveLimits,
    judge: Callable[[int], None],
    report: Callable[[int], None],
) -> Iterator[Step]:
    """Yield the steps of a tar, plain or packed, as `tar_entries` does; `limits` are for `judge`
    alone, for a tar has no directory that could be too long."""
    with open(archive, "rb") as file:
        yield from tar_entries(file, printable(archive.name), judge, report)


def tar_entries(
    file: BinaryIO, name: str, judge: Callable[[int], None], report: Callable[[int], None]
) -> Iterator[Step]:
    """Yield the steps of an open tar; `judge` hears bytes that were unpacked, `report` the place in
    `file`. Raises UserError where it is no tar or an entry is no plain file or folder, and whatever
    tarfile and the unpackers raise where it is damaged (see `archive_errors`)."""
    stream = _MeteredReader(_decompressed(file), lambda total: (judge(total), report(file.tell())))
    try:
        stream.headroom = _TAR_HEADER
        opened = tarfile.open(  # noqa: SIM115 - closing it closes nothing
            fileobj=stream, mode="r|", bufsize=2**16, tarinfo=_TarInfo, encoding="utf-8"
        )
    except tarfile.ReadError as error:
        kinds = "a ZIP, .tar, .tar.gz, .tar.bz2 or .tar.xz"
        raise UserError(f"{name} is no archive that can be read: choose {kinds}.") from error
    while (info := opened.next()) is not None:
        stream.headroom = None
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
            archive_error(name, info.name, "which is no plain file or folder")
        if info.issparse() or info.size < 0:
            archive_error(name, info.name, "which is a file with holes")
        size = 0 if info.isdir() else info.size
        content = _read_exactly(opened.extractfile(info) if size else io.BytesIO(), size)
        yield Entry(info.name, size, info.isdir()), content
        for _ in content:  # so that all that next() reads is a header
            pass
        opened.members.clear()  # tarfile would keep them all
        stream.headroom = _TAR_HEADER


@contextmanager
def open_zip(file: Path, limits: ArchiveLimits) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP whose directory is small enough to be read; raises UserError otherwise."""
    with _ZipDirectory(open(file, "rb", buffering=0)) as stream:
        stream.limit = limits.entries
        stream.error = too_many_files(printable(file.name), limits.entries)
        with zipfile.ZipFile(stream) as opened:
            stream.limit = None
            yield opened


def _read_zip_entry(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, judge: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield the bytes of one entry: exactly as many as its head claims, else BadZipFile."""
    with opened.open(info) as stream:
        for data in _read_exactly(stream, info.file_size):
            judge(0)  # how much it is was judged by the listing; this asks whether to stop
            yield data


def zip_entry_fault(info: zipfile.ZipInfo) -> str:
    """Say why this entry is not read, empty where it is."""
    if info.flag_bits & 0x41:
        return "which is encrypted"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "which is a link or a device"
    # The other methods decompress without a bound on the memory they take.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "which is packed by a method other than deflate"
    return ""


def archive_errors(steps: Iterator[Any], name: str) -> Iterator[Any]:
    """Yield the steps of a reader; whatever a damaged file makes it raise becomes a UserError."""
    try:
        yield from steps
    except (UserError, Cancelled):
        raise
    except Exception as error:  # parsers raise anything
        raise UserError(f"{name} is damaged or cut short: download or pack it again.") from error


def archive_error(archive: str, entry: str, fault: str) -> NoReturn:
    """Raise a UserError that names the entry and its fault, such as those of `zip_entry_fault`."""
    name = printable(entry)
    raise UserError(f"{archive} holds '{name}', {fault}: pack it again without that.")


def too_many_files(name: str, limit: int) -> str:
    """Say that the archive `name` holds more than `limit` entries."""
    return f"{name} holds more than {limit:,} entries: split it into smaller ones."


def _read_exactly(stream: Any, size: int) -> Iterator[bytes]:
    remaining = size
    while data := stream.read(CHUNK):
        remaining -= len(data)
        if remaining < 0:
            break
        yield data
    if remaining:
        raise EOFError(f"{remaining} of {size} bytes are missing")


class _ZipDirectory(io.BufferedReader):
    """A ZIP's file, judged by its directory's bytes before zipfile makes objects of them.

    While there is a `limit`, no read may be longer than a directory of so many entries, nor may
    all reads together hold more of the signatures with which entries of a directory begin.
    """

    limit: int | None = None
    error = ""
    found = 0

    def read(self, size: int | None = -1) -> bytes:
        if self.limit is None:
            return super().read(size)
        if (size or 0) > (self.limit + 1) * _DIRECTORY_ENTRY:
            raise UserError(self.error)
        data = super().read(size)
        self.found += data.count(b"PK\1\2")
        if self.found > self.limit:
            raise UserError(self.error)
        return data


class _TarInfo(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, opened: tarfile.TarFile) -> tarfile.TarInfo:
        """Read the next header; tarfile itself takes a damaged one for the end of the archive."""
        try:
            return super().fromtarfile(opened)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


class _MeteredReader:
    """What tarfile reads from: `judge` hears the bytes so far, and no header is endless."""

    def __init__(self, stream: BinaryIO, judge: Callable[[int], Any]) -> None:
        self.stream, self.judge, self.total = stream, judge, 0
        self.headroom: int | None = None  # bytes left while a header is read

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.total += len(data)
        self.judge(self.total)
        if self.headroom is not None:
            self.headroom -= len(data)
            if self.headroom < 0:
                raise tarfile.ReadError("endless header")
        return data


class _XzReader(io.RawIOBase):
    """An xz file decompressed in bounded memory, which lzma.LZMAFile cannot promise."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.codec = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            data = b""
            if self.codec.eof:  # another stream may follow, after zeros
                data = self.codec.unused_data.lstrip(b"\0")
                while not data:
                    if not (data := self.stream.read(CHUNK)):
                        return 0
                    data = data.lstrip(b"\0")
                self.codec = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self.codec.needs_input and not (data := self.stream.read(CHUNK)):
                raise EOFError("xz stream is cut short")
            if made := self.codec.decompress(data, len(buffer)):
                buffer[: len(made)] = made
                return len(made)


def _decompressed(file: BinaryIO) -> BinaryIO:
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(b"BZh"):
        return BZ2File(file)
    return io.BufferedReader(_XzReader(file)) if head == b"\xfd7zXZ\0" else file
