"""Line drawings: of a photo (filters) and of a face (strokes, as a person draws with a mouse).

Everything is black ink on white paper. Strokes hold fractions of the picture's side, so that the
same drawing serves as a 256-pixel input, a 512-pixel canvas and a thumbnail. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from pix2pix.errors import UserError

STYLES = ("pencil", "lines", "bold")
Points = Sequence[Sequence[float]] | np.ndarray

# Where the features of a face sit in the square frame (fractions of the side). The face dataset
# is prepared with the same numbers, so a drawing that keeps to them meets what the model has seen.
EYE_LINE = 0.48
EYE_GAP = 0.20  # between the pupils
CHIN = 0.845


@dataclass(frozen=True)
class Stroke:
    """One line of the pen: `width` and `points` (x, y) as fractions of the side, y downwards."""

    width: float
    points: tuple[tuple[float, float], ...]

    def to_json(self) -> dict:
        """Plain lists, four decimals: enough for any canvas."""
        points = [[round(x, 4), round(y, 4)] for x, y in self.points]
        return {"width": round(self.width, 4), "points": points}


def make_stroke(points: Points, width: float) -> Stroke:
    """A stroke from an (n, 2) array in fractions of the side, kept inside the frame."""
    inside = np.clip(np.asarray(points, float).reshape(-1, 2), 0.0, 1.0)
    return Stroke(float(width), tuple((float(x), float(y)) for x, y in inside))


def draw_strokes(strokes: Sequence[Stroke], size: int, supersample: int = 4) -> Image.Image:
    """Strokes -> size x size 'L' picture, anti-aliased, with round caps and joins."""
    side = size * supersample
    canvas = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        width = max(stroke.width * side, 1.0)
        path = [(x * (side - 1), y * (side - 1)) for x, y in stroke.points]
        if len(path) > 1:
            pen.line(path, fill=0, width=round(width))
        for x, y in path:  # a disc at every point is the round cap and the round join
            r = width / 2
            pen.ellipse((x - r, y - r, x + r, y + r), fill=0)
    return canvas.reduce(supersample) if supersample > 1 else canvas


def smooth(points: Points, count: int = 48, closed: bool = False) -> np.ndarray:
    """(count, 2) points evenly spaced along a Catmull-Rom curve through the given (n, 2) points."""
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
    """(count, 2) points evenly spaced along a polyline."""
    p = np.asarray(points, float).reshape(-1, 2)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))])
    at = np.linspace(0, length[-1], count)
    return np.stack([np.interp(at, length, p[:, i]) for i in (0, 1)], axis=1)


def wobble(points: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Adds the slow tremor of a hand: smooth noise with a deviation of `amount` of the side."""
    noise = rng.normal(size=(len(points) + 24, 2))
    noise = ndimage.gaussian_filter1d(noise, 5.0, axis=0)[12:-12]
    # A Gaussian of deviation s divides white noise by sqrt(2 s sqrt(pi)).
    return points + noise * amount * (2 * 5.0 * np.pi**0.5) ** 0.5


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> np.ndarray:
    """(40, 2) points of an ellipse from `start` to `stop`; degrees, clockwise, 0 to the right."""
    a = np.radians(np.linspace(start, stop, 40))
    return np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], axis=1)


# ---------------------------------------------------------------------------------- of a photo


def line_drawing(picture: Image.Image, style: str = "lines") -> Image.Image:
    """Any photo -> black lines on white paper, mode 'L', same size.

    "pencil" shades what is darker than its surroundings; "lines" draws thin outlines; "bold"
    draws thick ones and fills what is dark. The last two are the difference of Gaussians with a
    soft threshold of Winnemoeller, Kyprianidis and Olsen (XDoG, Computers & Graphics 2012);
    "lines" thresholds the zero-mean response, so that dark areas stay paper.
    """
    if style not in STYLES:
        raise UserError(f"Unknown drawing style {style!r}; choose one of {', '.join(STYLES)}.")
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    unit = max(min(grey.shape) / 256, 0.5)  # all widths below are for a picture of 256 pixels
    low, high = np.percentile(grey, (1, 99))
    if high - low < 0.04:  # a blank picture has no lines; do not stretch its noise into some
        return Image.new("L", picture.size, 255)
    grey = np.clip((grey - low) / max(high - low, 0.25), 0, 1)
    grey = ndimage.median_filter(grey, 3)  # grain and compression noise, without moving edges
    if style == "pencil":
        around = ndimage.gaussian_filter(grey, 7 * unit)
        here = ndimage.gaussian_filter(grey, 0.6 * unit)
        # Around + 0.15: a ratio of two dark values is mostly noise.
        ink = (0.94 - (here + 0.15) / (around + 0.15)) * 3.2
    elif style == "lines":
        contrast = np.sqrt(
            ndimage.gaussian_filter((grey - ndimage.gaussian_filter(grey, 6 * unit)) ** 2, 4 * unit)
        )
        # Against the contrast around: a nose in soft light has lines as a dark brow has.
        ink = _dog(grey, 1.1 * unit) / (contrast + 0.035) * 7.5 - 0.5
    else:
        blurred = ndimage.gaussian_filter(grey, 1.6 * unit)
        sharpened = blurred - 14 * _dog(grey, 1.6 * unit)
        ink = -np.tanh(9 * (sharpened - 0.33))
    ink = np.clip(ink, 0, 1)
    return Image.fromarray(np.uint8(255 * (1 - _without_specks(ink, 9 * unit * unit))))


