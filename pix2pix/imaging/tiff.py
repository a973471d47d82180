"""Read what Pillow misreads or refuses: TIFFs of any number type, and colours of 16 bits.

TIFFs of other than 8-bit numbers go through tifffile where it needs no codec library of its own,
else through libtiff, which Pillow has; what neither reads is refused from the header, by its name.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

_COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 259, 262, 277, 284
_PREDICTOR, _EXTRA, _FORMAT, _BITS, _ORIENTATION = 317, 338, 339, 258, 274
NODATA = 42113  # GDAL's tag: the number, as text, that stands for no value
_PLAIN = {1, 8, 32946, 32773}  # compressions that tifffile decodes alone: none, deflate, PackBits
_FORMATS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex", 6: "complex"}
_COMPRESSIONS = {5: "LZW", 7: "JPEG", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
_COMPRESSIONS |= {34887: "LERC", 34925: "LZMA", 50000: "ZSTD", 50001: "WebP"}
_HALF_LEVEL = 0.5 / 65535  # of the span of a file's numbers: what 32 bits may lose
# The low bytes of 16-bit colours: Pillow keeps the high ones alone, and of the other order these.
_OTHER = "B" if sys.byteorder == "little" else "L"
_OTHER_ORDER = {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _OTHER))
}


class UnreadableTiff(Exception):
    """What a TIFF holds that cannot be read here."""


class TooFine(Exception):
    """Numbers that 32 bits cannot tell apart."""


class ChannelCount(Exception):
    """The number of channels of a file that has no picture's."""


@dataclass(frozen=True)
class Planes:
    """The numbers of a file: `colour` are one or three H x W arrays of its own type, `alpha` is
    uint8 H x W or None, `extra` counts bands that are neither, and were left out, and `nodata` is
    the number that stands for no value."""

    colour: list[np.ndarray]
    alpha: np.ndarray | None = None
    extra: int = 0
    nodata: float | None = None


def read_tiff(
    stream: BinaryIO, image: Image.Image | None, max_pixels: int, number: int = 1
) -> Planes | None:
    """Read a TIFF's page as numbers; None where `image`, as Pillow opened that page, is right.

    `image` is None where Pillow refuses the file. Raises UnreadableTiff, ChannelCount,
    DecompressionBombError before memory is taken, and whatever a damaged file makes decoders raise.
    """
    if image is not None and _pillow_is_right(image):
        return None
    import tifffile  # half of Pillow's import time, and most people never need it

    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[number - 1]
        if page.imagewidth * page.imagelength * max(1, page.imagedepth) > max_pixels:
            raise Image.DecompressionBombError("header claims too many pixels")
        _check_kind(page)
        packed = int(page.compression) != 1 and image is not None
        planes = _through_libtiff(stream, image, page) if packed else None
        if planes is None:
            if not (page.compression in _PLAIN and page.predictor in (1, 2)) and not _has_codecs():
                raise UnreadableTiff(_describe(page))
            _check_segments(stream, page, max_pixels)
            planes = _split(page.asarray(), page)
        return replace(planes, nodata=_nodata(page))


def _nodata(page: Any) -> float | None:
    """Return the number that stands for no value, by GDAL's tag."""
    tag = page.tags.get(NODATA)
    try:
        return float(str(tag.value).strip("\0 ")) if tag else None
    except ValueError:
        return None


def _check_segments(stream: BinaryIO, page: Any, max_pixels: int) -> None:
    """Raise unless every strip or tile lies in the file and unpacks to no more than its size."""
    pixels = math.prod(page.chunks)
    if pixels > 4 * max_pixels:
        raise Image.DecompressionBombError("header claims tiles of too many pixels")
    stream.seek(0, 2)
    end = stream.tell()
    for start, count in zip(page.dataoffsets, page.databytecounts):
        if start + count > end:
            raise EOFError("strips beyond the end of the file")
        if int(page.compression) in (8, 32946):
            stream.seek(start)
            unpacking = zlib.decompressobj()
            unpacking.decompress(stream.read(count), pixels * page.dtype.itemsize + 1024)
            if unpacking.unconsumed_tail:
                raise Image.DecompressionBombError("a strip unpacks to more than it holds")


def extra_bands(image: Image.Image) -> int:
    """Count the bands of a TIFF that Pillow leaves out: no colour, and no alpha by their tag."""
    tags = getattr(image, "tag_v2", {})
    colours = {1: 1, 2: 3}.get(tags.get(_PHOTOMETRIC), 0)
    kept = len(image.getbands())
    return max(0, tags.get(_SAMPLES, 1) - kept) if colours and kept >= colours else 0


