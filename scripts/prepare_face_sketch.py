"""Face photos and artists' sketches -> a pix2pix dataset that also knows a mouse drawing.

Each photo is framed by its eyes, put before one plain backdrop and paired with several drawings
of it: the artist's sketch, its lines, lines filtered from the photo, and stick faces built from
landmarks exactly where the photo's features are. Two steps, the first in an environment of its
own with mediapipe 0.10.14 and numpy 1:

    prepare_face_sketch.py --cuhk DIR --fs2k DIR --find-landmarks faces.json
    prepare_face_sketch.py --cuhk DIR --fs2k DIR --landmarks faces.json --out DIR

DIR of CUHK holds photos/, sketches/ and split.csv (photo,sketch,split); DIR of FS2K holds
{train,val}/{photo,sketch}/ with equal stems. The output is A|B strips: photo left, drawing right.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pix2pix.drawing import (
    EYE_GAP,
    EYE_LINE,
    Stroke,
    arc,
    draw_strokes,
    line_drawing,
    make_stroke,
    resample,
    smooth,
    wobble,
)
from pix2pix.files import write_json
from pix2pix.images import list_images, save_png

BACKDROP = (206, 214, 222)
FACE_HEIGHT = 0.527  # hairline to chin of an average face, when the pupils are EYE_GAP apart

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
# Groups of MediaPipe face mesh points (468 + 10 iris points). Left and right are the picture's.
MESH = {
    "oval": OVAL,
    "left_eye": (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    "right_eye": (362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
    "pupils": (468, 473),
    "left_brow": (70, 63, 105, 66, 107),
    "right_brow": (336, 296, 334, 293, 300),
    "bridge": (168, 6, 197, 195, 5, 4),
    "nose": (48, 64, 98, 97, 2, 326, 327, 294, 278),
    "upper_lip": (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    "lower_lip": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    "inner_lip": (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
}

# What a photo is drawn as, in turn. Twelve make 5 stick faces, 3 artist's sketches, 4 filters.
KINDS = (
    "stick", "sketch", "photo", "stick", "sketch-lines", "photo",
    "stick-part", "sketch", "photo", "stick-plain", "photo-part", "stick",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One photo and its sketch on disk."""

    group: str
    split: str
    photo: Path
    sketch: Path

    @property
    def name(self) -> str:
        return f"{self.group}-{self.photo.stem}"


class Refused(ValueError):
    """This pair cannot be used; the sentence says why."""


# ------------------------------------------------------------------------------------- pairing


