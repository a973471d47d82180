"""Draw stick faces, placed where the face model expects a face, and strokes of colour on them."""

from __future__ import annotations

import numpy as np

from pix2pix.imaging.hints import Hint, make_hint
from pix2pix.imaging.strokes import Points, Stroke, arc, make_stroke, resample, smooth, wobble

# Where the features of a face sit in the square frame (fractions of the side). The face dataset
# is prepared with the same numbers, so a drawing that keeps to them meets what the model has seen.
EYE_LINE = 0.48
EYE_GAP = 0.20  # between the pupils
CHIN = 0.845
MIDDLE = 0.5
_LIPS = ((-0.078, 0.704), (-0.022, 0.686), (0, 0.69), (0.022, 0.686), (0.078, 0.703))
_CLOSED = ((-0.078, 0.704), (0, 0.707), (0.078, 0.703))
_TEETH = tuple(((x, 0.697), (x, 0.732)) for x in (-0.04, 0.0, 0.04))
# The lines of a mouth, x from the middle.
MOUTHS = {
    "line": (_CLOSED,),
    "smile": (((-0.09, 0.69), (0, 0.732), (0.09, 0.688)),),
    "grin": (((-0.085, 0.685), (0, 0.7), (0.085, 0.685)),
        ((-0.085, 0.685), (-0.04, 0.732), (0.04, 0.732), (0.085, 0.685)), *_TEETH),
    "lips": (_CLOSED, _LIPS, ((-0.066, 0.708), (0, 0.736), (0.066, 0.708))),
}  # fmt: skip


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
        "Bald": _face(10, hair="none", eyes="almond", beard=True, ears=True, slim=1.04),
        "Grey curls": _face(11, hair="curly", eyes="dot", mouth="smile", glasses=True),
        "Pink fringe": _face(12, hair="fringe", eyes="almond", mouth="lips", slim=0.94),
        "A child's drawing": _face(7, hair="none", eyes="dot", mouth="smile", plain=True),
    }


def face_colours() -> dict[str, list[Hint]]:
    """Paint strokes of colour for hair, skin and clothes of `example_faces`, by the same names."""
    return {name: _colours(name, *colours) for name, colours in _COLOURS.items()}


BLACK, BROWN, GINGER, BLOND, GREY = (
    (26, 22, 22), (84, 56, 40), (160, 78, 40), (214, 184, 130), (158, 156, 154)
)  # fmt: skip
LIGHT, TAN, DARK = (234, 194, 170), (206, 152, 120), (112, 74, 54)
NAVY, RED, GREEN, PINK, WHITE = (
    (44, 62, 108), (176, 38, 44), (40, 92, 70), (214, 92, 148), (222, 222, 224)
)  # fmt: skip
# Of the hair (None: there is none), the skin and the clothes.
_COLOURS: dict[str, tuple[tuple[int, int, int] | None, ...]] = {
    "Short hair": (BROWN, LIGHT, NAVY),
    "Long hair": (GINGER, LIGHT, GREEN),
    "Glasses": (BLOND, LIGHT, NAVY),
    "Beard": (BLACK, DARK, WHITE),
    "Grinning": (BLOND, TAN, RED),
    "Curly": (BLACK, DARK, RED),
    "Round face": (GREY, TAN, NAVY),
    "Smiling": (GINGER, TAN, GREEN),
    "Bald": (None, TAN, WHITE),
    "Grey curls": (GREY, LIGHT, RED),
    "Pink fringe": (PINK, LIGHT, BLACK),
    "A child's drawing": (BROWN, LIGHT, None),
}
_HAIR_ENDS = {"Long hair": 0.93, "Grinning": 0.93, "Smiling": 0.72}  # of long hair
_CROWN = [(0.285, 0.40), (0.31, 0.29), (0.39, 0.20), (0.5, 0.165), (0.61, 0.20), (0.69, 0.29),
    (0.715, 0.40)]  # fmt: skip