def sixteen_bit_colours(stream: BinaryIO, image: Image.Image) -> Planes | None:
    """Read a 16-bit PNG of colours, or PPM or PGM, with all bits; None where it is no such file."""
    if image.format == "PPM":
        return _sixteen_bit_ppm(stream, image)
    rawmode = image.tile[0][3] if image.format == "PNG" and image.tile else ""
    if rawmode == "LA;16B":
        raw = Image.open(stream, formats=("PNG",))
        # Four bytes a pixel, whatever they mean: Pillow would keep the first of each two.
        raw._mode, raw.tile = "RGBA", [part._replace(args="RGBA") for part in raw.tile]
        pixels = np.asarray(raw).astype(np.uint16)
        planes = Planes([pixels[..., 0] << 8 | pixels[..., 1]], pixels[..., 2].astype(np.uint8))
    elif rawmode in ("RGB;16B", "RGBA;16B"):
        planes = _both_bytes(stream, image, rawmode)
    else:
        return None
    orientation = 1
    with suppress(Exception):  # a broken EXIF block is no reason to refuse good pixels
        orientation = image.getexif().get(_ORIENTATION, 1)
    alpha = None if planes.alpha is None else _upright(planes.alpha, orientation)
    return Planes([_upright(plane, orientation) for plane in planes.colour], alpha)


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


def as_image(numbers: np.ndarray, nodata: float | None = None) -> Image.Image:
    """Make an image of H x W numbers of any type: L, I;16, I or F; NaN where there is no value.

    Raises TooFine for numbers that 32 bits cannot tell apart.
    """
    if numbers.dtype == bool:
        return Image.fromarray(numbers.astype(np.uint8) * np.uint8(255))
    if numbers.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(numbers))
    missing = None
    if nodata is not None and numbers.dtype.kind == "f":
        missing = numbers == numbers.dtype.type(nodata) if abs(nodata) < math.inf else None
    elif nodata is not None:
        missing = numbers == nodata
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
                raise TooFine
    return Image.fromarray(stored)


def _pillow_is_right(image: Image.Image) -> bool:
    """Return whether Pillow reads this TIFF's numbers as they are: unsigned, of up to 8 bits, or
    of a kind of colour that has no numbers to be measured."""
    tags = image.tag_v2
    if tags.get(_PHOTOMETRIC) not in (0, 1, 2):
        return True
    bits = tags.get(_BITS, (1,))
    if max(bits) % 8:  # 12 bits, say
        return True
    return max(bits) <= 8 and set(tags.get(_FORMAT, (1,))) <= {1, 4}


def _check_kind(page: Any) -> None:
    photometric, samples = int(page.photometric), page.samplesperpixel
    if page.imagedepth > 1 or photometric not in (0, 1, 2) or page.dtype is None:
        raise UnreadableTiff(_describe(page))
    if page.dtype.kind not in "buif":
        raise UnreadableTiff(_describe(page))
    if samples not in (1, 3, 4) and not (samples == 2 and page.extrasamples):
        raise ChannelCount(samples)
    if samples == 2 and page.extrasamples[0] not in (1, 2):
        raise ChannelCount(samples)


def _describe(page: Any) -> str:
    kind = _FORMATS.get(int(page.sampleformat), "numbers")
    packing = _COMPRESSIONS.get(int(page.compression), f"compression {int(page.compression)}")
    if int(page.photometric) not in (0, 1, 2):
        return f"{int(page.photometric)} as its kind of colour"
    packed = "" if int(page.compression) == 1 else f" in {packing}"
    packed += " with float prediction" if int(page.predictor) == 3 else ""
    return f"{page.bitspersample}-bit {kind}{packed}"


def _has_codecs() -> bool:
    """Return whether tifffile finds the library that decodes every compression."""
    return importlib.util.find_spec("imagecodecs") is not None


