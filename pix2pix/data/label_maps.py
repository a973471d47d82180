"""Find label maps and class numbers, and doubt those that a file format or a profile has spoilt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from pix2pix.data.reading import open_side, sample_of
from pix2pix.data.records import SIDES, Inputs, PlannedPair, Refusal, and_more, doubt
from pix2pix.imaging.picture import Picture

FLAT, FLAT_INSIDE = 0.7, 0.5  # of neighbouring pixels that are equal in a map, off its ground
FEW = 8  # numbers, which are classes wherever they lie
GRADUAL = 0.8  # of the steps in a picture that go to the next number there is, and so is no map
SAMPLED_PIXELS = 2**18  # of a file, by whole rows, in search of numbers of classes
MAX_CLASS = 63  # class numbers up to here look all black


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
            doubts.append(Refusal(getattr(jpegs[0], end), end, "jpeg", reason))
    return doubts


def class_doubts(
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


def _is_grey(small: np.ndarray) -> bool:
    """Return whether there is no colour but red: some tools keep class numbers there alone."""
    return bool((small == small[..., :1]).all() or not small[..., 1:].any())
