"""Draw pen strokes as a person does with a mouse: anti-aliased lines from points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Points = Sequence[Sequence[float]] | np.ndarray
FINE = 4  # pixels of the canvas for one of the picture: its lines are smooth


@dataclass(frozen=True)
class Stroke:
    """One line of the pen: `width` and `points` (x, y) as fractions of the side, y downwards."""

    width: float
    points: tuple[tuple[float, float], ...]

    def to_json(self) -> dict:
        """Return plain lists, four decimals: enough for any canvas."""
        points = [[round(x, 4), round(y, 4)] for x, y in self.points]
        return {"width": round(self.width, 4), "points": points}


def make_stroke(points: Points, width: float) -> Stroke:
    """Make a stroke from an (n, 2) array in fractions of the side, kept inside the frame."""
    inside = np.clip(np.asarray(points, float).reshape(-1, 2), 0.0, 1.0)
    return Stroke(float(width), tuple((float(x), float(y)) for x, y in inside))


def draw_strokes(strokes: Sequence[Stroke], size: int) -> Image.Image:
    """Draw strokes as a size x size 'L' picture, anti-aliased, with round caps and joins."""
    side = size * FINE
    canvas = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        path = [(x * (side - 1), y * (side - 1)) for x, y in stroke.points]
        draw_line(pen, path, max(stroke.width * side, 1.0), 0)
    return canvas.reduce(FINE)


def draw_line(
    pen: ImageDraw.ImageDraw, path: Points, width: float, fill: int | tuple[int, ...]
) -> None:
    """Draw a line through points (x, y) in pixels: a disc at each is the round cap and join."""
    if len(path) > 1:
        pen.line(path, fill=fill, width=round(width))
    r = width / 2
    for x, y in path:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def smooth(points: Points, count: int = 48, closed: bool = False) -> np.ndarray:
    """Return (count, 2) points evenly spaced along a Catmull-Rom curve through the given (n, 2)
    points."""
    p = np.asarray(points, float).reshape(-1, 2)
    if len(p) < 3:
        return resample(p, count)
    if closed:
        p = np.concatenate([p[-1:], p, p[:2]])
    else:
        p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, 12, endpoint=False)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return resample(np.concatenate([curve, p[-2:-1]]), count)


def resample(points: Points, count: int) -> np.ndarray:
    """Return (count, 2) points evenly spaced along a polyline."""
    p = np.asarray(points, float).reshape(-1, 2)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))])
    at = np.linspace(0, length[-1], count)
    return np.stack([np.interp(at, length, p[:, i]) for i in (0, 1)], axis=1)


def wobble(points: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Add the slow tremor of a hand: smooth noise with a deviation of `amount` of the side."""
    noise = rng.normal(size=(len(points) + 24, 2))
    noise = ndimage.gaussian_filter1d(noise, 5.0, axis=0)[12:-12]
    # A Gaussian of deviation s divides white noise by sqrt(2 s sqrt(pi)).
    return points + noise * amount * (2 * 5.0 * np.pi**0.5) ** 0.5


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> np.ndarray:
    """Return (40, 2) points of an ellipse from `start` to `stop`; degrees, clockwise, 0 to the
    right."""
    a = np.radians(np.linspace(start, stop, 40))
    return np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], axis=1)
