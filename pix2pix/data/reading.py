"""Read the files of a dataset on its way as they are meant: pages, transparency, class numbers.

Also in parallel and in bounded memory. The plan looks at files and the build opens them through
the same functions, so both see the same picture.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from pix2pix.data.ranges import FileValues, measure_values
from pix2pix.data.records import FileInfo, Inputs, PlannedPair
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.ab_pairs import STRIPS, cut_strip
from pix2pix.imaging.decode import open_picture, open_preview
from pix2pix.imaging.picture import Picture
from pix2pix.utils.machine import usable_cores
from pix2pix.utils.progress import Progress, ShouldStop

THUMBNAIL_SIDE = 64  # the side of the small pictures that pairs are judged by
BIG_PICTURE_PIXELS = (
    16_000_000  # pictures of more pixels are decoded one at a time, so that memory stays bounded
)
SAMPLED_FILES = 16  # files of a side that are opened in full
THREADS = min(8, usable_cores())
ALPHA = {
    "white": "Transparent places are white",
    "ignore": "Transparency is ignored",
    "mask": "Transparency is the picture, a mask",
}
PAGES = {"first": "The first page of a file", "all": "Every page is a picture"}
CLASSES = {"": "Class numbers are greys", "colours": "Class numbers are shown in distinct colours"}
MAX_PAGES = 10_000  # of one file
_PNG_HEAD = 2**12  # bytes in which that of frames stands
_NO_PICTURE = 1 | 4  # of a TIFF's page, by its tag NewSubfileType: reduced, or a mask
_HIDDEN_SHARE = 0.5  # of a picture's pixels: so many are transparent over colours that differ
_FAINT = (12, 243)  # opacities between them are neither nothing nor all
_VARIED = 10.0  # grey levels of standard deviation from which colours differ
_PAGE = re.compile(r"(.*)\[(\d+)\](\.\w+)")  # stack.tif, page 3 -> stack[3].tif
Item = TypeVar("Item")
Result = TypeVar("Result")
_big_picture_lock = threading.Lock()


def reading_options(options: Iterable[str]) -> dict[str, Any]:
    """Return the fields of `Inputs` that options as "target-alpha=mask" say. Raises UserError for
    what is none."""
    choices = {"strips": STRIPS, "pages": PAGES, "alpha": ALPHA, "classes": CLASSES}
    values: dict[str, Any] = {"alpha": ["white", "white"], "classes": ["", ""]}
    for option in options:
        key, _, value = option.partition("=")
        side, _, field = key.rpartition("-")
        if value not in choices.get(field, ()) or (side in ("source", "target")) != (
            field in ("alpha", "classes")
        ):
            raise UserError(f"'{option}' does not say how files are read: check its spelling.")
        if side:
            values[field][side == "target"] = value
        else:
            values[field] = value
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}


# ------------------------------------------------------------------------------------------- files


def page_name(name: str, page: int) -> str:
    """Name a page of a file: `a/stack.tif`, 3 -> `a/stack[3].tif`; pages count from 1."""
    stem, suffix = os.path.splitext(name)
    return f"{stem}[{page}]{suffix}"


def page_file(name: str, pages: str) -> tuple[str, int]:
    """Return the file and the page that a name means; page 0 is the file as it is."""
    match = _PAGE.fullmatch(name) if pages == "all" else None
    return (match[1] + match[3], int(match[2])) if match else (name, 0)


def list_pages(path: Path) -> list[int]:
    """List the pages of a TIFF, GIF, WebP or PNG that are pictures, from 1: the smaller copies and
    masks that GeoTIFFs hold are none. Of other files and what cannot be read it is the first."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".tif", ".tiff"):
            import tifffile  # most people never need it

            with tifffile.TiffFile(path) as file:
                kinds = [int(page.subfiletype) for page in file.pages]
            return [n for n, kind in enumerate(kinds, 1) if not kind & _NO_PICTURE] or [1]
        if suffix in (".gif", ".webp") or (suffix == ".png" and _is_animated(path)):
            with Image.open(path) as image:
                return [*range(1, getattr(image, "n_frames", 1) + 1)]
    except Exception:  # it is refused where it is read
        pass
    return [1]


def _is_animated(png: Path) -> bool:
    """Return whether a PNG says before its pixels that it has frames."""
    with png.open("rb") as stream:
        return b"acTL" in stream.read(_PNG_HEAD).partition(b"IDAT")[0]


def read_input(folder: Path, name: str, pages: str) -> tuple[bytes, str]:
    """Read the bytes of a file, and the digest of what the name means: SHA-256 of the file, and of
    a page's number with it. Raises OSError."""
    file, page = page_file(name, pages)
    content = (folder / file).read_bytes()
    digest = hashlib.sha256(content)
    if page:
        digest.update(f"[{page}]".encode())
    return content, digest.hexdigest()


def open_input(inputs: Inputs, side: str, name: str, content: bytes) -> Picture:
    """Decode a file of one side, or a page of it, as the inputs say; raises UserError where it is
    no picture."""
    page = page_file(name, inputs.pages)[1] or 1
    return as_meant(inputs, side, open_picture(content, name, page=page))


def as_meant(inputs: Inputs, side: str, picture: Picture) -> Picture:
    """Return a picture with its transparency and class numbers taken as the inputs say."""
    number = 0 if side == "source" else 1
    alpha, image = inputs.alpha[number], picture.image
    if alpha != "white" and image.mode in ("LA", "RGBA"):
        if alpha == "mask":  # alpha has 8 bits, whatever the colours have
            picture = Picture(image.getchannel("A"))
        else:
            colours = picture.planes[: picture.channels]
            picture = replace(picture, image=image.convert(image.mode[:-1]), planes=colours)
    if inputs.classes[number] == "colours":
        picture = Picture(Image.fromarray(class_colours(class_numbers(picture))))
    return picture


