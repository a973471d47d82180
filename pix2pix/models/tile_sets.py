"""Translate map tiles `z/x/y.png` so that no border between two shows. No torch.

The tiles of a zoom that touch each other are one large picture, whose translation is cut into the
same tiles. A place without a tile is filled with its neighbour's mirror image.
"""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES, open_picture
from pix2pix.imaging.picture import Box, Picture, save_png
from pix2pix.models.windows import LargePicture
from pix2pix.utils.progress import Progress, ShouldStop, part_of

Place = tuple[int, int]  # column and row of a tile, rows from north to south
CACHED = 256  # decoded tiles in memory
STRIP = 128  # tiles side by side that are one picture: a band of 65,000 rows takes 0.3 GB
_NUMBERED = re.compile(r"(?:(?P<set>.*)/)?(?P<zoom>\d{1,2})/(?P<x>\d{1,8})/(?P<y>\d{1,8})\.\w+")
_SOUTH_FIRST = 0.8  # of the step at borders, where rows that count from the south fit better


@dataclass
class TileSet:
    """Tiles by zoom and place; `read` and `write` know where they lie, `refused` is what could not
    be read: (name, sentence), `notices` what does not go with the model's range, by tile."""

    name: str
    zooms: dict[int, dict[Place, Any]]
    read: Callable[[Any], bytes]
    label: Callable[[Any], str] = str
    refused: list[tuple[str, str]] = field(default_factory=list)
    notices: dict[Any, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return how many tiles there are."""
        return sum(map(len, self.zooms.values()))


Write = Callable[[int, Place, Any, Image.Image], None]  # zoom, place, what is there, its answer


def translate_tiles(
    translator: Any,
    tiles: TileSet,
    write: Write,
    *,
    seed: int | None = None,
    norm: str = "",
    on_progress: Progress = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> int:
    """Translate all tiles of a set and return how many; what cannot be read is in its `refused`.

    Answers are pictures of 8 bits, whatever the model's numbers. `on_progress` hears thousandths.
    Raises UserError and Cancelled; what was written stays.
    """
    done = 0
    for zoom, at in tiles.zooms.items():
        for area in _areas(set(at)):
            mosaic = _Mosaic(translator, tiles, zoom, area, write)
            share = len(mosaic.own)
            ends = 1000 * done // tiles.count, 1000 * (done + share) // tiles.count
            translator.translate_large(
                mosaic.picture, seed=seed, norm=norm, in_units=False, should_stop=should_stop,
                on_progress=part_of(on_progress, *ends),
            )  # fmt: skip
            done += share
    return tiles.count - len(tiles.refused)


def _areas(places: set[Place]) -> Iterator[tuple[set[Place], Box]]:
    """Yield (tiles, box in tiles) of what touches, in strips of bounded width that see one tile
    more on either side."""
    left = set(places)
    while left:
        waiting, area = [left.pop()], set()
        while waiting:
            x, y = waiting.pop()
            area.add((x, y))
            around = {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & left
            left -= around
            waiting += around
        x0, x1 = min(x for x, _ in area), max(x for x, _ in area)
        for start in range(x0, x1 + 1, STRIP):
            own = {place for place in area if start <= place[0] < start + STRIP}
            rows = [y for _, y in own]
            ends = max(x0, start - 1), min(x1, start + STRIP) + 1
            yield own, (ends[0], min(rows), ends[1], max(rows) + 1)


class _Mosaic:
    """Tiles that touch as one large picture."""

    def __init__(
        self,
        translator: Any,
        tiles: TileSet,
        zoom: int,
        area: tuple[set[Place], Box],
        write: Write,
    ) -> None:
        self.translator = translator
        self.tiles, self.at, self.zoom, self.keep = tiles, tiles.zooms[zoom], zoom, write
        self.own, self.box = area
        self.decoded: OrderedDict[Place, Picture | None] = OrderedDict()
        self.faulty: set[Place] = set()
        first = next((p for p in map(self._tile, sorted(self.own)) if p), None)
        self.width, self.height = first.size if first else (1, 1)
        columns, rows = self.box[2] - self.box[0], self.box[3] - self.box[1]
        self.size = columns * self.width, rows * self.height
        self.rows: Image.Image | None = None  # of tiles that are not complete yet
        self.picture = LargePicture(self.size, self.read, self.write, is_empty=self.is_empty)

    def _tile(self, place: Place) -> Picture | None:
        """Return a tile, None where there is none or it cannot be read, which is noted once."""
        if place not in self.at or place in self.faulty:
            return None
        if place not in self.decoded:
            key = self.at[place]
            try:
                picture = open_picture(self.tiles.read(key), self.tiles.label(key))
                if hasattr(self, "size") and picture.size != (self.width, self.height):
                    raise UserError(
                        f"{self.tiles.label(key)} is {picture.size[0]} x {picture.size[1]} and its "
                        f"neighbours are {self.width} x {self.height}: export them alike."
                    )
            except UserError as error:
                self.faulty.add(place)
                if place in self.own:
                    self.tiles.refused.append((self.tiles.label(key), str(error)))
                return None
            if notice := self.translator.range_notice(picture, self.tiles.label(key)):
                self.tiles.notices[key] = notice
            self.decoded[place] = self.translator.by_range(picture)
            while len(self.decoded) > CACHED:
                self.decoded.popitem(last=False)
        self.decoded.move_to_end(place)
        return self.decoded[place]

    def _places(self, box: Box) -> Iterator[Place]:
        """Yield the tiles under a box of pixels."""
        for y in range(box[1] // self.height, -(-box[3] // self.height)):
            for x in range(box[0] // self.width, -(-box[2] // self.width)):
                yield self.box[0] + x, self.box[1] + y

    def is_empty(self, box: Box) -> bool:
        return all(place not in self.at for place in self._places(box))

    def read(self, box: Box, channels: int) -> np.ndarray:
        result = np.full((channels, box[3] - box[1], box[2] - box[0]), 1.0, np.float32)
        for place in self._places(box):
            left = (place[0] - self.box[0]) * self.width
            top = (place[1] - self.box[1]) * self.height
            part = (
                max(0, box[0] - left), max(0, box[1] - top),
                min(self.width, box[2] - left), min(self.height, box[3] - top),
            )  # fmt: skip
            pixels = self._pixels(place, part, channels)
            if pixels is not None:
                row, column = top + part[1] - box[1], left + part[0] - box[0]
                height, width = pixels.shape[1:]
                result[:, row : row + height, column : column + width] = pixels
        return result

    def _pixels(self, place: Place, part: Box, channels: int) -> np.ndarray | None:
        """Return a part of a tile, or of its mirrored neighbour where there is none."""
        tile, (x, y) = self._tile(place), place
        if tile:
            return tile.tile(part, channels)
        left, top, right, bottom = part
        across = self.width - right, top, self.width - left, bottom
        along = left, self.height - bottom, right, self.height - top
        both = across[0], along[1], across[2], along[3]
        beside = [((x + dx, y), across, (False, True)) for dx in (-1, 1)]
        beside += [((x, y + dy), along, (True, False)) for dy in (-1, 1)]
        beside += [((x + dx, y + dy), both, (True, True)) for dx in (-1, 1) for dy in (-1, 1)]
        for other, mirrored, (flip_rows, flip_columns) in beside:
            if tile := self._tile(other):
                rows, columns = (slice(None, None, -1 if flip else 1) for flip in
                    (flip_rows, flip_columns))  # fmt: skip
                return tile.tile(mirrored, channels)[:, rows, columns]
        return None

    def write(self, rows: Image.Image, top: int) -> None:
        """Collect rows, and write the tiles that are complete."""
        done = 0
        if self.rows is None:
            self.rows = Image.new(rows.mode, (self.size[0], self.height))
        while done < rows.height:
            row, place = divmod(top + done, self.height)
            count = min(self.height - place, rows.height - done)
            self.rows.paste(rows.crop((0, done, rows.width, done + count)), (0, place))
            done += count
            if place + count == self.height:
                self._write_row(self.box[1] + row, self.rows)

    def _write_row(self, y: int, made: Image.Image) -> None:
        for x in range(self.box[0], self.box[2]):
            source = self._tile((x, y)) if (x, y) in self.own else None
            if source:
                left = (x - self.box[0]) * self.width
                answer = made.crop((left, 0, left + self.width, self.height))
                if source.image.mode in ("LA", "RGBA") and answer.mode in ("L", "RGB"):
                    answer.putalpha(source.image.getchannel("A"))  # the map's edge stays its edge
                self.keep(self.zoom, (x, y), self.at[x, y], answer)


# ------------------------------------------------------------------------------------------ folders


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
        beside = any(map(_has_neighbours, zooms.values()))
        if len(own) >= 4 and beside and _are_squares([folder / file for file in own]):
            taken |= own
            sets.append(_of_folder(folder, name, {z: zooms[z] for z in sorted(zooms)}))
    return sets, [name for name in files if name not in taken]


def _has_neighbours(at: dict[Place, Any]) -> bool:
    return any((x + 1, y) in at or (x, y + 1) in at for x, y in at)


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


def write_to_folder(out: Path) -> Write:
    """Write tiles as PNG below `out` under their own names."""

    def write(zoom: int, place: Place, key: str, answer: Image.Image) -> None:
        save_png(answer, (out / key).with_suffix(".png"))

    return write
