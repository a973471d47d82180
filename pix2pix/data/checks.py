"""Check pairs: alignment, aspect, outliers and spoilt label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy import fft

from pix2pix.data.reading import THUMBNAIL_SIDE, Item, open_input, parallel, read_input
from pix2pix.data.records import SIDES, Inputs, PlannedPair, Refusal, doubt
from pix2pix.imaging.ab_pairs import cut_strip
from pix2pix.imaging.picture import Picture
from pix2pix.utils.progress import ShouldStop

MAX_SHIFT_SEARCH = 12  # 64ths by which the target is moved in search of a better fit
SHIFT, GAIN, PEAK = 3, 0.1, 0.25  # of a move: at least so far, so much better, so good
OUTLIER = 4.5  # robust standard deviations below the median score
ASPECT = 1.03  # a pair's aspects may differ by this factor
FLAT, FLAT_INSIDE = 0.7, 0.5  # of neighbouring pixels that are equal in a map, off its ground
FEW = 8  # numbers, which are classes wherever they lie
GRADUAL = 0.8  # of the steps in a picture that go to the next number there is, and so is no map
SAMPLED_FILES = 16  # files of a side that are opened in full
SAMPLED_PIXELS = 2**18  # of each, by whole rows, in search of numbers of classes


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
    flat = [_share_passing(inputs, pairs, end, _few_colours) for end in SIDES]
    chosen = [bool(classes) for classes in inputs.classes]
    return flat[0] >= 0.8 or chosen[0], flat[1] >= 0.8 or chosen[1]


def profile_doubts(pairs: list[PlannedPair], label_maps: tuple[bool, bool]) -> list[Refusal]:
    """Doubt label maps whose colours different profiles move, or one moves in some files alone."""
    doubts = []
    for end, is_label in zip(SIDES, label_maps):
        looks = [(getattr(pair, end), getattr(pair, f"{end}_look").profile) for pair in pairs]
        files = [name for name, profile in looks if profile]
        if is_label and len({profile for _, profile in looks}) > 1:
            reason = (
                f"{len(files)} of {len(pairs)} label maps have a colour profile that moves their "
                "colours, and not all the same one: save them without"
            )
            doubts.append(doubt(end, "profiles", files, reason))
    return doubts


def spoilt_label_doubts(inputs: Inputs, pairs: list[PlannedPair]) -> list[Refusal]:
    """Yield a doubt for each side whose JPEGs look like label maps."""
    doubts = []
    for end in () if inputs.derive else SIDES:
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
    sample, passed = sample_of(pairs), 0
    for pair in sample:
        values = getattr(pair, f"{end}_look").values
        if values is None:
            passed += test(open_side(inputs, pair, end).to_pil(3))
        elif test is _few_colours and values.channels == 1:
            # More than 8 bits are never judged by their 8-bit look.
            passed += values.distinct <= 64 or bool(find_classes(open_side(inputs, pair, end)))
    return passed / len(sample) if sample else 0.0


def sample_of(items: Sequence[Item]) -> Sequence[Item]:
    """Return the files or pairs, spread over all, that are opened in full."""
    return items[:: max(1, len(items) // SAMPLED_FILES)][:SAMPLED_FILES]


def open_side(inputs: Inputs, pair: PlannedPair, side: str) -> Picture:
    """Open one side of a pair at full size."""
    name = getattr(pair, side)
    content, _ = read_input(inputs.folder(side), name, inputs.pages)
    picture = open_input(inputs, side, name, content)
    return cut_strip(picture, inputs.strips, name)[side == "target"] if pair.half else picture


def find_classes(picture: Picture) -> set[int]:
    """Return the numbers of a picture that may be a map of classes: whole ones in flat areas, with
    steps between any two; in grey, or in red alone. Empty for any other picture."""
    first, *others = picture.values()
    if not all((other == first).all() or not other.any() for other in others):
        return set()
    numbers, ranks = _ranks(first)
    known = numbers[np.isfinite(numbers)]
    if not np.array_equal(known, np.rint(known)):
        return set()
    steps = np.abs(np.diff(ranks, axis=1))
    is_map = steps.size > 0 and (steps == 0).mean() >= FLAT
    if is_map and len(numbers) > FEW:  # it may be a smooth or noisy thing on plain ground
        ground = ranks == np.bincount(ranks.ravel()).argmax()
        inner = steps[~(ground[:, 1:] & ground[:, :-1])]
        is_map = (inner == 0).mean() >= FLAT_INSIDE and not _is_gradual(inner)
    return {int(number) for number in known} if is_map else set()


def _ranks(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers there are, and which of them each pixel has, in rows spread over all."""
    rows = grey[:: max(1, grey.size // SAMPLED_PIXELS)]
    numbers, places = np.unique(rows, return_inverse=True)
    return numbers, places.reshape(rows.shape)


def _is_gradual(steps: np.ndarray) -> bool:
    """Return whether nearly all steps between neighbours go to the next number there is."""
    return bool((steps == 1).sum() > GRADUAL * np.count_nonzero(steps))


def _few_colours(image: Image.Image) -> bool:
    colours = image.getcolors(64)
    if not colours or len(colours) <= FEW or any(len({*colour}) > 1 for _, colour in colours):
        return colours is not None
    # Of greys: a dark photo or depth of few levels is none.
    return not _is_gradual(np.abs(np.diff(_ranks(np.asarray(image)[..., 0])[1], axis=1)))


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
