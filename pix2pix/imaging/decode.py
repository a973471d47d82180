"""Decode image files from strangers: bounded, upright, in sRGB; a fault is one sentence."""

from __future__ import annotations

import base64
import io
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from pix2pix.errors import UserError
from pix2pix.imaging.colour_spaces import declared_profile
from pix2pix.imaging.picture import MAX_PIXELS, Picture, Unreadable, as_picture, deep_picture
from pix2pix.imaging.planes import Planes, as_image, sixteen_bit_colours
from pix2pix.imaging.profiles import planes_to_srgb, profile_name
from pix2pix.imaging.tiff import TIFF_HEADS, extra_bands, read_tiff
from pix2pix.utils.text import natural_key, printable

MAX_DRAWING_PIXELS = 4096 * 4096  # what a browser may send in a data URL
# None that runs another program.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "HEIF")
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".gif"))
IMAGE_SUFFIXES |= {".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
IMAGE_SUFFIXES |= {".avif", ".heic", ".heif", ".hif"}
_BAD_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7\xc4\xcc\xda-\xdd\xe0-\xef\xfe]")
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (  # the first that fits is said
    (FileNotFoundError, "was not found: check the name and choose it again."),
    (IsADirectoryError, "is a folder or no regular file: choose an image file."),
    (PermissionError, "may not be read: change its permissions or choose another file."),
    (EOFError, "is empty or cut short: export or download it again."),
    (_BOMBS, "claims more than {limit} pixels: make it smaller or cut it into tiles."),
    (Unreadable, "{error}"),
    (Image.UnidentifiedImageError, "is no image that can be read here: save it as PNG or JPEG."),
    (MemoryError, "does not fit in memory: make it smaller and try again."),
    (Exception, "is damaged or cut short: export or download it again."),  # decoders raise anything
)


def open_picture(
    source: str | os.PathLike[str] | bytes,
    name: str = "",
    *,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    page: int = 1,
) -> Picture:
    """Decode a file (or its bytes): one frame or page, EXIF-upright, converted to sRGB.

    Anything but a whole image in one of `formats` is a UserError that calls the file `name` (its
    base name unless told). More than `max_pixels` are refused from the header, before memory is
    taken for them.
    """
    name = name or ("The image" if isinstance(source, bytes) else Path(source).name)
    with _decode_errors(name, max_pixels):
        if isinstance(source, bytes):
            return _decode(io.BytesIO(source), max_pixels, formats, page)
        if os.path.exists(source) and not os.path.isfile(source):  # a pipe would wait for ever
            raise IsADirectoryError(source)
        with open(source, "rb") as stream:
            return _decode(stream, max_pixels, formats, page)


def load_picture(image: Image.Image) -> Picture:
    """Take an image that Pillow has opened, as `open_picture` takes a file: EXIF-upright, in sRGB.
    It stays as it is. Raises UserError where it is damaged or has no pixels."""
    with _decode_errors("The picture", MAX_PIXELS):
        if 0 in image.size:
            raise Unreadable("has no pixels: choose another.")
        return _load_upright(image.copy())


def open_preview(
    content: bytes, name: str, side: int, page: int = 1
) -> tuple[Picture, tuple[int, int], str]:
    """Decode a file's bytes as `open_picture` does, but a JPEG at a fraction of its size, which
    reads all of it in a fifth of the time; it has at least the `side` asked for, in either
    direction, where the file has that. Also returns the true upright (width, height) of the file,
    and JPEG or MPO or nothing as its format. Raises the same UserErrors."""
    with _decode_errors(name, MAX_PIXELS):
        stream = io.BytesIO(content)
        if content[:2] != b"\xff\xd8":
            picture = _decode(stream, MAX_PIXELS, FORMATS, page)
            return picture, picture.size, ""
        image = _read_header(stream, MAX_PIXELS, FORMATS)
        full_size, kind = image.size, image.format or ""
        if kind == "JPEG":
            if _broken_scan(content):
                raise OSError("a marker where there can be none")
            image.draft(image.mode, (side, side))
        drawn = image.size
        picture = _load_upright(image)
        turned = picture.size != drawn and picture.size == drawn[::-1]
        return picture, full_size[::-1] if turned else full_size, kind


def from_data_url(text: str, max_bytes: int, max_pixels: int = MAX_DRAWING_PIXELS) -> Image.Image:
    """Decode a data URL from a browser as 8-bit L or RGB over white; nothing in it is trusted.

    A UserError unless it is a PNG, JPEG or WebP in strict base64 of at most `max_bytes` bytes
    and `max_pixels` pixels. The length is judged before anything is decoded.
    """
    head, _, payload = text.partition(",") if isinstance(text, str) else ("", "", "")
    if not re.fullmatch(r"data:image/(png|jpeg|webp);base64", head):
        raise UserError("The drawing did not arrive as a picture: reload the page and try again.")
    if len(payload) > 4 * math.ceil(max_bytes / 3):
        raise UserError(f"The drawing is larger than {max_bytes:,} bytes: use a smaller picture.")
    try:
        content = base64.b64decode(payload, validate=True)
    except ValueError as error:
        raise UserError("The drawing arrived damaged: reload the page and try again.") from error
    formats = ("PNG", "JPEG", "WEBP")  # whatever the head says
    return open_picture(content, "The drawing", max_pixels=max_pixels, formats=formats).to_pil()


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List image files right inside `folder`, 2 before 10, without hidden ones and folders."""
    try:
        files = [path for path in Path(folder).iterdir() if path.is_file()]
    except (OSError, ValueError) as error:
        name = printable(Path(folder).name)
        raise UserError(f"{name} is not a folder that can be read: choose another.") from error
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    visible = (path for path in images if not path.name.startswith("."))
    return sorted(visible, key=lambda path: natural_key(path.name))


def _broken_scan(content: bytes) -> bool:
    """Return whether a JPEG was overwritten in its middle, which decoders paint over in silence.

    Compressed data stuffs a zero after every 0xFF, and few markers may stand in it (ITU-T T.81,
    B.1.1.5): restarts, and between scans tables, comments and the next scan.
    """
    place = 2
    while content[place : place + 1] == b"\xff" and content[place + 1 : place + 2] != b"\xda":
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    end = content.find(b"\xff\xd9", place)
    return _BAD_MARKER.search(content, place, end if end >= 0 else len(content)) is not None


@contextmanager
def _decode_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Turn whatever a decoder raises into one sentence about the file."""
    try:
        yield
    except Exception as error:
        advice = next(advice for kind, advice in _ADVICE if isinstance(error, kind))
        pillows = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else max_pixels
        message = advice.format(limit=f"{min(max_pixels, pillows):,}", error=error)
        raise UserError(f"{printable(name)} {message}") from error


