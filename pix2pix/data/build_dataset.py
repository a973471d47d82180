"""Build a dataset from two folders in one call: match, check, split, write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pix2pix.data.build import build
from pix2pix.data.plan import make_plan
from pix2pix.data.recipe import Recipe
from pix2pix.data.records import Inputs
from pix2pix.data.report import DatasetReport
from pix2pix.data.table_pairs import table_inputs
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
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Build the dataset `out`, A|B pictures of `size` pixels a side, from folders or a table.

    `match` is the rule that pairs the names: auto, stem, affix, name, order, or csv with a `table`
    of columns source and target. With no `target` and `derive`, such as "grey", the sources are
    made from the pictures of `source`. With neither, `source` is a dataset, or a table of pictures:
    a Parquet file or a folder of them, a folder that `datasets` saved, or a WebDataset tar; its
    `columns` are source and target, told by their names unless given, and `limit` is the most pairs
    of each split, 0 for all. The other options are those of `Recipe`. `on_progress` hears
    files that are read, then pairs that are made: (done, total).

    Returns what `dataset.json` says: counts by split, the rule, every pair, what was refused and
    what is doubtful, each with its reason. Raises UserError where a folder holds no pictures,
    nothing matches, `out` is taken or the disk is full, and Cancelled; then there is no `out`.
    """
    if target is not None and derive:
        raise UserError("Sources are either derived or in a folder: give target or derive.")
    text = _read_table(Path(table)) if table else ""
    rule = "csv" if table and match == "auto" else match
    recipe = Recipe(
        size=size, fit=fit, format=format, quality=quality, keep=keep, split=split, seed=seed,
        together=together, labels=labels, leave_out=tuple(leave_out), source_name=source_name,
        target_name=target_name,
    )  # fmt: skip
    options: dict[str, Any] = {"should_stop": should_stop, "on_progress": on_progress}
    inputs = Inputs(Path(source), Path(target) if target else None, rule, text, derive)
    if target is not None:
        return build(make_plan(inputs, **options), recipe, Path(out), **options)
    near, chosen = Path(out).absolute().parent, tuple(columns)
    taken = table_inputs(Path(source), near, chosen, limit=limit, derive=derive, **options)
    with taken as of_table:
        return build(make_plan(of_table or inputs, **options), recipe, Path(out), **options)


def _read_table(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file.name} cannot be read: save the CSV as UTF-8 text.") from error
