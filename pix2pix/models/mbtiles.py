"""Translate MBTiles, map tiles in one SQLite file. No torch."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.errors import UserError
from pix2pix.models.tile_sets import Place, TileSet, Write, translate_tiles
from pix2pix.utils.text import printable


def translate_mbtiles(translator: Any, file: Path, out: Path, **options: Any) -> TileSet:
    """Translate an MBTiles file to another, with its metadata; `options` are those of
    `translate_tiles`. `out` appears when it is complete. Returns what was in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    try:
        with _opened(file, "ro") as source, contextlib.closing(sqlite3.connect(name)) as made:
            tiles = _of_mbtiles(file, source)
            made.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
            made.execute(
                "CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, "
                "tile_data BLOB)"
            )
            made.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, "
                "tile_row)")  # fmt: skip
            about = dict(source.execute("SELECT name, value FROM metadata")) | {"format": "png"}
            made.executemany("INSERT INTO metadata VALUES (?, ?)", about.items())
            translate_tiles(translator, tiles, _write_to(made), **options)
            made.commit()
        os.chmod(name, 0o644)
        os.replace(name, out)
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"{printable(file.name)} is no MBTiles file that can be read and written anew: make it "
            "again, or make room on the disk."
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    return tiles


def count_mbtiles(file: Path) -> int:
    """Count the tiles of a file; raises UserError where it is none."""
    try:
        with _opened(file, "ro") as source:
            return source.execute("SELECT count(*) FROM tiles").fetchone()[0]
    except sqlite3.Error as error:
        raise UserError(f"{printable(file.name)} is no MBTiles file: choose another.") from error


@contextlib.contextmanager
def _opened(file: Path, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{file.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as opened:
        yield opened


def _of_mbtiles(file: Path, source: sqlite3.Connection) -> TileSet:
    zooms: dict[int, dict[Place, Any]] = defaultdict(dict)
    places = "SELECT zoom_level, tile_column, tile_row FROM tiles ORDER BY zoom_level"
    for zoom, x, y in source.execute(places):
        zooms[zoom][x, 2**zoom - 1 - y] = zoom, x, y  # rows count from the south

    def read(key: tuple[int, int, int]) -> bytes:
        where = "SELECT tile_data FROM tiles WHERE zoom_level=? AND tile_column=? AND tile_row=?"
        return source.execute(where, key).fetchone()[0]

    if not zooms:
        raise UserError(f"{printable(file.name)} holds no tiles: choose another file.")
    return TileSet(file.name, dict(zooms), read, lambda key: f"{file.name}, tile {key}")


def _write_to(made: sqlite3.Connection) -> Write:
    def write(zoom: int, place: Place, key: Any, answer: Image.Image) -> None:
        buffer = io.BytesIO()
        answer.save(buffer, "PNG")
        made.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (*key, buffer.getvalue()))

    return write
