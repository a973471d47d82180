"""Give dark hair another colour: nearly everyone in the photos has black or brown hair, and a model
that saw no other cannot paint what a stroke of colour asks for."""

from __future__ import annotations

import colorsys

import numpy as np
from prepare_faces.features import middle_of_face
from scipy import ndimage

from pix2pix.imaging.picture import LUMA

# Hair in even light, sRGB: black, browns, blonds, reds, and greys, of which there are more: pencil
# is grey too, and in sketches it stands for dark hair.
NATURAL = (
    (24, 20, 20), (45, 32, 26), (74, 50, 36), (107, 74, 48), (143, 101, 62), (181, 137, 84),
    (214, 180, 124), (232, 210, 170), (160, 74, 38), (128, 52, 34), (104, 102, 100),
    (128, 126, 124), (150, 148, 146), (168, 166, 164), (190, 188, 186), (214, 212, 210),
)  # fmt: skip
DYED = 0.12  # share of colours that no hair has by nature
SHADING = 0.28  # of its lightness is how much hair varies


def can_recolour(photo: np.ndarray, hair: np.ndarray, oval: np.ndarray) -> bool:
    """Return whether the mask is sure to be hair: much darker than the face, on both sides of it,
    and enough to see. `photo` is uint8, `hair` bool of its size, `oval` the face in fractions."""
    if hair.mean() < 0.03:
        return False
    grey = photo @ np.array(LUMA) / 255
    face = middle_of_face(grey, oval, (0.3, 0.8), 0.25)
    middle = int((oval.min(0) + oval.max(0))[0] * len(photo) / 2)
    sides = hair[:, :middle].sum(), hair[:, middle:].sum()
    darkness = np.percentile(grey[hair], 80)
    return bool(min(sides) > 0.55 * max(sides) and darkness < min(0.42, 0.62 * np.median(face)))


def recolour_hair(photo: np.ndarray, hair: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the photo, uint8 RGB, with the hair in a colour by chance and its own light and
    shade."""
    color = np.array(NATURAL[rng.integers(len(NATURAL))]) / 255 * rng.uniform(0.9, 1.1)
    if rng.random() < DYED:
        hsv = rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.95)
        color = np.array(colorsys.hsv_to_rgb(*hsv))
    color = np.clip(color, 0.02, 0.98)
    middle = float(color @ LUMA)
    grey = photo @ np.array(LUMA) / 255
    shade = np.clip((grey - grey[hair].mean()) / max(grey[hair].std(), 0.02), -2.2, 2.6)
    light = np.clip(middle + shade * max(SHADING * middle, 0.04), 0, 1)[..., None]
    dark, bright = color * light / middle, 1 - (1 - color) * (1 - light) / (1 - middle)
    made = np.where(light < middle, dark, bright)
    mask = ndimage.binary_dilation(hair).astype(np.float32)
    mask = np.clip(ndimage.gaussian_filter(mask, 1.6), 0, 1)[..., None]
    return np.uint8(np.rint(photo * (1 - mask) + 255 * made * mask))
