"""Translate map tiles, `z/x/y.png` and MBTiles, so that no border between two shows. No torch.

The tiles of a zoom that touch each other are one large picture, whose translation is cut into the
same tiles. A place without a tile is filled with its neighbour's mirror image.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.picture import Box, Picture
from pix2pix.models.tiling import LargePicture, keep_edge
from pix2pix.utils.files import write_atomically
from pix2pix.utils.progress import Progress, part_of
from pix2pix.utils.text import printable

Place = tuple[int, int]  # column and row of a tile, rows from north to south
CACHED = 256  # decoded tiles in memory
MAX_ZOOM = 30  # of an MBTiles file: a tile would show four centimetres
STRIP = 128  # tiles side by side that are one picture: a band of 65,000 rows takes 0.3 GB
# A place, and its neighbours in the order in which one fills it: beside, above, at a corner.
_AROUND = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


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


Write = Callable[[Any, Image.Image], None]  # takes what is at a place, and its answer


def translate_tiles(
    translator: Any,
    tiles: TileSet,
    write: Write,
    *,
    on_progress: Progress = lambda done, total: None,
    **options: Any,
) -> None:
    """Translate all tiles of a set; what cannot be read is in its `refused`. `options` are those of
    `Translator.translate_large`.

    Answers are pictures of 8 bits, whatever the model's numbers. `on_progress` hears thousandths.
    Raises UserError and Cancelled; what was written stays.
    """
    done = 0
    for at in tiles.zooms.values():
        for area in _areas(set(at)):
            mosaic = _Mosaic(translator, tiles, at, area, write)
            share = len(mosaic.own)
            ends = 1000 * done // tiles.count, 1000 * (done + share) // tiles.count
            of_area = part_of(on_progress, *ends)
            translator.translate_large(
                mosaic.picture, in_units=False, on_progress=of_area, **options
            )
            done += share


def _areas(places: set[Place]) -> Iterator[tuple[set[Place], Box]]:
    """Yield (tiles, box in tiles) of what touches, in strips of bounded width that see one tile
    more on either side."""
    left = set(places)
    while left:
        waiting, area = [left.pop()], set()
        while waiting:
            x, y = waiting.pop()
            area.add((x, y))
            around = {(x + dx, y + dy) for dx, dy in _AROUND} & left
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
        at: dict[Place, Any],
        area: tuple[set[Place], Box],
        write: Write,
    ) -> None:
        self.translator, self.tiles, self.at, self.keep = translator, tiles, at, write
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
        left, top, right, bottom = part
        for dx, dy in _AROUND:
            if tile := self._tile((place[0] + dx, place[1] + dy)):
                columns = (self.width - right, self.width - left) if dx else (left, right)
                rows = (self.height - bottom, self.height - top) if dy else (top, bottom)
                pixels = tile.tile((columns[0], rows[0], columns[1], rows[1]), channels)
                return pixels[:, :: -1 if dy else 1, :: -1 if dx else 1]
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
                keep_edge(answer, source.image)
                self.keep(self.at[x, y], answer)


# ------------------------------------------------------------------------------------------ MBTiles


def translate_mbtiles(translator: Any, file: Path, out: Path, **options: Any) -> TileSet:
    """Translate an MBTiles file to another, with its metadata; `options` are those of
    `translate_tiles`. `out` appears when it is complete. Returns what was in it. Raises UserError
    and Cancelled."""
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _opened(file) as source:
            tiles = _of_mbtiles(file, source)

            def write(partial: Path) -> None:
                with contextlib.closing(sqlite3.connect(partial)) as made:
                    _begin_mbtiles(made, source)
                    translate_tiles(translator, tiles, _write_to(made), **options)
                    made.commit()

            write_atomically(out, write)
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"{printable(file.name)} is no MBTiles file that can be read and written anew: make it "
            "again, or make room on the disk."
        ) from error
    return tiles


def count_mbtiles(file: Path) -> int:
    """Count the tiles of a file; raises UserError where it is none."""
    try:
        with _opened(file) as source:
            return source.execute("SELECT count(*) FROM tiles").fetchone()[0]
    except sqlite3.Error as error:
        raise UserError(f"{printable(file.name)} is no MBTiles file: choose another.") from error


def _begin_mbtiles(made: sqlite3.Connection, source: sqlite3.Connection) -> None:
    """Make the tables of a new file, with the metadata of another."""
    made.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
    columns = "zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER"
    made.execute(f"CREATE TABLE tiles ({columns}, tile_data BLOB)")
    places = columns.replace(" INTEGER", "")
    made.execute(f"CREATE UNIQUE INDEX tile_index ON tiles ({places})")
    about = dict(source.execute("SELECT name, value FROM metadata")) | {"format": "png"}
    made.executemany("INSERT INTO metadata VALUES (?, ?)", about.items())


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    address = f"{file.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as opened:
        yield opened


def _of_mbtiles(file: Path, source: sqlite3.Connection) -> TileSet:
    zooms: dict[int, dict[Place, Any]] = defaultdict(dict)
    places = "SELECT zoom_level, tile_column, tile_row FROM tiles ORDER BY zoom_level"
    for key in source.execute(places):
        if not _is_place(*key):
            at = "zoom {}, column {}, row {}".format(*map(printable, map(str, key)))
            raise UserError(
                f"{printable(file.name)} has a tile at {at}, which is no place on a map: make the "
                "file again."
            )
        zoom, x, y = key
        zooms[zoom][x, 2**zoom - 1 - y] = key  # rows count from the south

    def read(key: tuple[int, int, int]) -> bytes:
        where = "SELECT tile_data FROM tiles WHERE zoom_level=? AND tile_column=? AND tile_row=?"
        data = source.execute(where, key).fetchone()[0]
        return data if isinstance(data, bytes) else b""  # which is no picture

    if not zooms:
        raise UserError(f"{printable(file.name)} holds no tiles: choose another file.")
    return TileSet(file.name, dict(zooms), read, lambda key: f"{file.name}, tile {key}")


def _is_place(zoom: Any, x: Any, y: Any) -> bool:
    """Return whether a tile can lie there: SQLite's columns hold whatever was put in."""
    if not all(isinstance(number, int) for number in (zoom, x, y)):
        return False
    return 0 <= zoom <= MAX_ZOOM and min(x, y) >= 0 and max(x, y) < 2**zoom


def _write_to(made: sqlite3.Connection) -> Write:
    def write(key: tuple[int, int, int], answer: Image.Image) -> None:
        buffer = io.BytesIO()
        answer.save(buffer, "PNG")
        made.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (*key, buffer.getvalue()))

    return write
