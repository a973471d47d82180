"""Build a dataset from two folders in one call: match, check, split, write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pix2pix.data.build import build
from pix2pix.data.open_inputs import open_inputs
from pix2pix.data.pair_table import read_table
from pix2pix.data.plan import make_plan
from pix2pix.data.recipe import Recipe
from pix2pix.data.records import Inputs, Origin
from pix2pix.data.report import DatasetReport
from pix2pix.errors import UserError
from pix2pix.utils.progress import Progress, ShouldStop


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
        derive, strips=strips, alpha=(source_alpha, target_alpha),
        classes=(source_classes, target_classes), pages=pages,
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