def _split(pixels: np.ndarray, page: Any) -> Planes:
    """Sort the bands of a page into colours, alpha and the rest."""
    planes = pixels.reshape(-1, page.imagelength, page.imagewidth)
    if page.planarconfig == 1 and page.samplesperpixel > 1:
        planes = pixels.reshape(page.imagelength, page.imagewidth, -1).transpose(2, 0, 1)
    orientation = page.tags.get(_ORIENTATION)
    turned = [_upright(plane, int(orientation.value) if orientation else 1) for plane in planes]
    if int(page.photometric) == 0 and pixels.dtype.kind in "bu":  # white is 0
        full = (1 << page.bitspersample) - 1
        turned = [~p if p.dtype == bool else (full - p).astype(p.dtype) for p in turned]
    colours = 3 if len(turned) >= 3 else 1
    colour, rest = turned[:colours], turned[colours:]
    kinds = [int(kind) for kind in page.extrasamples or ()]
    if not rest or not kinds or kinds[0] not in (1, 2):
        return Planes(colour, extra=len(rest))
    alpha = _unit_alpha(rest[0])
    if kinds[0] == 1:  # colours that were multiplied by it
        share = np.maximum(alpha, 1e-6)
        full = np.iinfo(colour[0].dtype).max if colour[0].dtype.kind in "iu" else np.inf
        colour = [np.minimum(c / share, full).astype(c.dtype) for c in colour]
    return Planes(colour, np.rint(alpha * 255).astype(np.uint8), len(rest) - 1)


def _unit_alpha(plane: np.ndarray) -> np.ndarray:
    full = np.iinfo(plane.dtype).max if plane.dtype.kind in "iu" else 1.0
    return np.clip(plane.astype(np.float64) / full, 0.0, 1.0)


def _upright(plane: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a plane as its EXIF orientation says."""
    turns = {
        2: plane[:, ::-1], 3: plane[::-1, ::-1], 4: plane[::-1], 5: plane.T,
        6: np.rot90(plane, -1), 7: plane[::-1, ::-1].T, 8: np.rot90(plane),
    }  # fmt: skip
    return turns.get(orientation, plane)


def _through_libtiff(stream: BinaryIO, image: Image.Image, page: Any) -> Planes | None:
    """Read a compressed TIFF through Pillow, and undo what it does to its numbers; None for a kind
    of which it keeps too little."""
    if image.mode in ("RGB", "RGBA"):
        rawmode = image.tile[0][3][0] if image.tile else ""
        # Of bands in planes of their own Pillow keeps the high bytes, in whatever order.
        if page.dtype != np.uint16 or rawmode not in _OTHER_ORDER or page.planarconfig == 2:
            return None
        try:
            planes = _both_bytes(stream, image, rawmode)
        except ValueError:  # it has no such order of bytes
            return None
        return replace(planes, extra=extra_bands(image))
    if page.dtype.itemsize * 8 != page.bitspersample or page.samplesperpixel != 1:
        return None
    same_bits = {"int8": "L", "uint32": "I"}.get(page.dtype.name)  # under another name
    if image.mode == same_bits:
        return Planes([np.asarray(image).view(page.dtype)])
    if image.mode != {"f": "F", "i": "I", "u": "I;16"}.get(page.dtype.kind):
        return None
    numbers = np.asarray(image).astype(page.dtype)
    white_is_zero = int(page.photometric) == 0 and page.dtype.kind == "u"
    return Planes([np.iinfo(page.dtype).max - numbers if white_is_zero else numbers])


def _both_bytes(stream: BinaryIO, image: Image.Image, rawmode: str) -> Planes:
    """Decode a file of 16-bit colours twice: its high bytes, then its low ones."""
    stream.seek(0)
    other = Image.open(stream, formats=(image.format,))
    other.seek(image.tell())
    tiles = []
    for part in other.tile:
        args = part.args
        swapped = (_OTHER_ORDER[rawmode], *args[1:]) if isinstance(args, tuple) else None
        tiles.append(part._replace(args=swapped or _OTHER_ORDER[rawmode]))
    other.tile = tiles
    low = np.asarray(other).astype(np.uint16)
    stream.seek(0)
    whole = Image.open(stream, formats=(image.format,))
    whole.seek(image.tell())
    high = np.asarray(whole).astype(np.uint16)
    both = high << 8 | low
    alpha = high[..., 3].astype(np.uint8) if high.shape[2] == 4 else None
    return Planes([both[..., band] for band in range(3)], alpha)


def first_directory(stream: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Read the tags of a TIFF's first page. Raises whatever a file that is none makes it raise."""
    stream.seek(0)
    header = stream.read(8)
    header += stream.read(8) if header[2] == 43 else b""  # a BigTIFF's is longer
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    stream.seek(directory.next)
    directory.load(stream)
    return directory


def tiff_channels(stream: BinaryIO) -> int:
    """Return the channels of a TIFF that Pillow refuses; 0 where its header does not say."""
    try:
        return int(first_directory(stream)[_SAMPLES])
    except Exception:  # it may be anything
        return 0
