"""Doubt what a network would see: sides without contrast, hidden colours, class numbers, strips
without a seam, pages that are not used.

Every function returns doubts with the files that show them and the options that settle them. What
is judged is the small picture of each file, as it would be seen; a sample is opened in full only
where the small ones raise a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pix2pix.data.checks import find_classes, open_side, sample_of
from pix2pix.data.dataset import list_pairs
from pix2pix.data.ranges import SideRange
from pix2pix.data.records import (
    SIDES,
    SPLITS,
    FileInfo,
    Inputs,
    PlannedPair,
    Refusal,
    and_more,
    doubt,
)
from pix2pix.data.report import read_facts
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import STRIPS, common_gap, judge_strips
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.picture import Picture

CONTRAST = 20  # grey levels that a picture spans at least, of 256
EMPTY = 0.995  # of a picture's pixels: so many white or black ones are all there is
CLIPPED = 0.5  # of a picture's pixels: so many have a colour at its limit and others below theirs
# An overexposed picture that is white, not colourful, at its limit: the share of its white pixels,
# of those around them that are nearly white, and of all others that are light. Paper and grounds
# reach most of the frame, and ink ends sharply.
WHITE, FRAMED, SOFT, LIGHT = 0.25, 0.8, 0.6, 0.3
NARROW = 8  # of the 32 steps of a side's histogram: no more are in use
ALIKE = 1.0  # mean grey levels between pictures that are all one
SAMPLED_PIXELS = 50_000_000  # of one, at most
MAX_CLASS = 63  # class numbers up to here look all black


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
        found += [] if found else _class_doubts(inputs, number, side, pairs)
        found += [] if found else _contrast_doubts(side, names, looks, label_maps[number])
        found += [] if found or label_maps[number] else _narrow_doubts(side, names, ranges)
        found += [] if found else _alike_doubts(side, names, looks)
        if number == 0 or not any(pair.half for pair in pairs):
            found += _page_doubts(side, names, looks)
        doubts += found
    return doubts + ([] if inputs.derive else _same_sides_doubts(pairs))


def ambiguous_doubts(refused: Sequence[Refusal]) -> list[Refusal]:
    """Doubt names that could belong to several pairs, once for each side."""
    doubts = []
    for side in SIDES:
        files = [r.file for r in refused if (r.side, r.kind) == (side, "ambiguous")]
        if files:
            more = f", and so could {len(files) - 1} more" if len(files) > 1 else ""
            reason = next(r.reason for r in refused if r.file == files[0])
            doubts.append(doubt(side, "ambiguous", files, reason + more))
    return doubts


def strip_doubts(folder: Path, names: Sequence[str]) -> list[Refusal]:
    """Doubt A|B pictures that have no seam where it is expected, from a sample of them."""
    sample = sample_of(names)
    verdict = judge_strips(_open_some(folder, sample))
    if verdict in ("", "halves"):
        return []
    if verdict == "single":
        seen = "has no seam in its middle and looks like one picture: give a folder for each side"
        fixes = ("derive=grey", "derive=lines")
    elif verdict.startswith("gap"):
        seen = f"has {verdict.removeprefix('gap ')} pixels between A and B"
        fixes = ("strips=gap",)
    elif verdict == "stacked":
        seen, fixes = "looks like A above B", ("strips=stacked",)
    else:
        seen = "looks like three pictures across"
        fixes = tuple(f"strips={key}" for key in STRIPS if "-" in key)
    reason = f"{seen}{and_more(names)}"
    return [doubt("pair", "no-seam", sample, reason, fixes)]


def find_gap(folder: Path, names: Sequence[str]) -> int:
    """Find how many pixels part A and B in these pictures; raises UserError where none do."""
    gap = common_gap(_open_some(folder, sample_of(names)))
    if not gap:
        raise UserError("No line between A and B is seen in these pictures: cut them in halves.")
    return gap


def _open_some(folder: Path, names: Sequence[str]) -> list[Picture]:
    pictures = []
    for name in names:
        try:
            pictures.append(open_picture(folder / name, max_pixels=SAMPLED_PIXELS))
        except UserError:  # it is refused where it is read
            continue
    return pictures


def dataset_doubts(folder: Path) -> list[Refusal]:
    """Doubt the A|B pictures of a dataset that others made, before a network is trained on it."""
    if read_facts(folder).is_made_here:
        return []
    pairs = [pair for split in SPLITS for pair in list_pairs(folder, split)[0]]
    names = [pair.a.relative_to(folder).as_posix() for pair in pairs if pair.b is None]
    return strip_doubts(folder, names) if names else []


# ----------------------------------------------------------------------------------------- one side


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


def _class_doubts(
    inputs: Inputs, number: int, side: str, pairs: Sequence[PlannedPair]
) -> list[Refusal]:
    """Doubt a side of pictures that hold class numbers: whole numbers in flat areas that look all
    alike, 255 for what is none; or those of instances, of more than 8 bits."""
    if inputs.source_kind and side == "source":  # it is known what they are
        return []
    looks = [getattr(pair, f"{side}_look") for pair in pairs]
    likely = [
        look.format != "JPEG" and (_is_grey(look.small) if look.values is None else look.bits > 8)
        for look in looks
    ]
    if inputs.classes[number] or not pairs or 2 * sum(likely) <= len(pairs):
        return []
    sample = sample_of([pair for pair, is_likely in zip(pairs, likely) if is_likely])
    seen = [find_classes(open_side(inputs, pair, side)) for pair in sample]
    numbers = set().union(*seen) - {255}
    if 10 * sum(map(bool, seen)) < 9 * len(sample) or len(numbers) < 2:
        return []
    dense = len(numbers) >= 8 and sum(n + 1 in numbers for n in numbers) >= len(numbers) / 2
    deep = 2 * sum(look.values is not None for look in looks) > len(looks)
    if max(numbers) > MAX_CLASS and not dense and not (deep and len(numbers) > 2):
        return []
    names = [getattr(pair, side) for pair in pairs]
    span = f"{min(numbers)} to {max(numbers)}"
    reason = (
        f"holds class numbers ({span}) that look all alike: show them in colours{and_more(names)}"
    )
    return [doubt(side, "class-numbers", names, reason, [f"{side}-classes=colours"])]


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


def _same_sides_doubts(pairs: Sequence[PlannedPair]) -> list[Refusal]:
    """Doubt pairs of which most are the same picture twice."""
    smalls = ((p.source_look.small, p.target_look.small) for p in pairs)
    same = [np.abs(a.astype(np.int16) - b).mean() < ALIKE for a, b in smalls]
    if 2 * sum(same) <= len(pairs):
        return []
    files = [pair.source for pair, is_same in zip(pairs, same) if is_same]
    return [doubt("pair", "double", files, f"has the same picture on both sides{and_more(files)}")]


def _page_doubts(side: str, names: Sequence[str], looks: Sequence[FileInfo]) -> list[Refusal]:
    files = [name for name, look in zip(names, looks) if look.pages > 1]
    if not files:
        return []
    total = sum(look.pages for look in looks if look.pages > 1)
    which = f"of {total} pages in {len(files)} files only the first of each is used"
    reason = f"{which}, {total - len(files)} are left out: make a pair of every page"
    return [doubt(side, "pages", files, reason, ["pages=all"])]


def _is_grey(small: np.ndarray) -> bool:
    """Return whether there is no colour but red: some tools keep class numbers there alone."""
    return bool((small == small[..., :1]).all() or not small[..., 1:].any())
