"""Convert between files, pictures and arrays.

A `Picture` keeps a file as it was decoded (8-bit, 16-bit or float, grey or colour, with or
without alpha), upright and in sRGB, and turns regions of it into arrays on request. Networks see
float32 C x H x W in [-1, 1]; people see 8-bit images.

How stored numbers become a picture, the one rule: black is 0 and white is the full range of the
kind of file (255 for 8 bits, 65535 for 16 bits and wider integers, 1.0 for floats). A file with
values outside its full range, an elevation map say, goes from its own minimum to its own maximum.
Where a range of numbers is stated, a dataset's or a model's, `Picture.with_range` puts black and
white there instead, the same for every file. What has no value (NaN, infinity, the number that
GDAL's nodata tag names) is black.
"""

from __future__ import annotations

import base64
import io
import math
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from pix2pix.errors import UserError
from pix2pix.imaging.profiles import profile_name, to_srgb
from pix2pix.utils.files import saving, write_atomically
from pix2pix.utils.text import printable

MAX_PIXELS = 200_000_000  # 200 megapixels: 800 MB of RGB in Pillow, which uses 4 bytes a pixel
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, as Pillow has it
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R 601
_FULL_RANGE = {"I;16": 65535.0, "I": 65535.0, "F": 1.0}  # every other mode: 255
_NUMBERS = {"I;16": "uint16", "I": "int32", "F": "float32"}  # every other mode: uint8
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels


