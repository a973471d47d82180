"""Describe a dataset that is built, in `dataset.json`: its types, and what they say. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypedDict, cast

import numpy as np
import PIL

from pix2pix.data.layout import find_splits
from pix2pix.data.reading import class_colours
from pix2pix.data.recipe import Recipe
from pix2pix.data.records import (
    EIGHT_BITS,
    SIDES,
    Inputs,
    PaletteColour,
    Plan,
    PlannedPair,
    Refusal,
    SideRange,
)


class Counts(TypedDict):
    """Pairs of a dataset, all of them and by split."""

    pairs: int
    train: int
    val: int
    test: int


class Doubt(TypedDict):
    """A doubt for programs: `side` is source, target or pair, `files` are all it is about."""

    kind: str
    side: str
    files: list[str]
    sentence: str


class Refused(TypedDict, total=False):
    """A file or pair that was left out of a dataset, and why.

    `side` is source, target or pair; `kind` is one word, such as unreadable or misaligned.
    """

    file: str
    side: str
    kind: str
    reason: str


class BuiltFile(TypedDict):
    """An A|B picture of a dataset, named below its folder, with the digest of its bytes."""

    file: str
    sha256: str


class BuiltPair(TypedDict):
    """A pair of a dataset: where it came from, and the pictures that were made of it.

    `source` and `target` are names in the input folders, `digests` the SHA-256 of both files;
    `half` says that both are the two halves of one picture; `score` is how well their edges
    agree, 1 for equal ones.
    """

    name: str
    split: str
    source: str
    target: str
    digests: list[str]
    half: bool
    score: float
    files: list[BuiltFile]


class DatasetOrigin(TypedDict):
    """The table that pictures were taken from; `limit` is the most pairs of a split, 0 for all. Of
    a video, `every` so many frames were taken."""

    table: str
    columns: list[str] | tuple[str, ...]
    subset: str
    limit: int
    every: int


class DatasetInputs(TypedDict, total=False):
    """The folders that a dataset was made from; `derive` is how sources came from targets, the
    rest how the files were read: see `Inputs`. `origin` is there where they came from a table."""

    source: str
    target: str | None
    derive: str
    strips: str
    alpha: list[str]
    classes: list[str]
    pages: str
    origin: DatasetOrigin


class Numbers(TypedDict):
    """What the files of a side held: the commonest type, such as uint16 or float32, and channels.

    `stored` says that they held a range already, as the pictures of a dataset that was built here;
    `kept` that the A|B pictures hold the numbers themselves, which others show from black to white.
    """

    type: str
    channels: int
    stored: bool
    kept: bool


class DatasetRecipe(TypedDict, total=False):
    """How the pairs of a dataset were made: the fields of `Recipe`."""

    size: int
    fit: str
    format: str
    quality: int
    keep: bool
    split: list[float] | tuple[float, float, float] | None
    seed: int
    together: str
    labels: str
    leave_out: list[str] | tuple[str, ...]
    source_name: str
    target_name: str
    source_range: str | list[float] | tuple[float, float]
    target_range: str | list[float] | tuple[float, float]


class DatasetReport(TypedDict, total=False):
    """What `dataset.json` says of a dataset that was built here: the report of a build.

    `rule` is how names were matched, `label_maps` whether sources and targets are label maps,
    `others` the files that are no pictures of it, `palette` the colours of label maps that have
    names or numbers, `source_kind` what A is where a person drew it here, "drawing" or "labels",
    `scaled` whether most pictures are at another scale than their originals. `ranges` says which
    number of the originals is black and which is white on either side.
    """

    format_version: int
    source_name: str
    target_name: str
    rule: str
    explanation: str
    label_maps: list[bool]
    scaled: bool
    ranges: dict[str, list[float]]
    numbers: dict[str, Numbers]
    inputs: DatasetInputs
    recipe: DatasetRecipe
    made_with: dict[str, str]
    warnings: list[str]
    refused: list[Refused]
    doubts: list[Doubt]
    others: list[Refused]
    palette: list[PaletteColour]
    source_kind: str
    counts: Counts
    pairs: list[BuiltPair]


# ----------------------------------------------------------------------------------------- written


def describe_build(
    plan: Plan,
    recipe: Recipe,
    ranges: dict[str, SideRange],
    label_maps: tuple[bool, bool],
    pairs: Sequence[PlannedPair],
    left_out: dict[str, Refusal],
) -> DatasetReport:
    """Return all that `dataset.json` says of these `pairs` of a plan before any pixel is made;
    `left_out` are the doubts by file whose pairs the recipe leaves out."""
    a, b = _side_names(plan.inputs)
    report: DatasetReport = {
        "format_version": 1,
        "source_name": recipe.source_name or a,
        "target_name": recipe.target_name or b,
        "rule": plan.rule,
        "explanation": plan.explanation,
        "label_maps": list(label_maps),
        "scaled": bool(plan.inputs.source_kind) or _is_mostly_scaled(pairs, recipe),
        "ranges": {side: [r.low, r.high] for side, r in ranges.items()},
        "numbers": {side: _describe_numbers(r, ranges, recipe) for side, r in ranges.items()},
        "inputs": _describe_inputs(plan.inputs),
        "recipe": cast(DatasetRecipe, asdict(recipe)),
        "made_with": {"pillow": PIL.__version__, "numpy": np.__version__},
        "warnings": _keep_warning(ranges, recipe, plan.inputs),
        "refused": cast(list[Refused], [*map(asdict, (*plan.refused, *left_out.values()))]),
        "doubts": describe_doubts(
            d
            for d in plan.doubts
            if left_out.get(d.file) is not d and not _is_settled(d, plan, ranges)
        ),
        "others": [{"file": o.file, "side": o.side, "reason": o.reason} for o in plan.others],
    }  # fmt: skip
    if palette := [*plan.inputs.palette] or _class_palette(plan):
        report["palette"] = palette
    if plan.inputs.source_kind:
        report["source_kind"] = plan.inputs.source_kind
    return report


def summarise_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a report the command and the app's API answer: the counts, the rule, the
    ranges, and what was refused and is doubtful."""
    return {
        **report["counts"],
        "rule": report["rule"],
        "ranges": report.get("ranges") or {side: [*EIGHT_BITS] for side in SIDES},
        "refused": [{"file": r["file"], "reason": r["reason"]} for r in report["refused"]],
        "doubts": report["doubts"],
    }


