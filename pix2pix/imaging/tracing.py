"""Lines of a drawing or a photo as strokes of one pen: thinned to their middle, followed and drawn
again.

Filters leave blots of all widths; a person with a mouse draws lines of one width.
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.feature import canny
from skimage.measure import find_contours
from skimage.morphology import skeletonize

from pix2pix.imaging.hints import foreground
from pix2pix.imaging.strokes import Stroke, draw_strokes, wobble

LOOK = 256  # pixels on the longer side at which a photo is traced
PENS, SHAKES = (1.2, 5.0), (0.1, 1.2)  # pixels of 256
SHORTEST = 0.04, 0.2  # edges that are left out, as fractions of the side
LEAST_EDGES, MOST_EDGES = 6, 30
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # (y, x) from north


def follow(skeleton: np.ndarray) -> list[np.ndarray]:
    """Lines one pixel wide -> paths, each (n, 2) of x, y in pixels; every pixel is in one path.

    From each end, then from what is left, a path goes on to the neighbour that bends it least.
    """
    left = {(int(x), int(y)) for y, x in np.argwhere(skeleton)}
    degree = ndimage.convolve(skeleton.astype(int), np.ones((3, 3)), mode="constant") - 1
    ends = [(x, y) for x, y in sorted(left) if degree[y, x] == 1]
    paths = []
    for start in [*ends, *sorted(left)]:
        if start not in left:
            continue
        path = [start]
        left.remove(start)
        while True:
            x, y = path[-1]
            back = path[max(0, len(path) - 4)]
            near = [(x + dx, y + dy) for dy, dx in RING if (x + dx, y + dy) in left]
            if not near:
                break
            go = max(near, key=lambda n: _along((x - back[0], y - back[1]), (n[0] - x, n[1] - y)))
            left.remove(go)
            path.append(go)
        paths.append(np.array(path, float))
    return paths


def _along(a: tuple[int, int], b: tuple[int, int]) -> float:
    """How much two steps have one direction: the cosine, and a little less for a diagonal."""
    length = float(np.hypot(*a) * np.hypot(*b))
    return ((a[0] * b[0] + a[1] * b[1]) / length if length else 0.0) - 0.01 * abs(b[0] * b[1])


def trace(
    drawing: np.ndarray, pen: float, shortest: float, shake: float, rng: np.random.Generator
) -> list[Stroke]:
    """Trace a drawing (uint8, dark on light): strokes of about the width `pen`, longer than
    `shortest` and moved by a hand's `shake`; all as fractions of the side."""
    size = len(drawing)
    paths = follow(skeletonize(drawing < 190))
    long = [path for path in paths if len(path) >= max(4, shortest * size)]
    return [draw_path(path, size, pen, shake, rng) for path in long]


def pen_drawing(photo: Image.Image, chance: random.Random) -> Image.Image:
    """Draw a photo as a person does with one pen: the outline of the thing where it stands before
    a plain backdrop, and some of its longest edges; mode 'L', same size.

    The pen's width, the hand's shake and how many edges are drawn, from none to all, are by
    `chance`, of which only ``random()`` is used.
    """
    scale = LOOK / max(photo.size)
    size = tuple(max(1, round(side * scale)) for side in photo.size)
    small = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BOX), np.float32) / 255
    unit = min(size) / 256
    pen, shake = (unit * between(*range_, chance) / LOOK for range_ in (PENS, SHAKES))
    thing = _solid(foreground(small), fills_holes=chance.random() < 0.5)
    soft = ndimage.gaussian_filter(thing.astype(float), unit * between(0.8, 2.0, chance))
    outlines = [line[::3, ::-1] for line in find_contours(soft, 0.5)]
    edges, margin = _edges(small, unit, chance), unit * between(4, 8, chance)
    if not thing.all():  # else there is no outline to keep away from
        inside = ndimage.distance_transform_edt(np.pad(thing, 1, mode="edge"))[1:-1, 1:-1]
        edges &= inside > margin
    shortest = between(*SHORTEST, chance) * min(size)
    inner = sorted((path for path in follow(edges) if len(path) >= shortest), key=len, reverse=True)
    # A few at least where there is no outline.
    least = 0 if outlines else LEAST_EDGES
    inner = inner[: least + int((MOST_EDGES + 1 - least) * chance.random() ** 2)]
    # This generator's numbers are promised to stay the same, unlike those of `default_rng`.
    rng = np.random.RandomState(int(2**32 * chance.random()))
    strokes = [draw_path(path, LOOK, pen, shake, rng) for path in (*outlines, *inner)]
    drawing = draw_strokes(strokes, min(max(photo.size), 1024))
    scale = drawing.width / max(photo.size)
    box = 0, 0, *(max(1.0, side * scale) for side in photo.size)
    return drawing.resize(photo.size, Image.Resampling.BICUBIC, box)


def draw_path(
    path: np.ndarray, size: int, pen: float, shake: float,
    rng: np.random.Generator | np.random.RandomState,
) -> Stroke:  # fmt: skip
    """Draw a path, (n, 2) of x, y in pixels of a side of `size`, by a hand that smooths and
    shakes."""
    ends_meet = len(path) > 3 and np.hypot(*(path[0] - path[-1])) < 4
    path = ndimage.gaussian_filter1d(path, 2.0, axis=0, mode="nearest")
    path = (np.concatenate([path[:-1:3], path[-1:]]) + 0.5) / size
    if len(path) > 4:
        path = wobble(path, shake, rng)
    if ends_meet:
        path = np.concatenate([path, path[:1]])
    width = pen * rng.uniform(0.85, 1.15)
    return Stroke(width, tuple(map(tuple, path.tolist())))


def _solid(thing: np.ndarray, fills_holes: bool) -> np.ndarray:
    """Close small gaps of a mask and drop specks; white parts of a thing before white are holes."""
    closed = ndimage.binary_closing(np.pad(thing, 4, mode="edge"), iterations=2)
    mask = ndimage.binary_opening(closed)
    mask = ndimage.binary_fill_holes(mask) if fills_holes else mask
    labels, _ = ndimage.label(mask[4:-4, 4:-4])
    large = np.bincount(labels.ravel()) >= 0.01 * thing.size
    large[0] = False
    return large[labels]


def _edges(small: np.ndarray, unit: float, chance: random.Random) -> np.ndarray:
    """Find edges of any colour, H x W of bool, one pixel wide; how fine ones is by chance."""
    sigma, contrast = unit * between(1.2, 3.0, chance), between(0.05, 0.15, chance)
    strong = contrast / max(sigma, 0.5) ** 0.5
    found = [canny(small[..., c], sigma, 0.4 * strong, strong) for c in range(3)]
    return skeletonize(ndimage.binary_dilation(np.any(found, axis=0)))


def between(low: float, high: float, chance: random.Random) -> float:
    """Draw a number from `low` to `high`; of `chance` only ``random()`` is used."""
    return low + (high - low) * chance.random()
