"""Lay pictures out in rows for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pix2pix.imaging.picture import as_picture, from_array, to_array
from pix2pix.utils.text import printable

GAP = 4  # pixels of white between pictures
_CAPTION = 22  # height in pixels of a row's name


def rows_picture(rows: list[np.ndarray], gap: int = GAP) -> Image.Image:
    """Lay out rows of pictures under each other, `gap` pixels apart. Each row is N x C x H x W in
    [-1, 1], all the same N, H and W; one-channel pictures are shown in grey."""
    count, _, height, width = rows[0].shape
    size = count * (width + gap) - gap, len(rows) * (height + gap) - gap
    sheet = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, array in enumerate(row):
            picture = as_picture(from_array(array)).to_pil(3)  # transparency over white
            sheet.paste(picture, (x * (width + gap), y * (height + gap)))
    return sheet


def stack_pictures(pictures: Sequence[Image.Image], channels: int) -> np.ndarray:
    """Stack equally large pictures, N x `channels` x H x W in [-1, 1]."""
    return np.stack([to_array(picture, channels) for picture in pictures])


def labelled_rows(rows: Sequence[tuple[str | Sequence[str], Sequence[Image.Image]]]) -> Image.Image:
    """Lay out rows of equally large pictures, each under its name, or each picture under its own
    where a row has as many names."""
    sheets = [
        _captioned(
            [name] if isinstance(name, str) else name, rows_picture([stack_pictures(row, 3)])
        )
        for name, row in rows
    ]
    height = sheets[0].height + GAP
    picture = Image.new("RGB", (max(s.width for s in sheets), len(sheets) * height - GAP), "white")
    for number, sheet in enumerate(sheets):
        picture.paste(sheet, (0, number * height))
    return picture


def _captioned(names: Sequence[str], row: Image.Image) -> Image.Image:
    sheet = Image.new("RGB", (row.width, row.height + _CAPTION), "white")
    sheet.paste(row, (0, _CAPTION))
    font = ImageFont.load_default(_CAPTION * 2 // 3)
    for number, name in enumerate(names):
        place = 2 + number * (row.width + GAP) // len(names), 2
        ImageDraw.Draw(sheet).text(place, printable(name), fill="black", font=font)
    return sheet
