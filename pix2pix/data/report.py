"""What `dataset.json` says: written of a dataset that is built, and read of any. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import PIL

from pix2pix.config import TrainConfig
from pix2pix.data.layout import find_splits
from pix2pix.data.ranges import EIGHT_BITS, SideRange, parse_range
from pix2pix.data.reading import class_colours
from pix2pix.data.records import (
    SIDES,
    SPLITS,
    Inputs,
    PaletteColour,
    Plan,
    PlannedPair,
    Recipe,
    Refusal,
)
from pix2pix.data.report_types import (
    DatasetInputs,
    DatasetRecipe,
    DatasetReport,
    Doubt,
    Numbers,
    Refused,
)
from pix2pix.errors import UserError
from pix2pix.model_config import Direction, ModelConfig
from pix2pix.utils.files import write_json
from pix2pix.utils.text import printable

DATASET_JSON = "dataset.json"
HINTED = "lines+colours"  # the derivation of ``derive`` that makes them
READING = ("derive", "strips", "alpha", "classes", "pages")  # how the files of `Inputs` are read
_MAX_JSON_BYTES = 200_000_000  # bytes of a dataset.json that are read


# ----------------------------------------------------------------------------------------- written


def describe_build(
    plan: Plan,
    recipe: Recipe,
    ranges: dict[str, SideRange],
    label_maps: tuple[bool, bool],
    pairs: Sequence[PlannedPair],
    left_out: dict[tuple[str, str], Refusal],
) -> DatasetReport:
    """Return all that `dataset.json` says of these `pairs` of a plan before any pixel is made;
    `left_out` are the doubts by the source and target that the recipe leaves out for them."""
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
            if (d.file, d.target) not in left_out and not _is_settled(d, plan, ranges)
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


def format_pairs(number: int) -> str:
    """Format a count: 1 pair, 138 pairs."""
    return f"{number:,} pair" if number == 1 else f"{number:,} pairs"


def format_splits(numbers: Mapping[str, int]) -> str:
    """Format splits: 110 train, 14 val, 14 test."""
    return ", ".join(f"{numbers.get(split, 0):,} {split}" for split in SPLITS)


def describe_doubts(doubts: Iterable[Refusal]) -> list[Doubt]:
    """Describe doubts for `dataset.json`, the command and the API: one for each kind and side, and
    the sentence of the first where several files have their own."""
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for doubt in doubts:
        groups.setdefault((doubt.kind, doubt.side), []).append(doubt)
    described: list[Doubt] = []
    for (kind, side), members in groups.items():
        first = members[0]
        files = dict.fromkeys(name for d in members for name in d.files or (d.file,))
        more = f", and {len(members) - 1} more like it" if len(members) > 1 else ""
        sentence = f"{first.file}: {first.reason}{more}."
        described.append({"kind": kind, "side": side, "files": [*files], "sentence": sentence})
    return described


def _describe_inputs(inputs: Inputs) -> DatasetInputs:
    target = str(inputs.target) if inputs.target else None
    described: dict[str, Any] = {"source": str(inputs.source), "target": target}
    described |= {key: getattr(inputs, key) for key in READING}
    if inputs.origin:  # what it refused is among the others
        keys = ("table", "columns", "subset", "limit", "every")
        described["origin"] = {key: getattr(inputs.origin, key) for key in keys}
    return cast(DatasetInputs, described)


def _class_palette(plan: Plan) -> list[PaletteColour]:
    """Return the palette of class numbers that are shown in colours, with their numbers."""
    looks = [look for pair in plan.pairs for look in (pair.source_look, pair.target_look)]
    numbers = sorted({number for look in looks for number in look.classes})
    colours = class_colours(np.array(numbers, np.int64))
    return [
        {"name": f"class {n}", "color": f"#{bytes(colour).hex()}", "number": n}
        for n, colour in zip(numbers, colours)
    ]


def side_words(inputs: Inputs) -> str:
    """Say where the sources and the targets are from, where names tell: of two folders in one the
    names alone decided it. Empty where one picture is made from the other."""
    a, b = map(printable, _side_names(inputs))
    nameless = ("A", "B") if inputs.kind == "dataset" else ("source", "target")
    if inputs.derive or inputs.source_kind or a == b or (a, b) == nameless:
        return ""
    return f"The sources are from {a}, the targets from {b}."


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
        "type": side.numbers, "channels": side.channels, "stored": side.stored, "kept": kept,
    }  # fmt: skip


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


def describe_import(
    folder: Path,
    written: dict[str, Any],
    title: str,
    counts: dict[str, int],
    refused: list[dict[str, str]],
) -> None:
    """Write the `dataset.json` of a dataset that was brought here: what its author wrote, with the
    counts and refusals that hold now."""
    known = {"format_version": 1, "title": title, "source_name": "A", "target_name": "B"}
    known |= {"rule": "as found"}
    before = written.get("refused")
    here = {
        "counts": {"pairs": sum(counts.values()), **dict.fromkeys(SPLITS, 0), **counts},
        "refused": [*(before if isinstance(before, list) else []), *refused],
    }
    try:
        write_json(folder / DATASET_JSON, {**known, **written, **here})
    except (RecursionError, UnicodeError):  # what can be read cannot always be written
        write_json(folder / DATASET_JSON, {**known, **here, "refused": refused})


# -------------------------------------------------------------------------------------------- read


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset says of itself that others go by; where its `dataset.json` is missing or
    damaged, or says something else, it is what holds of a folder that says nothing.

    `is_built` says that pictures were made into it here, `is_made_here` that its A|B pictures were
    put together by this program in any way, `is_scaled` that most are at another scale than their
    originals. `label_maps` says of A and B whether they are such, None where nothing does,
    `label_names` how the colours "#rrggbb" are called. `ranges` of "source" and "target" are None
    where it states none; `sample_seed` is that of the sample dataset.
    """

    title: str = ""
    source_name: str = "A"
    target_name: str = "B"
    source_kind: str = ""
    license: Any = None
    is_built: bool = False
    is_made_here: bool = False
    is_scaled: bool = False
    has_hints: bool = False  # the sources are drawings with strokes of the targets' colours
    label_maps: tuple[Any, Any] | None = None
    label_names: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, SideRange] | None = None
    sample_seed: int | None = None

    def direction_of(self, model: ModelConfig) -> Direction:
        """Find the direction in which the dataset has a model's source and target: by their names
        where these are the dataset's too, "sketches" for "sketch" among them, else the one that the
        model was trained in."""
        sides = [name.strip().casefold() for name in (self.source_name, self.target_name)]
        names = [name.strip().casefold() for name in (model.source_name, model.target_name)]
        is_same, is_turned = (
            all(a and b and (a.startswith(b) or b.startswith(a)) for a, b in zip(names, order))
            for order in (sides, sides[::-1])
        )
        if is_same == is_turned:
            return model.direction
        return "AtoB" if is_same else "BtoA"

    def label_sides(self, config: TrainConfig) -> tuple[bool, bool]:
        """Return whether source and target of a run are label maps, whose colours must not mix: the
        source where the configuration says so, either where the dataset does."""
        declared = [side is True for side in self.label_maps or (False, False)]
        source, target = declared[::-1] if config.direction == "BtoA" else declared
        if config.derive == "grey":
            source = target = False
        return source or config.source_kind == "labels", target


