"""Cut two georeferenced rasters into pairs where they overlap: a photo and a map of one place.

The target is resampled to the grid of the source; windows in which either has no data are refused.
Needs rasterio (see `imaging.rasters`). No torch.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix.data.records import Inputs, Origin, Refusal
from pix2pix.errors import UserError
from pix2pix.imaging.numbers import save_picture
from pix2pix.imaging.picture import Box, from_array
from pix2pix.imaging.rasters import CACHE, Raster, import_rasterio
from pix2pix.utils.progress import Progress, ShouldStop, each
from pix2pix.utils.text import printable

BLOCK = 4  # windows a side whose pairs stay in one split: neighbours show the same things
TOGETHER = r"^b\d+-\d+"  # what the names of a block have in common


@contextmanager
def raster_inputs(
    source: Path,
    target: Path,
    near: Path,
    size: int,
    *,
    labels: bool = False,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Iterator[Inputs]:
    """Give two folders of pictures of `size` pixels a side, cut from two rasters, in a temporary
    folder in `near`. With `labels` the target's colours are not mixed.

    `on_progress` hears windows. Raises UserError where the rasters have no place or do not overlap,
    and Cancelled.
    """
    rasterio = import_rasterio()
    if size < 16:
        raise UserError("Rasters are cut into pictures of a size: give one, such as 256.")
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=near) as place:
        folders = Path(place) / source.stem, Path(place) / target.stem
        if folders[0] == folders[1]:
            folders = Path(place) / "source", Path(place) / "target"
        for folder in folders:
            folder.mkdir()
        try:
            with rasterio.Env(GDAL_CACHEMAX=CACHE), _on_one_grid(source, target, labels) as pair:
                refused = _cut(pair, folders, size, should_stop, on_progress)
        except rasterio.errors.RasterioError as error:
            raise UserError(
                f"{printable(source.name)} or {printable(target.name)} cannot be read: check them."
            ) from error
        if not any(folders[0].iterdir()):
            raise UserError(
                f"{printable(source.name)} and {printable(target.name)} have no {size} x {size} "
                "pixels in which both have data: choose a smaller size, or rasters of one place."
            )
        origin = Origin(f"{source.name}, {target.name}", (), "", 0, tuple(refused))
        yield Inputs(*folders, "stem", origin=origin, together=TOGETHER)


@contextmanager
def _on_one_grid(source: Path, target: Path, labels: bool) -> Iterator[tuple[Raster, Raster, Box]]:
    """Open both on the source's grid; also gives the part of it in which they overlap."""
    rasterio = import_rasterio()
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import transform_bounds

    with warnings.catch_warnings():  # a sentence says that a file has no place
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        first, second = rasterio.open(source), rasterio.open(target)
    with first, second:
        for file, opened in ((source, first), (target, second)):
            if opened.crs is None or opened.transform.is_identity:
                raise UserError(
                    f"{printable(file.name)} does not say where on Earth it lies: give it "
                    "coordinates, or build from two folders."
                )
        how = rasterio.enums.Resampling
        bounds = transform_bounds(second.crs, first.crs, *second.bounds)
        finer = abs(first.transform.a) / ((bounds[2] - bounds[0]) / second.width)
        nearest = labels or second.colorinterp[0].name == "palette"
        chosen = how.nearest if nearest else how.average if finer > 1.5 else how.bilinear
        grid = {"crs": first.crs, "transform": first.transform, "resampling": chosen}
        grid |= {"width": first.width, "height": first.height}
        alpha = {"add_alpha": True} if second.nodata is None else {}
        with WarpedVRT(second, **grid, **alpha) as warped:
            window = first.window(*bounds)
            box = (
                max(0, round(window.col_off)), max(0, round(window.row_off)),
                min(first.width, round(window.col_off + window.width)),
                min(first.height, round(window.row_off + window.height)),
            )  # fmt: skip
            yield Raster(first, source.name), Raster(warped, target.name), box


def _cut(
    pair: tuple[Raster, Raster, Box],
    folders: tuple[Path, Path],
    size: int,
    should_stop: ShouldStop,
    on_progress: Progress,
) -> list[Refusal]:
    """Write every window of the overlap; returns the refusals of those without data."""
    source, target, (left, top, right, bottom) = pair
    rows, columns = max(0, bottom - top) // size, max(0, right - left) // size
    refused = []
    for number in each(range(rows * columns), should_stop, on_progress):
        row, column = divmod(number, columns)
        name = f"b{row // BLOCK:03}-{column // BLOCK:03}_r{row:04}c{column:04}.png"
        x, y = left + column * size, top + row * size
        box = x, y, x + size, y + size
        empty = [r.name for r in (source, target) if not r.valid(box).all()]
        if empty:
            reason = f"{printable(empty[0])} has no data in all of it"
            refused.append(Refusal(name, "pair", "nodata", reason))
        else:
            for raster, folder in zip((source, target), folders):
                _write_window(raster, box, folder / name)
    return refused


def _write_window(raster: Raster, box: Box, file: Path) -> None:
    """Write a part as PNG; numbers that PNG cannot hold, such as heights, as a TIFF of them."""
    one_band = len(raster.bands) == 1 and raster.palette is None
    if one_band and raster.dtype not in ("uint8", "uint16"):
        whole = raster.dtype in ("int8", "int16", "int32")
        values = raster.source.read(raster.bands[0], window=raster.window(box))
        image = Image.fromarray(values.astype(np.int32 if whole else np.float32))
        save_picture(image, file.with_suffix(".tif"), raster.dtype)
        return
    bits = 16 if one_band and raster.dtype != "uint8" else 8
    from_array(raster.read(box, 1 if one_band else 3), bits=bits).save(file)