def find_pairs(cuhk: Path | None, fs2k: Path | None, limit: int | None) -> tuple[list, list]:
    """(pairs, refused): refused are {"file", "reason"} of files without a counterpart."""
    pairs: list[Pair] = []
    refused: list[dict] = []
    if cuhk:
        with open(cuhk / "split.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            photo, sketch = cuhk / "photos" / row["photo"], cuhk / "sketches" / row["sketch"]
            missing = [p.name for p in (photo, sketch) if not p.is_file()]
            if missing:
                refused.append({"file": row["photo"], "reason": f"{missing[0]} is missing"})
            else:
                pairs.append(Pair("cuhk", row["split"], photo, sketch))
        known = {row["photo"] for row in rows}
        refused += [
            {"file": p.name, "reason": "not listed in split.csv"}
            for p in pictures(cuhk / "photos")
            if p.name not in known
        ]
    for split in ("train", "val") if fs2k else ():
        sketches = {p.stem: p for p in pictures(fs2k / split / "sketch")}
        for photo in pictures(fs2k / split / "photo"):
            if photo.stem in sketches:
                pairs.append(Pair("fs2k", split, photo, sketches[photo.stem]))
            else:
                refused.append({"file": photo.name, "reason": "no sketch of this name"})
    if limit:
        seen: Counter = Counter()
        kept = []
        for pair in pairs:
            seen[pair.group, pair.split] += 1
            if seen[pair.group, pair.split] <= limit:
                kept.append(pair)
        pairs = kept
    return pairs, refused


def pictures(folder: Path) -> list[Path]:
    return list_images(folder) if folder.is_dir() else []


# ----------------------------------------------------------------------------------- landmarks


def find_landmarks(pairs: list[Pair], out: Path) -> int:
    """Writes OUT (photo name -> group -> points in pixels) and person masks beside it."""
    try:
        import mediapipe as mp

        mesh = mp.solutions.face_mesh.FaceMesh(
            static_image_mode=True, refine_landmarks=True, min_detection_confidence=0.3
        )
        person = mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
    except (ImportError, AttributeError) as error:
        raise SystemExit(
            "Finding landmarks needs a mediapipe that carries its models in the wheel: "
            f"pip install 'mediapipe==0.10.14' 'numpy<2' (a separate environment is best). {error}"
        ) from error
    masks = mask_folder(out)
    masks.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict] = {}
    for pair in pairs:
        rgb = np.asarray(Image.open(pair.photo).convert("RGB"))
        faces = mesh.process(rgb).multi_face_landmarks
        if not faces:
            continue
        scale = (rgb.shape[1], rgb.shape[0])
        points = np.array([[p.x, p.y] for p in faces[0].landmark]) * scale
        found[pair.photo.name] = {k: points[list(v)].round(2).tolist() for k, v in MESH.items()}
        mask = person.process(rgb).segmentation_mask
        Image.fromarray(np.uint8(255 * mask)).save(masks / f"{pair.photo.stem}.png")
    write_json(out, found)
    return len(found)


def mask_folder(landmarks: Path) -> Path:
    return landmarks.with_name(landmarks.stem + "-masks")


# -------------------------------------------------------------------------------------- frame


@dataclass
class Framed:
    """A pair in the common frame, all arrays size x size; points in pixels of the frame."""

    photo: np.ndarray  # uint8 RGB before the backdrop
    sketch: np.ndarray  # uint8 grey
    person: np.ndarray  # float 0..1, or all ones where there was no mask
    hair: np.ndarray  # bool
    points: dict[str, np.ndarray]


