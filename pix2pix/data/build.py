"""Build a dataset: A|B pictures in train, val and test, and `dataset.json`.

The folder appears under its name when it is complete, and not before. `dataset.json` names every
original with its digest and every option, so that `rebuild` makes the same bytes from them again.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from PIL import Image

from pix2pix.data.compose import compose_ab, open_pair_job
from pix2pix.data.csv_pairs import read_table
from pix2pix.data.layout import split_name
from pix2pix.data.open_inputs import open_inputs
from pix2pix.data.plan import make_plan
from pix2pix.data.ranges import SideRange
from pix2pix.data.reading import limit_big_pictures, page_file, parallel, reading_options
from pix2pix.data.records import (
    DEFAULT_SHARES,
    FORMATS,
    SIDES,
    SPLITS,
    Inputs,
    Origin,
    Pair,
    Plan,
    PlannedPair,
    Recipe,
)
from pix2pix.data.report import DATASET_JSON, describe_build
from pix2pix.data.report_types import (
    BuiltFile,
    BuiltPair,
    Counts,
    DatasetReport,
    Refused,
)
from pix2pix.data.split import assign_splits
from pix2pix.errors import UserError
from pix2pix.utils.files import atomic_folder, write_json
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import plain_stem

NOTHING_LEFT = (
    "No pair is left to build: look at what was refused, choose another rule for the names, or "
    "give a CSV of pairs."
)
# What `dataset.json` says of a pair, beside the files that were made of it.
PAIR_FIELDS = ("name", "split", "source", "target", "digests", "half", "score")


def build_dataset(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    match: str = "auto",
    table: str | os.PathLike[str] | None = None,
    derive: str = "",
    columns: Sequence[str] = (),
    limit: int = 0,
    subset: str = "",
    every: int = 0,
    size: int = 256,
    fit: str = "stretch",
    split: tuple[float, float, float] | None = None,
    seed: int = 0,
    together: str = "",
    labels: str = "auto",
    format: str = "png",
    quality: int = 95,
    keep: bool = False,
    leave_out: Sequence[str] = (),
    source_name: str = "",
    target_name: str = "",
    source_range: str | tuple[float, float] = "",
    target_range: str | tuple[float, float] = "",
    strips: str = "halves",
    source_alpha: str = "white",
    target_alpha: str = "white",
    source_classes: str = "",
    target_classes: str = "",
    pages: str = "first",
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Build the dataset `out`, A|B pictures of `size` pixels a side, from folders or a table.

    `match` is the rule that pairs the names: auto, stem, affix, name, order, or csv with a `table`
    of columns source and target. With no `target` and `derive`, such as "grey", the sources are
    made from the pictures of `source`, or of a video from every so many of its frames (`every` 0:
    two a second), without those that look like the one before. With neither, `source` is a dataset,
    holds two folders, or is a table of pictures: a Parquet file or a folder of them, a folder that
    `datasets` saved, or a WebDataset tar; its `columns` are source and target, told by their names
    unless given, `limit` is the most pairs of each split, 0 for all, and `subset` the folder of one
    of several. Two GeoTIFFs of one place are cut into pairs. `strips` to `pages` say how files are
    read (see `Inputs`), the other options are those of `Recipe`. `on_progress` hears files that are
    read, then pairs that are made: (done, total).

    Returns what `dataset.json` says: counts by split, the rule, every pair, what was refused and
    what is doubtful, each with its reason. Raises UserError where a folder holds no pictures,
    nothing matches, `out` is taken or the disk is full, and Cancelled; then there is no `out`.
    """
    if target is not None and derive:
        raise UserError("Sources are either derived or in a folder: give target or derive.")
    given = Inputs(
        Path(source), Path(target) if target is not None else None,
        "csv" if table and match == "auto" else match, read_table(Path(table) if table else None),
        derive, **reading_options([
            f"strips={strips}", f"pages={pages}",
            f"source-alpha={source_alpha}", f"target-alpha={target_alpha}",
            f"source-classes={source_classes}", f"target-classes={target_classes}",
        ]),
        origin=Origin("", tuple(columns), subset, limit, every=every),
    )  # fmt: skip
    recipe = Recipe(
        size=size, fit=fit, format=format, quality=quality, keep=keep, split=split, seed=seed,
        together=together, labels=labels, leave_out=tuple(leave_out), source_name=source_name,
        target_name=target_name, source_range=source_range, target_range=target_range,
    )  # fmt: skip
    options: dict[str, Any] = {"should_stop": should_stop, "on_progress": on_progress}
    with open_inputs(given, recipe, Path(out).absolute().parent, **options) as inputs:
        plan = make_plan(
            inputs, source_range=recipe.source_range, target_range=recipe.target_range, **options
        )
        return build(plan, recipe, Path(out), **options)


