"""Translate GeoTIFFs by windows: they come back at the same place on Earth. No torch.

rasterio, of the extra `geo`, reads and writes them. Coordinates, nodata and overviews are kept, and
memory does not grow with the picture.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from pix2pix.errors import UserError
from pix2pix.imaging.picture import Box
from pix2pix.models.windows import LargePicture
from pix2pix.utils.filenames import printable
from pix2pix.utils.files import write_atomically
from pix2pix.utils.progress import Progress, ShouldStop

_GEO_TAGS = {33550, 33922, 34264, 34735}  # pixel scale, tie points, transformation, keys
_SUFFIXES = {".tif", ".tiff"}
_FULL_RANGE = {"uint8": 255.0, "float32": 1.0, "float64": 1.0}  # every other type: 65535
_CACHE = 64 * 2**20  # bytes that GDAL keeps of what it reads and writes
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]


def is_geotiff(file: Path) -> bool:
    """Return whether a file is a TIFF that says where on Earth it lies. Needs no rasterio."""
    if file.suffix.lower() not in _SUFFIXES:
        return False
    with suppress(Exception), file.open("rb") as stream:  # whoever reads it says what is wrong
        header = stream.read(8)
        header += stream.read(8) if header[2] == 43 else b""
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream.seek(directory.next)
        directory.load(stream)
        return bool(_GEO_TAGS & {*directory})
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


def translate_geotiff(
    translator: Any,
    file: Path,
    out: Path,
    *,
    seed: int | None = None,
    norm: str = "",
    max_pixels: int | None = None,
    on_progress: Progress = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> None:
    """Translate a GeoTIFF to another, which appears when it is complete. `on_progress` hears
    windows. Raises UserError, also for more than `max_pixels`, and Cancelled."""
    rasterio = import_rasterio()
    options = {"seed": seed, "norm": norm, "on_progress": on_progress, "should_stop": should_stop}
    name = printable(file.name)

    def write(partial: Path) -> None:
        with rasterio.open(file) as source:
            if max_pixels and source.width * source.height > max_pixels:
                raise UserError(f"{name} has more than {max_pixels:,} pixels: cut it.")
            bands = _Bands(source, name)
            with rasterio.open(partial, "w", **bands.profile(translator)) as made:
                bands.keep_place(made)
                picture = bands.large_picture(made, translator)
                translator.translate_large(picture, **options)
            factors = source.overviews(1)
        if factors:
            with rasterio.open(partial, "r+") as made:
                made.build_overviews(factors, rasterio.enums.Resampling.average)

    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_TIFF_INTERNAL_MASK=True):
            write_atomically(out, write)
    except rasterio.errors.RasterioError as error:
        raise UserError(
            f"{name} is damaged, or the disk is full: check both and try again."
        ) from error
    except OSError as error:
        raise UserError(f"{printable(out.name)} could not be saved: {error.strerror}.") from error


class _Bands:
    """The bands of an open GeoTIFF that are a picture, and what black and white are in them."""

    def __init__(self, source: Any, name: str) -> None:
        self.source, self.name = source, name
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
        table = np.zeros((256, 3), np.float32)
        for value, colour in self.source.colormap(1).items():
            if value < 256:
                table[value] = colour[:3]
        return table

    def _range(self) -> tuple[float, float]:
        """Return what is black and what is white, by the rule of `imaging.picture`."""
        full = _FULL_RANGE.get(self.dtype, 65535.0)
        if self.dtype in ("uint8", "uint16"):
            return 0.0, full
        low, high = np.inf, -np.inf
        for _, window in self.source.block_windows(1):
            values = self.source.read(self.bands, window=window, masked=True).compressed()
            values = values[np.isfinite(values)]
            low, high = values.min(initial=low), values.max(initial=high)
        return (0.0, full) if low >= 0.0 and high <= full else (float(low), float(high))

    def window(self, box: Box) -> Any:
        rasterio = import_rasterio()
        return rasterio.windows.Window(box[0], box[1], box[2] - box[0], box[3] - box[1])

    def read(self, box: Box, channels: int) -> np.ndarray:
        """Return a part as float32 `channels` x h x w in [-1, 1]; without data it is black."""
        stored = self.source.read(self.bands, window=self.window(box))
        if self.palette is not None:
            unit = self.palette[stored[0]].transpose(2, 0, 1) / 255.0
        else:
            unit = (stored.astype(np.float64) - self.low) / ((self.high - self.low) or 1.0)
            unit = np.where(np.isfinite(unit), np.clip(unit, 0.0, 1.0), 0.0)
        unit = unit.astype(np.float32)
        unit *= self.valid(box)
        colour = unit[:3] if len(unit) > 1 else unit
        if channels == 1:
            colour = (colour * _LUMA).sum(axis=0, keepdims=True) if len(colour) == 3 else colour
        elif len(colour) == 1:
            colour = np.repeat(colour, 3, axis=0)
        if channels == 4:
            last = unit[3:4] if len(unit) == 4 else self.valid(box)[None].astype(np.float32)
            colour = np.concatenate([colour, last])
        return colour * 2.0 - 1.0

    def valid(self, box: Box) -> np.ndarray:
        """Return where a part has data: bool h x w."""
        return self.source.dataset_mask(window=self.window(box)) > 0

    def profile(self, translator: Any) -> dict[str, Any]:
        """Return how the translation is stored: 8 bits, 16 where one channel has more."""
        channels = translator.config.generator.target_channels
        deep = channels == 1 and self.dtype != "uint8"
        source = self.source
        profile = {
            "driver": "GTiff", "width": source.width, "height": source.height, "count": channels,
            "dtype": "uint16" if deep else "uint8", "crs": source.crs, "tiled": True,
            "blockxsize": 256, "blockysize": 256, "compress": "deflate", "bigtiff": "if_safer",
            "photometric": "minisblack" if channels == 1 else "rgb",
        }  # fmt: skip
        if not source.transform.is_identity:
            profile["transform"] = source.transform
        if source.nodata is not None:
            # What 8 bits cannot hold, such as -9999, becomes 0.
            top = 65535 if deep else 255
            fits = float(source.nodata).is_integer() and 0 <= source.nodata <= top
            profile["nodata"] = source.nodata if fits else 0
        return profile

    def keep_place(self, made: Any) -> None:
        """Copy what places a picture besides its transform: ground control points and RPCs."""
        points, crs = self.source.gcps
        if points:
            made.gcps = points, crs
        if self.source.rpcs:
            made.rpcs = self.source.rpcs
        if value := self.source.tags().get("AREA_OR_POINT"):
            made.update_tags(AREA_OR_POINT=value)

    def large_picture(self, made: Any, translator: Any) -> LargePicture:
        if len(self.bands) == 4 and translator.config.generator.source_channels != 4:
            raise UserError(
                f"{self.name} has 4 bands and the model takes fewer: save the ones that it knows, "
                "or mark the fourth as alpha."
            )
        nodata = made.nodata
        masked = nodata is None and bool((self.source.mask_flag_enums[0][0].name) != "all_valid")

        def write(rows: Image.Image, top: int) -> None:
            values = np.asarray(rows)
            values = values[None].copy() if values.ndim == 2 else values.transpose(2, 0, 1).copy()
            box = 0, top, rows.width, top + rows.height
            if nodata is not None:
                # A pixel with data must not look like one without.
                alike = (values == nodata).all(axis=0)
                values[0][alike] += 1 if nodata == 0 else -1
                values[:, ~self.valid(box)] = nodata
            made.write(values, window=self.window(box))
            if masked:
                made.write_mask(self.valid(box), window=self.window(box))

        def is_empty(box: Box) -> bool:
            return not self.valid(box).any()

        bits = 16 if made.dtypes[0] == "uint16" else 8
        size = self.source.width, self.source.height
        return LargePicture(size, self.read, write, bits, is_empty)