def looks_like_photo(picture: Image.Image) -> bool:
    """Whether the picture is a photo and not a drawing: little bare paper, or much colour.

    Paper is what is brighter than 0.8 with a saturation under 0.2. Pencil sketches and line
    drawings have more than a third of it.
    """
    small = np.asarray(picture.convert("RGB").resize((64, 64)), np.float32) / 255
    brightest, darkest = small.max(axis=2), small.min(axis=2)
    paper = (darkest > 0.8 * brightest) & (brightest > 0.8)
    colour = float((brightest - darkest).mean())
    return float(paper.mean()) < 1 / 3 or colour > 0.15


def _dog(grey: np.ndarray, sigma: float) -> np.ndarray:
    """How much darker a point is than its ring: positive where ink belongs."""
    return ndimage.gaussian_filter(grey, 1.6 * sigma) - ndimage.gaussian_filter(grey, sigma)


def _without_specks(ink: np.ndarray, smallest: float) -> np.ndarray:
    """Removes connected ink (0..1) whose summed darkness is under `smallest` pixels."""
    labels, count = ndimage.label(ink > 0.08, structure=np.ones((3, 3)))
    if not count:
        return ink
    mass = np.bincount(labels.ravel(), ink.ravel(), count + 1)
    keep = mass >= smallest
    keep[0] = False
    return ink * keep[labels]


# ------------------------------------------------------------------------------ example faces


def example_faces() -> dict[str, list[Stroke]]:
    """Stick faces drawn by code, name -> strokes, placed where the face model expects a face."""
    return {
        "Short hair": _face(1, hair="short", eyes="almond", ears=True),
        "Long hair": _face(2, hair="long", eyes="almond", mouth="lips", slim=0.96),
        "Round face": _face(3, hair="fringe", eyes="round", slim=1.1, ears=True),
        "Glasses": _face(4, hair="short", eyes="dot", glasses=True, ears=True),
        "Smiling": _face(5, hair="bob", eyes="round", mouth="smile"),
        "Curly": _face(6, hair="curly", eyes="almond", mouth="lips", slim=1.03),
        "A child's drawing": _face(7, hair="none", eyes="dot", mouth="smile", plain=True),
    }


