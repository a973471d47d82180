"""Grids of pictures, drawn for people to look at."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pix2pix.images import from_array

GAP = 4  # pixels of white between pictures


def rows_picture(rows: list[np.ndarray]) -> Image.Image:
    """Rows of pictures under each other. Each row is N x C x H x W in [-1, 1], all the same N, H
    and W; one-channel pictures are shown in grey."""
    count, _, height, width = rows[0].shape
    size = count * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP
    sheet = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, array in enumerate(row):
            picture = from_array(array).convert("RGB")
            sheet.paste(picture, (x * (width + GAP), y * (height + GAP)))
    return sheet
