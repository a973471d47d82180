"""The photos of faces and their sketches, found on disk, and what is known about each."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix.imaging.decode import list_images
from pix2pix.utils.files import write_json

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


@dataclass(frozen=True)
class Photo:
    """One photo on disk, and its sketch where an artist drew one. `name` is its own in all sets."""

    group: str
    split: str
    photo: Path
    sketch: Path | None = None

    @property
    def name(self) -> str:
        return f"{self.group}-{self.photo.stem}"


class Refused(ValueError):
    """This photo cannot be used; the sentence says why."""


def find_photos(
    cuhk: Path | None, fs2k: Path | None, faces: Path | None, limit: int | None
) -> tuple[list[Photo], list[dict]]:
    """(photos, refused): refused are {"file", "reason"} of files without a counterpart. `faces` is
    the CSV beside the folder of its name; at most `limit` photos of each set and split."""
    photos: list[Photo] = []
    refused: list[dict] = []
    if cuhk:
        _find_cuhk(cuhk, photos, refused)
    if fs2k:
        _find_fs2k(fs2k, photos, refused)
    if faces:
        _find_faces(faces, photos, refused)
    if limit:
        seen: Counter = Counter()
        kept = []
        for photo in photos:
            seen[photo.group, photo.split] += 1
            if seen[photo.group, photo.split] <= limit:
                kept.append(photo)
        photos = kept
    return photos, refused


def _rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _find_cuhk(folder: Path, photos: list[Photo], refused: list[dict]) -> None:
    rows = _rows(folder / "split.csv")
    for row in rows:
        photo, sketch = folder / "photos" / row["photo"], folder / "sketches" / row["sketch"]
        missing = [p.name for p in (photo, sketch) if not p.is_file()]
        if missing:
            refused.append({"file": row["photo"], "reason": f"{missing[0]} is missing"})
        else:
            photos.append(Photo("cuhk", row["split"], photo, sketch))
    known = {row["photo"] for row in rows}
    refused += [
        {"file": p.name, "reason": "not listed in split.csv"}
        for p in _pictures(folder / "photos")
        if p.name not in known
    ]


def _find_fs2k(folder: Path, photos: list[Photo], refused: list[dict]) -> None:
    for split in ("train", "val"):
        sketches = {p.stem: p for p in _pictures(folder / split / "sketch")}
        for photo in _pictures(folder / split / "photo"):
            if photo.stem in sketches:
                photos.append(Photo("fs2k", split, photo, sketches[photo.stem]))
            else:
                refused.append({"file": photo.name, "reason": "no sketch of this name"})


def _find_faces(table: Path, photos: list[Photo], refused: list[dict]) -> None:
    for row in _rows(table):
        photo = table.with_suffix("") / row["file"]
        if photo.is_file():
            photos.append(Photo(row["source"], row["split"], photo))
        else:
            refused.append({"file": row["file"], "reason": "it is missing"})


def _pictures(folder: Path) -> list[Path]:
    return list_images(folder) if folder.is_dir() else []


def find_landmarks(photos: list[Photo], out: Path) -> int:
    """Write OUT (name -> group -> points in pixels) and person masks beside it; return the number
    of faces found. Exits with a sentence where mediapipe is missing."""
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
    for photo in photos:
        rgb = np.asarray(Image.open(photo.photo).convert("RGB"))
        faces = mesh.process(rgb).multi_face_landmarks
        if not faces:
            continue
        scale = (rgb.shape[1], rgb.shape[0])
        points = np.array([[p.x, p.y] for p in faces[0].landmark]) * scale
        found[photo.name] = {k: points[list(v)].round(2).tolist() for k, v in MESH.items()}
        mask = person.process(rgb).segmentation_mask
        Image.fromarray(np.uint8(255 * mask)).save(masks / f"{photo.name}.png")
    write_json(out, found)
    return len(found)


def mask_folder(landmarks: Path) -> Path:
    return landmarks.with_name(landmarks.stem + "-masks")
