"""Find one range of numbers for each side of a dataset: what is black and white in all its files.

Files of 8 bits go from 0 to 255. Of deeper files, floats and signed numbers the range goes from the
least to the greatest number of all, without those that stand for no value; between the percentiles
0.1 and 99.9; or from where to where a person says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pix2pix.errors import UserError
from pix2pix.imaging.picture import Picture

EIGHT_BITS = (0.0, 255.0)
BINS = 32  # of a side's histogram
PERCENTILES = "percentiles"  # the range that leaves a thousandth out at either end
RangeChoice = str | tuple[float, float]  # "" for what is found, PERCENTILES, or (low, high)
# Shares of a file's numbers that are less: where its `quantiles` lie.
POINTS = np.concatenate([[0.0, 0.001], np.linspace(0.01, 0.99, 49), [0.999, 1.0]])
# An extreme stands apart where it is so many spans of all else away, or, where so large a share of
# the pixels has it, such a share of the span and so many steps.
FAR, MANY, GAP, STEPS = 2.0, 0.001, 0.02, 8
_SAMPLE = 2**16  # numbers of a file whose order is looked at
OTHER_UNIT = 20.0  # spans of most files between them and a file of millimetres, say, not metres
_Doubt = tuple[str, list[str], str, tuple[str, ...]]  # kind, files, reason, ranges that settle it
_USUAL = {-9999.0, -99999.0, -32768.0, -32767.0, 32767.0, 65535.0, -1e20, 1e20}  # for no value


@dataclass(frozen=True)
class FileValues:
    """The numbers of one file of more than 8 bits.

    `low` and `high` are the least and the greatest, `quantiles` those at `POINTS` without the
    extremes that stand `apart`: {number: share of the pixels}. `distinct` counts whole numbers, and
    is 65 where there are more or others; `scale` is that of the picture. A file without any value
    has `count` 0.
    """

    numbers: str
    channels: int
    count: int
    low: float = 0.0
    high: float = 0.0
    quantiles: np.ndarray = field(default_factory=lambda: np.zeros(len(POINTS)), compare=False)
    apart: dict[float, float] = field(default_factory=dict, compare=False)
    distinct: int = 65
    scale: str = ""

    @property
    def core(self) -> tuple[float, float]:
        """Return the least and greatest number without the extremes that stand apart."""
        return float(self.quantiles[0]), float(self.quantiles[-1])


@dataclass(frozen=True)
class SideRange:
    """What is black and white in the files of one side, and how it was found.

    `found` is from the least to the greatest number, `robust` between the percentiles, `histogram`
    counts pixels from low to high; `numbers` and `channels` are those of most files. `stored` says
    that the pictures hold the range already, as those of a dataset that was built here.
    """

    low: float = 0.0
    high: float = 255.0
    numbers: str = "uint8"
    channels: int = 3
    found: tuple[float, float] = EIGHT_BITS
    robust: tuple[float, float] = EIGHT_BITS
    histogram: tuple[int, ...] = (0,) * BINS
    stored: bool = False

    @property
    def is_plain(self) -> bool:
        """Return whether it is that of all 8-bit pictures."""
        return self.numbers == "uint8" and (self.low, self.high) == EIGHT_BITS

    def chosen(self, choice: RangeChoice) -> SideRange:
        """Return the range that a person chose instead, or that was found."""
        if self.stored:
            return self
        low, high = self.robust if choice == PERCENTILES else choice or with_span(self.found)
        return replace(self, low=float(low), high=float(high))

    def apply(self, picture: Picture) -> Picture:
        """Put black and white where the range has them; 8-bit pictures on a deeper side stay."""
        if self.stored or self.is_plain or not (picture.is_deep or self.numbers == "uint8"):
            return picture
        return picture.with_range(self.low, self.high)


def with_span(ends: tuple[float, float]) -> tuple[float, float]:
    """Return two ends that are apart."""
    low, high = ends
    return (low, high) if high > low else (low, low + 1.0)


def plain_ranges() -> dict[str, SideRange]:
    """Return the ranges of two sides of 8-bit pictures."""
    return {"source": SideRange(), "target": SideRange()}


def parse_range(value: Any, what: str = "The range") -> RangeChoice:
    """Read a choice: nothing, "percentiles", or two numbers such as "0,4080"; UserError else."""
    if isinstance(value, str) and value.strip().casefold() in ("", "auto", PERCENTILES):
        return "" if value.strip().casefold() != PERCENTILES else PERCENTILES
    parts = value.split(",") if isinstance(value, str) else value or ()
    try:
        low, high = (float(part) for part in parts) if parts else ("", "")
    except (TypeError, ValueError, OverflowError):
        low, high = math.nan, math.nan
    if low == "":
        return ""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(
            f"{what} is two numbers, the smaller first, such as 0,4080, or {PERCENTILES}."
        )
    return low, high


# ----------------------------------------------------------------------------------------- numbers


def measure_values(picture: Picture) -> FileValues | None:
    """Measure the numbers of a picture; None for one of 8 bits."""
    if not picture.is_deep:
        return None
    stored = picture.values()
    values = stored.ravel()
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return FileValues(picture.numbers, picture.channels, 0, scale=picture.scale)
    low, high = float(values.min()), float(values.max())
    sample = values[:: max(1, values.size // _SAMPLE)]
    core, apart = _without_extremes(sample, values, low, high)
    quantiles = np.quantile(core.astype(np.float64), POINTS)
    inner = values if not apart else values[~np.isin(values, list(apart))]
    quantiles[0], quantiles[-1] = inner.min(), inner.max()
    distinct = _count_whole(sample, values)
    return FileValues(
        picture.numbers, picture.channels, values.size, low, high, quantiles, apart, distinct,
        picture.scale,
    )  # fmt: skip


def _without_extremes(
    sample: np.ndarray, values: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, dict[float, float]]:
    """Leave out the least and the greatest number where it stands far from all others, or where
    many pixels have it and nothing comes near: depth of 0 where nothing was measured."""
    apart: dict[float, float] = {}
    for extreme in (low, high, low):  # the greatest may hide how far the least is from the rest
        rest = sample[~np.isin(sample, [extreme, *apart])]
        if extreme in apart or rest.size < 2:
            continue
        inner = values[~np.isin(values, [extreme, *apart])]
        gap = abs(float(inner.min() if extreme == low else inner.max()) - extreme)
        span = float(np.ptp(np.quantile(rest.astype(np.float64), (0.005, 0.995))))
        share = float((values == extreme).mean())
        if span > 0 and (gap > FAR * span or (share >= MANY and _is_gap(rest, gap, span))):
            apart[extreme] = share
    core = sample[~np.isin(sample, list(apart))] if apart else sample
    return (core, apart) if core.size else (sample, {})


def _is_gap(rest: np.ndarray, gap: float, span: float) -> bool:
    """Return whether a gap is wider than the steps between numbers that are no classes."""
    if gap <= GAP * span:
        return False
    steps = np.diff(np.unique(rest))
    return len(steps) >= 64 and bool(gap > STEPS * np.median(steps))


def _count_whole(sample: np.ndarray, values: np.ndarray) -> int:
    """Count the distinct numbers, 65 for more than 64 of them or for fractions."""
    if len(np.unique(sample[:4096])) > 64 or len(np.unique(sample)) > 64:
        return 65
    distinct = np.unique(values)
    whole = len(distinct) <= 64 and bool((distinct == np.rint(distinct)).all())
    return len(distinct) if whole else 65


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
        differing = [name for name, v in known if (v.scale or "none") != scales[0]]
        reason = f"by their metadata the files have several scales, {' and '.join(scales[:3])}"
        more = (
            "so their numbers mean different things: apply the scales, with gdal_translate -unscale"
        )
        doubts.append(("narrow-range", differing, f"{reason}, {more}", ()))
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
