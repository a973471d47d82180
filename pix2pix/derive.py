"""Source pictures made from photos: one folder of photos becomes pairs, the photo is the target.

What is random in a source follows from the seed and the photo's key alone, so a dataset comes out
the same on every machine, in any order and with any number of processes.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
from PIL import Image, ImageDraw

from pix2pix.drawing import STYLES, line_drawing, smooth
from pix2pix.errors import UserError
from pix2pix.hints import over_hints, photo_hints
from pix2pix.images import as_picture, resize

DERIVATIONS = {  # name -> "source -> target" for people
    "grey": "grey -> colour",
    "lines": "line drawing -> photo",
    "lines-pencil": "pencil drawing -> photo",
    "lines-bold": "bold drawing -> photo",
    "lines-mixed": "drawing of any style -> photo",
    "lines+colours": "line drawing with colour strokes -> photo",
    "small": "small -> large",
    "holes": "picture with holes -> whole picture",
}
SHRINK = 4  # "small" keeps one pixel of 4 x 4
# Pure magenta: photos hold black, white and grey in plenty but hardly ever this corner of the
# colour cube, so a network can tell a hole from what was there; any paint program has it, so a
# person can mark what shall be filled.
HOLE = (255, 0, 255)
BARE = 0.15  # share of the drawings "lines+colours" that have no colours, as some people's
LEAST, MOST = 0.10, 0.30  # the share of a picture that its holes cover
_ATTEMPTS = 20  # overlaps and borders spoil one in fifty
_STYLE_OF = {"lines": "lines", "lines-pencil": "pencil", "lines-bold": "bold"}


def derive(photo: Image.Image, how: str, key: str, seed: int = 0) -> Image.Image:
    """The source picture that belongs to `photo`, of its size: RGB, or L for "grey" and lines
    alone.

    `how` is one of DERIVATIONS, else a UserError; `key` names the photo (its path in the folder,
    say) and decides, with `seed`, what is random. The photo itself is left as it is.
    """
    if how not in DERIVATIONS:
        raise UserError(f"Unknown derivation {how!r}; choose one of {', '.join(DERIVATIONS)}.")
    picture = as_picture(photo)
    if how == "grey":
        return picture.to_pil(1).copy()
    colour = picture.to_pil(3)
    if how == "small":
        return _small(colour)
    chance = chance_of(seed, key)
    if how == "lines+colours":
        lines = line_drawing(colour)
        bare = chance.random() < BARE
        return lines.convert("RGB") if bare else over_hints(lines, photo_hints(colour, chance))
    if how == "holes":
        holed = colour.copy()
        holed.paste(HOLE, mask=_holes(colour.size, chance))
        return holed
    style = _STYLE_OF.get(how) or STYLES[int(len(STYLES) * chance.random())]
    return line_drawing(colour, style)


def chance_of(seed: int, key: str) -> random.Random:
    """What is random for a picture. Of its methods only `random()` is used: Python promises that
    sequence for all versions."""
    name = f"{seed}\0{key}".encode("utf-8", "surrogatepass")  # file names need not be valid text
    return random.Random(int.from_bytes(hashlib.sha256(name).digest(), "big"))


def _small(photo: Image.Image) -> Image.Image:
    """Shrunk by area, as a sensor with fewer pixels sees it, and enlarged again to its size.

    Enlarged by `images.resize`, bicubic, because that is how a small picture is enlarged before a
    translation; and nearest would leave a grid of blocks that no person's picture has.
    """
    less = tuple(max(1, round(side / SHRINK)) for side in photo.size)
    return resize(photo.resize(less, Image.Resampling.BOX), photo.size).copy()


def _holes(size: tuple[int, int], chance: random.Random) -> Image.Image:
    """An 'L' mask, 255 in one to four holes that together cover LEAST to MOST of it.

    Pictures of a few pixels, which cannot have such a share, get one hole of a pixel or more.
    """
    pixels = size[0] * size[1]
    for _ in range(_ATTEMPTS):
        mask = Image.new("L", size)
        pen = ImageDraw.Draw(mask)
        count = 1 + int(4 * chance.random())
        share = _between(LEAST, MOST, chance)
        for _ in range(count):
            shape = (_rectangle, _ellipse, _stroke)[int(3 * chance.random())]
            shape(pen, size, share * pixels / count, chance)
        if LEAST <= np.count_nonzero(np.asarray(mask)) / pixels <= MOST:
            return mask
    mask = Image.new("L", size)
    width, height = (max(1, round(side * (LEAST * MOST) ** 0.25)) for side in size)
    mask.paste(255, (0, 0, width, height))
    return mask


def _between(low: float, high: float, chance: random.Random) -> float:
    return low + (high - low) * chance.random()


def _box(size: tuple[int, int], area: float, chance: random.Random) -> list[float]:
    """Left, top, right, bottom (all inside) of a box of `area` pixels, up to twice as long as
    wide where the picture is."""
    wide, high = size
    width = min(wide, (area * _between(0.5, 2.0, chance)) ** 0.5)
    height = min(high, area / width)
    width = min(wide, area / height)
    left, top = _between(0, wide - width, chance), _between(0, high - height, chance)
    return [left, top, left + width - 1, top + height - 1]


def _rectangle(pen: ImageDraw.ImageDraw, size: tuple[int, int], area: float, chance) -> None:
    left, top, right, bottom = _box(size, area, chance)
    pen.rectangle((left, top, max(left, right), max(top, bottom)), fill=255)


def _ellipse(pen: ImageDraw.ImageDraw, size: tuple[int, int], area: float, chance) -> None:
    left, top, right, bottom = _box(size, area * 4 / np.pi, chance)
    pen.ellipse((left, top, max(left, right), max(top, bottom)), fill=255)


def _stroke(pen: ImageDraw.ImageDraw, size: tuple[int, int], area: float, chance) -> None:
    """A brush's path through five places of one half of the picture, as wide as `area` asks."""
    wide, high = size
    x, y = _between(0, wide / 2, chance), _between(0, high / 2, chance)
    stops = [
        (x + _between(0, wide / 2, chance), y + _between(0, high / 2, chance)) for _ in range(5)
    ]
    path = smooth(stops)
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    # Width w covers about w * length, and w * w more at its ends; bends fold over themselves.
    width = 1.3 * ((length**2 + 4 * area) ** 0.5 - length) / 2
    pen.line([tuple(stop) for stop in path], fill=255, width=max(1, round(width)), joint="curve")
    for end_x, end_y in path:  # round ends and bends
        r = width / 2
        pen.ellipse((end_x - r, end_y - r, end_x + r, end_y + r), fill=255)
