"""What a photo is drawn as: sketches, lines filtered from it, lines traced, and stick faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from prepare_faces.features import hair_mask
from prepare_faces.framing import GUIDE, Face, Framed, Place, frame, smaller
from prepare_faces.hair_colour import can_recolour, recolour_hair
from prepare_faces.stick import choose_parts, stick_parts
from scipy import ndimage

from pix2pix.imaging.line_art import line_drawing
from pix2pix.imaging.strokes import Stroke, draw_strokes
from pix2pix.imaging.tracing import trace

# In turn, for a photo with an artist's sketch and for one without. The first two of the former are
# the sketch as it was scanned and cleaned: whoever translates a sketch has prepared nothing.
WITH_SKETCH = (
    "scan", "clean", "lines", "stick", "traced", "stick-part", "sketch-traced", "stick", "scan",
    "stick-plain", "lines-part", "stick", "stick-plain",
)  # fmt: skip
PHOTO_ALONE = (
    "lines", "stick", "traced", "stick-part", "stick", "lines-part", "stick-plain", "stick",
    "stick-part", "stick-plain", "traced-part", "stick-plain",
)  # fmt: skip
VAL_WITH_SKETCH = ("scan", "clean", "lines", "stick")
VAL_PHOTO_ALONE = ("lines", "traced", "stick")
ELSEWHERE = 0.3  # the share of training pairs with a smaller head, at another place
RECOLOURED = 0.5  # and of those whose hair can be told, with hair of another colour


def kinds_of(has_sketch: bool, split: str, count: int, rng: np.random.Generator) -> list[str]:
    """`count` kinds of drawing for a photo of `train`, those that an artist's sketch allows first;
    for other splits the same kinds for all photos."""
    if split != "train":
        return list(VAL_WITH_SKETCH if has_sketch else VAL_PHOTO_ALONE)
    first, others = (WITH_SKETCH[:2], WITH_SKETCH[2:]) if has_sketch else ((), PHOTO_ALONE)
    start = int(rng.integers(len(others)))
    turn = [others[(start + k) % len(others)] for k in range(max(count - len(first), 0))]
    return [*first[:count], *turn]


class Artist:
    """Draws one face in many ways, each at the guide's place or at one other."""

    def __init__(self, face: Face, rng: np.random.Generator) -> None:
        """Frame the face; raises Refused where that cannot be."""
        self.rng, self.points = rng, face.framed_points()
        self.guide = frame(face, GUIDE)
        self.place = smaller(face, rng)
        self.face, self.other = face, None

    def pair(self, kind: str, moves: bool) -> tuple[np.ndarray, Image.Image]:
        """(photo, drawing 'L') of the frame's size; with `moves` some of them are elsewhere, and
        some have hair of another colour."""
        framed, place = self.guide, GUIDE
        if moves and self.rng.random() < ELSEWHERE:
            self.other = self.other or frame(self.face, self.place)
            framed, place = self.other, self.place
        drawing = self.draw(kind, framed, place)
        return self.recoloured(framed, place) if moves else framed.photo, drawing

    def recoloured(self, framed: Framed, place: Place) -> np.ndarray:
        """Return the photo, half of the time with hair of another colour where it can be told."""
        oval = place.of(self.points["oval"])
        if self.rng.random() >= RECOLOURED:
            return framed.photo
        hair = hair_mask(framed, oval)
        if not can_recolour(framed.photo, hair, oval):
            return framed.photo
        return recolour_hair(framed.photo, hair, self.rng)

    def draw(self, kind: str, framed: Framed, place: Place) -> Image.Image:
        rng, size = self.rng, len(framed.photo)
        if kind == "scan":
            drawing = framed.sketch * rng.uniform(0.92, 1.06)
            return _picture(drawing)
        if kind.startswith("stick"):
            parts = stick_parts(self.guide, self.points, rng, plain=kind == "stick-plain")
            strokes = choose_parts(parts, rng, kind == "stick-part")
            return draw_strokes(_put(strokes, place), size)
        if "traced" in kind:
            return draw_strokes(self.traced(kind, framed, place), size)
        if kind == "clean":
            drawing = clean_sketch(framed.sketch, framed.person)
        else:
            drawing = filtered(framed.photo, rng)
        drawing = vary_ink(drawing.astype(np.float32), rng)
        if kind.endswith("part"):
            drawing = erase_patches(drawing, rng)
        return _picture(drawing)

    def traced(self, kind: str, framed: Framed, place: Place) -> list[Stroke]:
        """Trace the lines of photo or sketch with one pen: the thicker, the fewer of them."""
        rng = self.rng
        pen, shake = rng.uniform(1.2, 4.5) / 256, rng.uniform(0.2, 1.2) / 256
        if kind.startswith("sketch"):
            picture = clean_sketch(framed.sketch, framed.person)
        else:
            picture = framed.photo
        side = round(1.5 * len(picture))  # eyes and lips stay lines and are no blots
        soft = _blurred(picture, rng.uniform(0.1, 0.3) * pen * 256)
        drawing = line_drawing(soft.resize((side, side), Image.Resampling.BICUBIC), "lines")
        shortest = pen + rng.uniform(2, 8) / 256
        strokes = trace(np.asarray(drawing), pen, shortest, shake, rng)
        if rng.random() < 0.6:  # thinned, a pupil is a dash or nothing
            wide = np.ptp(self.points["left_eye"], axis=0)[0] * place.size
            width = max(pen, wide * rng.uniform(0.25, 0.45))
            pupils = place.of(self.points["pupils"]).tolist()
            strokes += [Stroke(width, (tuple(pupil),)) for pupil in pupils]
        if kind.endswith("part"):
            strokes = leave_out(strokes, place, rng)
        return strokes


