"""Read numbers of more than 8 bits that Pillow cuts short: PNG and PPM of 16-bit colours; and make
images of numbers of any type.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from pix2pix.imaging.picture import Unreadable

ORIENTATION = 274  # the tag, of EXIF and TIFF alike
_HALF_LEVEL = 0.5 / 65535  # of the span of a file's numbers: what 32 bits may lose
# The low bytes of 16-bit colours: Pillow keeps the high ones alone, and of the other order these.
_OTHER = "B" if sys.byteorder == "little" else "L"
OTHER_ORDER = {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _OTHER))
}


@dataclass(frozen=True)
class Planes:
    """The numbers of a file: `colour` are one or three H x W arrays of its own type, `alpha` is
    uint8 H x W or None, `extra` counts bands that are neither, and were left out, `nodata` is the
    number that stands for no value, `hidden` says of which pixels (bool H x W) there is none, and
    `scale` is what GDAL's metadata say of the numbers, as text."""

    colour: list[np.ndarray]
    alpha: np.ndarray | None = None
    extra: int = 0
    nodata: float | None = None
    hidden: np.ndarray | None = None
    scale: str = ""


def sixteen_bit_colours(stream: BinaryIO, image: Image.Image) -> Planes | None:
    """Read a 16-bit PNG of colours, or of greys of which one is no data, as GDAL writes it, or a
    PPM or PGM, with all bits; None where it is no such file."""
    if image.format == "PPM":
        return _sixteen_bit_ppm(stream, image)
    clear = image.info.get("transparency")
    rawmode = image.tile[0][3] if image.format == "PNG" and image.tile else ""
    if rawmode == "LA;16B":
        raw = Image.open(stream, formats=("PNG",))
        # Four bytes a pixel, whatever they mean: Pillow would keep the first of each two.
        raw._mode, raw.tile = "RGBA", [part._replace(args="RGBA") for part in raw.tile]
        pixels = np.asarray(raw).astype(np.uint16)
        planes = Planes([pixels[..., 0] << 8 | pixels[..., 1]], pixels[..., 2].astype(np.uint8))
    elif rawmode in ("RGB;16B", "RGBA;16B"):
        planes = both_bytes(stream, image, rawmode)
        if isinstance(clear, tuple):
            same = np.all([plane == level for plane, level in zip(planes.colour, clear)], axis=0)
            planes = Planes(planes.colour, np.where(same, 0, 255).astype(np.uint8))
    elif rawmode == "I;16B" and isinstance(clear, int):
        planes = Planes([np.asarray(image).astype(np.uint16)], nodata=clear)
    else:
        return None
    orientation = 1
    with suppress(Exception):  # a broken EXIF block is no reason to refuse good pixels
        orientation = image.getexif().get(ORIENTATION, 1)
    alpha = None if planes.alpha is None else upright(planes.alpha, orientation)
    colour = [upright(plane, orientation) for plane in planes.colour]
    return replace(planes, colour=colour, alpha=alpha)


def _sixteen_bit_ppm(stream: BinaryIO, image: Image.Image) -> Planes | None:
    """Read a binary PPM or PGM of two bytes a number, white at its own greatest one; Pillow cuts
    colours to 8 bits."""
    decoder, _, offset, args = image.tile[0]
    most = args[-1] if decoder == "ppm" else 65535 if args == "I;16B" else 0
    if not isinstance(most, int) or most <= 255:
        return None
    stream.seek(offset)
    bands = len(image.getbands())
    numbers = np.frombuffer(stream.read(2 * bands * math.prod(image.size)), ">u2")
    pixels = numbers.reshape(image.height, image.width, bands)
    if most < 65535:
        pixels = np.minimum(np.rint(pixels * (65535 / most)), 65535)
    return Planes([pixels[..., band].astype(np.uint16) for band in range(bands)])


def as_image(
    numbers: np.ndarray, nodata: float | None = None, hidden: np.ndarray | None = None
) -> Image.Image:
    """Make an image of H x W numbers of any type: L, I;16, I or F; NaN where there is no value.

    Raises Unreadable for numbers that 32 bits cannot tell apart.
    """
    if numbers.dtype == bool:
        return Image.fromarray(numbers.astype(np.uint8) * np.uint8(255))
    if numbers.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(numbers))
    missing = hidden
    if nodata is not None and (numbers.dtype.kind != "f" or abs(nodata) < math.inf):
        none = numbers == (numbers.dtype.type(nodata) if numbers.dtype.kind == "f" else nodata)
        missing = none if missing is None else missing | none
    if missing is not None and missing.any():
        return _as_float(np.where(missing, np.nan, numbers.astype(np.float64)))
    if numbers.dtype == np.uint16:
        return Image.fromarray(np.ascontiguousarray(numbers))
    if numbers.dtype.kind in "iu":
        info = np.iinfo(np.int32)
        if not numbers.size or (numbers.min() >= info.min and numbers.max() <= info.max):
            return Image.fromarray(np.ascontiguousarray(numbers, np.int32))
    return _as_float(numbers)


def _as_float(numbers: np.ndarray) -> Image.Image:
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.ascontiguousarray(numbers, np.float32)
        if numbers.dtype not in (np.float16, np.float32):
            exact = numbers[np.isfinite(numbers)]
            ends = (exact.min(), exact.max()) if exact.size else (0, 0)
            # Of 64-bit integers the span would be lost in 64-bit floats too.
            low, high = (int(v) if exact.dtype.kind in "iu" else float(v) for v in ends)
            lost = float(np.spacing(np.float32(max(abs(low), abs(high))))) / 2
            if high > low and not lost <= (high - low) * _HALF_LEVEL:
                advice = "subtract an offset and save 32-bit floats."
                raise Unreadable(f"holds numbers too fine for 32 bits: {advice}")
    return Image.fromarray(stored)


def upright(plane: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a plane as its EXIF orientation says."""
    turns = {
        2: plane[:, ::-1], 3: plane[::-1, ::-1], 4: plane[::-1], 5: plane.T,
        6: np.rot90(plane, -1), 7: plane[::-1, ::-1].T, 8: np.rot90(plane),
    }  # fmt: skip
    return turns.get(orientation, plane)


def both_bytes(stream: BinaryIO, image: Image.Image, rawmode: str) -> Planes:
    """Decode a file of 16-bit colours twice: its high bytes, then its low ones."""

    def decoded(order: str) -> np.ndarray:
        stream.seek(0)
        opened = Image.open(stream, formats=(image.format,))
        opened.seek(image.tell())
        opened.tile = [
            part._replace(args=(order, *part.args[1:]) if isinstance(part.args, tuple) else order)
            for part in opened.tile
        ]
        return np.asarray(opened).astype(np.uint16)

    high, low = decoded(rawmode), decoded(OTHER_ORDER[rawmode])
    both = high << 8 | low
    alpha = high[..., 3].astype(np.uint8) if high.shape[2] == 4 else None
    return Planes([both[..., band] for band in range(3)], alpha)
