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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from pix2pix.data.records import POINTS, FileInfo, FileValues, Inputs
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.ab_pairs import STRIPS
from pix2pix.imaging.decode import Preview, open_picture, open_preview
from pix2pix.imaging.picture import Picture
from pix2pix.utils.progress import Progress, ShouldStop

THUMBNAIL_SIDE = 64  # the side of the small pictures that pairs are judged by
BIG_PICTURE_PIXELS = (
    16_000_000  # pictures of more pixels are decoded one at a time, so that memory stays bounded
)
THREADS = min(8, os.cpu_count() or 1)
ALPHA = {
    "white": "Transparent places are white",
    "ignore": "Transparency is ignored",
    "mask": "Transparency is the picture, a mask",
}
PAGES = {"first": "The first page of a file", "all": "Every page is a picture"}
CLASSES = {"": "Class numbers are greys", "colours": "Class numbers are shown in distinct colours"}
MAX_PAGES = 10_000  # of one file
FAR = 2.0  # an extreme stands apart where it is so many spans of all else away
_SAMPLE = 2**16  # numbers of a file whose order is looked at
_HIDDEN_SHARE = 0.5  # of a picture's pixels: so many are transparent over colours that differ
_VARIED = 10.0  # grey levels of standard deviation from which colours differ
_PAGE = re.compile(r"(.*)\[(\d+)\](\.\w+)")  # stack.tif, page 3 -> stack[3].tif
Item, Result = TypeVar("Item"), TypeVar("Result")
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


def side_folder(inputs: Inputs, side: str) -> Path:
    """Return the folder that the names of "source" or "target" are in."""
    return inputs.source if side == "source" else inputs.target_folder


# ------------------------------------------------------------------------------------------- files


def page_name(name: str, page: int) -> str:
    """Name a page of a file: `a/stack.tif`, 3 -> `a/stack[3].tif`; pages count from 1."""
    stem, suffix = os.path.splitext(name)
    return f"{stem}[{page}]{suffix}"


def page_file(name: str, pages: str) -> tuple[str, int]:
    """Return the file and the page that a name means; page 0 is the file as it is."""
    match = _PAGE.fullmatch(name) if pages == "all" else None
    return (match[1] + match[3], int(match[2])) if match else (name, 0)


def count_pages(path: Path) -> int:
    """Count the pages of a TIFF, GIF or WebP; 1 for other files and what cannot be read."""
    if path.suffix.lower() not in (".tif", ".tiff", ".gif", ".webp"):
        return 1
    try:
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # it is refused where it is read
        return 1


def read_input(folder: Path, name: str, pages: str) -> tuple[bytes, str]:
    """Read a file, or one page of it, as bytes that can be decoded, and their digest: SHA-256 of
    the file, and of the page's number with it. Raises OSError, and UserError for a page that is
    not there."""
    file, page = page_file(name, pages)
    content = (folder / file).read_bytes()
    digest = hashlib.sha256(content)
    if not page:
        return content, digest.hexdigest()
    digest.update(f"[{page}]".encode())
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.seek(page - 1)
            single = io.BytesIO()
            image.save(single, "TIFF")
    except Exception as error:
        raise UserError(f"Page {page} of {file} cannot be read: export it alone.") from error
    return single.getvalue(), digest.hexdigest()


def open_input(inputs: Inputs, side: str, name: str, content: bytes) -> Picture:
    """Decode a file of one side as the inputs say; raises UserError where it is no picture."""
    return as_meant(inputs, side, open_picture(content, name))


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
    if inputs.classes[number] == "colours" and picture.bits == 8:
        numbers = picture.image.convert("RGB").getchannel("R").copy()
        numbers.putpalette(class_colours())
        picture = replace(picture, image=numbers.convert("RGB"))
    return picture