def _read_header(
    stream: BinaryIO, max_pixels: int, formats: tuple[str, ...], page: int = 1
) -> Image.Image:
    """Read and check the header of one picture of a file, not yet its pixels."""
    start = stream.read(16)
    if not start:
        raise EOFError("no bytes")
    if "HEIF" in formats and start[4:8] == b"ftyp" and start[8:12] not in (b"avif", b"avis"):
        stream = _heif_stream(stream)
    known = [kind for kind in formats if kind != "HEIF" or kind in Image.OPEN]
    image = Image.open(stream, formats=known)
    if page > 1:
        image.seek(page - 1)
    if math.prod(image.size) > max_pixels:
        raise Image.DecompressionBombError(f"header claims {image.size}")
    if profile := declared_profile(stream, image):
        image.info["icc_profile"] = profile
    return image


def _heif_stream(stream: BinaryIO) -> BinaryIO:
    """Let Pillow read a HEIC photo: through pillow-heif, whose import waits until there is one, or
    itself where the photo is coded as AVIF are and only its first brand says otherwise."""
    stream.seek(0)
    head = stream.read(64)
    if b"avif" in head[16 : int.from_bytes(head[:4], "big")]:
        return io.BytesIO(head[:8] + b"avif" + head[12:] + stream.read())
    if "HEIF" not in Image.OPEN:
        try:
            from pillow_heif import register_heif_opener
        except ImportError as error:
            advice = "install it, or save the photo as JPEG."
            raise Unreadable(f"is a HEIC photo, which needs pillow-heif: {advice}") from error
        register_heif_opener()
    return stream


def _decode(stream: BinaryIO, max_pixels: int, formats: tuple[str, ...], page: int = 1) -> Picture:
    """Decode one picture of a file: through Pillow, but for what it would misread."""
    try:
        image = _read_header(stream, max_pixels, formats, page)
    except Image.UnidentifiedImageError:
        return _refused_by_pillow(stream, max_pixels, formats, page)
    if image.format == "HEIF":
        try:
            image.load()
        except Exception as error:
            what = "is a HEIC photo, which cannot be decoded here"
            raise Unreadable(f"{what}: save the photo as JPEG.") from error
    if image.format == "TIFF":
        planes = read_tiff(stream, image, max_pixels, page)
    else:
        planes = sixteen_bit_colours(stream, image)
    profile = image.info.get("icc_profile")
    colour = planes and planes_to_srgb(planes.colour, profile)
    if planes is None or colour is None:
        picture = _load_upright(image)
        return replace(picture, extra_bands=extra_bands(image))
    moved = profile_name(profile) if colour is not planes.colour else ""
    return replace(_from_planes(replace(planes, colour=colour)), profile=moved)


def _refused_by_pillow(
    stream: BinaryIO, max_pixels: int, formats: tuple[str, ...], page: int
) -> Picture:
    """Decode a TIFF that Pillow does not know; whatever else it refuses is no picture."""
    stream.seek(0)
    if "TIFF" not in formats or stream.read(4) not in TIFF_HEADS:
        raise Image.UnidentifiedImageError
    try:
        planes = read_tiff(stream, None, max_pixels, page)
    except (Unreadable, EOFError, Image.DecompressionBombError):
        raise
    except Exception as error:
        raise Image.UnidentifiedImageError from error
    return _from_planes(planes)


def _from_planes(planes: Planes) -> Picture:
    colour = [as_image(plane, planes.nodata, planes.hidden) for plane in planes.colour]
    if len({image.mode for image in colour}) > 1:  # one band alone has pixels without a value
        colour = [image if image.mode == "F" else image.convert("F") for image in colour]
    alpha = Image.fromarray(planes.alpha) if planes.alpha is not None else None
    if colour[0].mode == "L":
        bands = (*colour, alpha) if alpha else tuple(colour)
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(bands)]
        picture = as_picture(Image.merge(mode, bands) if len(bands) > 1 else bands[0])
    elif len(colour) == 1 and alpha is None:
        picture = replace(as_picture(colour[0]), numbers=planes.colour[0].dtype.name)
    else:
        picture = deep_picture(colour, alpha, planes.colour[0].dtype.name)
    picture.image.info.clear()
    return replace(picture, extra_bands=planes.extra, scale=planes.scale)


def _load_upright(image: Image.Image) -> Picture:
    image.load()
    with suppress(Exception):  # a broken EXIF block is no reason to refuse good pixels
        ImageOps.exif_transpose(image, in_place=True)
    picture = as_picture(image)
    picture.image.info.clear()  # no place names in outputs, nor a profile that no longer holds
    return picture
