"""Find one range of numbers for each side of a dataset: what is black and white in all its files.

Files of 8 bits go from 0 to 255. Of deeper files, floats and signed numbers the range goes from the
least to the greatest number of all, without those that stand for no value; between the percentiles
0.1 and 99.9; or from where to where a person says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pix2pix.data.dataset import PairFile, find_pairs, read_dataset_json
from pix2pix.data.reading import FAR, GAP, MANY, limit_big_pictures, measure_values, parallel
from pix2pix.data.recipe import parse_range
from pix2pix.data.records import (
    BINS,
    EIGHT_BITS,
    PERCENTILES,
    POINTS,
    SIDES,
    SPLITS,
    FileValues,
    Inputs,
    PlannedPair,
    RangeChoice,
    Refusal,
    SideRange,
    plain_ranges,
    with_span,
)
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import cut_strip
from pix2pix.imaging.decode import open_picture
from pix2pix.utils.progress import ShouldStop

SAMPLED_PAIRS = 4  # of a split, whose bits are those of all
OTHER_UNIT = 20.0  # spans of most files between them and a file of millimetres, say, not metres
_Doubt = tuple[str, list[str], str, tuple[str, ...]]  # kind, files, reason, ranges that settle it
_USUAL = {-9999.0, -99999.0, -32768.0, -32767.0, 32767.0, 65535.0, -1e20, 1e20}  # for no value


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
        names = [getattr(pair, side) for pair in pairs]
        looks = [getattr(pair, f"{side}_look") for pair in pairs]
        values = [look.values for look in looks]
        channels = [3 if look.channels >= 3 else 1 for look in looks]
        commonest = max(sorted(set(channels)), key=channels.count, default=3)
        found = made_here[side] if made_here else find_range(values, commonest)
        chosen = found.chosen(choices[side])
        drawn = SideRange(0.0, 65535.0, "uint16") if chosen.stored else chosen
        smalls = [seen_small(look.small, look.values, drawn) for look in looks]
        ranges[side] = replace(chosen, histogram=count_levels(smalls))
        pairs = [
            replace(pair, **{f"{side}_look": replace(look, small=small)})
            for pair, look, small in zip(pairs, looks, smalls)
        ]
        for kind, files, reason, ends in range_doubts(names, values, chosen, choices[side]):
            fixes = tuple(f"{side}-range={choice}" for choice in ends)
            doubts.append(Refusal(files[0], side, kind, reason, tuple(files), fixes))
    return pairs, ranges, doubts


def find_range(files: Sequence[FileValues | None], channels: int) -> SideRange:
    """Find the range of a side from the numbers of its files, None for those of 8 bits, whose
    commonest number of `channels` is that of a side without others."""
    deep = [values for values in files if values and values.count]
    if not deep:
        return SideRange(channels=channels)
    types = [values.numbers for values in deep]
    numbers = max(sorted(set(types)), key=types.count)
    found = min(v.low for v in deep), max(v.high for v in deep)
    points = np.concatenate([v.quantiles for v in deep])
    weights = np.concatenate([np.gradient(POINTS) * v.count for v in deep])
    order = points.argsort()
    shares = np.cumsum(weights[order]) / weights.sum()
    robust = tuple(
        float(points[order][min(np.searchsorted(shares, share), len(order) - 1)])
        for share in (0.001, 0.999)
    )
    low, high = with_span(found)
    counts = [v.channels for v in deep]
    return SideRange(
        low, high, numbers, max(set(counts), key=counts.count), found, with_span(robust)
    )


def seen_small(small: np.ndarray, values: FileValues | None, side: SideRange) -> np.ndarray:
    """Return the small picture of a file, of a deep one drawn over its core, as the range shows
    it."""
    if side.is_plain or (side.numbers != "uint8" if values is None else not values.count):
        return small
    low, high = with_span(values.core) if values else EIGHT_BITS
    numbers = low + small.astype(np.float64) / 255.0 * (high - low)
    unit = (numbers - side.low) / ((side.high - side.low) or 1.0)
    return np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)


def count_levels(smalls: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Count the pixels of some small pictures in 32 steps from black to white."""
    counts = np.zeros(BINS, np.int64)
    for small in smalls[:: max(1, len(smalls) // 256)]:
        counts += np.bincount((small.reshape(-1) >> 3).astype(np.int64), minlength=BINS)
    return tuple(counts.tolist())


def range_doubts(
    names: Sequence[str], files: Sequence[FileValues | None], side: SideRange, choice: RangeChoice
) -> list[_Doubt]:
    """Say what is doubtful about the numbers of a side."""
    known = [(name, v) for name, v in zip(names, files) if v and v.count]
    if not known or side.stored:
        return []
    doubts: list[_Doubt] = []
    shallow = [name for name, v in zip(names, files) if v is None]
    types = sorted({v.numbers for _, v in known} | ({"uint8"} if shallow else set()))
    if len(types) > 1:
        reason = f"the side mixes numbers of {' and '.join(types)}, which may mean different things"
        doubts.append(("narrow-range", shallow or [known[0][0]], reason, ()))
    scales = sorted({v.scale or "none" for _, v in known})
    if len(scales) > 1:
        files = [name for name, v in known if (v.scale or "none") != scales[0]]
        reason = f"by their metadata the files have several scales, {' and '.join(scales[:3])}"
        more = (
            "so their numbers mean different things: apply the scales, with gdal_translate -unscale"
        )
        doubts.append(("narrow-range", files, f"{reason}, {more}", ()))
    if choice:
        return doubts + _outside_doubt(known, side)
    core = min(v.core[0] for _, v in known), max(v.core[1] for _, v in known)
    span = (core[1] - core[0]) or 1.0
    for extreme in sorted({number for _, v in known for number in v.apart}):
        having = {name: v.apart[extreme] for name, v in known if extreme in v.apart}
        many = max(having.values()) >= MANY
        if not max(core[0] - extreme, extreme - core[1]) > (GAP if many else FAR) * span:
            continue  # other files reach that far
        nodata = many or extreme in _USUAL
        what = "seems to stand for no value" if nodata else "is far from all else"
        reason = (
            f"{len(having)} of {len(known)} files hold {extreme:g}, which {what}; the rest goes "
            f"from {_span_text(core)}: {_way_out(side, core)}"
        )
        kind = "nodata" if nodata else "outlier"
        doubts.append((kind, [*having], reason, (_ends(core), PERCENTILES)))
    return doubts + _far_doubt(known, side)


def _far_doubt(known: Sequence[tuple[str, FileValues]], side: SideRange) -> list[_Doubt]:
    """Doubt files whose numbers are far from nearly all, or from those of most files."""
    cores = np.array([v.core for _, v in known])
    ways = (
        (side.robust, FAR, f"99.8 % of all are: {_way_out(side)}"),
        (tuple(np.median(cores, axis=0)), OTHER_UNIT, "most files are: are they of another unit?"),
    )
    for usual, times, where in ways:
        beyond = np.maximum(usual[0] - cores[:, 0], cores[:, 1] - usual[1])
        far = beyond > times * (usual[1] - usual[0])
        if usual[1] > usual[0] and far.any():
            files = [name for (name, _), is_far in zip(known, far) if is_far]
            reason = (
                f"{len(files)} of {len(known)} files hold numbers far from {_span_text(usual)}, "
                f"where {where}"
            )
            return [("outlier", files, reason, (_ends(usual), PERCENTILES))]
    return []


def _outside_doubt(known: Sequence[tuple[str, FileValues]], side: SideRange) -> list[_Doubt]:
    outside = [
        name for name, v in known
        if ((v.quantiles[2:-2] < side.low) | (v.quantiles[2:-2] > side.high)).mean() > 0.05
    ]  # fmt: skip
    if not outside:
        return []
    reason = (
        f"{len(outside)} of {len(known)} files lie partly outside {side.low:g} to {side.high:g}"
    )
    return [("outlier", outside, f"{reason}, and become plain black or white there", ())]


def _way_out(side: SideRange, core: tuple[float, float] | None = None) -> str:
    ends, robust = _ends(core or side.robust), _span_text(side.robust)
    return f"set the range to {ends} or to {PERCENTILES} ({robust})"


def _ends(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g},{ends[1]:g}"


def _span_text(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


# ------------------------------------------------------------------------------- of a dataset


def stored_ranges(folder: Path) -> dict[str, SideRange] | None:
    """Return what black and white mean in a dataset's pictures, which hold its ranges already: by
    the `dataset.json` of one that was built here; None for any other."""
    info = read_dataset_json(folder)
    return {side: _declared(info, side) for side in SIDES} if "recipe" in info else None


def _declared(info: dict[str, Any], side: str) -> SideRange:
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
        channels if channels in (1, 3) else 3, (low, high),
        stored="recipe" in info and kind.get("kept") is not True,
    )  # fmt: skip


def folder_ranges(
    folder: Path, photos: bool = False, *, should_stop: ShouldStop = lambda: False
) -> dict[str, SideRange]:
    """Return the ranges of A ("source") and B ("target") of a dataset: what its `dataset.json`
    says, else what is found over all its files where some of them have more than 8 bits; `photos`
    are one picture a file, no strips."""
    info = read_dataset_json(folder)
    if "recipe" in info or isinstance(info.get("ranges"), dict):
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
