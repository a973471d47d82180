"""Sources made from photos: pixel by pixel, the same everywhere, and never the photo itself."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from pix2pix.data.sources import DERIVATIONS, HOLE, MAX_HOLE_SHARE, MIN_HOLE_SHARE, derive_source
from pix2pix.errors import UserError
from pix2pix.imaging.picture import Picture, from_array

ROOT = Path(__file__).resolve().parents[2]
GREY = {"grey", "lines", "lines-pencil", "lines-bold", "lines-mixed", "lines-pen"}
FILTERS = {"lines", "lines-pencil", "lines-bold"}  # the styles of "lines-mixed"
# Derives everything in a process of its own; the argument is the order of the keys.
ELSEWHERE = """
import hashlib, sys
from tests.data.test_sources import DERIVATIONS, KEYS, digest, derive_source, scene
photo, keys = scene(), KEYS[:: int(sys.argv[1])]
made = ((how, key, derive_source(photo, how, key)) for how in DERIVATIONS for key in keys)
print(sorted((how, key, digest(source)) for how, key, source in made))
"""
KEYS = ["a/1.png", "a/2.png", "b/1.png", "Ü 3.jpg", "broken-\udc80.png"]


def scene(width: int = 96, height: int = 80) -> Image.Image:
    """A face-like drawing in colour on a ramp: edges, tones and flat areas."""
    across, down = np.linspace(0, 200, width), np.linspace(40, 255, height)
    ramp = np.stack([*np.broadcast_arrays(across[None], down[:, None], 90.0)], axis=2)
    image = Image.fromarray(ramp.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((width * 0.2, height * 0.1, width * 0.8, height * 0.95), fill=(230, 190, 160))
    for x in (0.38, 0.62):
        pen.ellipse((width * (x - 0.06), height * 0.4, width * (x + 0.06), height * 0.5), "black")
    pen.line((width * 0.35, height * 0.75, width * 0.65, height * 0.75), (150, 40, 40), 4)
    return image


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def digest(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def covered(source: Image.Image) -> np.ndarray:
    return (np.asarray(source) == HOLE).all(axis=2)


def test_grey_is_what_a_network_with_one_channel_sees_of_the_photo():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (10, 20, 30), (0, 0, 0)]
    photo = Image.new("RGB", (6, 1))
    photo.putdata(colours)
    assert list(derive_source(photo, "grey", "k").tobytes()) == [
        76,
        150,
        29,
        255,
        18,
        0,
    ]  # ITU-R 601
    photo = noise(33, 21)
    seen = Picture(photo).tile((0, 0, 33, 21), 1)
    assert digest(derive_source(photo, "grey", "k")) == digest(from_array(seen))


def test_small_keeps_the_mean_of_every_four_by_four_pixels():
    values = np.asarray(noise(16, 8), np.float64)
    means = values.reshape(2, 4, 4, 4, 3).mean(axis=(1, 3))
    small = Image.fromarray(np.floor(means + 0.5).astype(np.uint8))
    expected = np.asarray(small.resize((16, 8), Image.Resampling.BICUBIC), int)
    found = np.asarray(derive_source(noise(16, 8), "small", "k"), int)
    assert np.abs(found - expected).max() <= 2  # Pillow rounds rows, then columns


def test_small_shows_no_blocks():
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1)))
    row = np.asarray(derive_source(ramp, "small", "k"))[32, 8:-8, 0].astype(int)
    assert (np.diff(row) > 0).all()


@pytest.mark.parametrize("size", [(256, 256), (64, 64), (30, 200), (301, 97)], ids=str)
def test_holes_cover_a_tenth_to_three_tenths_for_every_key(size):
    photo = Image.new("L", size, 128)
    shares = [covered(derive_source(photo, "holes", f"{key}.png")).mean() for key in range(80)]
    assert min(shares) >= MIN_HOLE_SHARE and max(shares) <= MAX_HOLE_SHARE
    assert max(shares) - min(shares) > 0.1  # and the range is used


def test_between_the_holes_the_photo_is_as_it_was():
    photo = noise(120, 90)
    source = derive_source(photo, "holes", "k")
    holes = covered(source)
    assert (np.asarray(source)[~holes] == np.asarray(photo)[~holes]).all()


def test_holes_are_one_to_four_and_of_every_shape():
    filled, pieces = [], set()
    for key in map(str, range(100)):
        labels, count = ndimage.label(
            covered(derive_source(Image.new("L", (96, 96)), "holes", key))
        )
        pieces.add(count)
        for place in ndimage.find_objects(labels):
            filled.append((labels[place] > 0).mean())
    assert pieces == {1, 2, 3, 4}
    assert sum(share == 1.0 for share in filled) > 10  # rectangles fill their box,
    assert sum(0.76 < share < 0.81 for share in filled) > 10  # ellipses pi / 4 of it,
    assert sum(share < 0.6 for share in filled) > 10  # strokes less


def test_every_derivation_gives_another_source():
    photo = scene()
    mixed = derive_source(photo, "lines-mixed", "k")
    alone = {
        how: digest(derive_source(photo, how, "k")) for how in DERIVATIONS if how != "lines-mixed"
    }
    assert len(set(alone.values())) == len(alone)
    assert digest(mixed) in {alone[how] for how in FILTERS}


def test_mixed_lines_are_of_every_style_in_turn_of_the_key():
    photo = scene(48, 40)
    styles = {digest(derive_source(photo, how, "")): how for how in FILTERS}
    drawn = [styles[digest(derive_source(photo, "lines-mixed", f"{key}.png"))] for key in range(60)]
    assert all(10 < drawn.count(how) < 30 for how in styles.values())
    # The keys decide for ever: a dataset built again must come out the same.
    first = ["bold", "bold", "bold", "pencil", "pencil", "lines"]
    assert [how.removeprefix("lines-") for how in drawn[:6]] == first


def test_key_and_seed_decide_the_holes_and_nothing_else_does():
    photo = Image.new("RGB", (64, 64), "white")
    cases = list(itertools.product(KEYS, (0, 1)))
    forwards = [digest(derive_source(photo, "holes", key, seed)) for key, seed in cases]
    backwards = [digest(derive_source(photo, "holes", key, seed)) for key, seed in reversed(cases)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(cases)


def test_other_processes_derive_the_same():
    outputs = set()
    for hash_seed, order in (("0", "1"), ("4242", "-1")):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}tests"}
        command = [sys.executable, "-c", ELSEWHERE, order]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    here = [
        (how, key, digest(derive_source(scene(), how, key))) for how in DERIVATIONS for key in KEYS
    ]
    assert outputs == {f"{sorted(here)}\n"}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("how", DERIVATIONS)
def test_the_photo_is_never_touched(how, mode):
    photo = scene().convert(mode)
    before = photo.tobytes()
    source = derive_source(photo, how, "k")
    source.paste(0, (0, 0, *source.size))
    assert photo.tobytes() == before


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (9, 1), (37, 101), (258, 130)], ids=str)
@pytest.mark.parametrize("how", DERIVATIONS)
def test_every_size_is_kept(how, size, mode):
    source = derive_source(noise(*size).convert(mode), how, "k")
    assert source.size == size
    assert source.mode == ("L" if how in GREY else "RGB")


def test_a_picture_of_one_pixel_gets_a_hole():
    assert derive_source(Image.new("RGB", (1, 1)), "holes", "k").getpixel((0, 0)) == HOLE


def test_transparent_photos_lie_on_white():
    photo = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert derive_source(photo, "small", "k").getpixel((4, 4)) == (255, 255, 255)


def test_an_unknown_derivation_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'sepia'.*grey.*holes"):
        derive_source(Image.new("L", (4, 4)), "sepia", "k")
