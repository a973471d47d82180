"""Recognise A|B pictures, source and target side by side, and cut them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from pix2pix.imaging.picture import Picture, from_array

# The step at the seam that three rows of four have, against that between any two other columns. Of
# 530 strips (faces, house fronts, maps, streets) one was missed; of 2,835 pictures of 2:1 cut from
# photos and label maps 3 were taken for strips. Halves that both end in plain white are not told.
SEAM, ROWS = 1.5, 0.25
SIDE = 256  # of the halves that are judged, or less: enlarging would blur the seam
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
    steps = np.quantile(np.abs(np.diff(small, axis=1)).mean(axis=2), ROWS, axis=0)
    return bool(steps[side - 1] > SEAM * max(1.0, np.delete(steps, side - 1).max()))


def crop_half(picture: Picture, half: Half) -> Image.Image:
    """Crop one side of a picture of even width, with its 16 bits where it has them."""
    width, height = picture.size
    left = 0 if half == "left" else width // 2
    box = left, 0, left + width // 2, height
    if picture.bits == 16:
        return from_array(picture.tile(box, 1), bits=16)
    return picture.image.crop(box)
