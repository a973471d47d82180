"""Doubt what a network would see of one side: pictures without contrast, hidden colours, class
numbers, pages that are not used.

Every function returns doubts with the files that show them and the options that settle them. What
is judged is the small picture of each file, as it would be seen; a sample is opened in full only
where the small ones raise a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pix2pix.data.label_maps import class_doubts
from pix2pix.data.pair_doubts import ALIKE, same_sides_doubts
from pix2pix.data.ranges import SideRange
from pix2pix.data.records import SIDES, FileInfo, Inputs, PlannedPair, Refusal, and_more, doubt

CONTRAST = 20  # grey levels that a picture spans at least, of 256
EMPTY = 0.995  # of a picture's pixels: so many white or black ones are all there is
CLIPPED = 0.5  # of a picture's pixels: so many have a colour at its limit and others below theirs
# An overexposed picture that is white, not colourful, at its limit: the share of its white pixels,
# of those around them that are nearly white, and of all others that are light. Paper and grounds
# reach most of the frame, and ink ends sharply.
WHITE, FRAMED, SOFT, LIGHT = 0.25, 0.8, 0.6, 0.3
NARROW = 8  # of the 32 steps of a side's histogram: no more are in use


def side_doubts(
    inputs: Inputs,
    pairs: Sequence[PlannedPair],
    label_maps: tuple[bool, bool],
    ranges: dict[str, SideRange],
) -> list[Refusal]:
    """Doubt each side of pairs that would be built: transparency, class numbers, contrast, and
    pictures that are all the same."""
    doubts = []
    for number, side in enumerate(SIDES[:1] if inputs.derive else SIDES):
        names = [getattr(pair, side) for pair in pairs]
        looks = [getattr(pair, f"{side}_look") for pair in pairs]
        found = _alpha_doubts(inputs.alpha[number], side, names, looks)
        found += [] if found else class_doubts(inputs, number, side, pairs)
        found += [] if found else _contrast_doubts(side, names, looks, label_maps[number])
        found += [] if found or label_maps[number] else _narrow_doubts(side, names, ranges)
        found += [] if found else _alike_doubts(side, names, looks)
        if number == 0 or not any(pair.half for pair in pairs):
            found += _page_doubts(side, names, looks)
        doubts += found
    return doubts + ([] if inputs.derive else same_sides_doubts(pairs))


def _alpha_doubts(
    chosen: str, side: str, names: Sequence[str], looks: Sequence[FileInfo]
) -> list[Refusal]:
    doubts = []
    words = {
        "hides": "transparency hides or fades most of its colours, which become white",
        "mask": "only its transparency shows something, so it becomes white",
    }
    fixes = [f"{side}-alpha=ignore", f"{side}-alpha=mask"]
    for kind, order in (("hides", fixes), ("mask", fixes[::-1])):
        files = [n for n, look in zip(names, looks) if look.alpha == kind]
        if files and chosen == "white":
            doubts.append(doubt(side, "alpha", files, words[kind] + and_more(files), order))
    extra = [n for n, look in zip(names, looks) if look.extra_bands]
    if extra:
        reason = "has bands that are neither colour nor transparency and are left out"
        doubts.append(doubt(side, "alpha", extra, reason + and_more(extra)))
    return doubts


def _contrast_doubts(
    side: str, names: Sequence[str], looks: Sequence[FileInfo], label_maps: bool
) -> list[Refusal]:
    """Doubt a side of which most pictures are flat or blank, or have colours at their limit in most
    places, or a quarter of them much white that is no paper: overexposed."""
    advice = ": look at the file, it may be one for another program"
    ways = [
        (_is_dull, 2, f"spans fewer than {CONTRAST} of 256 levels{advice}"),
        (_is_blank, 2, f"is white or black all over{advice}"),
    ]
    if not label_maps:
        ways += [
            (_is_clipped, 2, "has colours at their limit in most places, as if overexposed"),
            (_is_washed_out, 4, "is white in large parts, as if overexposed"),
        ]
    for test, share, what in ways:
        files = [name for name, look in zip(names, looks) if test(look.small)]
        if share * len(files) > len(names):
            return [doubt(side, "no-contrast", files, what + and_more(files))]
    return []


def _is_dull(small: np.ndarray) -> bool:
    return np.ptp(np.ascontiguousarray(small.reshape(-1, 3).T), axis=1).max() < CONTRAST


def _is_blank(small: np.ndarray) -> bool:
    r, g, b = (small[..., i] for i in range(3))
    return any(((r == v) & (g == v) & (b == v)).mean() >= EMPTY for v in (0, 255))


def _is_clipped(small: np.ndarray) -> bool:
    """Return whether most pixels have a colour at its limit, of many tones: plain white is paper,
    and flat colours are drawn."""
    top = small == 255
    clipped = top.any(axis=2) & ~top.all(axis=2)
    tones = small[clipped].min(axis=1) if clipped.mean() > CLIPPED else np.zeros(1)
    return bool(tones.std() > 10)


def _is_washed_out(small: np.ndarray) -> bool:
    """Return whether much of a picture is white, with tones that fade into it."""
    white = (small == 255).all(axis=2)
    if not WHITE < white.mean() < 1:
        return False
    frame = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    wide = np.pad(white, 1)
    around = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    grey = small.mean(axis=2)
    soft, light = (grey[around & ~white] >= 225).mean(), (grey[~white] >= 200).mean()
    return bool(frame.mean() < FRAMED and soft > SOFT and light > LIGHT)


def _narrow_doubts(side: str, names: Sequence[str], ranges: dict[str, SideRange]) -> list[Refusal]:
    """Doubt a side whose pictures all lie in a quarter of the levels or less."""
    counts = np.array(ranges[side].histogram)
    known = np.flatnonzero(counts > counts.sum() / 1000)
    if not len(known) or known[-1] - known[0] >= NARROW:
        return []
    low, high = ranges[side].low, ranges[side].high
    step = (high - low) / len(counts)
    ends = f"{low + step * known[0]:g},{low + step * (known[-1] + 1):g}"
    reason = f"and all others lie between {ends.replace(',', ' and ')}: set the range to {ends}"
    return [doubt(side, "narrow-range", names, reason, [f"{side}-range={ends}"])]


def _alike_doubts(side: str, names: Sequence[str], looks: Sequence[FileInfo]) -> list[Refusal]:
    """Doubt a side on which more than half of four pictures or more are the same one."""
    if len(names) < 4:
        return []
    step = max(1, len(names) // 200)
    sample = [look.small for look in looks[::step]]
    commonest = Counter(small.tobytes() for small in sample).most_common(1)[0][0]
    one = np.frombuffer(commonest, np.uint8).reshape(sample[0].shape).astype(np.int16)
    alike = [np.abs(small - one).mean() < ALIKE for small in sample]
    if 2 * sum(alike) <= len(sample):
        return []
    files = [name for name, same in zip(names[::step], alike) if same]
    reason = f"is nearly the same picture as {len(files) - 1} others of the {len(sample)} looked at"
    return [doubt(side, "double", files, reason)]


def _page_doubts(side: str, names: Sequence[str], looks: Sequence[FileInfo]) -> list[Refusal]:
    files = [name for name, look in zip(names, looks) if look.pages > 1]
    if not files:
        return []
    total = sum(look.pages for look in looks if look.pages > 1)
    which = f"of {total} pages in {len(files)} files only the first of each is used"
    reason = f"{which}, {total - len(files)} are left out: make a pair of every page"
    return [doubt(side, "pages", files, reason, ["pages=all"])]