class Unreadable(Exception):
    """What keeps a file from being read: the rest of a sentence that begins with its name."""


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
    mosaic costs its decoded size and little more. Treat `image` as read-only. Pillow has no deep
    colours and no deep grey with alpha: their `planes` (I;16, I or F; alpha in L) hold them, and
    `image` is their 8-bit look. `numbers` is the type that the file holds, `extra_bands` counts
    its bands that are neither colour nor alpha, `profile` names the one that moved its colours,
    `scale` is what GDAL's metadata say of its numbers.
    """

    image: Image.Image
    low: float = 0.0
    high: float = 255.0
    planes: tuple[Image.Image, ...] = ()
    numbers: str = "uint8"
    extra_bands: int = 0
    profile: str = ""
    scale: str = ""

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

    @property
    def is_deep(self) -> bool:
        """Return whether its numbers have more than 8 bits or a sign: their look is a choice."""
        return bool(self.planes) or self.image.mode in _FULL_RANGE

    def with_range(self, low: float, high: float) -> Picture:
        """Return the same numbers with black at `low` and white at `high`."""
        ranged = replace(self, low=float(low), high=float(high))
        return replace(ranged, image=ranged._look()) if self.planes else ranged

    def values(self) -> np.ndarray:
        """Return the numbers of its colours, 1 or 3 x H x W; NaN in floats is no value."""
        planes = self.planes[: self.channels] or (self.image,)
        stored = [np.asarray(plane) for plane in planes]
        if self.planes or self.image.mode in _FULL_RANGE:
            return np.stack(stored)
        return stored[0].reshape(*stored[0].shape[:2], -1).transpose(2, 0, 1)[: self.channels]

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
        unit = self._unit(box)
        colour, alpha = unit[..., : self.channels], unit[..., self.channels :]
        if alpha.size and channels < 4:
            colour = colour * alpha + (1.0 - alpha)
        if self.channels > channels:
            colour = colour @ np.array(LUMA, np.float32)[:, None]
        elif self.channels == 1 and channels > 1:
            colour = np.repeat(colour, 3, axis=2)
        if channels == 4:
            opacity = alpha if alpha.size else np.ones_like(unit[..., :1])
            colour = np.concatenate([colour, opacity], axis=2)
        return np.ascontiguousarray(colour.transpose(2, 0, 1)) * 2.0 - 1.0

    def _unit(self, box: Box) -> np.ndarray:
        """Return the region as float32 h x w x bands in [0, 1], alpha last."""
        left, top, right, bottom = box
        bands = self.planes
        if not bands and self.image.mode.endswith("A") and (self.low, self.high) != (0.0, 255.0):
            bands = self.image.split()
        if bands:  # the range is that of the colours alone
            stored = np.stack([np.asarray(band.crop(box), np.float64) for band in bands], axis=2)
            low, span = np.full(stored.shape[2], self.low), np.full(stored.shape[2], self._span)
            low[self.channels :], span[self.channels :] = 0.0, 255.0
            unit = (stored - low) / span
        else:
            stored = np.asarray(self.image.crop(box)).reshape(bottom - top, right - left, -1)
            # float32 can neither tell large integers apart nor span the largest floats.
            exact = stored.astype(np.float64 if self.image.mode in ("I", "F") else np.float32)
            unit = (exact - self.low) / self._span
        return np.where(np.isfinite(unit), np.clip(unit, 0.0, 1.0), 0.0).astype(np.float32)

    @property
    def _span(self) -> float:
        return (self.high - self.low) or 1.0

    def _look(self) -> Image.Image:
        """Draw the planes in 8 bits: L, LA, RGB or RGBA."""
        look = Image.new(self.image.mode, self.size)
        for box in _bands(self.size):
            pixels = np.rint(self._unit(box) * 255.0).astype(np.uint8)
            look.paste(Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels), box)
        return look

    def to_pil(self, channels: int | None = None) -> Image.Image:
        """Return an 8-bit L, RGB or RGBA image; without `channels`, grey or colour as the file
        is.

        Where nothing has to change it is the very image inside: copy before drawing on it.
        """
        mode = MODES[channels or self.channels]
        if self.image.mode == mode and (self.planes or (self.low, self.high) == (0.0, 255.0)):
            return self.image
        plain = Image.new(mode, self.size)
        for box in _bands(self.size):
            plain.paste(from_array(self.tile(box, len(mode))), box)
        return plain

    def resize(self, size: tuple[int, int], *, labels: bool = False) -> Picture:
        """Return the same picture at `size` (width, height), every bit kept; see `resize`."""
        planes = tuple(resize(plane, size, labels=labels) for plane in self.planes)
        return replace(self, image=resize(self.image, size, labels=labels), planes=planes)

    def crop(self, box: Box) -> Picture:
        """Return the region `box` of it, every bit kept."""
        planes = tuple(plane.crop(box) for plane in self.planes)
        return replace(self, image=self.image.crop(box), planes=planes)


def as_picture(image: Image.Image) -> Picture:
    """Wrap an image of any mode that Pillow already holds, converted to sRGB."""
    profile = image.info.get("icc_profile")
    image = image if image.mode in ("CMYK", "LAB") else _plain(image)  # those need their profile
    converted = to_srgb(image, profile)
    moved = profile_name(profile) if profile and converted is not image else ""
    image = _plain(converted)
    numbers = _NUMBERS.get(image.mode, "uint8")
    return Picture(image, *_plane_range([image]), numbers=numbers, profile=moved)


def deep_picture(colour: list[Image.Image], alpha: Image.Image | None, numbers: str) -> Picture:
    """Make a picture of one or three planes (I;16, I or F) and an alpha (L), of the type `numbers`.

    Black and white are where `as_picture` puts them.
    """
    low, high = _plane_range(colour)
    if len(colour) == 1 and alpha is None:
        return Picture(colour[0], low, high, numbers=numbers)
    mode = {1: "L", 3: "RGB"}[len(colour)] + ("A" if alpha else "")
    planes = (*colour, alpha) if alpha else tuple(colour)
    empty = Picture(Image.new(mode, colour[0].size), planes=planes, numbers=numbers)
    return empty.with_range(low, high)


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
    if image.size == tuple(size):
        return image
    if labels:
        return image.resize(size, Image.Resampling.NEAREST)
    if image.mode == "F":
        return _resize_with_holes(image, size)
    return image.resize(size, Image.Resampling.BICUBIC)


def _resize_with_holes(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale floats by what has a value alone: one pixel without would spoil all around it."""
    stored = np.asarray(image)
    known = np.isfinite(stored)
    if known.all():
        return image.resize(size, Image.Resampling.BICUBIC)
    filled = Image.fromarray(np.where(known, stored, 0).astype(np.float32))
    share = Image.fromarray(known.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    weight = np.asarray(share)
    sums = np.asarray(filled.resize(size, Image.Resampling.BICUBIC))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Image.fromarray(np.where(weight >= 0.5, sums / weight, np.nan).astype(np.float32))


def parse_colour(text: str) -> np.ndarray:
    """Read a colour such as "#d8b48c" or "salmon": three numbers from 0 to 255. Raises UserError
    for what is none."""
    try:
        return np.array(ImageColor.getcolor(text, "RGB"))
    except ValueError as error:
        raise UserError(f"'{printable(text)}' is no colour: give one such as #d8b48c.") from error


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a PNG that is there whole or not at all; its folder is made where it is missing.

    A full disk or a refused write is a UserError, and an old file stays as it was.
    """
    path = Path(path)
    with saving(path):
        write_atomically(path, lambda partial: image.save(partial, "PNG"))


def data_url(image: Image.Image, quality: int = 0) -> str:
    """Encode the image as a PNG data URL, or with a `quality` from 1 to 100 as JPEG, its colours at
    full resolution."""
    buffer = io.BytesIO()
    if quality:
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        # It only travels: speed before size. In pictures runs are found faster than repeats.
        image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    kind = "jpeg" if quality else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _plain(image: Image.Image) -> Image.Image:
    """Convert the image to one of a Picture's modes, unless it is in one."""
    if image.mode in _FULL_RANGE:
        return image
    if image.mode.startswith("I;16"):  # the other byte order
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    mode += "A" if image.has_transparency_data else ""
    return image if image.mode == mode else image.convert(mode)


def _plane_range(planes: Sequence[Image.Image]) -> tuple[float, float]:
    """Return what is black and what is white in planes of one mode."""
    wide = [plane for plane in planes if plane.mode in ("I", "F")]  # no other leaves its range
    parts = (np.asarray(p.crop(box), np.float64) for p in wide for box in _bands(p.size))
    return value_range(parts, _FULL_RANGE.get(planes[0].mode, 255.0))


def value_range(parts: Iterable[np.ndarray], full: float) -> tuple[float, float]:
    """Return (black, white) of numbers that come by parts, by the rule above; `full` is the white
    of their kind."""
    low, high = math.inf, -math.inf
    for values in parts:
        values = values[np.isfinite(values)]
        low, high = values.min(initial=low), values.max(initial=high)
    return (0.0, full) if low >= 0.0 and high <= full else (float(low), float(high))


def with_light(generated: Image.Image, light: Image.Image) -> Image.Image:
    """Return the hues and the saturation of an RGB image with the light of one in L."""
    _, *colours = generated.convert("YCbCr").split()
    return Image.merge("YCbCr", [light, *colours]).convert("RGB")


def _bands(size: tuple[int, int]) -> Iterator[Box]:
    """Yield boxes of full rows, a quarter of a megapixel each, that cover a picture of `size`."""
    width, height = size
    step = max(1, 2**18 // width)
    return ((0, top, width, min(top + step, height)) for top in range(0, height, step))
