"""Translate GeoTIFFs by windows: they come back at the same place on Earth. No torch.

Coordinates, nodata and overviews are kept, and memory does not grow with the picture. A model whose
target has a range gives its numbers in their own unit and type.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.picture import Box
from pix2pix.imaging.rasters import CACHE, Raster, import_rasterio
from pix2pix.models.tiling import LargePicture
from pix2pix.utils.files import write_atomically
from pix2pix.utils.text import printable


def translate_geotiff(
    translator: Any, file: Path, out: Path, *, max_pixels: int | None = None, **options: Any
) -> str:
    """Translate a GeoTIFF to another, which appears when it is complete, with the `options` of
    `Translator.translate_large`; returns a sentence where it does not go with the range of the
    model's sources. Raises UserError, also for more than `max_pixels`, and Cancelled."""
    rasterio = import_rasterio()
    name, notice = printable(file.name), ""

    def write(partial: Path) -> None:
        nonlocal notice
        with rasterio.open(file, driver="GTiff") as source:  # no format that leads elsewhere
            if max_pixels and source.width * source.height > max_pixels:
                raise UserError(f"{name} has more than {max_pixels:,} pixels: cut it.")
            raster = Raster(source, name, translator.config.number_range("source"))
            notice = raster.range_notice()
            with rasterio.open(partial, "w", **profile(raster, translator)) as made:
                keep_place(raster, made)
                picture = large_picture(raster, made, translator)
                translator.translate_large(picture, **options)
            factors = source.overviews(1)
        if factors:
            with rasterio.open(partial, "r+") as made:
                made.build_overviews(factors, rasterio.enums.Resampling.average)

    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_TIFF_INTERNAL_MASK=True):
            write_atomically(out, write)
    except rasterio.errors.RasterioError as error:
        raise UserError(
            f"{name} is damaged, or the disk is full: check both and try again."
        ) from error
    except OSError as error:
        raise UserError(f"{printable(out.name)} could not be saved: {error.strerror}.") from error
    return notice


def profile(raster: Raster, translator: Any) -> dict[str, Any]:
    """Return how the translation is stored: in the model's numbers, else in 8 bits, 16 where one
    channel has more."""
    known = translator.config.output_numbers
    channels = 1 if known else translator.config.generator.target_channels
    deep = translator.config.gives_16_bits and raster.dtype != "uint8"
    dtype = number_type(known[2]) if known else "uint16" if deep else "uint8"
    source = raster.source
    profile = {
        "driver": "GTiff", "width": source.width, "height": source.height, "count": channels,
        "dtype": dtype, "crs": source.crs, "tiled": True,
        "blockxsize": 256, "blockysize": 256, "compress": "deflate", "bigtiff": "if_safer",
        "photometric": "minisblack" if channels == 1 else "rgb",
    }  # fmt: skip
    if not source.transform.is_identity:
        profile["transform"] = source.transform
    if source.nodata is not None and known:
        profile["nodata"] = unused_number(source.nodata, dtype, known)
    elif source.nodata is not None:
        # What 8 bits cannot hold, such as -9999, becomes 0.
        top = 65535 if deep else 255
        fits = float(source.nodata).is_integer() and 0 <= source.nodata <= top
        profile["nodata"] = source.nodata if fits else 0
    return profile


def number_type(numbers: str) -> str:
    """Return the type that holds what `numbers.from_units` makes."""
    return numbers if numbers in ("uint8", "uint16", "int8", "int16", "int32") else "float32"


def unused_number(nodata: float, dtype: str, known: tuple[float, float, str]) -> float:
    """Return a number for pixels without data that the model does not give: the file's own where
    that can be, else NaN or an end of the type."""
    low, high, _ = known
    if dtype == "float32":
        fits = abs(nodata) <= np.finfo(dtype).max and not low <= nodata <= high
        return nodata if fits else float("nan")
    ends = np.iinfo(dtype)
    fits = float(nodata).is_integer() and ends.min <= nodata <= ends.max
    candidates = [nodata] * fits + [ends.min, ends.max]
    return next((n for n in candidates if not low <= n <= high), candidates[0])


def keep_place(raster: Raster, made: Any) -> None:
    """Copy what places a picture besides its transform: ground control points and RPCs."""
    points, crs = raster.source.gcps
    if points:
        made.gcps = points, crs
    if raster.source.rpcs:
        made.rpcs = raster.source.rpcs
    if value := raster.source.tags().get("AREA_OR_POINT"):
        made.update_tags(AREA_OR_POINT=value)


def large_picture(raster: Raster, made: Any, translator: Any) -> LargePicture:
    """Return a raster whose translation is written to the open dataset `made`. Raises UserError
    for four bands that the model does not take."""
    if len(raster.bands) == 4 and translator.config.generator.source_channels != 4:
        raise UserError(
            f"{raster.name} has 4 bands and the model takes fewer: save the ones that it knows, "
            "or mark the fourth as alpha."
        )
    nodata = made.nodata
    masked = nodata is None and bool((raster.source.mask_flag_enums[0][0].name) != "all_valid")

    def write(rows: Image.Image, top: int) -> None:
        values = np.asarray(rows).astype(made.dtypes[0], copy=False)
        values = values[None].copy() if values.ndim == 2 else values.transpose(2, 0, 1).copy()
        box = 0, top, rows.width, top + rows.height
        if nodata is not None:
            # A pixel with data must not look like one without.
            alike = (values == nodata).all(axis=0)
            values[0][alike] += 1 if nodata <= 0 else -1  # within what the type holds
            values[:, ~raster.valid(box)] = nodata
        made.write(values, window=raster.window(box))
        if masked:
            made.write_mask(raster.valid(box), window=raster.window(box))

    def is_empty(box: Box) -> bool:
        return not raster.valid(box).any()

    bits = 16 if made.dtypes[0] == "uint16" else 8
    size = raster.source.width, raster.source.height
    return LargePicture(size, raster.read, write, bits, is_empty)
