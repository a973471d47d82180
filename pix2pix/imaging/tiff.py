"""Read the TIFFs that Pillow misreads or refuses: those of any number type.

Those of other than 8-bit numbers go through tifffile where it needs no codec library of its own,
else through libtiff, which Pillow has; what neither reads is refused from the header, by its name.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import re
import zlib
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from pix2pix.imaging.picture import Unreadable
from pix2pix.imaging.planes import ORIENTATION, OTHER_ORDER, Planes, both_bytes, upright

_COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 259, 262, 277, 284
_PREDICTOR, _EXTRA, _FORMAT, _BITS = 317, 338, 339, 258
TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are of BigTIFFs
NODATA = 42113  # GDAL's tag: the number, as text, that stands for no value
_GDAL_METADATA = 42112
_MASK = 4  # of a page, by its tag NewSubfileType: it says which pixels of the page before count
_PLAIN = {1, 8, 32946, 32773}  # compressions that tifffile decodes alone: none, deflate, PackBits
_FORMATS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex", 6: "complex"}
_COMPRESSIONS = {5: "LZW", 7: "JPEG", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
_COMPRESSIONS |= {34887: "LERC", 34925: "LZMA", 50000: "ZSTD", 50001: "WebP"}
_RAW = "a camera's raw pixels"
_COLOURS = {3: "a palette", 4: "a mask", 5: "inks", 6: "YCbCr", 8: "CIELAB", 9: "CIELAB"}
_COLOURS |= {32803: _RAW, 34892: _RAW, 32844: "LogLuv", 32845: "LogLuv"}


def read_tiff(
    stream: BinaryIO, image: Image.Image | None, max_pixels: int, number: int = 1
) -> Planes | None:
    """Read a TIFF's page as numbers; None where `image`, as Pillow opened that page, is right.

    `image` is None where Pillow refuses the file. Raises Unreadable and
    DecompressionBombError before memory is taken, and whatever a damaged file makes decoders raise.
    """
    if image is not None and _pillow_is_right(image):
        return None
    import tifffile  # half of Pillow's import time, and most people never need it

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it cannot read is said here
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[number - 1]
        if page.imagewidth * page.imagelength * max(1, page.imagedepth) > max_pixels:
            raise Image.DecompressionBombError("header claims too many pixels")
        _check_kind(page)
        packed = int(page.compression) != 1 and image is not None
        planes = _through_libtiff(stream, image, page) if packed else None
        if planes is None:
            plain = page.compression in _PLAIN and page.predictor in (1, 2)
            whole_bytes = page.bitspersample % 8 == 0 or page.bitspersample == 1
            if not (plain and whole_bytes) and not _has_codecs():
                raise Unreadable(
                    f"is a TIFF of {_describe(page)}, for which imagecodecs is missing: install "
                    "it, or save it as plain TIFF."
                )
            _check_segments(stream, page, max_pixels)
            planes = _split(page.asarray(), page)
        hidden = _hidden(stream, file.pages, number, max_pixels)
        return replace(planes, nodata=_nodata(page), hidden=hidden, scale=_scale(page))


def _hidden(stream: BinaryIO, pages: Any, number: int, max_pixels: int) -> np.ndarray | None:
    """Return which pixels (bool H x W) a mask of GDAL's leaves out, the page after its picture;
    None where there is none, or none that can be read."""
    if number >= len(pages) or int(pages[number].subfiletype) != _MASK:
        return None
    mask, page = pages[number], pages[number - 1]
    if mask.shape != (page.imagelength, page.imagewidth) or mask.compression not in _PLAIN:
        return None
    _check_segments(stream, mask, max_pixels)
    return upright(np.asarray(mask.asarray() == 0), _orientation(page))


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag else 1


def _scale(page: Any) -> str:
    """Return what the numbers are to be multiplied by and what is to be added, as GDAL's metadata
    say it; empty where they say nothing."""
    tag = page.tags.get(_GDAL_METADATA)
    said = re.findall(r'role="(scale|offset)">([^<]{1,40})<', str(tag.value)) if tag else []
    return ", ".join(f"{role} {number}" for role, number in said)


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
    known = photometric in (0, 1, 2) and page.dtype is not None and page.dtype.kind in "buif"
    if page.imagedepth > 1 or not known:
        what = f"is a TIFF of {_describe(page)}, which cannot be read here"
        raise Unreadable(f"{what}: save it as plain TIFF.")
    alpha = samples == 2 and page.extrasamples and page.extrasamples[0] in (1, 2)
    if samples not in (1, 3, 4) and not alpha:
        advice = "a picture has 1, 3 or 4: save those that show it alone."
        raise Unreadable(f"has {samples} channels and {advice}")


def _describe(page: Any) -> str:
    kind = _FORMATS.get(int(page.sampleformat), "numbers")
    packing = _COMPRESSIONS.get(int(page.compression), f"compression {int(page.compression)}")
    if int(page.photometric) not in (0, 1, 2):
        kind = int(page.photometric)
        return f"{_COLOURS.get(kind, f'colours of kind {kind}')} in {page.bitspersample} bits"
    packed = "" if int(page.compression) == 1 else f" in {packing}"
    packed += " with float prediction" if int(page.predictor) == 3 else ""
    packed += " in planes" if packed and page.planarconfig == 2 and page.samplesperpixel > 1 else ""
    return f"{page.bitspersample}-bit {kind}{packed}"


def _has_codecs() -> bool:
    """Return whether tifffile finds the library that decodes every compression."""
    return importlib.util.find_spec("imagecodecs") is not None


def _split(pixels: np.ndarray, page: Any) -> Planes:
    """Sort the bands of a page into colours, alpha and the rest."""
    planes = pixels.reshape(-1, page.imagelength, page.imagewidth)
    if page.planarconfig == 1 and page.samplesperpixel > 1:
        planes = pixels.reshape(page.imagelength, page.imagewidth, -1).transpose(2, 0, 1)
    turned = [upright(plane, _orientation(page)) for plane in planes]
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


def _through_libtiff(stream: BinaryIO, image: Image.Image, page: Any) -> Planes | None:
    """Read a compressed TIFF through Pillow, and undo what it does to its numbers; None for a kind
    of which it keeps too little."""
    if image.mode in ("RGB", "RGBA"):
        rawmode = image.tile[0][3][0] if image.tile else ""
        # Of bands in planes of their own Pillow keeps the high bytes, in whatever order.
        if page.dtype != np.uint16 or rawmode not in OTHER_ORDER or page.planarconfig == 2:
            return None
        try:
            planes = both_bytes(stream, image, rawmode)
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


def first_directory(stream: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Read the tags of a TIFF's first page. Raises whatever a file that is none makes it raise."""
    stream.seek(0)
    header = stream.read(8)
    header += stream.read(8) if header[2] == 43 else b""  # a BigTIFF's is longer
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    stream.seek(directory.next)
    directory.load(stream)
    return directory
