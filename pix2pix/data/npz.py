"""Datasets as one compressed ``.npz``: ``arr_0`` is the source, ``arr_1`` the target.

Neither array is ever whole in memory, so thousands of pairs cost no more than one. What numbers
mean is judged by the smallest and largest of the whole array: white is 1 where none is larger, and
black -1 where some are negative; white is 255 where the largest is above half of it; any other
numbers, depth or Hounsfield units say, go from the smallest to the largest.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from PIL import Image

from pix2pix.data.archive_readers import (
    LIMITS,
    ArchiveLimits,
    archive_error,
    archive_errors,
    open_zip,
    zip_entry_fault,
)
from pix2pix.data.archives import zip_info
from pix2pix.data.compose import side_by_side
from pix2pix.data.dataset import find_pairs, folder_ranges, open_pair
from pix2pix.data.ranges import EIGHT_BITS, SideRange
from pix2pix.data.records import SIDES, SPLITS
from pix2pix.data.report import describe_import, read_facts
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.decode import MAX_DRAWING_PIXELS
from pix2pix.imaging.picture import resize
from pix2pix.utils.files import atomic_folder, saving, write_atomically
from pix2pix.utils.progress import Progress, ShouldStop, each
from pix2pix.utils.text import printable

ENTRIES = ("arr_0.npy", "arr_1.npy")
CONVENTIONS = (EIGHT_BITS, (0.0, 1.0), (-1.0, 1.0))  # what is black and what white in pictures
_HEAD = 16 * 1024  # bytes; NumPy's own heads are 128 bytes
_BATCH = 2**22  # bytes of numbers looked at together
Rows = Iterator[np.ndarray]


@dataclass(frozen=True)
class _ArrayHead:
    """One array of the file: its `shape` is N x H x W x C, `start` the bytes before its numbers."""

    info: zipfile.ZipInfo
    shape: tuple[int, int, int, int]
    dtype: np.dtype
    start: int

    @property
    def row(self) -> int:
        """Return the bytes of one picture."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def read_npz(
    file: Path,
    into: Path,
    *,
    limits: ArchiveLimits = LIMITS,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Make the new dataset `into` of `arr_0` and `arr_1`, all in train/ as A|B strips in PNG, grey
    where both arrays are; `dataset.json` has the ranges of numbers that are no pictures' own.

    The arrays are N x H x W, N x H x W x 1 or N x H x W x 3 with the same N, H and W, and hold
    whole numbers or floats. NaN and every other file are a UserError, before the first pair;
    nothing is unpickled, and `limits` hold for what the heads claim. That and Cancelled leave
    nothing behind.
    """
    name = printable(file.name)
    with atomic_folder(into) as folder:
        (folder / "train").mkdir()
        count, known = 0, {"strips": "halves"}
        pairs = archive_errors(_pairs(file, name, limits, should_stop), name)
        for count, (source, target, ranges, total) in enumerate(pairs, 1):
            mode = "L" if source.mode == target.mode == "L" else "RGB"
            strip = side_by_side(source.convert(mode), target.convert(mode))
            strip.save(folder / "train" / f"{count - 1:05}.png")
            known |= _describe_ranges(ranges)
            on_progress(count, total)
        describe_import(folder, known, into.name, {"train": count}, [])
    return into


def _describe_ranges(ranges: list[SideRange]) -> dict[str, Any]:
    """Say in the words of `dataset.json` what is black and white, unless it is as in pictures."""
    plain = [(r.low, r.high) in CONVENTIONS for r in ranges]
    if all(plain):
        return {}
    sides = {
        side: SideRange(channels=r.channels) if is_plain else r
        for side, r, is_plain in zip(SIDES, ranges, plain)
    }
    return {
        "ranges": {side: [r.low, r.high] for side, r in sides.items()},
        "numbers": {s: {"type": r.numbers, "channels": r.channels} for s, r in sides.items()},
    }


def write_npz(
    folder: Path,
    file: Path,
    *,
    size: int = 256,
    split: str | None = None,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Write the pairs of one split, or of all in the order train, val, test, as `arr_0` (A) and
    `arr_1` (B), uint8 N x `size` x `size` x 3; returns N.

    Other sizes are scaled, label maps that `dataset.json` names without mixing colours. A
    UserError for an unreadable pair or a dataset without pairs leaves an old file as it was.
    """
    files = [pair for part in ([split] if split else SPLITS) for pair in find_pairs(folder, part)]
    if not files:
        raise UserError(f"{printable(folder.name)} holds no pairs there: choose another dataset.")
    facts = read_facts(folder)
    labels, ranges = facts.label_maps, folder_ranges(folder, facts)

    def pictures(side: int) -> Iterator[Image.Image]:
        exact = bool(labels) and labels[side] is True

        def told(done: int, total: int) -> None:
            on_progress(side * total + done, 2 * total)

        for pair in each(files, should_stop, told):  # twice: the arrays follow each other
            picture = open_pair(pair, ranges=ranges)[side].convert("RGB")
            yield resize(picture, (size, size), labels=exact)

    head = io.BytesIO()
    npy.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (len(files), size, size, 3)}
    )
    total = len(head.getvalue()) + len(files) * size * size * 3

    def write(partial: Path) -> None:
        with zipfile.ZipFile(partial, "w") as packed:
            for side, entry in enumerate(ENTRIES):
                with packed.open(zip_info(entry, total, deflate=True), "w") as stream:
                    stream.write(head.getvalue())
                    for picture in pictures(side):  # neither array is ever whole in memory
                        stream.write(np.asarray(picture).tobytes())

    with saving(file):
        write_atomically(file, write)
    return len(files)


