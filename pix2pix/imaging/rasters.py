"""Read georeferenced rasters by windows: GeoTIFFs and what else rasterio opens.

rasterio, of the extra `geo`, is imported when the first raster is opened. What is black and white
follows the rule of `imaging.picture`; where there is no data it is black.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.numbers import count_outside, darkness_notice, range_words
from pix2pix.imaging.picture import LUMA, Box, from_array, value_range
from pix2pix.imaging.tiff import first_directory

SAMPLED = 1024  # pixels a side that are looked at to say how dark a raster is
CACHE = 64 * 2**20  # bytes that GDAL keeps of what it reads and writes
_GEO_TAGS = {33550, 33922, 34264, 34735}  # pixel scale, tie points, transformation, keys
_SUFFIXES = {".tif", ".tiff"}
_FULL_RANGE = {"uint8": 255.0, "float32": 1.0, "float64": 1.0}  # every other type: 65535


def is_geotiff(file: Path) -> bool:
    """Return whether a file is a TIFF that says where on Earth it lies. Needs no rasterio."""
    if file.suffix.lower() not in _SUFFIXES:
        return False
    with suppress(Exception), file.open("rb") as stream:  # whoever reads it says what is wrong
        return bool(_GEO_TAGS & {*first_directory(stream)})
    return False


def import_rasterio() -> Any:
    """Return rasterio; a UserError says how to get it."""
    try:
        import rasterio
        import rasterio.enums
        import rasterio.windows
    except ImportError as error:
        raise UserError(
            "GeoTIFFs are read by rasterio, which is not installed, and without it their place "
            "would be lost: pip install rasterio==1.4.4, or the extra geo."
        ) from error
    return rasterio


class Raster:
    """The bands of an open raster that are a picture, and what black and white are in them."""

    def __init__(
        self, source: Any, name: str, known: tuple[float, float, str] | None = None
    ) -> None:
        """`known` is (low, high, type) of the numbers that a model was trained on, if it was."""
        self.source, self.name, self.known = source, name, known
        kinds = [kind.name for kind in source.colorinterp]
        colours = [number for number, kind in enumerate(kinds, 1) if kind != "alpha"]
        if len(colours) not in (1, 3, 4):
            raise UserError(
                f"{name} has {len(colours)} bands and a picture has 1, 3 or 4: save those that "
                "show it alone."
            )
        if len({source.dtypes[number - 1] for number in colours}) > 1:
            raise UserError(f"{name} has bands of several types: save them as one.")
        self.bands, self.dtype = colours, source.dtypes[0]
        self.palette = self._palette() if kinds[0] == "palette" else None
        self.low, self.high = self._range()

    def _palette(self) -> np.ndarray:
        table = np.zeros((np.iinfo(self.dtype).max + 1, 3), np.float32)
        for value, colour in self.source.colormap(1).items():
            table[value] = colour[:3]
        return table

    def _range(self) -> tuple[float, float]:
        """Return what is black and what is white: the model's, else by the rule of
        `imaging.picture`."""
        if self.known and self.palette is None and not self._is_plain():
            return self.known[:2]
        full = _FULL_RANGE.get(self.dtype, 65535.0)
        if self.dtype in ("uint8", "uint16"):
            return 0.0, full
        return value_range(self._values(), full)

    def _values(self) -> Iterator[np.ndarray]:
        """Yield the numbers of its bands that are data, a block at a time."""
        for _, window in self.source.block_windows(1):
            yield self.source.read(self.bands, window=window, masked=True).compressed()

    def _is_plain(self) -> bool:
        """Return whether it has 8 bits where the model has more."""
        return self.dtype == "uint8" and self.known is not None and self.known[2] != "uint8"

    def range_notice(self) -> str:
        """Say where it does not go with the model's range; empty where it does, as
        `imaging.numbers.range_notice` of a picture."""
        if self.palette is not None:
            return ""
        if self.known is None:
            return self._darkness_notice()
        low, high, _ = self.known
        if self._is_plain():
            return range_words(None, self.name, low, high)
        outside = count = 0
        for values in self._values():
            outside, count = np.add((outside, count), count_outside(values, low, high))
        return range_words(outside / count if count else 0.0, self.name, low, high)

    def _darkness_notice(self) -> str:
        if self.dtype == "uint8":
            return ""
        small = tuple(min(side, SAMPLED) for side in self.source.shape)
        sample = self.source.read(self.bands, out_shape=(len(self.bands), *small), masked=True)
        return darkness_notice(sample.compressed(), self.name, self.low, self.high)

    def window(self, box: Box) -> Any:
        """Return rasterio's window of a box."""
        rasterio = import_rasterio()
        return rasterio.windows.Window(box[0], box[1], box[2] - box[0], box[3] - box[1])

    def read(self, box: Box, channels: int, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Return a part as float32 `channels` x h x w in [-1, 1], or of another `shape` (h, w) than
        its own; without data it is black."""
        into = (len(self.bands), *shape) if shape else None
        stored = self.source.read(self.bands, window=self.window(box), out_shape=into)
        if self.palette is not None:
            unit = self.palette[stored[0]].transpose(2, 0, 1) / 255.0
        else:
            unit = (stored.astype(np.float64) - self.low) / ((self.high - self.low) or 1.0)
            unit = np.where(np.isfinite(unit), np.clip(unit, 0.0, 1.0), 0.0)
        unit = unit.astype(np.float32)
        unit *= self.valid(box, shape)
        colour = unit[:3] if len(unit) > 1 else unit
        if channels == 1:
            luma = np.array(LUMA, np.float32)[:, None, None]
            colour = (colour * luma).sum(axis=0, keepdims=True) if len(colour) == 3 else colour
        elif len(colour) == 1:
            colour = np.repeat(colour, 3, axis=0)
        if channels == 4:
            known = self.valid(box, shape)[None].astype(np.float32)
            colour = np.concatenate([colour, unit[3:4] if len(unit) == 4 else known])
        return colour * 2.0 - 1.0

    def valid(self, box: Box, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Return where a part has data: bool h x w, or of another `shape`."""
        return self.source.dataset_mask(window=self.window(box), out_shape=shape) > 0


def look_at_raster(
    file: Path, side: int, known: tuple[float, float, str] | None = None
) -> Image.Image:
    """Return a picture of a GeoTIFF in 8 bits, neither side longer than `side` pixels; memory does
    not grow with the file. `known` is as of `Raster`."""
    rasterio = import_rasterio()
    with rasterio.Env(GDAL_CACHEMAX=CACHE), rasterio.open(file, driver="GTiff") as source:
        raster = Raster(source, file.name, known)
        scale = min(1.0, side / max(source.width, source.height))
        shape = tuple(max(1, round(length * scale)) for length in (source.height, source.width))
        grey = len(raster.bands) == 1 and raster.palette is None
        whole = 0, 0, source.width, source.height
        return from_array(raster.read(whole, 1 if grey else 3, shape))
