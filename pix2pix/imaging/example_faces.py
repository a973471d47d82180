"""Draw stick faces, placed where the face model expects a face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pix2pix.imaging.strokes import Points, Stroke, arc, make_stroke, resample, smooth, wobble

# Where the features of a face sit in the square frame (fractions of the side). The face dataset
# is prepared with the same numbers, so a drawing that keeps to them meets what the model has seen.
EYE_LINE = 0.48
EYE_GAP = 0.20  # between the pupils
CHIN = 0.845


def example_faces() -> dict[str, list[Stroke]]:
    """Draw stick faces, name -> strokes, placed where the face model expects a face."""
    return {
        "Short hair": _face(1, hair="short", eyes="almond", ears=True),
        "Long hair": _face(2, hair="long", eyes="almond", mouth="lips", slim=0.96),
        "Glasses": _face(4, hair="short", eyes="dot", glasses=True, ears=True),
        "Beard": _face(8, hair="short", eyes="almond", beard=True, ears=True),
        "Grinning": _face(9, hair="long", eyes="round", mouth="grin", slim=0.98),
        "Curly": _face(6, hair="curly", eyes="almond", mouth="lips", slim=1.03),
        "Round face": _face(3, hair="fringe", eyes="round", slim=1.1, ears=True),
        "Smiling": _face(5, hair="bob", eyes="round", mouth="smile"),
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
    beard: bool = False,
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
    elif mouth == "grin":
        line([(cx - 0.085, 0.685), (cx, 0.7), (cx + 0.085, 0.685)])
        line([(cx - 0.085, 0.685), (cx - 0.04, 0.732), (cx + 0.04, 0.732), (cx + 0.085, 0.685)])
        for x in (-0.04, 0.0, 0.04):
            line([(cx + x, 0.697), (cx + x, 0.732)])
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
    if beard:
        _beard(line, cx, rx, rng)
    _hair(line, hair, cx, rx)
    return strokes


def _beard(line: Callable[[Points], None], cx: float, rx: float, rng: np.random.Generator) -> None:
    """Draw its upper edge around the mouth, a moustache, and short strokes along the jaw."""
    edge = [(-0.95, 0.6), (-0.5, 0.69), (-0.42, 0.66), (0, 0.745), (0.42, 0.66), (0.5, 0.69)]
    line([(cx + x * rx, y) for x, y in [*edge, (0.95, 0.6)]])
    line([(cx - 0.09, 0.695), (cx, 0.66), (cx + 0.09, 0.695)])
    for angle in np.radians(np.linspace(15, 165, 22)):
        out = rng.uniform(0.93, 1.03)
        x, y = cx + out * rx * np.cos(angle), 0.6 + out * 0.235 * np.sin(angle)
        line([(x, y), (cx + 0.75 * (x - cx), 0.6 + 0.75 * (y - 0.6))])


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