def read_facts(folder: Path) -> DatasetFacts:
    """Read what a dataset says of itself."""
    said = read_dataset_json(folder)
    maps, seed = typed(said, "label_maps", list), typed(said, "drawn", dict).get("seed")
    labels = [label for label in typed(said, "palette", list) if isinstance(label, dict)]
    has_ranges = "recipe" in said or isinstance(said.get("ranges"), dict)
    return DatasetFacts(
        title=_text(said, "title", ""),
        source_name=_text(said, "source_name", "A"),
        target_name=_text(said, "target_name", "B"),
        source_kind=typed(said, "source_kind", str),
        license=said.get("license"),
        is_built="recipe" in said,
        is_made_here=bool({"recipe", "drawn", "strips"} & said.keys()),
        is_scaled=said.get("scaled") is True,
        has_hints=typed(said, "inputs", dict).get("derive") == HINTED,
        label_maps=(maps[0], maps[1]) if len(maps) == 2 else None,
        label_names={
            str(label.get("color")).lower(): printable(label["name"])
            for label in labels
            if isinstance(label.get("name"), str)
        },
        ranges={side: _side_range(said, side) for side in SIDES} if has_ranges else None,
        sample_seed=seed if isinstance(seed, int) else None,
    )


def read_dataset_json(folder: Path) -> dict[str, Any]:
    """Read the object in `dataset.json`, empty where there is none. The values are whatever the
    file's author wrote."""
    try:
        if (folder / DATASET_JSON).stat().st_size > _MAX_JSON_BYTES:
            return {}
        said = json.loads((folder / DATASET_JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def typed(said: dict[str, Any], key: str, kind: type) -> Any:
    """Return the value of a key in others' JSON, empty where it is of another type."""
    value = said.get(key)
    return value if isinstance(value, kind) else kind()


def _side_range(said: dict[str, Any], side: str) -> SideRange:
    about = typed(typed(said, "numbers", dict), side, dict)
    try:
        ends = parse_range(typed(said, "ranges", dict).get(side))
    except UserError:
        ends = ""
    low, high = ends if isinstance(ends, tuple) else EIGHT_BITS
    channels, stored = about.get("channels"), "recipe" in said and about.get("kept") is not True
    return SideRange(
        low, high, typed(about, "type", str) or "uint8", channels if channels in (1, 3) else 3,
        (low, high), stored=stored,
    )  # fmt: skip


def _text(said: dict[str, Any], key: str, default: str) -> str:
    text = typed(said, key, str).strip()
    return printable(text) if text else default