def _face(
    seed: int,
    hair: str,
    eyes: str,
    mouth: str = "line",
    slim: float = 1.0,
    glasses: bool = False,
    ears: bool = False,
    plain: bool = False,
) -> list[Stroke]:
    rng = np.random.default_rng(seed)
    pen = rng.uniform(0.009, 0.012)
    strokes: list[Stroke] = []

    def line(points: Points, width: float = pen) -> None:
        curve = wobble(smooth(points) if len(points) < 30 else np.asarray(points), 0.0028, rng)
        strokes.append(make_stroke(curve, width))

    def dot(x: float, y: float, width: float) -> None:
        strokes.append(make_stroke([(x, y)], width))

    cx, eye, rx = 0.5, EYE_LINE, 0.226 * slim
    top = 0.28
    line(arc(cx, (top + CHIN) / 2, rx, (CHIN - top) / 2, -95, 272))
    for side in (-1, 1):
        x = cx + side * EYE_GAP / 2
        if eyes == "dot":
            dot(x, eye, 0.026)
        else:
            open_ = 0.016 if eyes == "almond" else 0.024
            line(arc(x, eye, 0.045, open_, 180, 360))
            line(arc(x, eye, 0.045, open_, 180, 0))
            dot(x, eye, 0.022)
        if not plain:
            line([(x - side * 0.05, eye - 0.066), (x, eye - 0.08), (x + side * 0.06, eye - 0.06)])
        if glasses:
            line(arc(x, eye + 0.004, 0.072, 0.054, 0, 365))
            line([(x + side * 0.072, eye), (cx + side * rx, eye - 0.015)])
        if ears:
            middle = 0 if side > 0 else 180
            line(arc(cx + side * rx, 0.54, 0.028, 0.06, middle - 85, middle + 85))
        if not plain:
            line([(cx + side * 0.135, 0.8), (cx + side * 0.14, 0.905)])
            line([(cx + side * 0.14, 0.905), (cx + side * 0.27, 0.94), (cx + side * 0.38, 0.99)])
    if glasses:
        line([(cx - 0.028, eye), (cx, eye - 0.012), (cx + 0.028, eye)])
    if plain:
        line([(cx, 0.51), (cx - 0.025, 0.622), (cx + 0.014, 0.632)])
    else:
        line(
            [
                (cx - 0.05, 0.622),
                (cx - 0.022, 0.64),
                (cx, 0.633),
                (cx + 0.022, 0.64),
                (cx + 0.05, 0.622),
            ]
        )
    if mouth == "smile":
        line([(cx - 0.09, 0.69), (cx, 0.732), (cx + 0.09, 0.688)])
    else:
        line([(cx - 0.078, 0.704), (cx, 0.707), (cx + 0.078, 0.703)])
    if mouth == "lips":
        line(
            [
                (cx - 0.078, 0.704),
                (cx - 0.022, 0.686),
                (cx, 0.69),
                (cx + 0.022, 0.686),
                (cx + 0.078, 0.703),
            ]
        )
        line([(cx - 0.066, 0.708), (cx, 0.736), (cx + 0.066, 0.708)])
    _hair(line, hair, cx, rx)
    return strokes


def _hair(line: Callable[[Points], None], kind: str, cx: float, rx: float) -> None:
    w = rx + 0.03
    if kind in ("short", "fringe"):
        line(
            [
                (cx - w, 0.49),
                (cx - w - 0.005, 0.31),
                (cx - 0.14, 0.135),
                (cx, 0.095),
                (cx + 0.14, 0.135),
                (cx + w + 0.005, 0.31),
                (cx + w, 0.49),
            ]
        )
    if kind == "short":
        line(
            [
                (cx - rx, 0.46),
                (cx - 0.17, 0.345),
                (cx - 0.05, 0.3),
                (cx + 0.06, 0.325),
                (cx + 0.17, 0.345),
                (cx + rx, 0.46),
            ]
        )
        for k in range(6):
            x = cx - 0.16 + 0.06 * k
            line([(x, 0.2 - 0.04 * (1 - abs(k - 2.5) / 2.5)), (x + 0.02, 0.29)])
    elif kind == "fringe":
        xs = np.linspace(cx - rx, cx + rx, 19)
        line(resample([(x, 0.385 if k % 2 else 0.3) for k, x in enumerate(xs)], 90))
    elif kind in ("long", "bob"):
        end = 0.97 if kind == "long" else 0.76
        for side in (-1, 1):
            line(
                [
                    (cx, 0.09),
                    (cx + side * 0.15, 0.125),
                    (cx + side * (w + 0.01), 0.31),
                    (cx + side * (w + 0.03), 0.6),
                    (cx + side * (w + 0.045), end),
                ]
            )
            line(
                [
                    (cx, 0.28),
                    (cx + side * 0.13, 0.345),
                    (cx + side * rx, 0.5),
                    (cx + side * (rx - 0.01), end),
                ]
            )
            for k in range(3):
                x = cx + side * (rx + 0.012 + 0.02 * k)
                line([(cx + side * (0.1 + 0.035 * k), 0.19 + 0.03 * k), (x, 0.46), (x, end - 0.03)])
    elif kind == "curly":
        a = np.radians(np.linspace(165, 375, 220))
        bump = 0.02 * np.abs(np.sin(a * 6))
        ring = np.stack([cx + (w + 0.03 + bump) * np.cos(a), 0.4 + (0.3 + bump) * np.sin(a)], 1)
        line(ring)
        for row in range(2):
            t = np.linspace(0, 1, 160)
            half = 0.13 + 0.05 * row
            x = cx - half + 2 * half * t + 0.022 * np.cos(t * 36)
            y = 0.18 + 0.085 * row + 0.06 * (2 * t - 1) ** 2 + 0.022 * np.sin(t * 36)
            line(np.stack([x, y], 1))
