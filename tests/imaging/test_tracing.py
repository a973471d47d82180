"""Lines that are traced, and photos that are drawn with one pen."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data
from skimage.morphology import skeletonize

from pix2pix.imaging.strokes import draw_strokes
from pix2pix.imaging.tracing import follow, pen_drawing, trace

SIZE = 128


def test_thick_lines_are_thinned_and_followed_from_end_to_end() -> None:
    picture = Image.new("L", (SIZE, SIZE), 255)
    pen = ImageDraw.Draw(picture)
    pen.line((20, 20, 100, 30), fill=0, width=7)
    pen.line((20, 90, 100, 90), fill=0, width=5)
    skeleton = skeletonize(np.asarray(picture) < 128)
    paths = follow(skeleton)
    assert sum(map(len, paths)) == skeleton.sum(), "every pixel is in one path"
    longest = sorted(paths, key=len)[-2:]
    assert all(np.ptp(path[:, 0]) > 65 for path in longest)
    flat = min(longest, key=lambda path: np.ptp(path[:, 1]))
    assert np.abs(flat[:, 1] - 90).max() <= 2, "in the middle of the line"
    rng = np.random.default_rng(0)
    strokes = trace(np.asarray(picture), 0.02, 0.3, 0.0, rng)
    assert len(strokes) == 2, "and nothing short"
    assert (np.asarray(draw_strokes(strokes, SIZE))[88:93, 40] < 128).any()


def cup(size: tuple[int, int] = (240, 180), backdrop: str = "white") -> Image.Image:
    """A red thing with a stripe before a plain backdrop."""
    photo = Image.new("RGB", size, backdrop)
    pen = ImageDraw.Draw(photo)
    pen.ellipse((60, 40, 180, 150), fill=(180, 40, 40))
    pen.rectangle((80, 90, 160, 100), fill=(240, 220, 60))
    return photo


def enclosed(drawing: Image.Image) -> np.ndarray:
    """What lines keep apart from the corner."""
    labels, _ = ndimage.label(np.asarray(drawing) > 160)
    return labels != labels[0, 0]


@pytest.mark.parametrize("backdrop", ["white", "#406090"])
@pytest.mark.parametrize("seed", range(8))
def test_the_outline_of_a_thing_is_closed_and_lies_on_its_edge(seed: int, backdrop: str) -> None:
    drawing = pen_drawing(cup(backdrop=backdrop), random.Random(seed))
    assert (drawing.mode, drawing.size) == ("L", (240, 180))
    thing = np.asarray(cup().convert("L")) < 255
    inside = enclosed(drawing)
    assert (inside & thing).sum() / (inside | thing).sum() > 0.85
    ink = np.asarray(drawing) < 128
    away = ndimage.distance_transform_edt(thing) + ndimage.distance_transform_edt(~thing)
    assert np.median(away[ink]) < 12 and not ink[0].any() and not ink[:, 0].any()


def test_chance_decides_how_many_edges_and_nothing_else_does() -> None:
    drawings = [np.asarray(pen_drawing(cup(), random.Random(seed))) for seed in range(12)]
    again = [np.asarray(pen_drawing(cup(), random.Random(seed))) for seed in range(12)]
    assert all((a == b).all() for a, b in zip(drawings, again, strict=True))
    stripe = [(drawing[86:104, 90:150] < 128).any() for drawing in drawings]
    assert 0 < sum(stripe) < len(stripe), "in some the stripe is drawn, in some it is not"


def test_a_photo_without_a_backdrop_has_a_few_lines_and_a_blank_one_none() -> None:
    for seed in range(4):
        drawing = np.asarray(pen_drawing(Image.fromarray(data.astronaut()), random.Random(seed)))
        assert 0.005 < (drawing < 128).mean() < 0.25
    for size in ((64, 64), (3000, 500), (1, 1)):
        blank = pen_drawing(Image.new("RGB", size, "white"), random.Random(0))
        assert blank.size == size and np.asarray(blank).min() > 250
