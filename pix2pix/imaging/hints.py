"""Draw colour hints: a few strokes of a picture's own colours, under the lines of a drawing.

Lines leave the colours open; a model that was trained with hints takes them from strokes that a
person paints. Strokes hold fractions of the picture's side, as those of ``drawing`` do. No torch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from pix2pix.imaging.strokes import Points, draw_line, smooth

LOOK = 64  # pixels on a side at which colours are looked up: means of small areas, and quick
MOST = 6  # strokes
TRIED = 3  # places for the first stroke: a person begins with the main colour
THIN, WIDE = 10 / 256, 32 / 256  # widths of most strokes
AREA = 76 / 256  # and of a few, whose discs fill a good part of a thing
BROAD = 0.15  # share of the strokes that are so wide
_FLAT = 0.06  # a border that varies less is a backdrop
_APART = 0.10  # what differs more from the backdrop is the thing
_ALIKE = 0.22  # a stroke stays on pixels whose channels differ less from where it begins
_WITHIN = 0.75  # share of a stroke that lies on the thing
_LEAST = 12  # pixels of LOOK x LOOK; fewer are no thing to paint on


@dataclass(frozen=True)
class Hint:
    """A stroke of colour: `color` (r, g, b) from 0 to 255, `width` as a fraction of the shorter
    side, `points` (x, y) as fractions of width and height, y downwards."""

    color: tuple[int, int, int]
    width: float
    points: tuple[tuple[float, float], ...]

    def within(self, left: float, top: float, width: float, height: float) -> Hint:
        """Return the stroke where its picture fills this box of a square, in fractions."""
        points = tuple((left + x * width, top + y * height) for x, y in self.points)
        return Hint(self.color, self.width * min(width, height), points)

    def to_json(self) -> dict:
        """Return an operation of the drawing pad."""
        color = "#{:02x}{:02x}{:02x}".format(*self.color)
        points = [[round(x, 4), round(y, 4)] for x, y in self.points]
        return {"kind": "stroke", "tool": "ink", "color": color, "width": round(self.width, 4),
                "points": points}  # fmt: skip


def make_hint(color: tuple[int, int, int], width: float, path: Points) -> Hint:
    """Turn a path into a stroke of colour."""
    return Hint(color, width, tuple((float(x), float(y)) for x, y in path))


def colour_hints(small: np.ndarray, chance: random.Random, count: int = 0) -> list[Hint]:
    """Draw strokes of the colours of a picture, given as LOOK x LOOK x 3 in [0, 1].

    Their centres lie on what is in the picture, where it has a plain backdrop. Each has the mean of
    all pixels that are about as where it begins: a red stroke stands for the red parts. `count` is
    how many, 0 for 1 to MOST by chance; none where there is nothing but backdrop. Of `chance` only
    ``random()`` is used.
    """
    thing = foreground(small)
    places = np.flatnonzero(thing)
    if len(places) < _LEAST:
        return []
    count = count or 1 + int(MOST * chance.random() ** 1.5)
    return [_hint(small, thing, places, chance, TRIED if i == 0 else 1) for i in range(count)]


def foreground(small: np.ndarray) -> np.ndarray:
    """Find where H x W x 3 in [0, 1] differs from its backdrop, H x W of bool; everywhere where
    the border has no one colour."""
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    backdrop = np.median(border, axis=0)
    if (np.abs(border - backdrop).max(axis=1) < _FLAT).mean() < 0.6:
        return np.ones(small.shape[:2], bool)
    return np.abs(small - backdrop).max(axis=2) > _APART


def _hint(
    small: np.ndarray, thing: np.ndarray, places: np.ndarray, chance: random.Random, tries: int
) -> Hint:
    width = THIN * (WIDE / THIN) ** chance.random()
    if chance.random() < BROAD:
        width = WIDE + (AREA - WIDE) * chance.random()
    (y, x), alike = max(
        (_start(small, thing, places, chance) for _ in range(tries)), key=lambda s: s[1].sum()
    )
    rows, columns = np.nonzero(alike)
    reach = LOOK * (0.08 + 0.4 * chance.random())
    near = np.flatnonzero(np.hypot(rows - y, columns - x) < reach)
    stops = [(x, y)]
    for _ in range(int(4 * chance.random())):
        pick = near[int(len(near) * chance.random())]
        stops.append((columns[pick], rows[pick]))
    path = (np.asarray(stops, float) + 0.5) / LOOK
    path = _inside(smooth(path, 24) if len(path) > 1 else path, thing)
    covered = _covered(path, width)
    # What is painted beside a thin heel tells nothing, so a brush too wide for a place is narrowed.
    while width > THIN and (covered & thing).sum() < _WITHIN * covered.sum():
        width = max(THIN, width / 1.5)
        covered = _covered(path, width)
    color = small[alike].mean(axis=0)
    points = tuple((float(px), float(py)) for px, py in path)
    return Hint(tuple(int(v) for v in np.rint(255 * color)), float(width), points)


def _start(
    small: np.ndarray, thing: np.ndarray, places: np.ndarray, chance: random.Random
) -> tuple[tuple[int, int], np.ndarray]:
    """Pick a place of the thing, (row, column), and return where the thing is about so."""
    y, x = divmod(int(places[int(len(places) * chance.random())]), LOOK)
    return (y, x), thing & (np.abs(small - small[y, x]).max(axis=2) < _ALIKE)


def _inside(path: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """Cut the path where it leaves the thing that its first point lies on."""
    columns, rows = np.clip((path * LOOK).astype(int), 0, LOOK - 1).T
    outside = np.flatnonzero(~thing[rows, columns])
    return path[: max(1, outside[0])] if len(outside) else path


def _covered(path: np.ndarray, width: float) -> np.ndarray:
    """Mark where a path of this width lies, LOOK x LOOK of bool."""
    mask = Image.new("L", (LOOK, LOOK))
    _trace(mask, path, width, 255)
    return np.asarray(mask) > 0


def _trace(canvas: Image.Image, path: Sequence, width: float, fill: int | tuple) -> None:
    dots = [(x * canvas.width, y * canvas.height) for x, y in path]
    draw_line(ImageDraw.Draw(canvas), dots, max(1.0, width * min(canvas.size)), fill)


def paint_hints(hints: Sequence[Hint], size: tuple[int, int]) -> Image.Image:
    """Paint hints on white paper, RGB of `size`, with soft edges as a canvas in the browser has
    them."""
    paper = Image.new("RGB", (2 * size[0], 2 * size[1]), "white")
    for hint in hints:
        _trace(paper, hint.points, hint.width, hint.color)
    return paper.reduce(2)


def photo_hints(photo: Image.Image, chance: random.Random | None = None) -> list[Hint]:
    """Draw hints of a photo's colours: as many as allowed, always the same, unless `chance`
    decides."""
    small = photo.convert("RGB").resize((LOOK, LOOK), Image.Resampling.BOX)
    known = np.asarray(small, np.float32) / 255
    return colour_hints(known, chance) if chance else colour_hints(known, random.Random(0), MOST)


def over_hints(lines: Image.Image, hints: Sequence[Hint]) -> Image.Image:
    """Lay a drawing over hints, RGB of its size; black lines stay black."""
    return ImageChops.multiply(lines.convert("RGB"), paint_hints(hints, lines.size))