def class_colours() -> bytes:
    """Return 256 colours, R, G and B of each, that are far apart for small numbers: those of
    PASCAL VOC, in which 0 is black and the bits of a number are dealt out to the three channels."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> channel & 1) << (7 - bit)).astype(np.uint8)
        numbers = numbers >> 3
    return colours.tobytes()


def inspect_file(inputs: Inputs, side: str, name: str) -> FileInfo | UserError:
    """Read one file for the plan; returns the reason where it cannot be read."""
    folder, (file, page) = side_folder(inputs, side), page_file(name, inputs.pages)
    try:
        content, digest = read_input(folder, name, inputs.pages)
        with limit_big_pictures(io.BytesIO(content)):
            preview: Preview = open_preview(content, name.rpartition("/")[2], THUMBNAIL_SIDE)
            alpha = judge_alpha(preview.picture.image)
            meant = as_meant(inputs, side, preview.picture)
            values = measure_values(meant)
            seen = meant.with_range(*values.core) if values and values.count else meant
            small = np.asarray(seen.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE)).to_pil(3))
    except OSError:
        return UserError(f"{Path(file).name} may not be read: change its permissions.")
    except UserError as error:
        return error
    classes = ()
    if inputs.classes[0 if side == "source" else 1] and preview.picture.bits == 8:
        shown = preview.picture.image.convert("RGB").getchannel("R").histogram()
        classes = tuple(number for number, count in enumerate(shown) if count)
    return FileInfo(
        preview.size, digest, meant.bits, len(meant.image.getbands()), preview.format, small,
        values=values, extra_bands=meant.extra_bands, profile=meant.profile,
        pages=1 if page else count_pages(folder / file), alpha=alpha, classes=classes,
    )  # fmt: skip


def judge_alpha(image: Image.Image) -> str:
    """Say what transparency does to a picture over white: it "hides" colours that differ, it is
    the "mask" that nothing else shows, or neither."""
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
    hidden = small[..., 0] < 128
    if hidden.mean() > _HIDDEN_SHARE and colours[hidden].std(axis=0).max() > _VARIED:
        return "hides"
    shown = colours * (small / 255) + 255 - small
    if np.ptp(small) > 20 and np.ptp(shown, axis=(0, 1)).max() < 20:
        return "mask"
    return ""


# ----------------------------------------------------------------------------------------- numbers


def measure_values(picture: Picture) -> FileValues | None:
    """Measure the numbers of a picture; None for one of 8 bits."""
    if not picture.is_deep:
        return None
    stored = picture.values()
    values = stored.ravel()
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return FileValues(picture.numbers, picture.channels, 0)
    low, high = float(values.min()), float(values.max())
    sample = values[:: max(1, values.size // _SAMPLE)]
    core, apart = _without_extremes(sample, values, low, high)
    quantiles = np.quantile(core.astype(np.float64), POINTS)
    inner = values if not apart else values[~np.isin(values, list(apart))]
    quantiles[0], quantiles[-1] = inner.min(), inner.max()
    distinct = _count_whole(sample, values)
    return FileValues(
        picture.numbers, picture.channels, values.size, low, high, quantiles, apart, distinct
    )


def _without_extremes(
    sample: np.ndarray, values: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, dict[float, float]]:
    """Leave out the least and the greatest number where it stands far from all others."""
    apart: dict[float, float] = {}
    for extreme in (low, high):
        rest = sample[sample != extreme]
        rest = rest[~np.isin(rest, list(apart))] if apart else rest
        if rest.size < 2:
            continue
        inner = values[~np.isin(values, [extreme, *apart])]
        near = float(inner.min() if extreme == low else inner.max())
        span = float(np.ptp(np.quantile(rest.astype(np.float64), (0.005, 0.995))))
        if span > 0 and abs(near - extreme) > FAR * span:
            apart[extreme] = float((values == extreme).mean())
    core = sample[~np.isin(sample, list(apart))] if apart else sample
    return (core, apart) if core.size else (sample, {})


def _count_whole(sample: np.ndarray, values: np.ndarray) -> int:
    """Count the distinct numbers, 65 for more than 64 of them or for fractions."""
    if len(np.unique(sample[:4096])) > 64 or len(np.unique(sample)) > 64:
        return 65
    distinct = np.unique(values)
    whole = len(distinct) <= 64 and bool((distinct == np.rint(distinct)).all())
    return len(distinct) if whole else 65


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
