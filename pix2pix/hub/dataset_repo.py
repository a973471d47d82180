"""Write what a dataset repository on the Hub shows: a README, and tables of its pairs. No torch."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.data.dataset import PairFile, find_pairs, folder_ranges
from pix2pix.data.ranges import SideRange
from pix2pix.data.records import SIDES, SPLITS
from pix2pix.data.report import typed
from pix2pix.data.table_rows import import_pyarrow
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import crop_half
from pix2pix.imaging.decode import open_picture
from pix2pix.utils.progress import ShouldStop, each
from pix2pix.utils.text import escape_markdown, single_line, strip_folders

TABLE_FOLDER = "pairs"  # of a repository: beside train, val and test
HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}  # as the Hub names them
_GROUP = 50  # rows that are in memory at a time; the Hub's viewer reads one group for a page
_SHARD = 400 * 10**6  # bytes of pictures in a file
Ranges = dict[str, SideRange]
Row = dict[str, dict[str, Any]]  # source and target, each with its bytes and a name
FIT_TEXTS = {  # how pictures got to a square
    "stretch": "stretched",
    "pad": "padded with white",
    "crop": "cut from the middle",
    "tiles": "cut into tiles",
}
_SHOWN = (".png", ".jpg", ".jpeg", ".webp")  # what browsers show


# ------------------------------------------------------------------------------------------ README


def dataset_card(
    description: dict[str, Any], dataset_json: dict[str, Any], splits: Sequence[str] = ()
) -> str:
    """Write the README.md of a dataset repository: front matter for the Hub, then the pairs.

    `description` is what the person says, all of it optional: `name` (else the dataset's title),
    `about`, `license` (an identifier of the Hub's, else it is `other`), `repo_id`. `dataset_json`
    is what the file of that name holds, {} where there is none. Neither can bring markup or
    absolute paths into the card. `splits` are those that `write_tables` has written.
    """
    person, built = strip_folders(description), strip_folders(dataset_json)
    license_id = str(person.get("license") or "").lower()
    license_id = license_id if re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", license_id) else "other"
    title = person.get("name") or built.get("title") or "Pairs"
    front = {
        "pretty_name": single_line(title),
        "license": license_id,
        "task_categories": ["image-to-image"],
        "tags": ["pix2pix", "image-to-image", "paired"],
    }
    if splits:
        front["configs"] = [{"config_name": "pairs", "data_files": _data_files(splits)}]
    head = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    a, b = (escape_markdown(built.get(f"{end}_name")) or end for end in ("source", "target"))
    lines = [f"# {escape_markdown(title)}", "", escape_markdown(person.get("about")), ""]
    lines += [f"Pairs of pictures for image-to-image translation: {a} -> {b}. Every file holds one"]
    lines += [f"pair side by side, A ({a}) in the left half and B ({b}) in the right one.", ""]
    lines += [*_counts(built), *_facts(built), "", "## How to load it", ""]
    repo_id = single_line(person.get("repo_id"))
    name = f"`{repo_id}`" if re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id) else "this page's address"
    lines += [f"In Pix2Pix Studio, open the Dataset tab, choose the Hub and give {name}."]
    lines += ["Any other program: cut each picture in `train`, `val` and `test` in the middle."]
    if splits:
        lines += [f"The tables in `{TABLE_FOLDER}` hold the same pairs: `load_dataset(...)` gives"]
        lines += ["the columns `source` and `target`."]
    return re.sub(r"\n{3,}", "\n\n", f"---\n{head}\n---\n\n" + "\n".join(lines) + "\n")


def _data_files(splits: Sequence[str]) -> list[dict[str, str]]:
    names = [HUB_SPLITS[split] for split in splits]
    return [{"split": name, "path": f"{TABLE_FOLDER}/{name}-*.parquet"} for name in names]


def _counts(made: dict[str, Any]) -> Iterator[str]:
    if counts := typed(made, "counts", dict):
        yield from ("| split | pairs |", "|---|---|")
        rows = {
            ("all" if key == "pairs" else escape_markdown(key)): value
            for key, value in counts.items()
        }
        yield from (f"| {split} | {escape_markdown(count)} |" for split, count in rows.items())
        yield ""


def _facts(made: dict[str, Any]) -> Iterator[str]:
    recipe, inputs = typed(made, "recipe", dict), typed(made, "inputs", dict)
    if side := recipe.get("size"):
        fit = FIT_TEXTS.get(str(recipe.get("fit")), "scaled")
        side = escape_markdown(side)
        yield f"- Size of each half: {side} x {side} pixels, {fit}."
    elif recipe:
        yield "- Size: as the originals have it."
    if table := typed(inputs, "origin", dict).get("table"):
        yield f"- The pictures come from {escape_markdown(table)}: its terms hold for them too."
    if inputs.get("derive"):
        yield f"- The source is made from the target: {escape_markdown(inputs['derive'])}."
    elif made.get("rule"):
        explained = escape_markdown(made.get("explanation"))
        yield f"- Matched by the rule {escape_markdown(made['rule'])}" + (
            f": {explained}" if explained else "."
        )
    if shares := typed(recipe, "split", list):
        share_list = ", ".join(escape_markdown(share) for share in shares)
        seed, alike = escape_markdown(recipe.get("seed")), "pairs that look alike stay in one split"
        order = f"train, val, test; seed {seed}"
        yield f"- Split by chance into shares of {share_list} ({order}); {alike}."
    elif recipe:
        yield "- Split: as the originals say, else by chance 0.8, 0.1, 0.1 (train, val, test)."
    for key, words in (("refused", "Left out"), ("doubts", "Kept, with a doubt")):
        kinds = Counter(
            str(item.get("kind")) for item in typed(made, key, list) if isinstance(item, dict)
        )
        if kinds:
            listed = ", ".join(
                f"{count} {escape_markdown(kind)}" for kind, count in kinds.most_common()
            )
            yield f"- {words}: {listed}; `dataset.json` names them."


# ------------------------------------------------------------------------------------------ tables


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
        rows = (_sides(pair, ranges) for pair in each(find_pairs(folder, split), should_stop))
        groups = iter(lambda rows=rows: [*islice(rows, _GROUP)], [])
        for number, first in enumerate(groups):
            name = f"{TABLE_FOLDER}/{HUB_SPLITS[split]}-{number:05}.parquet"
            _write_shard(into / name, first, groups)
            files[name] = into / name
    return files


def _write_shard(file: Path, rows: list[Row], groups: Iterator[list[Row]]) -> None:
    """Write the rows, and more of the groups while there is room."""
    pyarrow, size = import_pyarrow(), 0
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {name: {"_type": "Image"} for name in ("source", "target")}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    schema = pyarrow.schema([("source", picture), ("target", picture)], metadata=about)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="NONE") as writer:
        while rows:  # pictures are packed already
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            size += sum(len(side["bytes"]) for row in rows for side in row.values())
            rows = next(groups, []) if size < _SHARD else []


def _sides(pair: PairFile, ranges: Ranges) -> Row:
    if pair.b is not None:
        files = zip(SIDES, (pair.a, pair.b))
        return {side: _as_it_is(file, ranges[side]) for side, file in files}
    picture = open_picture(pair.a)
    if picture.size[0] % 2:
        raise UserError(f"{pair.a.name} cannot be cut into two halves: A|B pictures are even.")
    row = {}
    for side, half in zip(SIDES, ("left", "right")):
        look = ranges[side].apply(picture) if picture.image.mode in ("I", "F") else picture
        row[side] = {"bytes": _png(crop_half(look, half)), "path": f"{pair.name}.png"}
    return row


def _as_it_is(file: Path, side: SideRange) -> dict[str, Any]:
    picture = open_picture(file)  # what is damaged is not sent
    if file.suffix.lower() in _SHOWN:
        return {"bytes": file.read_bytes(), "path": file.name}
    return {"bytes": _png(side.apply(picture).to_pil()), "path": f"{file.stem}.png"}


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
