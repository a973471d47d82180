"""Lines of a drawing as strokes of one pen: thinned to their middle, followed and drawn again.

Filters leave blots of all widths; a person with a mouse draws lines of one width. The strokes keep
what is in the photo: glasses, beards, the lines of a smile.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pix2pix.imaging.strokes import Stroke, wobble

RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # (y, x) from north


def thin(ink: np.ndarray) -> np.ndarray:
    """bool -> bool, lines one pixel wide (Zhang and Suen, CACM 1984)."""
    ink = np.pad(ink, 1)
    while True:
        before = ink.sum()
        for step in (0, 1):
            ring = [np.roll(ink, (-y, -x), (0, 1)) for y, x in RING]
            north, east, south, west = ring[::2]
            count = sum(side.view(np.uint8) for side in ring)
            turns = sum((~a & b).view(np.uint8) for a, b in zip(ring, ring[1:] + ring[:1]))
            if step == 0:
                open_ = ~(north & east & south) & ~(east & south & west)
            else:
                open_ = ~(north & east & west) & ~(north & south & west)
            ink = ink & ~((count >= 2) & (count <= 6) & (turns == 1) & open_)
        if ink.sum() == before:
            return ink[1:-1, 1:-1]


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
    strokes = []
    for path in follow(thin(drawing < 190)):
        if len(path) < max(4, shortest * size):
            continue
        path = ndimage.gaussian_filter1d(path, 2.0, axis=0, mode="nearest")
        path = (np.concatenate([path[:-1:3], path[-1:]]) + 0.5) / size
        if len(path) > 4:
            path = wobble(path, shake, rng)
        width = pen * rng.uniform(0.85, 1.15)
        strokes.append(Stroke(width, tuple(map(tuple, path.tolist()))))
    return strokes
