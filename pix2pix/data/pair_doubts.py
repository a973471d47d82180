"""Doubt pairs whose pictures do not go together, and A|B pictures that have no seam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import fft

from pix2pix.data.dataset import list_pairs
from pix2pix.data.reading import THUMBNAIL_SIDE, parallel, sample_of
from pix2pix.data.records import SIDES, SPLITS, PlannedPair, Refusal, and_more, doubt
from pix2pix.data.report import read_facts
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import STRIPS, common_gap, judge_strips
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.picture import Picture
from pix2pix.utils.progress import ShouldStop

MAX_SHIFT_SEARCH = 12  # 64ths by which the target is moved in search of a better fit
SHIFT, GAIN, PEAK = 3, 0.1, 0.25  # of a move: at least so far, so much better, so good
OUTLIER = 4.5  # robust standard deviations below the median score
ASPECT = 1.03  # a pair's aspects may differ by this factor
ALIKE = 1.0  # mean grey levels between pictures that are one
SAMPLED_PIXELS = 50_000_000  # of one, at most


def edges(small: np.ndarray) -> np.ndarray:
    """Compute the edge map of 64 x 64 x 3 uint8: float32, mean 0 and variance 1; zeros where it
    is flat."""
    channels = np.ascontiguousarray(small.transpose(2, 0, 1), np.float32)
    down, right = np.gradient(channels, axis=(1, 2))
    strength = np.sqrt(np.sqrt((down * down + right * right).max(axis=0)))
    strength -= strength.mean()
    spread = strength.std()
    return strength / spread if spread > 1e-6 else np.zeros_like(strength)


def alignment(source: np.ndarray, target: np.ndarray) -> tuple[float, float, tuple[int, int]]:
    """Align two edge maps: (score as it is, best score, (down, right) move in 64ths to it)."""
    room = (
        THUMBNAIL_SIDE + MAX_SHIFT_SEARCH,
        THUMBNAIL_SIDE + MAX_SHIFT_SEARCH,
    )  # for the moved picture: nothing wraps around
    a, b = fft.rfft2(np.stack([source, target]), room)
    scores = fft.irfft2(a.conj() * b, room) / THUMBNAIL_SIDE**2
    moves = np.arange(-MAX_SHIFT_SEARCH, MAX_SHIFT_SEARCH + 1)
    scores = scores[np.ix_(moves, moves)]
    best = np.unravel_index(scores.argmax(), scores.shape)
    return (
        float(scores[MAX_SHIFT_SEARCH, MAX_SHIFT_SEARCH]),
        float(scores[best]),
        tuple(int(moves[i]) for i in best),
    )


def check_pairs(
    pairs: list[PlannedPair], should_stop: ShouldStop
) -> tuple[list[PlannedPair], list[Refusal]]:
    """Return every pair with its score, and what is doubtful about any."""

    def fit(pair: PlannedPair) -> tuple[float, float, tuple[int, int]]:
        return alignment(edges(pair.source_look.small), edges(pair.target_look.small))

    fits = [fit_of_pair for _, fit_of_pair in parallel(fit, pairs, should_stop)]
    scores = np.array([fit[0] for fit in fits])
    doubts = []
    least = -np.inf
    if len(pairs) >= 10:  # fewer say nothing of what is usual
        spread = 1.4826 * np.median(np.abs(scores - np.median(scores)))
        least = np.median(scores) - OUTLIER * max(spread, 0.02)
    for pair, (score, best, move) in zip(pairs, fits):
        doubts += _shape_doubt(pair)
        moved = max(map(abs, move)) >= SHIFT and best >= max(PEAK, score + GAIN)
        if moved or score < least:
            how = (
                f"moved by {_describe_shift(move, pair)} they fit better"
                if moved
                else "far below others"
            )
            reason = f"the edges of its two pictures agree little (score {score:.2f}): {how}"
            doubts.append(_pair_doubt(pair, "misaligned", reason))
    return [replace(p, score=round(s, 4)) for p, s in zip(pairs, scores.tolist())], doubts


def _pair_doubt(pair: PlannedPair, kind: str, reason: str) -> Refusal:
    return Refusal(pair.source, "pair", kind, reason, target=pair.target)


def _describe_shift(move: tuple[int, int], pair: PlannedPair) -> str:
    """Describe how far the target is off, as a move in its own pixels."""
    width, height = pair.target_look.size
    down, right = -move[0] * height / THUMBNAIL_SIDE, -move[1] * width / THUMBNAIL_SIDE
    return f"{right:+.0f}, {down:+.0f} pixels (right, down)"


def _shape_doubt(pair: PlannedPair) -> list[Refusal]:
    (aw, ah), (bw, bh) = pair.source_look.size, pair.target_look.size
    ratio = (aw * bh) / (ah * bw)
    if max(ratio, 1 / ratio) <= ASPECT:
        return []
    reason = f"its source is {aw} x {ah}, its target {bw} x {bh}: one would be distorted"
    return [_pair_doubt(pair, "aspect", reason)]


def same_sides_doubts(pairs: Sequence[PlannedPair]) -> list[Refusal]:
    """Doubt pairs of which most are the same picture twice."""
    smalls = ((p.source_look.small, p.target_look.small) for p in pairs)
    same = [np.abs(a.astype(np.int16) - b).mean() < ALIKE for a, b in smalls]
    if 2 * sum(same) <= len(pairs):
        return []
    files = [pair.source for pair, is_same in zip(pairs, same) if is_same]
    return [doubt("pair", "double", files, f"has the same picture on both sides{and_more(files)}")]


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


# ------------------------------------------------------------------------------------ A|B pictures


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
