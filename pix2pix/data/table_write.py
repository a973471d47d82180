"""Write a dataset's pairs as Parquet tables, which the Hub's viewer shows. No torch."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.data.dataset import PairFile, find_pairs
from pix2pix.data.ranges import SideRange
from pix2pix.data.records import SPLITS
from pix2pix.data.side_ranges import folder_ranges
from pix2pix.data.tables import import_pyarrow
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.ab_pairs import crop_half
from pix2pix.imaging.decode import open_picture
from pix2pix.utils.progress import ShouldStop

TABLE_FOLDER = "pairs"  # of a repository: beside train, val and test
HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}  # as the Hub names them
_GROUP = 50  # rows that are in memory at a time; the Hub's viewer reads one group for a page
_SHARD = 400 * 10**6  # bytes of pictures in a file
Ranges = dict[str, SideRange]
_SHOWN = (".png", ".jpg", ".jpeg", ".webp")  # what browsers show


def write_tables(
    folder: Path, into: Path, *, should_stop: ShouldStop = lambda: False
) -> dict[str, Path]:
    """Write every split of the dataset to files `pairs/train-00000.parquet` and so on in `into`, of
    the columns `source` (A) and `target` (B), and return name -> file.

    Halves of an A|B picture become PNG, in 16 bits of their side's range where PNG cannot hold
    their numbers; files of their own stay as they are, if browsers show them. Raises UserError for
    a picture that cannot be read, and Cancelled.
    """
    (into / TABLE_FOLDER).mkdir(parents=True)
    files, ranges = {}, folder_ranges(folder, should_stop=should_stop)
    for split in SPLITS:
        for number, rows in enumerate(_shards(find_pairs(folder, split), ranges, should_stop)):
            name = f"{TABLE_FOLDER}/{HUB_SPLITS[split]}-{number:05}.parquet"
            _write_shard(into / name, rows)
            files[name] = into / name
    return files


def _shards(
    pairs: list[PairFile], ranges: Ranges, should_stop: ShouldStop
) -> Iterator[Iterator[list[dict]]]:
    """Yield the groups of rows of one file after the other; each must be read before the next."""
    waiting = iter(_groups(pairs, ranges, should_stop))
    for first in waiting:

        def one_file(first: list[dict] = first) -> Iterator[list[dict]]:
            group, size = first, 0
            while group:
                yield group
                size += sum(len(side["bytes"]) for row in group for side in row.values())
                group = next(waiting, []) if size < _SHARD else []

        yield one_file()


def _groups(
    pairs: list[PairFile], ranges: Ranges, should_stop: ShouldStop
) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(pairs), _GROUP):
        rows = []
        for pair in pairs[start : start + _GROUP]:
            if should_stop():
                raise Cancelled
            source, target = _sides(pair, ranges)
            rows.append({"source": source, "target": target})
        yield rows


def _write_shard(file: Path, groups: Iterator[list[dict[str, Any]]]) -> None:
    pyarrow = import_pyarrow()
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {name: {"_type": "Image"} for name in ("source", "target")}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    schema = pyarrow.schema([("source", picture), ("target", picture)], metadata=about)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="NONE") as writer:
        for rows in groups:  # pictures are packed already
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _sides(pair: PairFile, ranges: Ranges) -> tuple[dict[str, Any], dict[str, Any]]:
    if pair.b is not None:
        return _as_it_is(pair.a, ranges["source"]), _as_it_is(pair.b, ranges["target"])
    picture = open_picture(pair.a)
    if picture.size[0] % 2:
        raise UserError(f"{pair.a.name} cannot be cut into two halves: A|B pictures are even.")
    looks = [side.apply(picture) if picture.image.mode in ("I", "F") else picture
        for side in (ranges["source"], ranges["target"])]  # fmt: skip
    halves = (crop_half(look, side) for look, side in zip(looks, ("left", "right")))
    return tuple({"bytes": _png(half), "path": f"{pair.name}.png"} for half in halves)


def _as_it_is(file: Path, side: SideRange) -> dict[str, Any]:
    picture = open_picture(file)  # what is damaged is not sent
    if file.suffix.lower() in _SHOWN:
        return {"bytes": file.read_bytes(), "path": file.name}
    return {"bytes": _png(side.apply(picture).to_pil()), "path": f"{file.stem}.png"}


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
