"""Recognise A|B pictures, source and target side by side, and cut them: the one place that does.

How a picture holds its two sides is one of `STRIPS`. "gap" leaves out what parts the two; how wide
that is follows the word once it is known: "gap 3".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.picture import Box, Picture, from_array

STRIPS = {
    "halves": "A on the left, B on the right",
    "stacked": "A above B",
    "first-second": "of three across, the first and the second",
    "first-third": "of three across, the first and the third",
    "second-third": "of three across, the second and the third",
    "gap": "A on the left, B on the right, without the line between them",
}
# The step at the seam that three rows of four have, against that between any two other columns. Of
# 530 strips (faces, house fronts, maps, streets) one was missed; of 2,835 pictures of 2:1 cut from
# photos and label maps 3 were taken for strips. Halves that both end in plain white are not told.
SEAM, ROWS = 1.5, 0.25
SIDE = 256  # of the halves that are judged, or less: enlarging would blur the seam
ORDINARY = 0.9  # a step at most this quantile of all steps is nothing special
PLAIN = 3.0  # grey levels of standard deviation below which a column is one colour
MAX_GAP = 1 / 12  # of the width, that can part two pictures
Half = Literal["left", "right"]
# After its name: for who sends files and looks at none.
AB_PAIR_HINT = (
    "looks like a pair, two pictures side by side: the model takes one, so cut it in half first."
)


def is_ab_pair(picture: Picture) -> bool:
    """Return whether it looks like an A|B strip: exactly 2:1, at least 128 pixels high, and with
    a seam from top to bottom right in its middle."""
    width, height = picture.size
    if height < 128 or width != 2 * height:
        return False
    side = min(height, SIDE)
    small = np.asarray(picture.resize((2 * side, side)).to_pil(3), np.float32)
    return _is_seam(_steps(small), (side,))


def crop_half(picture: Picture, half: Half) -> Image.Image:
    """Crop one side of a picture of even width, with its 16 bits where it has them."""
    width, height = picture.size
    left = 0 if half == "left" else width // 2
    box = left, 0, left + width // 2, height
    if picture.bits == 16:
        return from_array(picture.tile(box, 1), bits=16)
    return picture.image.crop(box)


def cut_boxes(size: tuple[int, int], strips: str, name: str) -> tuple[Box, Box]:
    """Return where A and B lie in a picture of `size` (width, height), both equally large.

    Raises UserError, which calls the picture `name`, where it cannot be cut so.
    """
    width, height = size
    if strips == "stacked":
        if height % 2 or height < 2:
            raise UserError(
                f"{name} is {height} pixels high and cannot be cut into two halves: A above B has "
                "an even height."
            )
        return (0, 0, width, height // 2), (0, height // 2, width, height)
    if strips in ("first-second", "first-third", "second-third"):
        if width % 3 or width < 3:
            raise UserError(
                f"{name} is {width} pixels wide and cannot be cut into three: three across have a "
                "width that three divides."
            )
        third = width // 3
        places = [("first", "second", "third").index(word) for word in strips.split("-")]
        return tuple((third * at, 0, third * (at + 1), height) for at in places)
    gap = int(strips.removeprefix("gap") or 0) if strips.startswith("gap") else 0
    half = (width - gap) // 2
    if (width - gap) % 2 or half < 1:
        without = f" without the {gap} between them" if gap else ""
        raise UserError(
            f"{name} is {width} pixels wide and cannot be cut into two halves{without}: A|B strips "
            "have an even width."
        )
    return (0, 0, half, height), (half + gap, 0, width, height)


def cut_strip(picture: Picture, strips: str, name: str) -> tuple[Picture, Picture]:
    """Cut A and B out of a picture, with all its bits; raises the UserError of `cut_boxes`."""
    boxes = cut_boxes(picture.size, strips, name)
    return picture.crop(boxes[0]), picture.crop(boxes[1])


def judge_strips(pictures: Sequence[Picture]) -> str:
    """Judge how some pictures of one dataset hold two sides: a key of `STRIPS` ("first-third" for
    three across, "gap 1" with its pixels), "single" where they look like one picture each, or
    nothing where that cannot be told, for plain borders say."""
    verdicts = Counter(_judge(picture) for picture in pictures)
    if not pictures or 4 * verdicts["halves"] >= len(pictures):
        return "halves" if pictures else ""
    verdict, count = verdicts.most_common(1)[0]
    return verdict if 2 * count > len(pictures) else ""


def common_gap(pictures: Sequence[Picture]) -> int:
    """Find how many pixels part the two sides of most of the pictures; 0 where nothing does."""
    gaps = Counter(_gap_width(_pixels(picture, picture.size)) for picture in pictures)
    gaps.pop(0, None)
    return gaps.most_common(1)[0][0] if gaps else 0


def _judge(picture: Picture) -> str:
    width, height = picture.size
    scale = min(1.0, 2 * SIDE / max(width, height))
    w, h = (max(6, round(side * scale) // 6 * 6) for side in (width, height))
    small = _pixels(picture, (w, h))
    across, down = _steps(small), _steps(small.transpose(1, 0, 2))
    if _is_seam(across, (w // 2,)):
        return "halves"
    gap = _gap_width(_pixels(picture, picture.size)) if width > height else 0
    if gap:
        return f"gap {gap}"
    if _is_seam(across, (w // 3, 2 * w // 3)):
        return "first-third"
    if _is_seam(down, (h // 2,)):
        return "stacked"
    middle = small[:, w // 2 - 1 : w // 2 + 1]
    plain = (middle.std(axis=0).max(axis=1) < PLAIN).any()
    ordinary = across[w // 2 - 1] <= np.quantile(across, ORDINARY)
    return "single" if ordinary and not plain else ""


def _pixels(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(picture.resize(size).to_pil(3), np.float32)


def _steps(pixels: np.ndarray) -> np.ndarray:
    """Return how far each column of H x W x 3 is from the next, in three rows of four at least."""
    return np.quantile(np.abs(np.diff(pixels, axis=1)).mean(axis=2), ROWS, axis=0)


def _is_seam(steps: np.ndarray, places: tuple[int, ...]) -> bool:
    """Return whether the steps before these columns stand out from all others."""
    at = [place - 1 for place in places]
    return bool(steps[at].min() > SEAM * max(1.0, np.delete(steps, at).max()))


def _gap_width(pixels: np.ndarray) -> int:
    """Count the columns around the middle that are all of one colour and part what is beside them;
    0 where there are none or too many."""
    width = pixels.shape[1]
    colours = np.median(pixels, axis=0)
    plain = (np.abs(pixels - colours).mean(axis=0) < 1.0).all(axis=1)
    middle = width // 2
    if not plain[middle]:
        return 0
    alike = plain & (np.abs(colours - colours[middle]).max(axis=1) < 2.0)
    left = right = middle
    while left > 0 and alike[left - 1]:
        left -= 1
    while right + 1 < width and alike[right + 1]:
        right += 1
    gap = right - left + 1
    centred = abs(left - (width - 1 - right)) <= 1
    return gap if centred and gap <= width * MAX_GAP else 0