def filtered(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn a photo into lines, uint8: thin with many details to thick with few."""
    size = len(photo)
    style = ("lines", "lines", "lines", "bold", "pencil")[rng.integers(5)]
    picture = Image.fromarray(photo)
    if rng.random() < 0.5:  # a softer picture gives fewer, longer lines
        picture = _blurred(photo, rng.uniform(0.5, 1.6))
    # Lines are about as wide at every size, so a larger picture has finer ones.
    side = round(size * rng.choice([0.75, 1.0, 1.0, 1.5]))
    drawing = line_drawing(picture.resize((side, side), Image.Resampling.BICUBIC), style)
    return np.asarray(drawing.resize((size, size), Image.Resampling.BICUBIC))


def clean_sketch(grey: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Clean a scan of a drawing (uint8): divide by its own paper, set the levels.

    Far from the person (0..1) nothing is left: scans have dark corners and folds.
    """
    grey = grey.astype(np.float32)
    paper = ndimage.maximum_filter(ndimage.gaussian_filter(grey, 2), 31)
    paper = ndimage.gaussian_filter(paper, 12)
    drawing = np.clip((grey / np.maximum(paper, 60) - 0.25) / (0.88 - 0.25), 0, 1)
    away = ndimage.distance_transform_edt(person < 0.5) / len(grey)
    return np.uint8(255 * np.maximum(drawing, np.clip((away - 0.03) / 0.02, 0, 1)))


def vary_ink(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thicker and darker, or thinner and paler."""
    choice = rng.random()
    if choice < 0.3:
        drawing = ndimage.gaussian_filter(ndimage.minimum_filter(drawing, 2), 0.5)
    elif choice < 0.4:
        drawing = ndimage.gaussian_filter(ndimage.minimum_filter(drawing, 3), 0.7)
    return 255 - np.clip((255 - drawing) * rng.uniform(0.8, 1.5), 0, 255)


def erase_patches(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White, soft-edged gaps: a drawing that is not finished yet."""
    size = len(drawing)
    y, x = np.mgrid[:size, :size] / size
    for _ in range(rng.integers(1, 5)):
        cx, cy, r = rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.95), rng.uniform(0.08, 0.25)
        away = np.hypot(x - cx, (y - cy) / rng.uniform(0.6, 1.4)) / r
        drawing = 255 - (255 - drawing) * np.clip((away - 0.9) * 10, 0, 1)
    return drawing


def leave_out(strokes: Sequence[Stroke], place: Place, rng: np.random.Generator) -> list[Stroke]:
    """Leave out some strokes: those of the face, those around a place, or each second one or so."""
    if not strokes:
        return []
    middles = np.array([np.mean(s.points, axis=0) for s in strokes]).reshape(-1, 2)
    from_eyes = (middles - (place.x, place.y)) / place.size
    mode = rng.integers(3)
    if mode == 0:  # the face without hair and shoulders
        keep = (
            (np.abs(from_eyes[:, 0]) < 0.24) & (from_eyes[:, 1] > -0.17) & (from_eyes[:, 1] < 0.4)
        )
    elif mode == 1:
        gap = rng.uniform((-0.3, -0.3), (0.3, 0.5))
        keep = np.hypot(*(from_eyes - gap).T) > rng.uniform(0.12, 0.3)
    else:
        keep = rng.random(len(strokes)) < rng.uniform(0.4, 0.85)
    if keep.mean() < 0.2:  # too little is left to tell anything
        return list(strokes)
    return [stroke for stroke, kept in zip(strokes, keep) if kept]


def _put(strokes: Sequence[Stroke], place: Place) -> list[Stroke]:
    """Strokes of a face at the guide's place -> at another; the pen stays as wide."""
    moved = (place.of(np.array(s.points)).tolist() for s in strokes)
    return [Stroke(s.width, tuple(map(tuple, p))) for s, p in zip(strokes, moved)]


def _blurred(picture: np.ndarray, sigma: float) -> Image.Image:
    sigmas = (sigma, sigma, 0)[: picture.ndim]
    return Image.fromarray(ndimage.gaussian_filter(picture, sigmas))


def _picture(drawing: np.ndarray) -> Image.Image:
    return Image.fromarray(np.uint8(np.clip(drawing, 0, 255)))
