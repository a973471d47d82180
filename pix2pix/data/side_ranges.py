"""Give the pairs of a plan, and the folders that training reads, one range of numbers a side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pix2pix.data.dataset import PairFile, find_pairs, read_dataset_json
from pix2pix.data.ranges import (
    FileValues,
    RangeChoice,
    SideRange,
    count_levels,
    find_range,
    measure_values,
    parse_range,
    range_doubts,
    seen_small,
)
from pix2pix.data.reading import limit_big_pictures, parallel
from pix2pix.data.records import SPLITS, Inputs, PlannedPair, Refusal, plain_ranges
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import cut_strip
from pix2pix.imaging.decode import open_picture
from pix2pix.utils.progress import ShouldStop

SIDES = ("source", "target")
SAMPLED_PAIRS = 4  # of a split, whose bits are those of all


def with_ranges(
    inputs: Inputs, pairs: list[PlannedPair], choices: dict[str, RangeChoice]
) -> tuple[list[PlannedPair], dict[str, SideRange], list[Refusal]]:
    """Find the range of either side and draw the small pictures by it; returns the pairs, the
    ranges and what is doubtful about the numbers."""
    ranges, doubts = plain_ranges(), []
    made_here = inputs.kind == "dataset" and stored_ranges(inputs.source)
    for side in SIDES:
        if inputs.derive and side == "source":
            continue  # it is made from the target, in 8 bits
        looks = [getattr(pair, f"{side}_look") for pair in pairs]
        known = made_here[side] if made_here else None
        found = known or find_range([look.values for look in looks], _commonest_channels(looks))
        chosen = found.chosen(choices[side])
        drawn = SideRange(0.0, 65535.0, "uint16") if chosen.stored else chosen
        smalls = [seen_small(look.small, look.values, drawn) for look in looks]
        ranges[side] = replace(chosen, histogram=count_levels(smalls))
        pairs = [
            replace(pair, **{f"{side}_look": replace(look, small=small)})
            for pair, look, small in zip(pairs, looks, smalls)
        ]
        names = [getattr(pair, side) for pair in pairs]
        values = [look.values for look in looks]
        for kind, files, reason in range_doubts(names, values, chosen, choices[side]):
            doubts.append(Refusal(files[0], side, kind, reason))
    return pairs, ranges, doubts


def _commonest_channels(looks: Sequence[Any]) -> int:
    counts = [3 if look.channels >= 3 else 1 for look in looks]
    return max(set(counts), key=counts.count) if counts else 3


def stored_ranges(folder: Path) -> dict[str, SideRange] | None:
    """Return what black and white mean in a dataset's pictures, which hold its ranges already: by
    the `dataset.json` of one that was built here; None for any other."""
    info = read_dataset_json(folder)
    if "recipe" not in info:
        return None
    return {side: _declared(info, side, built_here=True) for side in SIDES}


def _declared(info: dict[str, Any], side: str, built_here: bool = False) -> SideRange:
    """Read one side of "ranges" and "numbers", whatever the file's author wrote."""
    ranges, numbers = info.get("ranges"), info.get("numbers")
    kind = numbers.get(side) if isinstance(numbers, dict) else None
    kind = kind if isinstance(kind, dict) else {}
    try:
        ends = parse_range(ranges.get(side) if isinstance(ranges, dict) else "")
    except UserError:
        ends = ""
    low, high = ends if isinstance(ends, tuple) else (0.0, 255.0)
    type_name, channels = kind.get("type"), kind.get("channels")
    return SideRange(
        low, high, type_name if isinstance(type_name, str) else "uint8",
        channels if channels in (1, 3) else 3, stored=built_here and kind.get("kept") is not True,
    )  # fmt: skip


def folder_ranges(
    folder: Path, photos: bool = False, *, should_stop: ShouldStop = lambda: False
) -> dict[str, SideRange]:
    """Return the ranges of A ("source") and B ("target") of a dataset: what its `dataset.json`
    says, else what is found over all its files where some of them have more than 8 bits; `photos`
    are one picture a file, no strips."""
    known = stored_ranges(folder)
    if known:
        return known
    info = read_dataset_json(folder)
    if isinstance(info.get("ranges"), dict):
        return {side: _declared(info, side) for side in SIDES}
    pairs = [pair for split in SPLITS for pair in find_pairs(folder, split)]
    some = pairs[:: max(1, len(pairs) // SAMPLED_PAIRS)][:SAMPLED_PAIRS]
    ranges = plain_ranges()
    for number, side in enumerate(SIDES):
        measure = partial(_measure, number, photos)
        if any(map(measure, some)):
            work = parallel(measure, pairs, should_stop)
            ranges[side] = find_range([values for _, values in work], 3)
    return ranges


def _measure(number: int, photos: bool, pair: PairFile) -> FileValues | None:
    """Measure A (0) or B (1) of a pair, or all of a photo."""
    file = pair.b if pair.b and number else pair.a
    try:
        with limit_big_pictures(file):
            picture = open_picture(file)
            if pair.b is None and picture.is_deep and not photos:
                picture = cut_strip(picture, "halves", file.name)[number]
            return measure_values(picture)
    except UserError:
        return None  # who reads the pair says why
