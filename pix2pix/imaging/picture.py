"""Convert between files, pictures and arrays.

A `Picture` keeps a file as it was decoded (8-bit, 16-bit or float, grey or colour, with or
without alpha), upright and in sRGB, and turns regions of it into arrays on request. Networks see
float32 C x H x W in [-1, 1]; people see 8-bit images.

How stored numbers become a picture, the one rule: black is 0 and white is the full range of the
kind of file (255 for 8 bits, 65535 for 16 bits and wider integers, 1.0 for floats). A file with
values outside its full range, an elevation map say, goes from its own minimum to its own maximum.
NaN and infinity are black. Pillow cuts 16-bit *colour* files to 8 bits; grey ones keep every bit.
"""

from __future__ import annotations

import base64
import io
import math
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from pix2pix.errors import UserError
from pix2pix.utils.filenames import printable
from pix2pix.utils.files import write_atomically

MAX_PIXELS = 200_000_000  # 200 megapixels: 800 MB of RGB in Pillow, which uses 4 bytes a pixel
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, as Pillow has it
Crop = tuple[slice, slice, slice]  # an index into C x H x W
_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)  # ITU-R 601
_FULL_RANGE = {"I;16": 65535.0, "I": 65535.0, "F": 1.0}  # every other mode: 255
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels


def set_pillow_limits() -> None:
    """Set Pillow's limits for this process: for the app and the commands, not for a library.

    Pillow warns above its limit and refuses above twice that. From here on one limit holds for the
    whole process, the web server's own decoding included, and what Pillow would warn of is refused.
    """
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    # Pillow keeps so many blocks of memory, 16 MB at most each, for the next picture: pages that
    # the system has to clear anew cost a fifth of the time of building a dataset.
    Image.core.set_blocks_max(8)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image (mode L, LA, RGB, RGBA, I;16, I or F) whose low..high is black..white.

    The pixels stay in Pillow's memory and only the regions asked for become float32, so that a
    mosaic costs its decoded size and little more. Treat `image` as read-only.
    """

    image: Image.Image
    low: float = 0.0
    high: float = 255.0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.size

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour; alpha is not counted."""
        return 3 if self.image.mode.startswith("RGB") else 1

    @property
    def bits(self) -> int:
        """8, or 16 where 8 would lose what the file holds."""
        return 16 if self.image.mode in _FULL_RANGE else 8

    def tile(self, box: Box, channels: int) -> np.ndarray:
        """Return the region `box` as float32 `channels` x h x w in [-1, 1].

        1 channel is ITU-R 601 luma, 3 are RGB with grey repeated, both over white where the
        picture is transparent; 4 are RGBA as stored. A box outside the picture is a ValueError.
        """
        left, top, right, bottom = box
        width, height = self.size
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"box {box} is not inside a picture of {width} x {height}")
        if channels not in MODES:
            raise ValueError(f"channels must be 1, 3 or 4, not {channels}")
        stored = np.asarray(self.image.crop(box)).reshape(bottom - top, right - left, -1)
        # float32 can neither tell large integers apart nor span the largest floats.
        exact = stored.astype(np.float64 if self.image.mode in ("I", "F") else np.float32)
        unit = (exact - self.low) / ((self.high - self.low) or 1.0)
        unit = np.where(np.isfinite(unit), np.clip(unit, 0.0, 1.0), 0.0).astype(np.float32)
        colour, alpha = unit[..., : self.channels], unit[..., self.channels :]
        if alpha.size and channels < 4:
            colour = colour * alpha + (1.0 - alpha)
        if self.channels > channels:
            colour = colour @ _LUMA
        elif self.channels == 1 and channels > 1:
            colour = np.repeat(colour, 3, axis=2)
        if channels == 4:
            opacity = alpha if alpha.size else np.ones_like(unit[..., :1])
            colour = np.concatenate([colour, opacity], axis=2)
        return np.ascontiguousarray(colour.transpose(2, 0, 1)) * 2.0 - 1.0

    def to_pil(self, channels: int | None = None) -> Image.Image:
        """Return an 8-bit L, RGB or RGBA image; without `channels`, grey or colour as the file
        is.

        Where nothing has to change it is the very image inside: copy before drawing on it.
        """
        mode = MODES[channels or self.channels]
        if self.image.mode == mode:
            return self.image
        plain = Image.new(mode, self.size)
        for box in _bands(self.size):
            plain.paste(from_array(self.tile(box, len(mode))), box)
        return plain

    def resize(self, size: tuple[int, int], *, labels: bool = False) -> Picture:
        """Return the same picture at `size` (width, height), every bit kept; see `resize`."""
        return replace(self, image=resize(self.image, size, labels=labels))


def as_picture(image: Image.Image) -> Picture:
    """Wrap an image of any mode that Pillow already holds, converted to sRGB."""
    profile = image.info.get("icc_profile")
    if image.mode not in ("CMYK", "LAB"):  # those two become RGB through their profile
        image = _plain(image)
    image = _plain(_to_srgb(image, profile))
    return Picture(image, *_value_range(image))


def to_array(image: Image.Image | Picture, channels: int) -> np.ndarray:
    """Return the image as float32 `channels` x H x W in [-1, 1]; see `Picture.tile`."""
    picture = image if isinstance(image, Picture) else as_picture(image)
    return picture.tile((0, 0, *picture.size), channels)


