"""Build a dataset again, byte for byte, from its `dataset.json` and the same originals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pix2pix.data.build import PAIR_FIELDS, Preparation, check_output, write_dataset
from pix2pix.data.open_inputs import open_inputs
from pix2pix.data.ranges import SideRange, plain_ranges
from pix2pix.data.records import SIDES, SPLITS, Inputs, Origin, Pair, Recipe
from pix2pix.data.report import READING
from pix2pix.data.report_types import DatasetReport
from pix2pix.errors import UserError
from pix2pix.utils.progress import Progress, ShouldStop


def rebuild(
    dataset: Path,
    out: Path,
    source: Path | None = None,
    target: Path | None = None,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Build the dataset that a `dataset.json` describes, byte for byte, from the same originals.

    `source` and `target` say where the originals are now, if they have moved, or the video, table
    or GeoTIFFs that they came from. Raises UserError where one is missing or has changed, or where
    the file is no such description.
    """
    try:
        report = json.loads(dataset.read_text(encoding="utf-8"))
        pairs = [Pair(**_fields(built, PAIR_FIELDS)) for built in report.pop("pairs")]
        report.pop("counts")
        inputs = _inputs_from_json(report["inputs"])
        recipe = Recipe(**_fields(report["recipe"], report["recipe"]))
        report["recipe"] = asdict(recipe)
        label_maps, ranges = tuple(report["label_maps"]), _ranges_from_json(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{dataset.name} does not describe a dataset that was built here: choose another."
        ) from error
    if not all(pair.split in SPLITS and _is_inside(pair) for pair in pairs):
        raise UserError(f"{dataset.name} names files outside its folders: do not use it.")
    packed = source and inputs.origin and not (target and target.is_dir())
    old_target = None if packed else inputs.target
    inputs = replace(inputs, source=source or inputs.source, target=target or old_target)
    check_output(out, inputs)
    options = {"should_stop": should_stop, "on_progress": on_progress}
    near = out.absolute().parent
    with open_inputs(inputs, recipe, near, **options) if packed else nullcontext(inputs) as found:
        sides = {"source": found.source, "target": found.target}
        report["inputs"] |= {side: folder and str(folder) for side, folder in sides.items()}
        ready = Preparation(found, recipe, ranges, label_maps, pairs, report)
        return write_dataset(ready, out, should_stop, on_progress, strict=True)


def _inputs_from_json(said: dict[str, Any]) -> Inputs:
    """Read inputs back, without the names that were matched. Raises KeyError and TypeError."""
    folders = Path(said["source"]), Path(said["target"]) if said["target"] else None
    origin = said.get("origin")
    return Inputs(
        *folders, origin=Origin(**_fields(origin, origin)) if origin else None,
        **_fields(said, [key for key in READING if key in said]),
    )  # fmt: skip


def _ranges_from_json(report: DatasetReport) -> dict[str, SideRange]:
    """Read the ranges that a report says its pictures were made by; those of 8 bits where an old
    one says none."""
    if "ranges" not in report:
        return plain_ranges()
    sides = ((side, report["ranges"][side], report["numbers"][side]) for side in SIDES)
    return {
        side: SideRange(low, high, about["type"], about["channels"], stored=about["stored"])
        for side, (low, high), about in sides
    }


def _fields(values: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return fields of a record as JSON has them, lists as tuples. Raises KeyError."""
    found = ((key, values[key]) for key in keys)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found}


def _is_inside(pair: Pair) -> bool:
    """Return whether a pair read from a file stays inside its folders."""
    names = (pair.source, pair.target)
    inside = all(not Path(n).is_absolute() and ".." not in Path(n).parts for n in names)
    return inside and re.fullmatch(r"[\w.-]{1,140}", pair.name) is not None
