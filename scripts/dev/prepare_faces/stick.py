"""Faces as a person draws them with a mouse: a few strokes at the place of the photo's features."""

from __future__ import annotations

from itertools import chain, groupby

import numpy as np
from prepare_faces.features import hair_mask, shows_teeth, wears_beard, wears_glasses
from prepare_faces.framing import Framed
from scipy import ndimage

from pix2pix.imaging.strokes import Stroke, arc, resample, smooth, wobble

ORDER = ("oval", "eyes", "glasses", "nose", "mouth", "brows", "hair", "beard", "ears", "neck")
Parts = dict[str, list[Stroke]]


def stick_parts(
    framed: Framed, points: dict[str, np.ndarray], rng: np.random.Generator, plain: bool
) -> Parts:
    """Draw the strokes by part of the face, in fractions of a frame with the face at the guide's
    place.

    `plain` leaves it at oval, eyes, mouth and often a nose, as a child draws, and the glasses.
    """
    face = Drawer(points, rng)
    face.oval(plain)
    face.eyes(plain)
    if not plain or rng.random() < 0.6:
        face.nose()
    face.mouth(shows_teeth(framed.photo, points))
    if wears_glasses(framed.photo, points):
        face.glasses()
    if plain:
        return face.parts
    if rng.random() < 0.75:
        face.brows()
    if rng.random() < 0.35:
        face.ears()
    if wears_beard(framed.photo, points):
        face.beard()
    hair = hair_mask(framed, points["oval"])
    if rng.random() < 0.6:
        face.neck(framed.person, hair)
    if hair.any() and rng.random() < 0.9:
        face.hair(hair, framed.person)
    return face.parts


def choose_parts(parts: Parts, rng: np.random.Generator, partial: bool) -> list[Stroke]:
    """All strokes, or what there is of an unfinished drawing."""
    strokes = list(chain(*parts.values()))
    if not partial:
        return strokes
    mode = rng.integers(5)
    if mode == 0:  # the first strokes of anybody's face
        return parts["oval"] + (parts["eyes"] if rng.random() < 0.6 else [])
    if mode == 1:
        return list(chain(*(parts.get(k, []) for k in ORDER[: rng.integers(2, 7)])))
    if mode == 2:
        return [s for s in strokes if rng.random() < 0.55] or strokes[:1]
    if mode == 3:
        return half_drawn(strokes, rng) or strokes[:1]
    return list(chain(*(v for k, v in parts.items() if k != "hair")))


