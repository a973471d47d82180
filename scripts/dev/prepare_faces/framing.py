"""A photo and its sketch in a frame where the eyes are at a known place, before one backdrop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from prepare_faces.photos import Photo, Refused
from scipy import ndimage

from scripts.examples.faces import EYE_GAP, EYE_LINE

BACKDROP = (206, 214, 222)
FACE_HEIGHT = 0.527  # hairline to chin of an average face, when the pupils are EYE_GAP apart
ENLARGED = 2.2  # the most that a photo is enlarged: beyond it, skin has no texture left


@dataclass(frozen=True)
class Place:
    """Where a face stands: its size beside that of the guide on the pad, and the middle of its
    eyes, as fractions of the side."""

    size: float = 1.0
    x: float = 0.5
    y: float = EYE_LINE

    def of(self, points: np.ndarray) -> np.ndarray:
        """Points of a face at the guide's place -> of the face at this one; fractions."""
        return (points - (0.5, EYE_LINE)) * self.size + (self.x, self.y)


GUIDE = Place()


@dataclass
class Face:
    """A photo as it was read, in its own pixels, and what brings it to the guide in a frame of
    `size` pixels: `scale` frame pixels for one of the photo, and a turn."""

    photo: np.ndarray  # float32 h x w x 3
    sketch: np.ndarray | None  # float32 h x w, the photo's size
    mask: np.ndarray | None  # float32 h x w, how much of a pixel is the person
    points: dict[str, np.ndarray]
    size: int
    scale: float
    cos: float
    sin: float

    @property
    def middle(self) -> np.ndarray:
        """Between the eyes."""
        return self.points["pupils"].mean(axis=0)

    @property
    def gap(self) -> float:
        return float(np.hypot(*np.diff(self.points["pupils"], axis=0)[0]))

    def framed_points(self) -> dict[str, np.ndarray]:
        """Return the landmarks as fractions of the frame, the face at the guide's place."""
        turn = np.array([[self.cos, self.sin], [-self.sin, self.cos]]) * self.scale / self.size
        return {k: (p - self.middle) @ turn.T + (0.5, EYE_LINE) for k, p in self.points.items()}

    def look_at(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """(u, v): where in the photo each pixel of the frame looks, beyond its edges too."""
        zoom = self.scale * place.size
        y, x = np.mgrid[: self.size, : self.size].astype(np.float32)
        x, y = (x - self.size * place.x) / zoom, (y - self.size * place.y) / zoom
        u, v = self.middle
        return u + self.cos * x - self.sin * y, v + self.sin * x + self.cos * y


@dataclass
class Framed:
    """A face in a frame, all arrays size x size."""

    photo: np.ndarray  # uint8 RGB before the backdrop
    sketch: np.ndarray | None  # uint8 grey, as it was scanned
    person: np.ndarray  # float 0..1, or all ones where there was no mask


def open_face(photo: Photo, marks: dict, mask_file: Path, size: int) -> Face:
    """Read a photo, its sketch and its mask. Raises OSError, and Refused where photo and sketch
    differ in shape and for heads that are turned far, too small or cut under the chin."""
    rgb = np.asarray(Image.open(photo.photo).convert("RGB"), np.float32)
    height, width = rgb.shape[:2]
    sketch = mask = None
    if photo.sketch:
        grey = Image.open(photo.sketch).convert("L")
        if abs(grey.width / grey.height - width / height) > 0.02 * width / height:
            raise Refused(
                f"photo and sketch differ in shape: {width}x{height} and {grey.width}x{grey.height}"
            )
        sketch = np.asarray(grey.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    if mask_file.is_file():
        mask = np.asarray(Image.open(mask_file).convert("L"), np.float32) / 255
    points = {k: np.asarray(v, float) for k, v in marks.items()}
    check_pose(points)
    across = np.diff(points["pupils"], axis=0)[0]
    gap = float(np.hypot(*across))
    tall = float(np.hypot(*(points["oval"][18] - points["oval"][0])))
    # Both measures, as the gap alone shrinks when the head turns a little.
    scale = size * (EYE_GAP / gap + FACE_HEIGHT / tall) / 2
    if scale > ENLARGED * size / 256:
        raise Refused(f"the face is too small: {gap:.0f} pixels between the eyes")
    face = Face(rgb, sketch, mask, points, size, scale, *(across / gap))
    if (face.look_at(GUIDE)[1] >= height - 1).mean() > 0.14:
        raise Refused("the picture ends too close under the chin")
    return face


def check_pose(points: dict[str, np.ndarray]) -> None:
    """Refuses heads turned far: the nose is then much nearer to one side of the oval."""
    oval, nose = points["oval"], points["bridge"][-1]
    across = points["pupils"][1] - points["pupils"][0]
    gap = np.hypot(*across)
    if gap < 1:
        raise Refused("the eyes were not found")
    near = (nose - oval[28]) @ across / gap, (oval[8] - nose) @ across / gap
    if min(near) <= 0 or abs(near[0] - near[1]) / sum(near) > 0.38:
        raise Refused("the head is turned too far")


def frame(face: Face, place: Place) -> Framed:
    """Turn, scale and shift photo and sketch so that the eyes are at `place`. Raises Refused where
    the head is cut off at the top."""
    height, width = face.photo.shape[:2]
    free_u, free_v = face.look_at(place)
    u, v = extend(free_u, free_v, width, height, 0.6 * face.gap if place.size < 1 else 0.0)
    zoom = face.scale * place.size

    def warp(picture: np.ndarray) -> np.ndarray:
        if zoom < 1:
            picture = ndimage.gaussian_filter(picture, 0.5 * (1 / zoom - 1) + 0.1)
        return ndimage.map_coordinates(picture, (v, u), order=2, mode="nearest")

    photo = np.stack([warp(face.photo[..., c]) for c in range(3)], axis=-1)
    person = np.ones(photo.shape[:2], np.float32)
    if face.mask is not None:
        under = under_crown(free_u, free_v, face.mask, face.gap, face.middle[0])
        person = np.clip(warp(face.mask), 0, 1) * under
        photo, person = before_backdrop(photo, person)
    sketch = face.sketch
    if sketch is not None:
        # No mirrored hatching above the picture, and no strokes drawn out beside or under it.
        off = (free_v < 0) | (free_v >= height) | (free_u < 0) | (free_u >= width)
        sketch = np.where(off, np.percentile(sketch, 95), warp(sketch))
        sketch = np.uint8(np.clip(sketch, 0, 255))
    return Framed(np.uint8(np.clip(photo, 0, 255)), sketch, person)


def extend(
    u: np.ndarray, v: np.ndarray, width: int, height: int, drawn_out: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Source places beyond the left and right edge take the edge's pixel from higher up.

    Repeating the edge sideways would draw hair and shoulders as level bars; the shear makes them
    fall away from the head, the way they do. Under the picture its last `drawn_out` pixels are
    stretched ever more, as a coat goes on downwards. Nothing else in the picture is stretched.
    """
    beyond = np.maximum(np.maximum(-u, u - (width - 1)), 0)
    # Above the picture, hair goes on as its mirror image, drawn out twofold.
    v = np.where(v < 0, -0.5 * v, v) - 1.2 * beyond
    if drawn_out:
        last = height - 1 - drawn_out
        v = np.where(v > last, last + drawn_out * (1 - np.exp(-(v - last) / drawn_out)), v)
    return np.clip(u, 0, width - 1), np.clip(v, 0, height - 1)


def under_crown(
    u: np.ndarray, v: np.ndarray, mask: np.ndarray, gap: float, middle: float
) -> np.ndarray:
    """1 in the picture, and above its upper edge 1 under the rounded top of a head cut off there.

    u, v: unclipped source pixels; mask: person 0..1 in source pixels; gap: between the pupils.
    A head is about 3 gaps wide, so the length of the cut says how much of the crown is missing.
    """
    cut = np.flatnonzero(mask[0] > 0.5)
    cut = cut[np.abs(cut - middle) < 2.2 * gap]
    inside = (v >= 0).astype(np.float32)
    if len(cut) < 3:
        return inside
    half = (cut[-1] - cut[0]) / 2
    if half > 1.15 * gap:
        raise Refused("the head is cut off at the top")
    radius = 1.5 * gap
    across = u - (cut[-1] + cut[0]) / 2
    crown = np.sqrt(np.maximum(radius**2 - across**2, 0)) - np.sqrt(radius**2 - half**2)
    return np.maximum(inside, np.clip(crown + v, 0, 1))


def before_backdrop(photo: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Photo (h, w, 3) and person 0..1 -> photo before BACKDROP, and the tightened mask."""
    solid = ndimage.binary_opening(person > 0.5, iterations=2)
    labels, count = ndimage.label(solid)
    if count > 1:  # other people, posters: keep what the face belongs to
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        solid = labels == sizes.argmax()
    solid = ndimage.binary_fill_holes(solid)
    person = person * ndimage.gaussian_filter(
        ndimage.binary_dilation(solid, iterations=3).astype(np.float32), 1
    )
    person = np.maximum(person, ndimage.binary_erosion(solid, iterations=4))
    alpha = np.clip((ndimage.gaussian_filter(person, 0.7) - 0.3) / 0.6, 0, 1)[..., None]
    # The rim of the mask holds the old background: colour it from just inside the person.
    inside = ndimage.binary_erosion(solid, iterations=2, border_value=1)
    if inside.any():
        near = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
        pulled = ndimage.gaussian_filter(photo[near[0], near[1]], (1, 1, 0))
        rim = ndimage.gaussian_filter((~inside).astype(np.float32), 1.2)[..., None]
        photo = photo * (1 - rim) + pulled * rim
    return photo * alpha + np.array(BACKDROP, np.float32) * (1 - alpha), alpha[..., 0]


def smaller(face: Face, rng: np.random.Generator) -> Place:
    """Half to nine tenths of the guide's size, and off its place as far as the head stays in the
    frame and hardly any of the frame lies under the picture."""
    size = rng.uniform(0.5, 0.9)
    free = 1 - size
    under = (len(face.photo) - face.middle[1]) * face.scale * size / face.size
    low = EYE_LINE * size + 0.08 * free  # the crown under the frame's upper edge
    high = max(low, min(1 - 0.42 * size, EYE_LINE + 0.5 * free))
    low = min(max(low, 0.88 - under), high)
    return Place(size, 0.5 + rng.uniform(-0.5, 0.5) * free, rng.uniform(low, high))
