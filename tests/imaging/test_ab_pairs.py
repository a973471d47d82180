"""A|B strips are told from photos, panoramas and label maps of the same shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pix2pix.imaging.ab_pairs import crop_half, is_ab_pair
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.picture import as_picture
from tests.support.drawn_pairs import drawn_pair

SAMPLES = sorted(Path(__file__).resolve().parents[2].glob("checkpoints/*/samples/*.*"))


def photos() -> Iterator[Image.Image]:
    assert len(SAMPLES) >= 12
    for file in SAMPLES:
        yield open_picture(file).to_pil(3)


def joined(a: Image.Image, b: Image.Image) -> Image.Image:
    strip = Image.new(a.mode, (a.width + b.width, a.height))
    strip.paste(a)
    strip.paste(b, (a.width, 0))
    return strip


def ends_in_view(photo: Image.Image) -> bool:
    """Whether its right end and the negative of its left are further apart than its own texture:
    where both are of middle grey there is no seam to find."""
    grey = np.asarray(photo.convert("L"), float)
    apart = np.abs(grey[:, 0] + grey[:, -1] - 255)
    return np.quantile(apart, 0.25) > np.quantile(np.abs(np.diff(grey)), 0.75)


def test_nearly_all_photos_end_in_view() -> None:
    assert sum(map(ends_in_view, photos())) >= len(SAMPLES) - 2


@pytest.mark.parametrize("side", [128, 256, 600])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pictures_beside_their_negatives_are_strips(side: int, mode: str) -> None:
    for photo in filter(ends_in_view, photos()):
        photo = photo.resize((side, side))
        a, b = photo.convert(mode), ImageOps.invert(photo).convert(mode)
        assert is_ab_pair(as_picture(joined(a, b)))
        assert is_ab_pair(as_picture(joined(b, a)))


def test_other_pictures_of_two_to_one_are_none() -> None:
    wide = [photo.crop((0, top, 256, top + 128)) for photo in photos() for top in (0, 64, 128)]
    wide += [drawn_pair(number, 256, 128)[n] for number in range(10) for n in (0, 1)]
    wide += [Image.new("RGB", (512, 256), "white"), Image.linear_gradient("L").resize((512, 256))]
    assert not any(is_ab_pair(as_picture(image)) for image in wide)


@pytest.mark.parametrize("size", [(514, 256), (256, 256), (256, 512), (252, 126)])
def test_a_strip_is_exactly_two_to_one_and_not_tiny(size: tuple[int, int]) -> None:
    photo = next(photos())
    image = joined(photo, ImageOps.invert(photo))
    assert is_ab_pair(as_picture(image))
    assert not is_ab_pair(as_picture(image.resize(size)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_halves_are_those_of_the_strip_to_the_last_bit(dtype: type) -> None:
    most = np.iinfo(dtype).max
    values = np.random.default_rng(0).integers(0, most, (128, 256), dtype, endpoint=True)
    picture = as_picture(Image.fromarray(values))
    left, right = (np.asarray(crop_half(picture, half)) for half in ("left", "right"))
    assert left.dtype == dtype
    np.testing.assert_array_equal(np.hstack([left, right]), values)
