"""Unpack archives from strangers without trust, and pack ZIP archives of our own.

Every entry is judged before it is written, to a temporary folder that gets its name when all of the
archive was good; else nothing of it stays.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pix2pix.data.archive_readers import (
    CHUNK,
    LIMITS,
    ArchiveLimits,
    Entry,
    Step,
    archive_error,
    archive_errors,
    is_zip,
    tar_steps,
    too_many_files,
    zip_steps,
)
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.files import atomic_folder, saving, write_atomically
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import PathTree, portable_name, printable, unsafe_name_reason

LeftOut = Callable[[str, str], Any]  # hears a file's name and why it is left out
CheckedStep = tuple[Entry, Iterator[bytes], str]  # the last says why it cannot be written
DATASET_SUFFIXES = IMAGE_SUFFIXES | {".json", ".csv", ".txt", ".md", ".npz"}
_COMPRESSED_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".npz"))
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a ZIP can hold


def unpack(
    archive: Path,
    into: Path,
    *,
    limits: ArchiveLimits = LIMITS,
    suffixes: Collection[str] = DATASET_SUFFIXES,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
    on_left_out: LeftOut = lambda name, reason: None,
) -> int:
    """Unpack a ZIP or tar (plain, gzip, bzip2 or xz, told by content) to the new folder `into`.

    Files with one of the `suffixes`, those of datasets unless told, are written, under names that
    every system can store; the number of other files, which are skipped, is returned. `on_left_out`
    hears of each file that would be used but whose name is there already, and why. One entry that
    is no plain file or folder or whose name leads elsewhere refuses the whole archive, as does one
    that goes over `limits`: UserError. That, Cancelled and any other failure leave nothing behind.
    `on_progress` hears bytes of the archive.
    """
    name, free = printable(archive.name), shutil.disk_usage(_existing(into.parent)).free
    try:
        packed, read = archive.stat().st_size, zip_steps if is_zip(archive) else tar_steps
    except OSError as error:
        raise UserError(f"{name} cannot be read: check the file and choose it again.") from error

    def judge(unpacked: int) -> None:
        if should_stop():
            raise Cancelled
        limits.judge(unpacked, packed, free, name)

    steps = read(archive, limits, judge, lambda at: on_progress(at, packed))
    count = skipped = 0
    with atomic_folder(into) as folder:
        for entry, content, clash in _check_steps(steps, limits, judge, name, suffixes):
            if not _is_wanted(entry, suffixes):
                skipped += not entry.is_folder
            elif clash:
                on_left_out(entry.name, clash)
            else:
                _write(folder.joinpath(*_parts(entry)), content)
                count += 1
        if not count:
            advice = "choose an archive of a dataset or of photos"
            raise UserError(f"{name} holds no pictures: {advice}.")
    on_progress(packed, packed)
    return skipped


def pack_zip(
    folder: Path,
    file: Path,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> None:
    """Pack what `unpack` would keep of `folder` into the ZIP `file`, written atomically.

    Equal folders give equal bytes: names are sorted and dates fixed. `on_progress` hears files.
    A UserError where there is nothing to pack or the disk refuses.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    entries = [Entry(name, 0, not (folder / name).is_file()) for name in names]
    names = [entry.name for entry in entries if _is_wanted(entry)]
    if not names:
        raise UserError(f"{printable(folder.name)} holds nothing to pack: choose a dataset.")

    def write(partial: Path) -> None:
        with zipfile.ZipFile(partial, "w") as packed:
            for done, name in enumerate(names):
                on_progress(done, len(names))
                source = folder / name
                with open(source, "rb") as stream:
                    stored = source.suffix.lower() in _COMPRESSED_SUFFIXES
                    info = zip_info(name, source.stat().st_size, deflate=not stored)
                    with packed.open(info, "w") as entry:
                        while chunk := stream.read(CHUNK):
                            if should_stop():
                                raise Cancelled
                            entry.write(chunk)

    with saving(file):
        write_atomically(file, write)
    on_progress(len(names), len(names))


def zip_info(name: str, size: int, *, deflate: bool) -> zipfile.ZipInfo:
    """Make the head of a plain file of `size` bytes, the same on every system and day."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    info.file_size = size  # tells zipfile whether it needs the 64-bit form
    return info


def _check_steps(
    steps: Iterator[Step],
    limits: ArchiveLimits,
    judge: Callable[[int], None],
    name: str,
    suffixes: Collection[str],
) -> Iterator[CheckedStep]:
    """Yield (entry, content, why it cannot be written beside the others) after checking each one's
    name, and the files and bytes so far. Entries have the names that they are written under."""
    tree, total = PathTree(), 0
    for number, (entry, content) in enumerate(archive_errors(steps, name)):
        if number >= limits.entries:
            raise UserError(too_many_files(name, limits.entries))
        stored = replace(entry, name=portable_name(entry.name))
        fault = unsafe_name_reason(stored.name)
        # A folder's name, and that of a file that is written, must not clash with others'.
        is_used = entry.is_folder or _is_wanted(stored, suffixes)
        if fault and (is_used or _leads_elsewhere(stored.name)):
            archive_error(name, entry.name, fault)
        clash = tree.add(_parts(stored), entry.is_folder) if is_used else ""
        total += entry.size
        judge(total)
        yield stored, archive_errors(content, name), clash


def _parts(entry: Entry) -> tuple[str, ...]:
    return tuple(part for part in entry.name.split("/") if part not in ("", "."))


def _is_wanted(entry: Entry, suffixes: Collection[str] = DATASET_SUFFIXES) -> bool:
    """Return whether it is a file of one of these kinds; hidden ones and macOS's doubles are
    not."""
    parts = _parts(entry)
    if entry.is_folder or any(part.startswith((".", "__MACOSX")) for part in parts):
        return False
    return os.path.splitext(parts[-1])[1].lower() in suffixes


def _leads_elsewhere(name: str) -> bool:
    """Return whether a name is hostile, even of a file that is not written."""
    return name.startswith("/") or ":" in name or "\0" in name or ".." in name.split("/")


def _write(path: Path, content: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as stream:  # never through or over anything that is there
        for data in content:
            stream.write(data)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