def from_array(array: np.ndarray, *, bits: int = 8) -> Image.Image:
    """Make an image from C x H x W in [-1, 1], rounded to nearest and clipped; NaN is black.

    1, 3 or 4 channels give L, RGB or RGBA; 1 channel in 16 `bits` gives I;16.
    """
    if array.ndim != 3 or (len(array), bits) not in {(1, 8), (3, 8), (4, 8), (1, 16)}:
        raise ValueError(f"no image has shape {array.shape} and {bits} bits")
    white, dtype = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    unit = np.nan_to_num(np.asarray(array, np.float32), nan=-1.0) * 0.5 + 0.5
    stored = np.rint(np.clip(unit, 0.0, 1.0) * white).astype(dtype)
    return Image.fromarray(stored[0] if len(stored) == 1 else stored.transpose(1, 2, 0).copy())


def image_from_bytes(array: np.ndarray) -> Image.Image:
    """Make an L, RGB or RGBA image from a uint8 array H x W or H x W x C of 1, 3 or 4 channels.

    Raises UserError for an array of another kind.
    """
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    known = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in MODES)
    if array.dtype != np.uint8 or not known or not array.size:
        raise UserError(
            f"An array of shape {array.shape} and type {array.dtype} is no picture: give uint8, "
            "height x width x 1, 3 or 4 channels."
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def resize(image: Image.Image, size: tuple[int, int], *, labels: bool = False) -> Image.Image:
    """Scale to `size` (width, height): antialiased bicubic, or nearest for label maps, whose
    colours are names and must not mix."""
    how = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC
    return image if image.size == tuple(size) else image.resize(size, how)


def pad_reflect(array: np.ndarray, multiple: int, minimum: int = 1) -> tuple[np.ndarray, Crop]:
    """Mirror C x H x W outwards until H and W are multiples of `multiple`, `minimum` or more.

    Also returns the index that undoes it, on any array of the padded H and W:
    `padded, crop = pad_reflect(array, 256)`, then `network(padded)[crop]`. Where the padding
    exceeds the image the mirrors repeat, down to a single pixel.
    """
    rows, vertical = _mirror(array.shape[1], multiple, minimum)
    columns, horizontal = _mirror(array.shape[2], multiple, minimum)
    return array[:, rows[:, None], columns], (slice(None), vertical, horizontal)


def tile_starts(length: int, size: int) -> list[int]:
    """Say where tiles of ``size`` start so that they cover ``length``, evenly spaced, overlapping
    by a quarter or more; the last ends with the picture."""
    if length <= size:
        return [0]
    count = -(-(length - size) // (size - size // 4)) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def feather_weights(height: int, width: int, margin: int) -> np.ndarray:
    """Make weights H x W in (0, 1] that fall off linearly over ``margin`` pixels to every side."""

    def ramp(length: int) -> np.ndarray:
        distance = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1))
        return np.minimum(distance / margin, 1.0).astype(np.float32)

    return ramp(height)[:, None] * ramp(width)[None]


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a PNG that is there whole or not at all; its folder is made where it is missing.

    A full disk or a refused write is a UserError, and an old file stays as it was.
    """
    path = Path(path)
    try:
        write_atomically(path, lambda partial: image.save(partial, "PNG"))
    except OSError as error:
        advice = "check that its folder can be written to and has free space"
        raise UserError(f"{printable(path.name)} could not be saved: {advice}.") from error


def data_url(image: Image.Image) -> str:
    """Encode the image as a PNG data URL."""
    buffer = io.BytesIO()
    # It only travels: half the time for a third more bytes.
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _plain(image: Image.Image) -> Image.Image:
    """Convert the image to one of a Picture's modes, unless it is in one."""
    if image.mode in _FULL_RANGE:
        return image
    if image.mode.startswith("I;16"):  # the other byte order
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    mode += "A" if image.has_transparency_data else ""
    return image if image.mode == mode else image.convert(mode)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the image by its embedded profile; unchanged where there is none or it fails.

    A profile that is sRGB by name is left alone: the detour could only round, and the colours
    of a label map must stay exact.
    """
    if not profile and image.mode != "LAB":
        return image
    with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        source_profile = ImageCms.getOpenProfile(io.BytesIO(profile)) if profile else lab
        if source_profile is lab or "sRGB" not in ImageCms.getProfileDescription(source_profile):
            mode = "RGBA" if image.mode == "RGBA" else "RGB"
            image_in_srgb = ImageCms.profileToProfile(image, source_profile, srgb, outputMode=mode)
            return image_in_srgb.convert("L") if image.mode == "L" else image_in_srgb
    return image


def _value_range(image: Image.Image) -> tuple[float, float]:
    """Return what is black and what is white, by the rule at the top of this file."""
    full = _FULL_RANGE.get(image.mode, 255.0)
    if image.mode not in ("I", "F"):
        return 0.0, full
    low, high = math.inf, -math.inf
    for box in _bands(image.size):
        band = np.asarray(image.crop(box), np.float64)
        band = band[np.isfinite(band)]
        low, high = band.min(initial=low), band.max(initial=high)
    return (0.0, full) if low >= 0.0 and high <= full else (float(low), float(high))


def _bands(size: tuple[int, int]) -> Iterator[Box]:
    """Yield boxes of full rows, a quarter of a megapixel each, that cover a picture of `size`."""
    width, height = size
    step = max(1, 2**18 // width)
    return ((0, top, width, min(top + step, height)) for top in range(0, height, step))


def _mirror(length: int, multiple: int, minimum: int) -> tuple[np.ndarray, slice]:
    """Return indices that reflect an axis about both ends, and where the axis lies in them."""
    padded = math.ceil(max(length, minimum) / multiple) * multiple
    start = (padded - length) // 2
    period = max(1, 2 * (length - 1))  # unlike NumPy's padding, right for a single pixel too
    place = (np.arange(padded) - start) % period
    return np.minimum(place, period - place), slice(start, start + length)
