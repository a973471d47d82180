"""Pairs that our code draws: a label map of blocks and a picture of the same blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLOURS = [(20, 80, 160), (200, 60, 40), (240, 200, 60), (60, 160, 80)]


def drawn_pair(number: int, width: int = 96, height: int = 96) -> tuple[Image.Image, Image.Image]:
    """(label map, picture): the same blocks in flat colours, and shaded with texture and light."""
    rng = np.random.default_rng(number)
    label = Image.new("RGB", (width, height), COLOURS[0])
    pen = ImageDraw.Draw(label)
    for colour in COLOURS[1:] * 2:
        x, y = rng.integers(0, width - 8), rng.integers(0, height - 8)
        w, h = rng.integers(8, width // 2), rng.integers(8, height // 2)
        pen.rectangle((int(x), int(y), int(x + w), int(y + h)), fill=colour)
    pixels = np.asarray(label.filter(ImageFilter.GaussianBlur(1)), float)
    light = np.linspace(0.7, 1.2, width)[None, :, None] + rng.normal(0, 0.15, (height, width, 1))
    return label, Image.fromarray(np.clip(pixels * light, 0, 255).astype(np.uint8))


def drawn_strip(number: int, side: int) -> Image.Image:
    """A drawn pair as one A|B picture."""
    strip = Image.new("RGB", (2 * side, side))
    for place, half in enumerate(drawn_pair(number, side, side)):
        strip.paste(half, (place * side, 0))
    return strip


def draw_dataset(folder: Path, **counts: int) -> Path:
    """A dataset of drawn A|B strips, so many in each split: ``train=5, val=2``."""
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        for number in range(count):
            drawn_strip(number, 64).save(folder / split / f"{number:02}.png")
    return folder


def draw_folders(
    folder: Path,
    count: int,
    source: str = "a-{:03}.png",
    target: str = "B2-{:03}-x.jpg",
    size: tuple[int, int] = (96, 96),
) -> tuple[Path, Path]:
    """Two folders, `labels` and `photos`, with `count` pairs; the names are patterns."""
    for number in range(count):
        label, photo = drawn_pair(number, *size)
        for side, image, pattern in (("labels", label, source), ("photos", photo, target)):
            file = folder / side / pattern.format(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
    return folder / "labels", folder / "photos"