def half_drawn(strokes: list[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """Leave out what is left, right or below of a line near the middle: each stroke ends there."""
    axis, sign = ((0, 1), (0, -1), (1, 1))[rng.integers(3)]
    line = (0.5, 0.55)[axis] + rng.uniform(-0.08, 0.08)
    kept = []
    for stroke in strokes:
        drawn = [sign * (point[axis] - line) < 0 for point in stroke.points]
        for is_drawn, run in groupby(zip(drawn, stroke.points), key=lambda pair: pair[0]):
            if is_drawn:
                kept.append(Stroke(stroke.width, tuple(point for _, point in run)))
    return kept


class Drawer:
    """One hand with one pen: draws the parts of one face into `parts`."""

    def __init__(self, points: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        self.at, self.rng = points, rng
        self.pen = rng.uniform(1.0, 5.0) / 256
        self.shake = rng.uniform(0.6, 2.2) / 256
        self.parts: Parts = {}
        self.begin("oval")

    def begin(self, part: str) -> None:
        """From here on, strokes belong to `part` and are off by the same small amount."""
        self.part, self.move = part, self.rng.normal(0, 0.007, 2)
        self.parts.setdefault(part, [])

    def line(self, points, count: int = 40, closed: bool = False, sharp: bool = False) -> None:
        curve = resample(points, count) if sharp else smooth(points, count, closed)
        if closed:  # a hand does not meet its start: a gap or an overlap
            cut = int(count * self.rng.uniform(-0.06, 0.08))
            curve = np.roll(curve[:-1], self.rng.integers(count), axis=0)
            curve = np.concatenate([curve, curve[:cut]]) if cut > 0 else curve[: cut - 1 or None]
        length = np.hypot(*np.diff(curve, axis=0).T).sum()
        # Small parts take more care.
        curve = wobble(curve, self.shake * min(1.0, 0.22 + length), self.rng)
        self.stroke(curve, self.pen * self.rng.uniform(0.85, 1.15))

    def dot(self, place, width: float) -> None:
        self.stroke(np.asarray(place, float)[None], width)

    def stroke(self, curve: np.ndarray, width: float) -> None:
        """Beyond the frame too: a face that is put elsewhere may have room there."""
        points = tuple(map(tuple, (curve + self.move).tolist()))
        self.parts[self.part].append(Stroke(float(width), points))

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def oval(self, plain: bool) -> None:
        oval = self.at["oval"]
        self.begin("oval")
        centre, half = (oval.max(0) + oval.min(0)) / 2, np.ptp(oval, axis=0) / 2
        shape = self.rng.choice(["ring", "ellipse", "jaw", "head"])
        if plain and shape == "jaw":
            shape = "ellipse"
        if shape == "jaw":  # from ear to ear under the chin
            self.line(oval[7:30][:: int(self.rng.integers(2, 5))])
        elif shape == "ring":
            self.line(oval[:: int(self.rng.integers(3, 6))], 72, closed=True)
        else:
            up = 0.0 if shape == "ellipse" else self.rng.uniform(0.01, 0.04)
            ring = arc(centre[0], centre[1] - up, half[0], half[1] + up, 0, 351)
            self.line(ring[::3], 72, closed=True)

    def eyes(self, plain: bool) -> None:
        self.begin("eyes")
        look = self.rng.choice(["dot", "ellipse", "almond", "almond", "lids"])
        if plain and self.chance(0.5):
            look = "dot"
        big, pupils = self.rng.uniform(0.9, 1.35), self.chance(0.8)
        dark = self.rng.uniform(0.25, 0.45)  # of the eye's width
        for eye, pupil in zip(("left_eye", "right_eye"), self.at["pupils"]):
            ring = self.at[eye]
            middle = ring.mean(0)
            off = self.rng.normal(big, 0.04), self.rng.normal(big, 0.04) * 1.15
            ring = middle + (ring - middle) * off
            wide, high = np.ptp(ring, axis=0)
            if look == "dot":
                self.dot(pupil, max(self.pen * 1.6, wide * dark))
            elif look == "ellipse":
                round_ = arc(*middle, wide / 2, max(high / 2, wide / 3.5), 0, 345)
                self.line(round_[::4], closed=True)
            elif look == "almond":
                self.line(ring[::2], closed=True)
            else:
                self.line(ring[[0, 14, 12, 10, 8]])
            if look != "dot" and pupils:
                self.dot(pupil, max(self.pen, wide * dark))

    def glasses(self) -> None:
        """Round, oval or square, a bridge between them, and often the arms to the ears."""
        self.begin("glasses")
        (left, y), (right, other) = self.at["pupils"]
        y, gap = (y + other) / 2 + 0.012, right - left
        wide, high = gap * self.rng.uniform(0.34, 0.44), gap * self.rng.uniform(0.24, 0.38)
        square = self.chance(0.35)
        arms = self.chance(0.6)
        for x, sign, edge in ((left, -1, self.at["oval"][28]), (right, 1, self.at["oval"][8])):
            if square:
                corners = [(-1, -0.8), (1, -0.8), (0.85, 0.9), (-0.85, 0.9), (-1, -0.8)]
                self.line([(x + wide * u, y + high * v) for u, v in corners], sharp=True)
            else:
                self.line(arc(x, y, wide, high, 0, 345)[::4], closed=True)
            if arms:
                self.line([(x + sign * wide, y - 0.3 * high), (edge[0], y - 0.4 * high)], 12)
        self.line([(left + wide, y), ((left + right) / 2, y - 0.012), (right - wide, y)], 16)

    def nose(self) -> None:
        self.begin("nose")
        bridge, nose, rng = self.at["bridge"], self.at["nose"], self.rng
        low, wing = nose[4], rng.choice([0, 8])
        look = rng.choice(["L", "base", "dots", "line", "full"])
        if look == "L":
            path = [bridge[rng.integers(0, 3)], (bridge[-1] + nose[wing]) / 2, low]
            self.line(path, sharp=True)
        elif look == "base":
            self.line(nose[[0, 2, 4, 6, 8]] if self.chance(0.6) else nose[[2, 4, 6]])
        elif look == "dots":
            for k in (2, 6):
                self.dot((nose[k] + low) / 2, self.pen * 1.3)
        elif look == "line":
            self.line([bridge[rng.integers(0, 3)], bridge[3], bridge[-1]])
        else:
            self.line([bridge[0], (bridge[2] + nose[wing]) / 2, nose[wing]])
            self.line(nose[[0, 2, 4, 6, 8]])

    def mouth(self, teeth: bool) -> None:
        self.begin("mouth")
        upper, lower, inner = (self.at[k] for k in ("upper_lip", "lower_lip", "inner_lip"))
        look = self.rng.choice(["line", "arc", "lips", "ellipse"], p=[0.35, 0.2, 0.35, 0.1])
        if teeth and self.chance(0.65):
            self.grin(inner, lower)
        elif look == "line":
            self.line(np.stack([upper[0], *inner[2:9:3], upper[-1]]))
        elif look == "arc":  # as deep as the mouth's own corners say
            self.line([upper[0], (inner[5] + lower[5]) / 2, upper[-1]])
        elif look == "lips":
            self.line(upper[[0, 3, 4, 5, 6, 7, 10]])
            self.line(lower[[0, 2, 5, 8, 10]])
            if self.chance(0.7):
                self.line(inner[::2])
        else:
            self.line(np.concatenate([upper[::3], lower[-2:0:-3]]), closed=True)
        if teeth and self.chance(0.4):  # the lines of a smile, from the nose around the mouth
            nose = self.at["nose"]
            for k, corner, sign in ((0, upper[0], -1), (8, upper[-1], 1)):
                start, end = np.array((sign * 0.02, 0)), np.array((sign * 0.035, -0.01))
                self.line([nose[k] + start, corner + end], 16)

    def grin(self, inner: np.ndarray, lower: np.ndarray) -> None:
        """Draw an open mouth, and the teeth in it."""
        under = 0.35 * inner[[1, 3, 5, 7, 9]] + 0.65 * lower[[1, 3, 5, 7, 9]]
        self.line(np.concatenate([inner[::2], under[::-1]]), closed=True)
        if self.chance(0.4):
            for k in range(2, 9):
                between = 0.4 * inner[k] + 0.6 * lower[k]
                self.line([inner[k], between], 8)
        elif self.chance(0.5):
            self.line((inner[1:-1] + lower[1:-1]) / 2, 20)

    def brows(self) -> None:
        self.begin("brows")
        thick = self.chance(0.3)
        for brow in ("left_brow", "right_brow"):
            self.line(self.at[brow][[0, 2, 4]])
            if thick:
                self.line(self.at[brow][[0, 2, 4]] + (0, self.pen))

    def ears(self) -> None:
        self.begin("ears")
        for k, first, last in ((8, -100, 80), (28, 260, 100)):
            x, y = self.at["oval"][k]
            self.line(arc(x, y + 0.04, 0.028, 0.055, first, last)[::6])

    def beard(self) -> None:
        """Its outline, short strokes from jaw to chin, or both; and the moustache."""
        self.begin("beard")
        oval, upper, nose = self.at["oval"], self.at["upper_lip"], self.at["nose"]
        rim = oval[11:26]  # from right of the mouth around the chin
        look = self.rng.choice(["edge", "strokes", "both"])
        if look != "strokes":
            lower = self.at["lower_lip"]
            top = [rim[0], upper[-1] + (0.02, 0.01), lower[5] + (0, 0.02), upper[0] + (-0.02, 0.01)]
            self.line([*top, rim[-1]], 60)
        if look != "edge":
            mouth = (upper[0] + upper[-1]) / 2
            for _ in range(self.rng.integers(10, 40)):
                end = rim[self.rng.integers(len(rim))] + self.rng.normal(0, 0.01, 2)
                start = end + (mouth - end) * self.rng.uniform(0.15, 0.4)
                self.line([start, end], 10)
        if self.chance(0.7):
            out, up = np.array((0.01, 0)), np.array((0, 0.01))
            low = (nose[4] + upper[5]) / 2
            self.line([upper[0] - out, low, upper[-1] + out], 30)
            self.line([upper[0] + out - up, upper[5] - 0.6 * up, upper[-1] - out - up], 30)

    def neck(self, person: np.ndarray, hair: np.ndarray) -> None:
        size, oval = len(hair), self.at["oval"]
        self.begin("neck")
        chin = oval[18, 1]
        for k, sign in ((13, 1), (23, -1)):
            x, y = oval[k]
            self.line([(x, y), (x - sign * 0.005, (y + 0.93) / 2), (x + sign * 0.02, 0.92)])
        body = (person > 0.5) & ~hair
        for sign in (-1, 1):  # the upper edge of the body on either side
            xs = np.arange(0.5 + sign * 0.15, 0.5 + sign * 0.48, sign * 0.05)
            outline = []
            for x in xs:
                column = slice(int((chin - 0.02) * size), None), int(x * size)
                rows = np.flatnonzero(body[column])
                if len(rows) > 3 and hair[column].sum() < 0.03 * size:
                    outline.append((x, chin - 0.02 + rows[0] / size))
            if len(outline) >= 3 and self.chance(0.8):
                self.line(outline)

    def hair(self, hair: np.ndarray, person: np.ndarray) -> None:
        """Outline and hairline by rays from the middle of the face, then teeth or hatching."""
        self.begin("hair")
        found = hair_lines(hair, person, self.at["oval"])
        if found is None:
            return
        hairline, outline = found
        every = int(self.rng.integers(2, 4))
        self.line(outline[::every], 72)
        look = self.rng.choice(
            ["outline", "hairline", "teeth", "hatch", "scribble"], p=[0.15, 0.3, 0.2, 0.2, 0.15]
        )
        if look in ("hairline", "hatch"):
            self.line(hairline[::every], 60)
        elif look == "teeth":
            teeth = hairline[::2].copy()
            teeth[1::2] += (outline[::2][1::2] - teeth[1::2]) * self.rng.uniform(0.25, 0.6)
            self.line(teeth, 90, sharp=True)
        if look == "hatch":
            for _ in range(self.rng.integers(6, 22)):
                k = self.rng.integers(len(outline))
                a, b = np.sort(self.rng.uniform(0.05, 0.95, 2))
                lean = min(max(k + self.rng.integers(-2, 3), 0), len(outline) - 1)
                start = hairline[k] * (1 - a) + outline[k] * a
                self.line([start, hairline[lean] * (1 - b) + outline[lean] * b], 12)
        elif look == "scribble":  # one pen stroke to and fro until the hair is filled
            count = len(outline) * int(self.rng.integers(1, 4))
            k = np.linspace(0, len(outline) - 1, count).astype(int)
            t = np.where(np.arange(count) % 2, 0.97, 0.03)[:, None]
            self.line(hairline[k] * (1 - t) + outline[k] * t, count * 6, sharp=True)


def hair_lines(
    hair: np.ndarray, person: np.ndarray, oval: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """(hairline, outline) of the longest lock around the face, each (n, 2) fractions; None where
    there is hardly any hair."""
    size = len(hair)
    middle = (oval.max(0) + oval.min(0)) / 2
    angles = np.radians(np.arange(100, 441, 5))  # from the chin clockwise over the head
    steps = np.linspace(0, 0.75, 150)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = middle + rays[:, None] * steps[:, None]
    pixels = np.clip((places * size).astype(int), 0, size - 1)
    outside = ((places < 0) | (places > 1)).any(-1)
    hit = hair[pixels[..., 1], pixels[..., 0]] & ~outside
    has = hit.sum(1) > 3
    if has.sum() < 6:
        return None
    inner = steps[hit.argmax(1)]
    outer = steps[len(steps) - 1 - hit[:, ::-1].argmax(1)]
    # Over the face the head ends where the person does, whatever the light does to the hair.
    body = (person[pixels[..., 1], pixels[..., 0]] > 0.5) & ~outside
    over = (rays[:, 1] < -0.2) & body.any(1)
    outer = np.where(over, steps[len(steps) - 1 - body[:, ::-1].argmax(1)], outer)
    # The longest run of rays that meet hair, small gaps closed: one lock, one stroke.
    labels, _ = ndimage.label(ndimage.binary_closing(has, iterations=2))
    run = np.flatnonzero((labels == np.bincount(labels[labels > 0]).argmax()) & has)
    inner, outer = (ndimage.gaussian_filter1d(r[run], 1.5) for r in (inner, outer))
    rays = rays[run]
    return middle + rays * inner[:, None], middle + rays * outer[:, None]
