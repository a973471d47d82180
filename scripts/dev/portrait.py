"""A face drawn by hand, stroke by stroke, for the README's animation."""

from __future__ import annotations

import numpy as np

from pix2pix.imaging.strokes import Points, Stroke, arc, make_stroke, smooth

PLAIN, BOLD = 0.008, 0.014  # widths of the pad's pencils


def portrait() -> list[Stroke]:
    """Draw a face in the order a person would: head, hair, eyes, nose, mouth, and then what changes
    the picture most, glasses and a beard."""
    return [*_head(), *_hair(), *_eyes(), *_nose_and_mouth(), *_shoulders(), *_glasses(), *_beard()]


def _line(points: Points, width: float = PLAIN) -> Stroke:
    return make_stroke(smooth(points) if len(points) < 30 else points, width)


def _mirrored(points: Points) -> list[tuple[float, float]]:
    return [(1 - x, y) for x, y in points]


def _both(points: Points, width: float = PLAIN) -> list[Stroke]:
    """A line on the left and its mirror image."""
    return [_line(points, width), _line(_mirrored(points), width)]


def _head() -> list[Stroke]:
    left = [(0.278, 0.44), (0.282, 0.56), (0.3, 0.66), (0.345, 0.76), (0.42, 0.83), (0.5, 0.848)]
    jaw = [*left, *reversed(_mirrored(left[:-1]))]
    ear = [(0.28, 0.5), (0.253, 0.472), (0.245, 0.53), (0.262, 0.59), (0.288, 0.602)]
    return [_line(smooth(jaw, 90)), *_both(ear)]


def _hair() -> list[Stroke]:
    outer = [(0.262, 0.47), (0.248, 0.35), (0.28, 0.215), (0.37, 0.13), (0.5, 0.098),
             (0.63, 0.118), (0.724, 0.2), (0.757, 0.33), (0.738, 0.47)]  # fmt: skip
    fringe = [(0.28, 0.47), (0.288, 0.39), (0.33, 0.325), (0.37, 0.27), (0.46, 0.325),
              (0.58, 0.335), (0.67, 0.36), (0.712, 0.4), (0.722, 0.47)]  # fmt: skip
    locks = [
        [(0.372, 0.265), (0.43, 0.185), (0.53, 0.15), (0.63, 0.17)],
        [(0.375, 0.27), (0.46, 0.215), (0.58, 0.21), (0.68, 0.27)],
        [(0.39, 0.285), (0.5, 0.255), (0.62, 0.275), (0.715, 0.36)],
        [(0.365, 0.262), (0.35, 0.2), (0.39, 0.15)],
        [(0.35, 0.285), (0.305, 0.25), (0.29, 0.26)],
        [(0.33, 0.315), (0.285, 0.31), (0.268, 0.36)],
    ]
    return [
        _line(smooth(outer, 80)),
        _line(smooth(fringe, 70)),
        *(_line(lock) for lock in locks),
    ]


def _eyes() -> list[Stroke]:
    strokes = []
    for side in (-1, 1):
        x = 0.5 + 0.1 * side
        lid = [(x - 0.047, 0.487), (x - 0.022, 0.466), (x + 0.012, 0.463), (x + 0.047, 0.486)]
        under = [(x - 0.043, 0.49), (x, 0.505), (x + 0.044, 0.489)]
        brow = [(x - 0.057 * side, 0.424), (x, 0.405), (x + 0.066 * side, 0.428)]
        if side > 0:
            lid = [(2 * x - px, py) for px, py in reversed(lid)]
        strokes += [_line(brow, BOLD), _line(lid), _line(under)]
        strokes += [
            _line(arc(x, 0.484, 0.017, 0.0185, 0, 360)),
            make_stroke([(x, 0.484)], BOLD),
        ]
    return strokes


def _nose_and_mouth() -> list[Stroke]:
    wing = [(0.452, 0.61), (0.446, 0.632), (0.462, 0.642), (0.48, 0.638), (0.5, 0.648)]
    upper = [(0.415, 0.716), (0.465, 0.7), (0.5, 0.707), (0.535, 0.7), (0.585, 0.716)]
    middle = [(0.412, 0.717), (0.46, 0.72), (0.5, 0.724), (0.54, 0.72), (0.588, 0.717)]
    lower = [(0.44, 0.733), (0.5, 0.754), (0.56, 0.733)]
    return [
        _line([*wing, *reversed(_mirrored(wing[:-1]))]),
        _line([(0.468, 0.5), (0.464, 0.55), (0.456, 0.59)]),
        _line(upper), _line(middle), _line(lower),
    ]  # fmt: skip


def _shoulders() -> list[Stroke]:
    neck = [(0.355, 0.785), (0.358, 0.86), (0.34, 0.9)]
    shoulder = [(0.34, 0.9), (0.25, 0.93), (0.14, 0.965), (0.08, 0.998)]
    collar = [(0.352, 0.885), (0.42, 0.94), (0.5, 0.99)]
    return [*_both(neck), *_both(shoulder), *_both(collar)]


def _glasses() -> list[Stroke]:
    rim = arc(0.4, 0.485, 0.072, 0.058, -15, 350)
    side = [(0.328, 0.475), (0.3, 0.468), (0.272, 0.472)]
    bridge = [(0.471, 0.478), (0.5, 0.466), (0.529, 0.478)]
    return [*_both(rim), _line(bridge), *_both(side)]


def _beard() -> list[Stroke]:
    """Scribble along the jaw and above the lip, as a person does: to and fro, without lifting."""
    along = np.linspace(-1, 1, 67)
    angle = np.radians(90 - 88 * along)
    reach = np.where(np.arange(len(along)) % 2, 0.74 + 0.18 * along**2, 0.98)
    x, y = 0.5 + 0.216 * reach * np.cos(angle), 0.612 + 0.234 * reach * np.sin(angle)
    lip = np.linspace(-1, 1, 25)
    above = 0.672 + 0.05 * lip**2 + np.where(np.arange(len(lip)) % 2, 0.012, -0.014)
    scribbles = [(x, y), (0.5 + 0.115 * lip, above)]
    return [_line(np.stack(scribble, 1)) for scribble in scribbles]
