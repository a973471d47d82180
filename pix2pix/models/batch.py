"""Translate what people have, files and folders of them, into the same tree. No torch.

A picture becomes a PNG of its name, or a TIFF where the model gives numbers that PNG cannot hold. A
folder's subfolders come back as they were, map tiles (`z/x/y.png`, MBTiles) without seams and in
8 bits, a GeoTIFF as a GeoTIFF, a video as an MP4 with its sound, and world files stay beside their
pictures.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import AB_PAIR_HINT, is_ab_pair
from pix2pix.imaging.decode import IMAGE_SUFFIXES, open_picture
from pix2pix.imaging.numbers import save_picture
from pix2pix.imaging.picture import MAX_PIXELS, save_png
from pix2pix.imaging.rasters import is_geotiff
from pix2pix.imaging.video import VIDEO_SUFFIXES, Clip, change_frames, is_video, open_clip
from pix2pix.models.geotiff import translate_geotiff
from pix2pix.models.map_tiles import Place, TileSet, translate_mbtiles, translate_tiles
from pix2pix.models.source_kind import kind_notice
from pix2pix.models.tiling import keep_edge
from pix2pix.utils.text import natural_key, printable

MBTILES = ".mbtiles"
INPUT_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | {MBTILES}
PLACE_SUFFIXES = frozenset((".pgw", ".jgw", ".tfw", ".wld", ".prj"))  # beside pictures
_NUMBERED = re.compile(r"(?:(?P<set>.*)/)?(?P<zoom>\d{1,2})/(?P<x>\d{1,8})/(?P<y>\d{1,8})\.\w+")
_SOUTH_FIRST = 0.8  # of the step at borders, where rows that count from the south fit better


@dataclass(frozen=True)
class Job:
    """One file, or the tiles of one set: `file` is it, or the folder of the set; `result` is below
    the output folder, for tiles that folder itself."""

    file: Path
    result: str
    kind: str  # picture, clip, geotiff, mbtiles or tiles
    tiles: TileSet | None = None

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"{self.file.name}: {self.tiles.count} tiles" if self.tiles else self.file.name


@dataclass(frozen=True)
class Outcome:
    """How many pictures came out, (file, reason) of those that did not, remarks, and how many
    frames of a video there were."""

    translated: int
    refused: list[tuple[str, str]]
    remarks: list[str]
    frames: int = 0


def list_jobs(inputs: list[Path], suffix: str = ".png") -> list[Job]:
    """List what is to be done for files and folders, where pictures become files of this `suffix`
    (see `numbers.result_suffix`); raises UserError where a folder holds no pictures or two results
    would be one file."""
    jobs: list[Job] = []
    for item in inputs:
        found = (
            list(_folder_jobs(item, suffix))
            if item.is_dir()
            else [file_job(item, item.name, suffix)]
        )
        if not found:
            raise UserError(f"{item} holds no pictures: name another folder.")
        jobs += found
    outputs: dict[str, Path] = {}
    for job in jobs:
        for result, file in results(job):
            if outputs.setdefault(result, file) is not file:
                raise UserError(
                    f"{outputs[result]} and {file} would both be written as {result}: rename one "
                    "or translate them into two folders."
                )
    return jobs


def file_job(file: Path, name: str, suffix: str = ".png") -> Job:
    """Say what is to be done for a file whose result is called after `name`."""
    stem = Path(name).with_suffix("").as_posix()
    if file.suffix.lower() == MBTILES:
        return Job(file, f"{stem}{MBTILES}", "mbtiles")
    if is_video(file):
        return Job(file, f"{stem}.mp4", "clip")
    if is_geotiff(file):
        return Job(file, f"{stem}.tif", "geotiff")
    return Job(file, f"{stem}{suffix}", "picture")


def results(job: Job) -> Iterator[tuple[str, Path]]:
    """Yield (name below the output folder, original) of all that a job writes."""
    if not job.tiles:
        yield job.result, job.file
        return
    below = len(Path(job.tiles.name).parts)
    root = [job.file, *job.file.parents][below]
    for at in job.tiles.zooms.values():
        for key in at.values():
            yield (Path(job.result) / key).with_suffix(".png").as_posix(), root / key


def refuse_overwriting(jobs: list[Job], out: Path) -> None:
    """Raise UserError where a translation would replace an original, or another file that lies
    beside one, such as the mask `1.png` of `1.jpg`."""
    written = [(out / result, file) for job in jobs for result, file in results(job)]
    files = [file for _, file in written if file.exists()]
    originals = {_identity(file) for file in files}
    folders = {_identity(folder) for folder in {file.parent for file in files}}
    for made, _ in written:
        if not made.exists():
            continue
        if _identity(made) in originals:
            raise UserError(f"{made} would be overwritten by a translation: name another --out.")
        if _identity(made.parent) in folders:
            raise UserError(f"{made} is there already, beside an original: name another --out.")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def run_job(
    translator: Any,
    job: Job,
    out: Path,
    *,
    fit: str = "",
    max_pixels: int | None = None,
    max_frames: int | None = None,
    **options: Any,
) -> Outcome:
    """Do one job below `out`; `options` are seed, norm, on_progress and should_stop, as of
    `Translator.translate`. `fit` is of pictures: tiles and GeoTIFFs keep their scale. With
    `max_pixels` also GeoTIFFs, which need little memory, have a limit; `max_frames` is of a video.
    Raises UserError where all of it fails, and Cancelled."""
    made = out / job.result
    if job.kind == "clip":
        clip = open_clip(job.file, max_pixels or MAX_PIXELS, max_frames)
        return _translate_clip(translator, clip, made, max_frames, {**options, "fit": fit})
    if job.kind == "geotiff":
        notice = translate_geotiff(translator, job.file, made, max_pixels=max_pixels, **options)
        return Outcome(1, [], [notice] if notice else [])
    if job.kind in ("mbtiles", "tiles"):
        if tiles := job.tiles:
            save = lambda name, tile: save_png(tile, (made / name).with_suffix(".png"))  # noqa: E731
            translate_tiles(translator, tiles, save, **options)
        else:
            tiles = translate_mbtiles(translator, job.file, made, **options)
        return Outcome(
            tiles.count - len(tiles.refused), tiles.refused, list(_tile_remarks(translator, tiles))
        )
    picture = open_picture(job.file, max_pixels=max_pixels or MAX_PIXELS)
    name, remarks = printable(job.file.name), []
    if is_ab_pair(picture):
        remarks.append(f"{name} {AB_PAIR_HINT}")
    notices = kind_notice(picture, name, translator.config), translator.range_notice(picture, name)
    remarks += filter(None, notices)
    known = translator.config.output_numbers
    result = translator.translate(picture, fit=fit, **options)
    if translator.config.keeps_edges and fit != "whole":
        keep_edge(result, picture.image)
    save_picture(result, made, known[2] if known else "")
    _keep_world_file(job.file, made)
    return Outcome(1, [], remarks)


def _translate_clip(
    translator: Any, clip: Clip, made: Path, max_frames: int | None, options: dict[str, Any]
) -> Outcome:
    """Translate each frame by itself, as people see it: in 8 bits."""
    work = {name: options[name] for name in ("on_progress", "should_stop") if name in options}
    options.pop("on_progress", None)  # it counts frames, not the tiles of one
    notices: list[str] = []

    def change(image: Image.Image) -> Image.Image:
        if not notices:
            notices.append(translator.range_notice(image, clip.name))
        return translator.look(translator.translate(image, **options))

    frames, remarks = change_frames(clip, made, change, max_frames=max_frames, **work)
    return Outcome(1, [], [*filter(None, notices), *remarks], frames)


def _tile_remarks(translator: Any, tiles: TileSet) -> Iterator[str]:
    """Say once what holds for many tiles: that they are no numbers, and do not fit a range."""
    if known := translator.config.output_numbers:
        yield (
            f"Map tiles are for looking at: their black is {known[0]:g} and their white "
            f"{known[1]:g}. Translate a GeoTIFF for the numbers."
        )
    if notices := [*tiles.notices.values()]:
        more = len(notices) - 1
        yield notices[0] + (f" So it is with {more:,} other tiles." if more else "")


def _folder_jobs(folder: Path, suffix: str) -> Iterator[Job]:
    sets, names = find_tile_sets(folder, list_tree(folder))
    for tiles in sets:
        yield Job(folder / tiles.name, "", "tiles", tiles)
    for name in names:
        yield file_job(folder / name, name, suffix)


def find_tile_sets(folder: Path, files: list[str]) -> tuple[list[TileSet], list[str]]:
    """Find the pyramids `z/x/y.png` among the files of a folder (names below it); returns them and
    the other files. Four tiles at least are one, two of them side by side, all squares of a size:
    photos that are sorted by numbers are not."""
    found: dict[str, dict[int, dict[Place, str]]] = defaultdict(lambda: defaultdict(dict))
    for name in files:
        match = _NUMBERED.fullmatch(name)
        if match and Path(name).suffix.lower() in IMAGE_SUFFIXES:
            place = int(match["x"]), int(match["y"])
            if max(place) < 2 ** int(match["zoom"]):
                found[match["set"] or ""][int(match["zoom"])].setdefault(place, name)
    sets, taken = [], set()
    for name, zooms in sorted(found.items()):
        own = {file for at in zooms.values() for file in at.values()}
        beside = any((x + 1, y) in at or (x, y + 1) in at for at in zooms.values() for x, y in at)
        if len(own) >= 4 and beside and _are_squares([folder / file for file in own]):
            taken |= own
            sets.append(_of_folder(folder, name, {z: zooms[z] for z in sorted(zooms)}))
    return sets, [name for name in files if name not in taken]


def _are_squares(files: list[Path]) -> bool:
    """Return whether the pictures, a few of them, are squares of one size."""
    sizes = set()
    for file in files[:: max(1, len(files) // 8)]:
        with contextlib.suppress(Exception), Image.open(file) as image:  # it is refused later
            sizes.add(image.size)
    return len(sizes) == 1 and all(width == height for width, height in sizes)


def _of_folder(folder: Path, name: str, zooms: dict[int, dict[Place, str]]) -> TileSet:
    tiles = TileSet(name, zooms, lambda key: (folder / key).read_bytes())
    if _counts_from_south(tiles):
        flipped = {
            zoom: {(x, 2**zoom - 1 - y): key for (x, y), key in at.items()}
            for zoom, at in zooms.items()
        }
        tiles = TileSet(name, flipped, tiles.read)
    return tiles


def _counts_from_south(tiles: TileSet) -> bool:
    """Return whether rows count from the south, as TMS has it: then the borders of tiles one above
    the other fit better the other way around."""
    steps = np.zeros(2)
    for at in tiles.zooms.values():
        pairs = [(place, (place[0], place[1] + 1)) for place in sorted(at)]
        pairs = [(a, b) for a, b in pairs if b in at]
        for upper, lower in pairs[:: max(1, len(pairs) // 8)][:8]:
            with contextlib.suppress(UserError, OSError, ValueError):
                a, b = (
                    np.asarray(open_picture(tiles.read(at[p])).to_pil(3), float)
                    for p in (upper, lower)
                )
                steps += np.abs(a[-1] - b[0]).mean(), np.abs(b[-1] - a[0]).mean()
    return bool(steps[1] < _SOUTH_FIRST * steps[0])


def list_tree(folder: Path) -> list[str]:
    """List the files below a folder that can be translated, by their names below it; hidden ones
    are left out. Raises UserError where it cannot be read."""
    names = []
    for place, inner, files in os.walk(folder, onerror=_refuse(folder)):
        inner[:] = [name for name in inner if not name.startswith((".", "__MACOSX"))]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in INPUT_SUFFIXES:
                names.append((Path(place) / name).relative_to(folder).as_posix())
    return sorted(names, key=natural_key)


def _refuse(folder: Path) -> Callable[[OSError], None]:
    def refuse(error: OSError) -> None:
        name = printable(folder.name)
        raise UserError(f"{name} is not a folder that can be read: choose another.") from error

    return refuse


def _keep_world_file(file: Path, made: Path) -> None:
    """Copy the file that places a picture on Earth, and its projection, under the result's
    name."""
    suffix = file.suffix.lower()
    short = f".{suffix[1:2]}{suffix[-1:]}w"  # .pgw of .png, .jgw of .jpg and .jpeg
    for end in (short, f"{suffix}w", ".wld"):
        for name in (file.with_suffix(end), file.with_suffix(end.upper())):
            if name.is_file():
                shutil.copyfile(name, made.with_suffix(f".{made.suffix[1]}{made.suffix[-1]}w"))
                if (projection := file.with_suffix(".prj")).is_file():
                    shutil.copyfile(projection, made.with_suffix(".prj"))
                return
