"""What a face wears: hair, glasses and beard, told from the pixels around its landmarks."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from prepare_faces.framing import Framed
from scipy import ndimage

from pix2pix.imaging.picture import LUMA

DARK = 115  # light of skin, of 255: a tenth of the photos have less


def polygon(points: np.ndarray, size: int) -> np.ndarray:
    """bool (size, size): inside of the polygon through `points`, fractions of the side."""
    picture = Image.new("1", (size, size))
    ImageDraw.Draw(picture).polygon([tuple(p) for p in points * size], fill=1)
    return np.asarray(picture)


def hair_mask(framed: Framed, oval: np.ndarray) -> np.ndarray:
    """bool (size, size): of the person, outside the face, nearer in colour to hair than to skin.
    The face is at the guide's place; `oval` holds its outline as fractions."""
    photo, person, size = framed.photo, framed.person, len(framed.photo)
    face = polygon(oval, size)
    oval = oval * size
    left, right, top = oval[:, 0].min(), oval[:, 0].max(), oval[:, 1].min()
    colour = ndimage.gaussian_filter(photo.astype(np.float32), (1, 1, 0))
    y, x = np.mgrid[:size, :size]
    solid = person > 0.6
    seed = solid & (y < top - 0.02 * size) & (x > left) & (x < right)
    if person.min() > 0.99 or seed.sum() < 0.004 * size * size:
        return np.zeros((size, size), bool)  # no mask to tell the head from the wall, or cut off
    hair = np.median(colour[seed], axis=0)
    skin = np.median(colour[ndimage.binary_erosion(face, iterations=int(0.05 * size))], axis=0)
    if np.abs(hair - skin).sum() < 60:
        return np.zeros((size, size), bool)  # bald
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


def middle_of_face(
    photo: np.ndarray, oval: np.ndarray, rows: tuple[float, float], inset: float
) -> np.ndarray:
    """Cut out of a picture what lies between two heights of the face and so far from its sides,
    all as shares of the oval's box."""
    (left, top), (right, low) = oval.min(0) * len(photo), oval.max(0) * len(photo)
    first, last = (int(top + row * (low - top)) for row in rows)
    margin = inset * (right - left)
    return photo[first:last, int(left + margin) : int(right - margin)]


def has_dark_skin(photo: np.ndarray, oval: np.ndarray) -> bool:
    """Return whether the middle of the face is dark, by nature or by the light of the photo."""
    middle = middle_of_face(photo, oval, (0.35, 0.65), 0.15)
    return bool(np.median(middle.reshape(-1, 3), axis=0) @ LUMA < DARK)


def wears_glasses(photo: np.ndarray, points: dict[str, np.ndarray]) -> bool:
    """Return whether a line crosses the root of the nose and others run under the eyes.

    `photo` is uint8 at the guide's place, `points` are fractions. On 360 photos looked at, nine of
    ten that it tells wear glasses, and it misses one pair in five: thin rims, mostly.
    """
    size = len(photo)
    grey = ndimage.gaussian_filter(photo.astype(np.float32).mean(-1), 0.7 * size / 256)
    (left, y), (right, y_right) = points["pupils"]
    y = (y + y_right) / 2
    face = grey[int(0.3 * size) : int(0.75 * size), int(0.3 * size) : int(0.7 * size)]
    steep = np.abs(np.gradient(grey, axis=0)) / max(float(face.std()), 1.0)

    def cut(top: float, bottom: float, x: float, half: float) -> np.ndarray:
        rows = slice(int((y + top) * size), int((y + bottom) * size))
        return steep[rows, int((x - half) * size) : int((x + half) * size) + 1]

    bridge = np.sort(np.median(cut(-0.045, 0.04, 0.5, 0.03), axis=1))[-2:].mean()
    rims = [np.median(cut(0.045, 0.105, x, 0.04).max(axis=0)) for x in (left, right)]
    return bool(bridge > 0.6 or (bridge > 0.3 and min(rims) > 0.15))


def wears_beard(photo: np.ndarray, points: dict[str, np.ndarray]) -> bool:
    """Return whether chin and upper lip are both darker, greyer or rougher than the cheeks.

    Arguments as above. It is right in about two of three: a shadow may pass for a beard.
    """
    upper, lower, oval = points["upper_lip"], points["lower_lip"], points["oval"]
    skin = _skin(photo, points)
    if skin.mean() < 70:
        return False  # too dark to tell
    chin = _patch(photo, 0.4 * lower[5] + 0.6 * oval[18], 0.04, 0.016)
    lip = _patch(photo, (points["nose"][4] + upper[5]) / 2, 0.03, 0.008)
    return min(_unlike(chin, skin), _unlike(lip, skin)) > 0.42


def shows_teeth(photo: np.ndarray, points: dict[str, np.ndarray]) -> bool:
    """Return whether what is between the lips is as light as the face and hardly coloured."""
    inner, lower = points["inner_lip"], points["lower_lip"]
    if lower[5, 1] - inner[5, 1] < 0.045:
        return False  # closed lips
    teeth = np.median(_patch(photo, 0.7 * inner[5] + 0.3 * lower[5], 0.03, 0.006), axis=0)
    skin = _skin(photo, points)
    return bool(teeth.mean() > 0.85 * skin.mean() and _saturation(teeth) < 0.75 * _saturation(skin))


def _skin(photo: np.ndarray, points: dict[str, np.ndarray]) -> np.ndarray:
    """Return the colour of the cheeks: halfway from the eyes to the corners of the mouth."""
    ends = zip(points["pupils"], points["upper_lip"][[0, -1]])
    cheeks = [_patch(photo, (eye + corner) / 2, 0.02, 0.016) for eye, corner in ends]
    return np.median(np.concatenate(cheeks), axis=0)


def _patch(photo: np.ndarray, middle: np.ndarray, half_x: float, half_y: float) -> np.ndarray:
    """(n, 3) pixels around a place, both as fractions of the side."""
    half = np.array((half_x, half_y))
    left, top = ((middle - half) * len(photo)).astype(int)
    right, bottom = ((middle + half) * len(photo)).astype(int)
    return photo[top : bottom + 1, left : right + 1].reshape(-1, 3).astype(float)


def _unlike(patch: np.ndarray, skin: np.ndarray) -> float:
    colour = np.median(patch, axis=0)
    darker = 1 - colour.mean() / skin.mean()
    greyer = 1 - _saturation(colour) / max(_saturation(skin), 0.05)
    return max(darker, 0) + 0.6 * max(greyer, 0) + float(patch.mean(-1).std() / skin.mean())


def _saturation(colour: np.ndarray) -> float:
    return float((colour.max() - colour.min()) / max(colour.max(), 1))