def describe_doubts(doubts: Iterable[Refusal]) -> list[Doubt]:
    """Describe doubts for `dataset.json`, the command and the API: one for each kind and side, and
    the sentence of the first where several files have their own."""
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for doubt in doubts:
        groups.setdefault((doubt.kind, doubt.side), []).append(doubt)
    described = []
    for (kind, side), members in groups.items():
        first = members[0]
        files = dict.fromkeys(name for d in members for name in d.files or (d.file,))
        more = f", and {len(members) - 1} more like it" if len(members) > 1 else ""
        described.append(
            Doubt(
                kind=kind,
                side=side,
                files=[*files],
                sentence=f"{first.file}: {first.reason}{more}.",
            )
        )
    return described


def _describe_inputs(inputs: Inputs) -> DatasetInputs:
    described: DatasetInputs = {
        "source": str(inputs.source),
        "target": str(inputs.target) if inputs.target else None,
        "derive": inputs.derive,
        "strips": inputs.strips,
        "alpha": list(inputs.alpha),
        "classes": list(inputs.classes),
        "pages": inputs.pages,
    }
    if origin := inputs.origin:  # what it refused is among the others
        described["origin"] = {
            "table": origin.table,
            "columns": origin.columns,
            "subset": origin.subset,
            "limit": origin.limit,
            "every": origin.every,
        }
    return described


def _class_palette(plan: Plan) -> list[PaletteColour]:
    """Return the palette of class numbers that are shown in colours, with their numbers."""
    looks = [look for pair in plan.pairs for look in (pair.source_look, pair.target_look)]
    numbers = sorted({number for look in looks for number in look.classes})
    colours = class_colours(np.array(numbers, np.int64))
    return [
        {"name": f"class {n}", "color": f"#{bytes(colour).hex()}", "number": n}
        for n, colour in zip(numbers, colours)
    ]


def _side_names(inputs: Inputs) -> tuple[str, str]:
    """Name the two sides, where the recipe does not, by their folders."""
    if drawn := inputs.derive or inputs.source_kind:
        return drawn, "photo"
    if inputs.target:
        return inputs.source.name, inputs.target.name
    splits = find_splits(inputs.source)
    return next((place.names for place in splits.values() if place.b), ("A", "B"))


def _describe_numbers(side: SideRange, ranges: dict[str, SideRange], recipe: Recipe) -> Numbers:
    grey = recipe.format == "png" and all(r.channels == 1 for r in ranges.values())
    kept = recipe.keep and grey and side.numbers == "uint16" and not side.stored
    return {
        "type": side.numbers,
        "channels": side.channels,
        "stored": side.stored,
        "kept": kept,
    }


def _is_settled(doubt: Refusal, plan: Plan, ranges: dict[str, SideRange]) -> bool:
    """Return whether a doubt is about numbers whose range was chosen since."""
    before, now = plan.ranges.get(doubt.side), ranges.get(doubt.side)
    if before is None or now is None or (before.low, before.high) == (now.low, now.high):
        return False
    return doubt.kind in ("outlier", "nodata", "no-contrast", "narrow-range")


def _keep_warning(ranges: dict[str, SideRange], recipe: Recipe, inputs: Inputs) -> list[str]:
    """Say where more than 8 bits were to be kept and an A|B picture cannot: Pillow's PNG has 16
    bits in grey alone."""
    deep = [side for side, r in ranges.items() if r.numbers != "uint8" and not r.stored]
    if not recipe.keep or not deep or inputs.derive:
        return []
    if recipe.format != "jpg" and all(r.channels == 1 for r in ranges.values()):
        return []
    why = "JPEG has no more" if recipe.format == "jpg" else "an A|B picture with colour has no more"
    return [f"The {' and '.join(deep)} pictures are cut to 8 bits of their range: {why}."]


def _is_mostly_scaled(pairs: Sequence[PlannedPair], recipe: Recipe) -> bool:
    """Return whether most pictures of the dataset are at another scale than their originals."""
    if recipe.fit == "tiles" or not recipe.size:
        return False
    as_they_were = sum(pair.source_look.size == (recipe.size,) * 2 for pair in pairs)
    return 2 * as_they_were < len(pairs)