def _colours(
    name: str,
    hair: tuple[int, int, int] | None,
    skin: tuple[int, int, int],
    clothes: tuple[int, int, int] | None,
) -> list[Hint]:
    cheek = [(0.355, 0.57), (0.37, 0.66), (0.41, 0.72)]
    strokes = [(skin, 0.06, [(0.4, 0.4), (0.5, 0.38), (0.6, 0.4)])]
    strokes += [(skin, 0.08, cheek), (skin, 0.08, [(1 - x, y) for x, y in cheek])]
    strokes.append((skin, 0.05, [(0.45, 0.79), (0.55, 0.79)]))
    if hair:
        strokes.append((hair, 0.1, _CROWN))
    if hair and (end := _HAIR_ENDS.get(name)):
        strokes += [(hair, 0.06, [(x, 0.42), (x, end)]) for x in (0.26, 0.74)]
    if clothes:
        strokes.append((clothes, 0.03, [(0.27, 0.985), (0.5, 0.99), (0.73, 0.985)]))
    return [make_hint(color, width, smooth(points, 24)) for color, width, points in strokes]


class _Pen:
    """Draws lines as a hand does."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.width = self.rng.uniform(0.009, 0.012)
        self.strokes: list[Stroke] = []

    def line(self, points: Points) -> None:
        curve = smooth(points) if len(points) < 30 else np.asarray(points)
        self.strokes.append(make_stroke(wobble(curve, 0.0028, self.rng), self.width))

    def across(self, *points: tuple[float, float]) -> None:
        """Draw a line through points whose x are counted from the middle."""
        self.line([(MIDDLE + x, y) for x, y in points])

    def dot(self, x: float, y: float, width: float) -> None:
        self.strokes.append(make_stroke([(x, y)], width))


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
    pen, half, top = _Pen(seed), 0.226 * slim, 0.28
    pen.line(arc(MIDDLE, (top + CHIN) / 2, half, (CHIN - top) / 2, -95, 272))
    for side in (-1, 1):
        x = MIDDLE + side * EYE_GAP / 2
        _eye(pen, x, eyes)
        if not plain:
            brow = [(x - side * 0.05, EYE_LINE - 0.066), (x, EYE_LINE - 0.08)]
            pen.line([*brow, (x + side * 0.06, EYE_LINE - 0.06)])
        if glasses:
            pen.line(arc(x, EYE_LINE + 0.004, 0.072, 0.054, 0, 365))
            pen.line([(x + side * 0.072, EYE_LINE), (MIDDLE + side * half, EYE_LINE - 0.015)])
        if ears:
            middle = 0 if side > 0 else 180
            pen.line(arc(MIDDLE + side * half, 0.54, 0.028, 0.06, middle - 85, middle + 85))
        if not plain:
            pen.across((side * 0.135, 0.8), (side * 0.14, 0.905))
            pen.across((side * 0.14, 0.905), (side * 0.27, 0.94), (side * 0.38, 0.99))
    if glasses:
        pen.across((-0.028, EYE_LINE), (0, EYE_LINE - 0.012), (0.028, EYE_LINE))
    if plain:
        pen.across((0, 0.51), (-0.025, 0.622), (0.014, 0.632))
    else:
        pen.across((-0.05, 0.622), (-0.022, 0.64), (0, 0.633), (0.022, 0.64), (0.05, 0.622))
    for points in MOUTHS[mouth]:
        pen.across(*points)
    if beard:
        _beard(pen, half)
    _hair(pen, hair, half)
    return pen.strokes


def _eye(pen: _Pen, x: float, kind: str) -> None:
    if kind == "dot":
        pen.dot(x, EYE_LINE, 0.026)
        return
    for end in (360, 0):
        pen.line(arc(x, EYE_LINE, 0.045, 0.016 if kind == "almond" else 0.024, 180, end))
    pen.dot(x, EYE_LINE, 0.022)


def _beard(pen: _Pen, half: float) -> None:
    """Draw its upper edge around the mouth, a moustache, and short strokes along the jaw."""
    edge = [(-0.95, 0.6), (-0.5, 0.69), (-0.42, 0.66), (0, 0.745), (0.42, 0.66), (0.5, 0.69)]
    pen.across(*((x * half, y) for x, y in [*edge, (0.95, 0.6)]))
    pen.across((-0.09, 0.695), (0, 0.66), (0.09, 0.695))
    for angle in np.radians(np.linspace(8, 172, 56)):
        out, inner = pen.rng.uniform(0.88, 1.02), pen.rng.uniform(0.72, 0.86)
        x, y = half * np.cos(angle), 0.235 * np.sin(angle)
        pen.line([(MIDDLE + k * x, 0.6 + k * y) for k in (out, inner)])


def _hair(pen: _Pen, kind: str, half: float) -> None:
    """Draw hair on a face that is `half` as wide to either side."""
    if kind in ("short", "fringe"):
        _crown(pen, half)
        (_strands if kind == "short" else _fringe)(pen, half)
    elif kind in ("long", "bob"):
        for side in (-1, 1):
            _long_hair(pen, side, half, 0.97 if kind == "long" else 0.76)
    elif kind == "curly":
        _curls(pen, half)


def _crown(pen: _Pen, half: float) -> None:
    w = half + 0.03
    pen.line([(MIDDLE - w, 0.49), (MIDDLE - w - 0.005, 0.31), (MIDDLE - 0.14, 0.135),
        (MIDDLE, 0.095), (MIDDLE + 0.14, 0.135), (MIDDLE + w + 0.005, 0.31),
        (MIDDLE + w, 0.49)])  # fmt: skip


def _strands(pen: _Pen, half: float) -> None:
    """Draw the edge of short hair over the forehead, and strands above it."""
    edge = [(-0.17, 0.345), (-0.05, 0.3), (0.06, 0.325), (0.17, 0.345)]
    pen.across((-half, 0.46), *edge, (half, 0.46))
    # Combed from a parting, on both sides of it.
    for k in range(5):
        x = -0.06 + 0.045 * k
        pen.across((-0.075 + 0.012 * k, 0.14), (x + 0.02, 0.19 + 0.012 * k), (x + 0.075, 0.3))
    for k in range(2):
        pen.across((-0.09 - 0.01 * k, 0.15), (-0.15 - 0.02 * k, 0.23), (-0.19 - 0.02 * k, 0.36))


def _fringe(pen: _Pen, half: float) -> None:
    xs = np.linspace(MIDDLE - half, MIDDLE + half, 19)
    pen.line(resample([(x, 0.385 if k % 2 else 0.3) for k, x in enumerate(xs)], 90))


def _long_hair(pen: _Pen, side: int, half: float, end: float) -> None:
    """Draw one side of hair that falls to `end`: its outer and inner edge, and strands."""
    w = half + 0.03
    pen.across((0, 0.09), (side * 0.15, 0.125), (side * (w + 0.01), 0.31),
        (side * (w + 0.03), 0.6), (side * (w + 0.045), end))  # fmt: skip
    pen.across((0, 0.28), (side * 0.13, 0.345), (side * half, 0.5), (side * (half - 0.01), end))
    for k in range(3):
        x = side * (half + 0.012 + 0.02 * k)
        pen.across((side * (0.1 + 0.035 * k), 0.19 + 0.03 * k), (x, 0.46), (x, end - 0.03))


def _curls(pen: _Pen, half: float) -> None:
    """Draw a ring of curls around the head, and two rows of them over the forehead."""
    a, w = np.radians(np.linspace(165, 375, 220)), half + 0.03
    bump = 0.02 * np.abs(np.sin(a * 6))
    ring = MIDDLE + (w + 0.03 + bump) * np.cos(a), 0.4 + (0.3 + bump) * np.sin(a)
    pen.line(np.stack(ring, 1))
    for row in range(2):
        t = np.linspace(0, 1, 160)
        width = 0.13 + 0.05 * row
        x = MIDDLE - width + 2 * width * t + 0.022 * np.cos(t * 36)
        y = 0.18 + 0.085 * row + 0.06 * (2 * t - 1) ** 2 + 0.022 * np.sin(t * 36)
        pen.line(np.stack([x, y], 1))
