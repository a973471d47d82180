"""Turn photos into line drawings with filters, in several styles."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from pix2pix.errors import UserError

LINE_STYLES = ("pencil", "lines", "bold")


def line_drawing(picture: Image.Image, style: str = "lines") -> Image.Image:
    """Turn a photo into black lines on white paper, mode 'L', same size.

    "pencil" shades what is darker than its surroundings; "lines" draws thin outlines; "bold"
    draws thick ones and fills what is dark. The last two are the difference of Gaussians with a
    soft threshold of Winnemoeller, Kyprianidis and Olsen (XDoG, Computers & Graphics 2012);
    "lines" thresholds the zero-mean response, so that dark areas stay paper.
    """
    if style not in LINE_STYLES:
        raise UserError(f"Unknown drawing style {style!r}; choose one of {', '.join(LINE_STYLES)}.")
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    unit = max(min(grey.shape) / 256, 0.5)  # all widths below are for a picture of 256 pixels
    low, high = np.percentile(grey, (1, 99))
    if high - low < 0.04:  # a blank picture has no lines; do not stretch its noise into some
        return Image.new("L", picture.size, 255)
    grey = np.clip((grey - low) / max(high - low, 0.25), 0, 1)
    grey = ndimage.median_filter(grey, 3)  # grain and compression noise, without moving edges
    if style == "pencil":
        around = ndimage.gaussian_filter(grey, 7 * unit)
        here = ndimage.gaussian_filter(grey, 0.6 * unit)
        # Around + 0.15: a ratio of two dark values is mostly noise.
        ink = (0.94 - (here + 0.15) / (around + 0.15)) * 3.2
    elif style == "lines":
        contrast = np.sqrt(
            ndimage.gaussian_filter((grey - ndimage.gaussian_filter(grey, 6 * unit)) ** 2, 4 * unit)
        )
        # Against the contrast around: a nose in soft light has lines as a dark brow has.
        ink = _difference_of_gaussians(grey, 1.1 * unit) / (contrast + 0.035) * 7.5 - 0.5
    else:
        blurred = ndimage.gaussian_filter(grey, 1.6 * unit)
        sharpened = blurred - 14 * _difference_of_gaussians(grey, 1.6 * unit)
        ink = -np.tanh(9 * (sharpened - 0.33))
    ink = np.clip(ink, 0, 1)
    return Image.fromarray(np.uint8(255 * (1 - _without_specks(ink, 9 * unit * unit))))


def looks_like_photo(picture: Image.Image) -> bool:
    """Return whether the picture is a photo and not a drawing: little bare paper, or much
    colour.

    Paper is what is brighter than 0.8 with a saturation under 0.2. Pencil sketches and line
    drawings have more than a third of it.
    """
    small = np.asarray(picture.convert("RGB").resize((64, 64)), np.float32) / 255
    brightest, darkest = small.max(axis=2), small.min(axis=2)
    paper = (darkest > 0.8 * brightest) & (brightest > 0.8)
    colour = float((brightest - darkest).mean())
    return float(paper.mean()) < 1 / 3 or colour > 0.15


def _difference_of_gaussians(grey: np.ndarray, sigma: float) -> np.ndarray:
    """Compute how much darker a point is than its ring: positive where ink belongs."""
    return ndimage.gaussian_filter(grey, 1.6 * sigma) - ndimage.gaussian_filter(grey, sigma)


def _without_specks(ink: np.ndarray, smallest: float) -> np.ndarray:
    """Remove connected ink (0..1) whose summed darkness is under `smallest` pixels."""
    labels, count = ndimage.label(ink > 0.08, structure=np.ones((3, 3)))
    if not count:
        return ink
    mass = np.bincount(labels.ravel(), ink.ravel(), count + 1)
    keep = mass >= smallest
    keep[0] = False
    return ink * keep[labels]