def _pairs(
    file: Path, name: str, limits: ArchiveLimits, should_stop: ShouldStop
) -> Iterator[tuple[Image.Image, Image.Image, list[SideRange], int]]:
    packed = file.stat().st_size
    with open_zip(file, limits) as opened:
        arrays = [_read_head(opened, entry, name) for entry in ENTRIES]
        if arrays[0].shape[:3] != arrays[1].shape[:3]:
            raise UserError(
                f"{name} holds arr_0 of {_times(arrays[0])} and arr_1 of {_times(arrays[1])}: "
                "both need as many pictures of one size."
            )
        limits.judge(sum(a.info.file_size for a in arrays), packed, limits.bytes, name)
        ranges = [_find_value_range(opened, array, name, should_stop) for array in arrays]
        sides = [_read_batches(opened, array, 1, should_stop) for array in arrays]
        for rows in zip(*sides):
            source, target = (_picture(row[0], r.low, r.high) for row, r in zip(rows, ranges))
            yield source, target, ranges, arrays[0].shape[0]


def _read_head(opened: zipfile.ZipFile, entry: str, name: str) -> _ArrayHead:
    """Read and check the array's head before any of its numbers."""
    entries = [info for info in opened.infolist() if info.orig_filename == entry]
    if len(entries) != 1:
        raise UserError(f"{name} needs arr_0 and arr_1: save np.savez_compressed(f, a, b).")
    if fault := zip_entry_fault(entries[0]):
        archive_error(name, entry, fault)
    with opened.open(entries[0]) as stream:
        head = io.BytesIO(stream.read(_HEAD))  # so that no head is longer
    version = npy.read_magic(head)
    if version not in ((1, 0), (2, 0)):
        raise UserError(f"{name} is in an unknown form: save it with np.savez_compressed.")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(head)
    if dtype.kind not in "buif":
        raise UserError(f"{name} holds {printable(str(dtype))} in {entry}: save uint8 or floats.")
    shape = (*shape, 1) if len(shape) == 3 else shape
    if len(shape) != 4 or shape[3] not in (1, 3) or by_columns or min(shape) < 1:
        raise UserError(
            f"{name} holds {entry} in another shape than N x H x W x 3: save pictures in colour, "
            "or grey ones as N x H x W, as np.ascontiguousarray gives them."
        )
    if shape[1] * shape[2] > MAX_DRAWING_PIXELS:
        raise UserError(f"{name} holds pictures of over {MAX_DRAWING_PIXELS:,} pixels: scale them.")
    array = _ArrayHead(entries[0], shape, dtype, head.tell())
    if array.start + array.shape[0] * array.row != entries[0].file_size:
        raise EOFError("the head claims another number of bytes")
    return array


def _read_batches(
    opened: zipfile.ZipFile, array: _ArrayHead, together: int, should_stop: ShouldStop
) -> Rows:
    """Yield the array, `together` pictures at a time (the last time fewer)."""
    remaining = array.shape[0]
    with opened.open(array.info) as stream:
        stream.read(array.start)
        while remaining:
            if should_stop():
                raise Cancelled
            count = min(remaining, together)
            data = stream.read(count * array.row)
            yield np.frombuffer(data, array.dtype).reshape(count, *array.shape[1:])
            remaining -= count


def _find_value_range(
    opened: zipfile.ZipFile, array: _ArrayHead, name: str, should_stop: ShouldStop
) -> SideRange:
    """Find what is black and what is white; reads all numbers, so that damage shows itself."""
    low, high = math.inf, -math.inf
    for rows in _read_batches(opened, array, max(1, _BATCH // array.row), should_stop):
        low, high = np.minimum(low, rows.min()), np.maximum(high, rows.max())  # NaN stays NaN
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(
            f"{name} holds numbers from {low:g} to {high:g}: put others in place of those without "
            "a value."
        )
    ends = float(low), float(high) if high > low else float(low) + 1.0
    if array.dtype == np.uint8 or (low >= 0.0 and 128.0 <= high <= 255.0):
        ends = EIGHT_BITS
    elif low >= -1.0 and high <= 1.0:
        ends = (-1.0 if low < 0.0 else 0.0, 1.0)
    return SideRange(*ends, array.dtype.name, array.shape[3])


def _picture(row: np.ndarray, low: float, high: float) -> Image.Image:
    if row.dtype != np.uint8:
        row = np.rint((row.astype(np.float64) - low) / (high - low) * 255.0).astype(np.uint8)
    return Image.fromarray(row[..., 0] if row.shape[2] == 1 else row)


def _times(array: _ArrayHead) -> str:
    return " x ".join(map(str, array.shape[:3]))
