"""Check pairs: alignment, aspect, outliers and spoilt label maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy import fft

from pix2pix.data.reading import THUMBNAIL_SIDE, open_input, parallel, read_input, side_folder
from pix2pix.data.records import Inputs, PlannedPair, Refusal
from pix2pix.imaging.ab_pairs import cut_strip
from pix2pix.utils.progress import ShouldStop

MAX_SHIFT_SEARCH = 12  # 64ths by which the target is moved in search of a better fit
SHIFT, GAIN, PEAK = 3, 0.1, 0.25  # of a move: at least so far, so much better, so good
OUTLIER = 4.5  # robust standard deviations below the median score
ASPECT = 1.03  # a pair's aspects may differ by this factor
SAMPLED_FILES = 16  # files of a side that are looked at for being label maps


# --------------------------------------------------------------------------------- doubtful pairs


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
            doubts.append(Refusal(pair.source, "pair", "misaligned", reason))
    return [replace(p, score=round(s, 4)) for p, s in zip(pairs, scores.tolist())], doubts


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
    return [Refusal(pair.source, "pair", "aspect", reason)]


# ------------------------------------------------------------------------------------- label maps


def find_label_maps(inputs: Inputs, pairs: list[PlannedPair]) -> tuple[bool, bool]:
    """Return whether each side holds label maps: 64 colours at most, exactly, in nearly every
    file."""
    if inputs.derive or inputs.source_kind:
        return inputs.source_kind == "labels", False
    flat = [_share_passing(inputs, pairs, end, _few_colours) for end in ("source", "target")]
    return flat[0] >= 0.8, flat[1] >= 0.8


def spoilt_label_doubts(inputs: Inputs, pairs: list[PlannedPair]) -> list[Refusal]:
    """Yield a doubt for each side whose JPEGs look like label maps."""
    doubts = []
    for end in () if inputs.derive else ("source", "target"):
        jpegs = [p for p in pairs if getattr(p, f"{end}_look").format == "JPEG"]
        if jpegs and _share_passing(inputs, jpegs, end, _nearly_flat) >= 0.5:
            reason = (
                f"this and {len(jpegs) - 1} more {end} pictures look like label maps saved as "
                "JPEG, which blurs their colours: export them as PNG where you can"
            )
            doubts.append(Refusal(getattr(jpegs[0], end), end, "jpeg labels", reason))
    return doubts


def _share_passing(
    inputs: Inputs, pairs: list[PlannedPair], end: str, test: Callable[[Image.Image], bool]
) -> float:
    """Return the share of a side's files that pass a test, from a sample spread over all."""
    sample = pairs[:: max(1, len(pairs) // SAMPLED_FILES)][:SAMPLED_FILES]
    passed = 0
    for pair in sample:
        values = getattr(pair, f"{end}_look").values
        if values is not None:  # more than 8 bits are never judged by their 8-bit look
            passed += test is _few_colours and values.channels == 1 and values.distinct <= 64
            continue
        name = getattr(pair, end)
        content, _ = read_input(side_folder(inputs, end), name, inputs.pages)
        picture = open_input(inputs, end, name, content)
        if pair.half:
            picture = cut_strip(picture, inputs.strips, name)[end == "target"]
        passed += test(picture.to_pil(3))
    return passed / len(sample) if sample else 0.0


def _few_colours(image: Image.Image) -> bool:
    return image.getcolors(64) is not None


def _nearly_flat(image: Image.Image) -> bool:
    """Return whether a picture that went through JPEG was a label map: neighbours are nearly all
    alike, a few colours, three of them at least and not all grey, make up nearly all of it."""
    pixels = np.asarray(image).astype(np.int16)
    steps = np.abs(np.diff(pixels, axis=1)).max(axis=2)
    if (steps <= 10).mean() < 0.8:
        return False
    coarse = (pixels + 8) // 16  # 0 to 16
    counts = np.bincount(np.ravel_multi_index(tuple(coarse.reshape(-1, 3).T), (17, 17, 17)))
    order = counts.argsort()[::-1][:24]
    order = order[counts[order] > 0]
    common = np.stack(np.unravel_index(order, (17, 17, 17)), axis=1)
    common = common[counts[order] > 0.01 * counts.sum()]
    colourful = (np.ptp(common, axis=1) > 2).sum() if len(common) else 0
    return counts[order].sum() > 0.75 * counts.sum() and len(common) >= 3 and colourful >= 1
