"""Write pictures as what they stand for: metres in a float TIFF, labels in their exact colours."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix.imaging.picture import Picture, from_array, save_png
from pix2pix.utils.files import saving, write_atomically

OUTSIDE = 0.01  # share of a picture outside a range from which it is said
DARK = 1 / 8  # of the way from black to white, which a picture for people goes far beyond
PIXELS = 2**16  # that are compared with a palette at once


def from_units(array: np.ndarray, low: float, high: float, numbers: str) -> Image.Image:
    """Make an image of 1 x H x W in [-1, 1] whose numbers go from low to high, in their own type:
    L for uint8, I;16 for uint16, I for other whole numbers of up to 32 bits, else F."""
    unit = np.clip(np.nan_to_num(np.asarray(array[0], np.float64), nan=-1.0) * 0.5 + 0.5, 0.0, 1.0)
    values = low + unit * (high - low)
    if numbers in ("uint8", "uint16"):
        full = np.iinfo(numbers).max
        return Image.fromarray(np.clip(np.rint(values), 0, full).astype(numbers))
    if numbers in ("int8", "int16", "int32"):
        limits = np.iinfo(numbers)
        whole = np.clip(np.rint(values), limits.min, limits.max)
        return Image.fromarray(whole.astype(np.int32))
    return Image.fromarray(values.astype(np.float32))


def nearest_labels(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return which colour of a palette, K x 3, is nearest to each of N x 3 pixels, both in 0..255:
    N indices, the first of those that are equally near."""
    colours = palette.astype(np.float32)
    # The squared distance without what all colours share: whole numbers that float32 holds exactly.
    return ((colours**2).sum(1) - 2 * pixels.astype(np.float32) @ colours.T).argmin(1)


def to_palette(image: Image.Image, palette: np.ndarray) -> Image.Image:
    """Give each pixel of an RGB or grey image the nearest colour of a palette, K x 3 in 0..255."""
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    parts = [pixels[at : at + PIXELS] for at in range(0, len(pixels), PIXELS)]
    labels = np.concatenate([nearest_labels(part, palette) for part in parts])
    made = palette[labels].reshape(image.height, image.width, 3).astype(np.uint8)
    return Image.fromarray(made).convert(image.mode)


def picture_of(image: Image.Image, known: tuple[float, float, str] | None) -> Image.Image:
    """Draw what `from_units` made in 8 bits of grey, black at the low end of a `known` range;
    other pictures stay."""
    if known is None or image.mode not in ("L", "I;16", "I", "F"):
        return image
    return Picture(image, *known[:2]).to_pil(1)


def png_of(image: Image.Image, known: tuple[float, float, str] | None) -> Image.Image:
    """Return what PNG can hold of a result: itself up to 16 bits, other numbers in 16 bits of
    their range."""
    if known is None or image.mode not in ("I", "F"):
        return image
    whole = Picture(image, *known[:2])
    return from_array(whole.tile((0, 0, *image.size), 1), bits=16)


def outside_share(picture: Picture, low: float, high: float) -> float:
    """Return the share of a picture's numbers that lie outside low..high, by a thousandth of it or
    more; what has no value is not counted."""
    values = picture.values()
    outside, count = count_outside(values, low, high)
    return outside / count if count else 0.0


def count_outside(values: np.ndarray, low: float, high: float) -> tuple[int, int]:
    """Count the numbers outside low..high, by a thousandth of it or more, and all that are
    finite."""
    values = values.astype(np.float64)
    values = values[np.isfinite(values)]
    slack = (high - low) / 1000
    return int(((values < low - slack) | (values > high + slack)).sum()), values.size


def range_notice(picture: Picture, name: str, known: tuple[float, float, str] | None) -> str:
    """Say where a picture does not go with a model's range, (low, high, type of numbers), or
    without one where it is nearly black in more than 8 bits; empty where all is well."""
    if known is None:
        deep = picture.is_deep
        return darkness_notice(picture.values(), name, picture.low, picture.high) if deep else ""
    low, high, numbers = known
    if not picture.is_deep and numbers != "uint8":
        return range_words(None, name, low, high)
    return range_words(outside_share(picture, low, high), name, low, high)


def range_words(share: float | None, name: str, low: float, high: float) -> str:
    """Say that a `share` of a picture lies outside a range, empty where that is little; None is for
    8 bits where the model has more."""
    if share is None:
        return (
            f"{name} has 8 bits, and the model was trained on numbers from {low:g} to {high:g}: "
            "its black is taken for the one and its white for the other."
        )
    if share < OUTSIDE:
        return ""
    return (
        f"{share:.0%} of {name} lies outside the model's range, {low:g} to {high:g}, and is seen "
        "as plain black or white there."
    )


def darkness_notice(values: np.ndarray, name: str, low: float, high: float) -> str:
    """Say where a file's numbers, of a kind whose black and white are fixed, reach so little of
    them that a model sees it nearly black, such as reflectances of a satellite in 16 bits; empty
    where they reach far enough, or all are black."""
    top = float(np.max(values, initial=low))
    if top <= low or top - low >= DARK * (high - low):
        return ""
    return (
        f"{name} holds numbers up to {top:g}, and white is {high:g}, so the model sees it nearly "
        "black: scale its numbers to all of that first, or save it in 8 bits as it should look."
    )


def picture_suffix(image: Image.Image) -> str:
    """Return how a file with this picture ends: PNG where that holds all of it, else TIFF."""
    return ".tif" if image.mode in ("I", "F") else ".png"


def result_suffix(known: tuple[float, float, str] | None) -> str:
    """Return how the files of a model end whose numbers are `known`: as `picture_suffix` of what
    `from_units` makes."""
    return ".png" if known is None or known[2] in ("uint8", "uint16") else ".tif"


def save_picture(image: Image.Image, path: str | os.PathLike[str], numbers: str = "") -> None:
    """Write a PNG, or a TIFF of the type `numbers` where the path ends so; whole or not at all.

    Raises UserError where the disk is full or refuses.
    """
    path = Path(path)
    if path.suffix != ".tif":
        return save_png(image, path)
    import tifffile

    values = np.asarray(image)
    small = numbers in ("int8", "int16", "int32", "float16", "float32")
    stored = values.astype(numbers) if small else values
    with saving(path):
        write_atomically(path, lambda partial: tifffile.imwrite(partial, stored, photometric=1))