@dataclass(frozen=True)
class Preparation:
    """A dataset before any pixel is made: where its pairs come from and how they are made, the
    `pairs` with their names and splits, and what `dataset.json` says so far."""

    inputs: Inputs
    recipe: Recipe
    ranges: dict[str, SideRange]  # of "source" and "target"
    label_maps: tuple[bool, bool]
    pairs: list[Pair]
    report: DatasetReport


def build(
    plan: Plan,
    recipe: Recipe,
    out: Path,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Make the dataset `out` and return what its `dataset.json` says. `on_progress` hears pairs.

    Raises UserError where `out` is taken, nothing is left to build or the disk is full, and
    Cancelled when told to stop: then there is no `out`, as after any other failure.
    """
    check_output(out, plan.inputs)
    return write_dataset(prepare_build(plan, recipe), out, should_stop, on_progress)


def prepare_build(plan: Plan, recipe: Recipe) -> Preparation:
    """Settle all that can be settled before any pixel is made. Raises UserError where no pair is
    left, or JPEG would blur label maps."""
    left_out = {(d.file, d.target): d for d in plan.doubts if d.kind in recipe.leave_out}
    pairs = [p for p in plan.pairs if (p.source, p.target) not in left_out]
    if not pairs:
        raise UserError(NOTHING_LEFT)
    choices = zip(SIDES, (recipe.source_range, recipe.target_range))
    ranges = {side: plan.ranges[side].chosen(choice) for side, choice in choices}
    recipe = replace(recipe, together=recipe.together or plan.inputs.together)
    label_maps = plan.label_maps
    if recipe.labels != "auto":
        label_maps = (recipe.labels in ("source", "both"), recipe.labels in ("target", "both"))
    if recipe.format == "jpg" and any(label_maps):
        side = "sources" if label_maps[0] else "targets"
        raise UserError(f"The {side} are label maps, whose colours JPEG would blur: choose PNG.")
    splits, warnings = assign_splits(
        pairs, recipe.split, DEFAULT_SHARES, recipe.seed, recipe.together
    )
    named = _name_pairs(pairs, splits, plan.inputs.kind == "dataset")
    report = describe_build(plan, recipe, ranges, label_maps, pairs, left_out)
    report["warnings"] = warnings + report["warnings"]
    return Preparation(plan.inputs, recipe, ranges, label_maps, named, report)


def check_output(out: Path, inputs: Inputs) -> None:
    """Raise UserError unless the dataset can be made there without touching an original."""
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()  # made for this
    if out.exists():
        raise UserError(f"'{out.name}' is there already: choose another name, or delete it first.")
    for folder in map(inputs.folder, SIDES):
        a, b = folder.resolve(), out.resolve()
        if a == b or a in b.parents or b in a.parents:
            raise UserError("The dataset must lie outside the folders it is made from.")


def write_dataset(
    ready: Preparation,
    out: Path,
    should_stop: ShouldStop,
    on_progress: Progress,
    strict: bool = False,
) -> DatasetReport:
    """Make all pairs in a folder beside `out`, then give it its name; a pair that cannot be made
    is refused, or with `strict` ends it all."""
    built: list[BuiltPair] = []
    report: DatasetReport = {**ready.report, "refused": list(ready.report["refused"])}
    with atomic_folder(out) as folder:
        for split in SPLITS:
            (folder / split).mkdir()
        make = partial(_make_pair, ready, folder)
        for pair, made in parallel(make, ready.pairs, should_stop, on_progress):
            if not isinstance(made, UserError):
                built.append(made)
            elif strict:
                raise made
            else:
                reason = str(made).rstrip(".")
                refused = Refused(file=pair.source, side="pair", kind="unfit", reason=reason)
                report["refused"].append(refused)
        if not built:
            last = report["refused"][-1]
            raise UserError(f"No pair could be made: {last['file']}: {last['reason']}.")
        counts = {s: sum(len(p["files"]) for p in built if p["split"] == s) for s in SPLITS}
        report["counts"] = cast(Counts, {"pairs": sum(counts.values()), **counts})
        report["pairs"] = built
        write_json(folder / DATASET_JSON, report)
    return report


def _make_pair(ready: Preparation, folder: Path, pair: Pair) -> BuiltPair | UserError:
    """Make and save one pair; returns the reason where it cannot be made."""
    inputs = ready.inputs
    names = ((inputs.folder(side), getattr(pair, side)) for side in SIDES)
    try:
        with limit_big_pictures(*(at / page_file(n, inputs.pages)[0] for at, n in names)):
            pictures = open_pair_job(inputs, pair, ready.ranges)
            strips = compose_ab(*pictures, ready.recipe, ready.label_maps, inputs.derive, pair.name)
            files = _save_pair(strips, folder, pair, ready.recipe)
    except UserError as error:
        return error
    return cast(BuiltPair, {**{key: getattr(pair, key) for key in PAIR_FIELDS}, "files": files})


def _save_pair(
    made: Iterator[tuple[str, Image.Image]], folder: Path, pair: Pair, recipe: Recipe
) -> list[BuiltFile]:
    """Write the pictures of one pair: their names in the dataset and the digests of their bytes."""
    files: list[BuiltFile] = []
    for suffix, strip in made:
        name = f"{pair.split}/{pair.name}{suffix}{FORMATS[recipe.format]}"
        # Straight to a file, not to memory: only then does Pillow encode JPEG in parallel.
        if recipe.format == "jpg":
            picture = strip if strip.mode == "RGB" else strip.convert("RGB")
            picture.save(folder / name, quality=recipe.quality, subsampling="4:2:0")
        else:
            # Matching runs alone is three times as fast as looking for all repeats, and makes
            # photos up to a seventh larger and label maps no larger.
            strip.save(folder / name, compress_type=zlib.Z_RLE)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        files.append({"file": name, "sha256": digest})
    return files


def _name_pairs(pairs: Sequence[PlannedPair], splits: Sequence[str], by_file: bool) -> list[Pair]:
    """Name every pair after its source, `by_file` without any folders; no two names are alike,
    whatever their case."""
    used_names: dict[str, int] = {}
    named: list[Pair] = []
    for pair, split in zip(pairs, splits):
        stem = Path(pair.source).with_suffix("").as_posix()
        top, _, rest = stem.partition("/")
        name = rest if rest and split_name(top) else stem
        name = stem.rpartition("/")[2] if by_file else name
        name = plain_stem(name.replace("/", "_")) or "pair"
        number = used_names[name.casefold()] = used_names.get(name.casefold(), 0) + 1
        while number > 1 and f"{name}-{number}".casefold() in used_names:
            number += 1
        unique = name if number == 1 else f"{name}-{number}"
        used_names.setdefault(unique.casefold(), 1)
        digests = pair.source_look.digest, pair.target_look.digest
        named.append(replace(pair, split=split, name=unique, digests=digests))
    return named