def frame_pair(pair: Pair, marks: dict, mask_file: Path, size: int) -> Framed:
    """Turns, scales and shifts both pictures so that the eyes are where every face has them."""
    photo = np.asarray(Image.open(pair.photo).convert("RGB"), np.float32)
    height, width = photo.shape[:2]
    sketch = Image.open(pair.sketch).convert("L")
    if abs(sketch.width / sketch.height - width / height) > 0.02 * width / height:
        raise Refused(
            f"photo and sketch differ in shape: {width}x{height} and {sketch.width}x{sketch.height}"
        )
    sketch = np.asarray(sketch.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    points = {k: np.asarray(v, float) for k, v in marks.items()}
    check_pose(points)

    left, right = points["pupils"]
    middle, across = (left + right) / 2, right - left
    gap = float(np.hypot(*across))
    tall = float(np.hypot(*(points["oval"][18] - points["oval"][0])))
    # Both measures, as the gap alone shrinks when the head turns a little.
    scale = size * (EYE_GAP / gap + FACE_HEIGHT / tall) / 2
    if scale > 2.2:
        raise Refused(f"the face is too small: {gap:.0f} pixels between the eyes")
    cos, sin = across / gap / scale
    y, x = np.mgrid[:size, :size].astype(np.float32)
    x, y = x - size / 2, y - size * EYE_LINE
    free_u, free_v = middle[0] + cos * x - sin * y, middle[1] + sin * x + cos * y
    u, v = extend(free_u, free_v, width, height)

    def warp(picture: np.ndarray) -> np.ndarray:
        if scale < 1:
            picture = ndimage.gaussian_filter(picture, 0.5 * (1 / scale - 1) + 0.1)
        return ndimage.map_coordinates(picture, (v, u), order=2, mode="nearest")

    inverse = np.array([[cos, sin], [-sin, cos]]) * scale**2
    points = {k: (p - middle) @ inverse.T + (size / 2, size * EYE_LINE) for k, p in points.items()}
    photo = np.stack([warp(photo[..., c]) for c in range(3)], axis=-1)
    sketch = np.where(free_v < 0, 255, warp(sketch))  # no mirrored hatching above the picture
    person = np.ones((size, size), np.float32)
    if mask_file.is_file():
        mask = np.asarray(Image.open(mask_file).convert("L"), np.float32) / 255
        person = np.clip(warp(mask), 0, 1) * under_crown(free_u, free_v, mask, gap, middle[0])
        photo, person = before_backdrop(photo, person)
    if (v >= height - 1).mean() > 0.14:
        raise Refused("the picture ends too close under the chin")
    photo = np.uint8(np.clip(photo, 0, 255))
    return Framed(
        photo,
        np.uint8(np.clip(sketch, 0, 255)),
        person,
        hair_mask(photo, person, points, size),
        points,
    )


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


def extend(u: np.ndarray, v: np.ndarray, width: int, height: int) -> tuple:
    """Source places beyond the left and right edge take the edge's pixel from higher up.

    Repeating the edge sideways would draw hair and shoulders as level bars; the shear makes them
    fall away from the head, the way they do. Nothing that is in the picture is stretched.
    """
    beyond = np.maximum(np.maximum(-u, u - (width - 1)), 0)
    # Above the picture, hair goes on as its mirror image, drawn out twofold.
    above = np.where(v < 0, -0.5 * v, v)
    return np.clip(u, 0, width - 1), np.clip(above - 1.2 * beyond, 0, height - 1)


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


def hair_mask(photo: np.ndarray, person: np.ndarray, points: dict, size: int) -> np.ndarray:
    """bool (size, size): of the person, outside the face, nearer in colour to hair than to skin."""
    face = polygon(points["oval"], size)
    oval = points["oval"]
    left, right, top = oval[:, 0].min(), oval[:, 0].max(), oval[:, 1].min()
    colour = ndimage.gaussian_filter(photo.astype(np.float32), (1, 1, 0))
    y, x = np.mgrid[:size, :size]
    solid = person > 0.6
    seed = solid & (y < top - 0.02 * size) & (x > left) & (x < right)
    if person.min() > 0.99 or seed.sum() < 0.004 * size * size:
        return np.zeros((size, size), bool)  # bald, or no mask to tell the head from the wall
    hair = np.median(colour[seed], axis=0)
    skin = np.median(colour[ndimage.binary_erosion(face, iterations=int(0.05 * size))], axis=0)
    to_hair = np.abs(colour - hair).sum(-1)
    to_skin = np.abs(colour - skin).sum(-1)
    found = solid & (to_hair < to_skin) & (to_hair < 150)
    found &= ~ndimage.binary_erosion(face, iterations=int(0.035 * size))
    # Between jaw and shoulder, hair hangs beside the neck, not in front of it.
    chin = oval[18, 1]
    found &= ~((y > chin - 0.06 * size) & (x > left + 0.05 * size) & (x < right - 0.05 * size))
    found = ndimage.binary_opening(found, iterations=2)
    labels, _ = ndimage.label(found)
    keep = np.unique(labels[seed & found])
    found = np.isin(labels, keep[keep > 0])
    return ndimage.binary_closing(found, iterations=3)


def polygon(points: np.ndarray, size: int) -> np.ndarray:
    picture = Image.new("1", (size, size))
    ImageDraw.Draw(picture).polygon([tuple(p) for p in points], fill=1)
    return np.asarray(picture)


# --------------------------------------------------------------------------------- renderings


def render(kind: str, face: Framed, rng: np.random.Generator) -> Image.Image:
    """One drawing of the face, mode 'L', the frame's size."""
    size = len(face.photo)
    if kind.startswith("stick"):
        parts = stick_parts(face, rng, plain=kind == "stick-plain")
        return draw_strokes(choose_parts(parts, rng, kind == "stick-part"), size)
    if kind.startswith("sketch"):
        drawing = clean_sketch(face.sketch, face.person)
        if kind == "sketch-lines":
            drawing = np.asarray(
                line_drawing(Image.fromarray(drawing), "lines" if rng.random() < 0.5 else "pencil")
            )
    else:
        styles = ("lines", "lines", "bold", "pencil")
        picture = Image.fromarray(face.photo)
        if rng.random() < 0.5:  # a softer picture gives fewer, longer lines
            picture = Image.fromarray(
                ndimage.gaussian_filter(face.photo, (rng.uniform(0.5, 1.6),) * 2 + (0,))
            )
        drawing = np.asarray(line_drawing(picture, styles[rng.integers(4)]))
    drawing = vary_ink(drawing.astype(np.float32), rng)
    if kind.endswith("part"):
        drawing = erase_patches(drawing, rng)
    return Image.fromarray(np.uint8(np.clip(drawing, 0, 255)))


def clean_sketch(grey: np.ndarray, person: np.ndarray) -> np.ndarray:
    """A scan of a drawing (uint8) on even white paper: divided by its own paper, levels set.

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


def choose_parts(parts: dict[str, list], rng: np.random.Generator, partial: bool) -> list[Stroke]:
    strokes = list(chain(*parts.values()))
    if not partial:
        return strokes
    mode = rng.integers(4)
    if mode == 0:  # the first strokes of anybody's face
        return parts["oval"] + (parts["eyes"] if rng.random() < 0.6 else [])
    if mode == 1:
        order = ["oval", "eyes", "nose", "mouth", "brows", "hair", "ears", "neck"]
        return list(chain(*(parts.get(k, []) for k in order[: rng.integers(2, 6)])))
    if mode == 2:
        return [s for s in strokes if rng.random() < 0.55] or strokes[:1]
    return list(chain(*(v for k, v in parts.items() if k != "hair")))


def stick_parts(face: Framed, rng: np.random.Generator, plain: bool) -> dict[str, list[Stroke]]:
    """The strokes of a mouse drawing by part of the face, at the place of the photo's features."""
    size = len(face.photo)
    at = {k: v / size for k, v in face.points.items()}
    pen = rng.uniform(1.5, 5.0) / 256
    shake = rng.uniform(0.6, 2.2) / 256
    parts: dict[str, list[Stroke]] = {}
    state = {"move": np.zeros(2), "part": "oval"}

    def part(name: str) -> None:
        """From here on, strokes belong to `name` and are off by the same small amount."""
        state.update(part=name, move=rng.normal(0, 0.007, 2))
        parts.setdefault(name, [])

    def line(points, count: int = 40, closed: bool = False, sharp: bool = False) -> None:
        curve = resample(points, count) if sharp else smooth(points, count, closed)
        if closed:  # a hand does not meet its start: a gap or an overlap
            cut = int(count * rng.uniform(-0.06, 0.08))
            curve = np.roll(curve[:-1], rng.integers(count), axis=0)
            curve = np.concatenate([curve, curve[:cut]]) if cut > 0 else curve[: cut - 1 or None]
        length = np.hypot(*np.diff(curve, axis=0).T).sum()
        curve = wobble(curve, shake * min(1.0, 0.22 + length), rng)  # small parts take more care
        width = pen * rng.uniform(0.85, 1.15)
        parts[state["part"]].append(make_stroke(curve + state["move"], width))

    def dot(place, width: float) -> None:
        parts[state["part"]].append(make_stroke(np.asarray(place) + state["move"], width))

    oval = at["oval"]
    part("oval")
    centre, half = (oval.max(0) + oval.min(0)) / 2, np.ptp(oval, axis=0) / 2
    shape = rng.choice(["ring", "ellipse", "jaw", "head"])
    if plain and shape == "jaw":
        shape = "ellipse"
    if shape == "jaw":  # from ear to ear under the chin
        line(oval[7:30][:: int(rng.integers(2, 5))])
    elif shape == "ring":
        line(oval[:: int(rng.integers(3, 6))], 72, closed=True)
    else:
        up = 0.0 if shape == "ellipse" else rng.uniform(0.01, 0.04)
        ring = arc(centre[0], centre[1] - up, half[0], half[1] + up, 0, 351)
        line(ring[::3], 72, closed=True)

    part("eyes")
    look = rng.choice(["dot", "ellipse", "almond", "almond", "lids"])
    big, pupils = rng.uniform(0.9, 1.35), rng.random() < 0.8
    dark = rng.uniform(0.25, 0.45)  # of the eye's width
    for eye, pupil in zip(("left_eye", "right_eye"), at["pupils"]):
        ring = at[eye]
        middle = ring.mean(0)
        ring = middle + (ring - middle) * (rng.normal(big, 0.04), rng.normal(big, 0.04) * 1.15)
        wide, high = np.ptp(ring, axis=0)
        if look == "dot":
            dot(pupil, max(pen * 1.6, wide * dark))
        elif look == "ellipse":
            line(arc(*middle, wide / 2, max(high / 2, wide / 3.5), 0, 345)[::4], closed=True)
        elif look == "almond":
            line(ring[::2], closed=True)
        else:
            line(ring[[0, 14, 12, 10, 8]])
        if look != "dot" and pupils:
            dot(pupil, max(pen, wide * dark))

    part("nose")
    bridge, nose = at["bridge"], at["nose"]
    low, wing = nose[4], rng.choice([0, 8])
    look = rng.choice(["L", "base", "dots", "line", "full"])
    if look == "L":
        line([bridge[rng.integers(0, 3)], (bridge[-1] + nose[wing]) / 2, low], sharp=True)
    elif look == "base":
        line(nose[[0, 2, 4, 6, 8]] if rng.random() < 0.6 else nose[[2, 4, 6]])
    elif look == "dots":
        for k in (2, 6):
            dot((nose[k] + low) / 2, pen * 1.3)
    elif look == "line":
        line([bridge[rng.integers(0, 3)], bridge[3], bridge[-1]])
    else:
        line([bridge[0], (bridge[2] + nose[wing]) / 2, nose[wing]])
        line(nose[[0, 2, 4, 6, 8]])

    part("mouth")
    upper, lower, inner = at["upper_lip"], at["lower_lip"], at["inner_lip"]
    look = rng.choice(["line", "arc", "lips", "ellipse"], p=[0.35, 0.2, 0.35, 0.1])
    if look == "line":
        line(np.stack([upper[0], *inner[2:9:3], upper[-1]]))
    elif look == "arc":  # as deep as the mouth's own corners say
        line([upper[0], (inner[5] + lower[5]) / 2, upper[-1]])
    elif look == "lips":
        line(upper[[0, 3, 4, 5, 6, 7, 10]])
        line(lower[[0, 2, 5, 8, 10]])
        if rng.random() < 0.7:
            line(inner[::2])
    else:
        line(np.concatenate([upper[::3], lower[-2:0:-3]]), closed=True)
    if plain:
        return parts

    if rng.random() < 0.75:
        part("brows")
        thick = rng.random() < 0.3
        for brow in ("left_brow", "right_brow"):
            line(at[brow][[0, 2, 4]])
            if thick:
                line(at[brow][[0, 2, 4]] + (0, pen))
    if rng.random() < 0.35:
        part("ears")
        for k, sign in ((8, 1), (28, -1)):
            x, y = oval[k]
            a, b = ((-100, 80), (260, 100))[sign < 0]
            line(arc(x, y + 0.04, 0.028, 0.055, a, b)[::6])
    if rng.random() < 0.6:
        draw_neck(face, oval, part, line, rng)
    if face.hair.any() and rng.random() < 0.9:
        part("hair")
        draw_hair(face, oval, line, rng)
    return parts


def draw_neck(face: Framed, oval: np.ndarray, part, line, rng: np.random.Generator) -> None:
    size = len(face.photo)
    part("neck")
    chin = oval[18, 1]
    for k, sign in ((13, 1), (23, -1)):
        x, y = oval[k]
        line([(x, y), (x - sign * 0.005, (y + 0.93) / 2), (x + sign * 0.02, 0.92)])
    body = (face.person > 0.5) & ~face.hair
    for sign in (-1, 1):  # the upper edge of the body on either side
        xs = np.arange(0.5 + sign * 0.15, 0.5 + sign * 0.48, sign * 0.05)
        outline = []
        for x in xs:
            column = slice(int((chin - 0.02) * size), None), int(x * size)
            rows = np.flatnonzero(body[column])
            if len(rows) > 3 and face.hair[column].sum() < 0.03 * size:
                outline.append((x, chin - 0.02 + rows[0] / size))
        if len(outline) >= 3 and rng.random() < 0.8:
            line(outline)


def draw_hair(face: Framed, oval: np.ndarray, line, rng: np.random.Generator) -> None:
    """Outline and hairline by rays from the middle of the face, then teeth or hatching."""
    size = len(face.hair)
    middle = (oval.max(0) + oval.min(0)) / 2
    angles = np.radians(np.arange(100, 441, 5))  # from the chin clockwise over the head
    steps = np.linspace(0, 0.75, 150)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = middle + rays[:, None] * steps[:, None]
    pixels = np.clip((places * size).astype(int), 0, size - 1)
    outside = ((places < 0) | (places > 1)).any(-1)
    hit = face.hair[pixels[..., 1], pixels[..., 0]] & ~outside
    has = hit.sum(1) > 3
    if has.sum() < 6:
        return
    inner = steps[hit.argmax(1)]
    outer = steps[len(steps) - 1 - hit[:, ::-1].argmax(1)]
    # The longest run of rays that meet hair, small gaps closed: one lock, one stroke.
    labels, _ = ndimage.label(ndimage.binary_closing(has, iterations=2))
    run = np.flatnonzero((labels == np.bincount(labels[labels > 0]).argmax()) & has)
    inner, outer = (ndimage.gaussian_filter1d(r[run], 1.0) for r in (inner, outer))
    rays = rays[run]
    outline, hairline = middle + rays * outer[:, None], middle + rays * inner[:, None]

    every = int(rng.integers(2, 4))
    line(outline[::every], 72)
    look = rng.choice(
        ["outline", "hairline", "teeth", "hatch", "scribble"], p=[0.15, 0.3, 0.2, 0.2, 0.15]
    )
    if look in ("hairline", "hatch"):
        line(hairline[::every], 60)
    elif look == "teeth":
        teeth = hairline[::2].copy()
        teeth[1::2] += (outline[::2][1::2] - teeth[1::2]) * rng.uniform(0.25, 0.6)
        line(teeth, 90, sharp=True)
    if look == "hatch":
        for _ in range(rng.integers(6, 22)):
            k = rng.integers(len(run))
            a, b = np.sort(rng.uniform(0.05, 0.95, 2))
            lean = min(max(k + rng.integers(-2, 3), 0), len(run) - 1)
            line(
                [
                    hairline[k] * (1 - a) + outline[k] * a,
                    hairline[lean] * (1 - b) + outline[lean] * b,
                ],
                12,
            )
    elif look == "scribble":  # one pen stroke to and fro until the hair is filled
        count = len(run) * int(rng.integers(1, 4))
        k = np.linspace(0, len(run) - 1, count).astype(int)
        t = np.where(np.arange(count) % 2, 0.97, 0.03)[:, None]
        line(hairline[k] * (1 - t) + outline[k] * t, count * 6, sharp=True)


# --------------------------------------------------------------------------------------- write


def save_strip(path: Path, photo: np.ndarray, drawing: Image.Image) -> None:
    size = len(photo)
    strip = Image.new("RGB", (2 * size, size))
    strip.paste(Image.fromarray(photo), (0, 0))
    strip.paste(drawing, (size, 0))
    save_png(strip, path)


def build(args: argparse.Namespace, pairs: list[Pair], refused: list[dict]) -> dict:
    """Writes every strip and dataset.json; returns the summary."""
    marks = json.loads(args.landmarks.read_text())
    masks = mask_folder(args.landmarks)
    counts: Counter = Counter()
    kept: Counter = Counter()
    for pair in pairs:
        try:
            if pair.photo.name not in marks:
                raise Refused("no face was found")
            face = frame_pair(
                pair, marks[pair.photo.name], masks / f"{pair.photo.stem}.png", args.size
            )
        except (Refused, OSError) as error:
            refused.append({"file": pair.photo.name, "reason": str(error)})
            continue
        kept[f"{pair.group} {pair.split}"] += 1
        # Seeded by name: one more or one less file leaves the other drawings as they are.
        rng = np.random.default_rng([args.seed, zlib.crc32(pair.name.encode())])
        if pair.split == "train":
            count = args.renderings or 12
            if pair.group == "fs2k":
                count = max(count // 3, 1)
            start = 0 if count >= len(KINDS) else int(rng.integers(len(KINDS)))
            kinds = [(f"r{k}", KINDS[(start + k) % len(KINDS)]) for k in range(count)]
        else:
            kinds = [("sketch", "sketch"), ("stick", "stick")]
        for tag, kind in kinds:
            save_strip(
                args.out / pair.split / f"{pair.name}-{tag}.png",
                face.photo,
                render(kind, face, rng),
            )
            counts[pair.split] += 1
    summary = {
        "pairs": sum(counts.values()),
        "train": counts["train"],
        "val": counts["val"],
        "test": 0,
        "photos": dict(sorted(kept.items())),
        "refused": refused,
    }
    info = {
        "format": 1,
        "size": args.size,
        "counts": {k: counts[k] for k in ("train", "val")},
        "names": {"a": "photo", "b": "sketch"},
        "direction": "BtoA",
        "rule": "CUHK by split.csv, FS2K by equal stems",
        "seed": args.seed,
        "frame": {"eye_line": EYE_LINE, "eye_gap": EYE_GAP, "backdrop": list(BACKDROP)},
        "photos": summary["photos"],
        "refused": refused,
    }
    write_json(args.out / "dataset.json", info)
    return summary


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    pairs, refused = find_pairs(args.cuhk, args.fs2k, args.limit)
    if args.find_landmarks:
        found = find_landmarks(pairs, args.find_landmarks)
        print(json.dumps({"photos": len(pairs), "faces": found}))
        return 0 if found == len(pairs) else 1
    summary = build(args, pairs, refused)
    print(json.dumps(summary))
    return 1 if refused else 0


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuhk", type=Path, help="folder with photos/, sketches/, split.csv")
    parser.add_argument("--fs2k", type=Path, help="folder with {train,val}/{photo,sketch}/")
    parser.add_argument("--find-landmarks", type=Path, metavar="FILE", help="write this and stop")
    parser.add_argument("--landmarks", type=Path, metavar="FILE", help="made by --find-landmarks")
    parser.add_argument("--out", type=Path, help="the dataset's folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--renderings",
        type=int,
        help="drawings per CUHK photo, a third of it per FS2K photo (there are more of those); 12",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="at most this many photos of each set and split")
    args = parser.parse_args(argv)
    if not (args.cuhk or args.fs2k):
        parser.error("give --cuhk, --fs2k or both")
    if not args.find_landmarks and not (args.landmarks and args.out):
        parser.error("give --find-landmarks FILE, or --landmarks FILE and --out DIR")
    if args.size < 64 or args.size > 1024:
        parser.error("--size must be between 64 and 1024")
    for needed in (
        args.cuhk and args.cuhk / "split.csv",
        args.fs2k and args.fs2k / "train",
        args.landmarks,
    ):
        if needed and not needed.exists():
            parser.error(f"{needed} does not exist")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