def class_numbers(picture: Picture) -> np.ndarray:
    """Return the class number of each pixel, int64 H x W: the first channel; 0 for no value."""
    return np.nan_to_num(picture.values()[0]).astype(np.int64)


def class_colours(numbers: np.ndarray) -> np.ndarray:
    """Return a colour for each number, uint8 with R, G and B last: those of PASCAL VOC, in which 0
    is black and the bits of a number are dealt out to the channels, so that small ones are far
    apart and all of 24 bits differ."""
    colours = np.zeros((*numbers.shape, 3), np.uint8)
    for bit in range(24):
        colours[..., bit % 3] |= ((numbers >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def inspect_file(inputs: Inputs, side: str, name: str) -> FileInfo | UserError:
    """Read one file for the plan; returns the reason where it cannot be read."""
    folder, (file, page) = inputs.folder(side), page_file(name, inputs.pages)
    try:
        content, digest = read_input(folder, name, inputs.pages)
        with limit_big_pictures(io.BytesIO(content)):
            base = name.rpartition("/")[2]
            picture, size, kind = open_preview(content, base, THUMBNAIL_SIDE, page or 1)
            alpha = judge_alpha(picture.image)
            meant = as_meant(inputs, side, picture)
            values, small = _measure(meant)
            halves: tuple[Any, ...] = ()
            if values and inputs.kind == "dataset":
                with suppress(UserError):  # one that cannot be cut is refused later, by name
                    halves = tuple(map(_measure, cut_strip(meant, inputs.strips, name)))
    except OSError:
        return UserError(f"{Path(file).name} may not be read: change its permissions.")
    except UserError as error:
        return error
    classes = ()
    if inputs.classes[0 if side == "source" else 1]:
        classes = tuple(np.unique(class_numbers(picture)).tolist())
    return FileInfo(
        size, digest, meant.bits, len(meant.image.getbands()), kind, small,
        values=values, extra_bands=meant.extra_bands, profile=meant.profile,
        pages=1 if page else len(list_pages(folder / file)), alpha=alpha, classes=classes,
        halves=halves,
    )  # fmt: skip


def _measure(picture: Picture) -> tuple[FileValues | None, np.ndarray]:
    """Return a picture's numbers, and the small picture of it over their core."""
    values = measure_values(picture)
    seen = picture.with_range(*values.core) if values and values.count else picture
    return values, np.asarray(seen.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE)).to_pil(3))


def judge_alpha(image: Image.Image) -> str:
    """Say what transparency does to a picture over white: it "hides" colours that differ, or makes
    them faint, it is the "mask" that nothing else shows, or neither."""
    if image.mode not in ("LA", "RGBA"):
        return ""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    opacity = image.getchannel("A")
    if opacity.getextrema() == (255, 255):
        return ""
    small = np.asarray(opacity.resize(side, Image.Resampling.NEAREST), np.float32)[..., None]
    # Band by band: what Pillow scales with its alpha loses the colour of transparent places.
    bands = (band.resize(side, Image.Resampling.NEAREST) for band in image.split()[:-1])
    colours = np.stack([np.asarray(band, np.float32) for band in bands], axis=2)
    faint = (small[..., 0] > _FAINT[0]) & (small[..., 0] < _FAINT[1])
    for hidden in (small[..., 0] < 128, faint):
        if hidden.mean() > _HIDDEN_SHARE and colours[hidden].std(axis=0).max() > _VARIED:
            return "hides"
    shown = colours * (small / 255) + 255 - small
    if np.ptp(small) > 20 and np.ptp(shown, axis=(0, 1)).max() < 20:
        return "mask"
    return ""


# ---------------------------------------------------------------------------------------- together


def limit_big_pictures(*files: Path | BinaryIO) -> AbstractContextManager[object]:
    """Let only one big picture be in memory at a time, judged by the files' headers."""
    for file in files:
        try:
            with Image.open(file) as image:
                if image.width * image.height > BIG_PICTURE_PIXELS:
                    return _big_picture_lock
        except Exception:  # it is refused where it is read
            continue
    return nullcontext()


def parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    should_stop: ShouldStop,
    on_progress: Progress = lambda done, total: None,
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, work(item)) in the order of `items`, on all cores; few are under way at a
    time. `on_progress` hears items; raises Cancelled where it is to stop.

    Threads are enough: Pillow lets go of the interpreter while it decodes, scales and encodes.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        under_way = [(item, pool.submit(work, item)) for item in islice(waiting, 4 * THREADS)]
        try:
            for done in range(1, len(items) + 1):
                item, future = under_way.pop(0)
                result = future.result()
                if should_stop():
                    raise Cancelled
                under_way += [(i, pool.submit(work, i)) for i in islice(waiting, 1)]
                yield item, result
                on_progress(done, len(items))
        finally:
            for _, future in under_way:
                future.cancel()


def sample_of(items: Sequence[Item]) -> Sequence[Item]:
    """Return the files or pairs, spread over all, that are opened in full."""
    return items[:: max(1, len(items) // SAMPLED_FILES)][:SAMPLED_FILES]


def open_side(inputs: Inputs, pair: PlannedPair, side: str) -> Picture:
    """Open one side of a pair at full size."""
    name = getattr(pair, side)
    content, _ = read_input(inputs.folder(side), name, inputs.pages)
    picture = open_input(inputs, side, name, content)
    return cut_strip(picture, inputs.strips, name)[side == "target"] if pair.half else picture
