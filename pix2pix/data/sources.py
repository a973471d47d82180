"""Make source pictures from photos: one folder of photos, or the frames of a video, becomes pairs,
the photo is the target.

What is random in a source follows from the seed and the photo's key alone, so a dataset comes out
the same on every machine, in any order and with any number of processes.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pix2pix.data.records import Inputs, Origin
from pix2pix.data.split import near_duplicates
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.hints import over_hints, photo_hints
from pix2pix.imaging.line_art import LINE_STYLES, line_drawing
from pix2pix.imaging.picture import as_picture, resize
from pix2pix.imaging.strokes import smooth
from pix2pix.imaging.tracing import between, pen_drawing
from pix2pix.imaging.video import open_clip, read_frames
from pix2pix.utils.files import write_errors
from pix2pix.utils.progress import Progress, ShouldStop

DERIVATIONS = {  # name -> "source -> target" for people
    "grey": "grey -> colour",
    "lines": "line drawing -> photo",
    "lines-pencil": "pencil drawing -> photo",
    "lines-bold": "bold drawing -> photo",
    "lines-mixed": "drawing of any style -> photo",
    "lines-pen": "drawing with one pen -> photo",
    "lines+colours": "line drawing with colour strokes -> photo",
    "small": "small -> large",
    "holes": "picture with holes -> whole picture",
}
SHRINK_FACTOR = 4  # "small" keeps one pixel of 4 x 4
# Pure magenta: photos hold black, white and grey in plenty but hardly ever this corner of the
# colour cube, so a network can tell a hole from what was there; any paint program has it, so a
# person can mark what shall be filled.
HOLE = (255, 0, 255)
BARE = 0.15  # share of the drawings "lines+colours" that have no colours, as some people's
FRAMES_A_SECOND = 2  # of a video that become photos, unless told
MAX_FRAME_BYTES = 20 * 10**9  # of all photos of a video
MIN_HOLE_SHARE, MAX_HOLE_SHARE = 0.10, 0.30  # the share of a picture that its holes cover
_ATTEMPTS = 20  # overlaps and borders spoil one in fifty
_LINE_STYLES = {"lines": "lines", "lines-pencil": "pencil", "lines-bold": "bold"}


def derive_source(photo: Image.Image, how: str, key: str, seed: int = 0) -> Image.Image:
    """Make the source picture of `photo`, of its size: RGB, or L for "grey" and lines alone.

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
        return _low_resolution(colour)
    chance = seeded_random(seed, key)
    if how == "lines+colours":
        lines = line_drawing(colour)
        bare = chance.random() < BARE
        return lines.convert("RGB") if bare else over_hints(lines, photo_hints(colour, chance))
    if how == "holes":
        holed = colour.copy()
        holed.paste(HOLE, mask=_hole_mask(colour.size, chance))
        return holed
    if how == "lines-pen":
        return pen_drawing(colour, chance)
    style = _LINE_STYLES.get(how) or LINE_STYLES[int(len(LINE_STYLES) * chance.random())]
    return line_drawing(colour, style)


@contextmanager
def clip_inputs(
    clip: Path, near: Path, derive: str, every: int = 0, **options: Any
) -> Iterator[Inputs]:
    """Give the photos that `take_frames` makes, in a temporary folder in `near`, as inputs."""
    if not derive:
        raise UserError(f"{clip.name} is a video: say what sources are made of, such as lines.")
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=near) as place:
        every, words = take_frames(clip, Path(place), every, **options)
        origin = Origin(clip.name, (), every=every)
        yield Inputs(Path(place), derive=derive, origin=origin, taken=words)


def take_frames(
    file: Path,
    into: Path,
    every: int = 0,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> tuple[int, str]:
    """Write every so many frames of a video into a folder, called after it and their number, but
    not those that look like the one before; `every` 0 is two a second. Returns (every, words that
    say what was taken). `on_progress` hears frames. Raises UserError and Cancelled."""
    if every < 0:
        raise UserError("Every so many frames is a whole number, 0 for two a second.")
    clip = open_clip(file)
    every = every or max(1, round(clip.rate / FRAMES_A_SECOND))
    last, alike, taken, size, number = None, 0, 0, 0, 0
    for number, photo in read_frames(clip, every):
        if should_stop():
            raise Cancelled
        on_progress(number, max(number + 1, clip.frames))
        if photo is None:
            continue
        small = np.asarray(photo.resize((64, 64), Image.Resampling.BOX))
        if last is not None and near_duplicates([last, small]):
            alike += 1
            continue
        made = into / f"{file.stem}-{number:06}.png"
        with write_errors(made):
            photo.save(made, compress_level=1)
        last, taken, size = small, taken + 1, size + made.stat().st_size
        if size > MAX_FRAME_BYTES:
            raise UserError(f"{clip.name} has too many frames for the disk: take fewer, or cut it.")
    on_progress(number + 1, number + 1)
    return every, (
        f"of {clip.name} every {_ordinal(every)} frame, {taken:,} of {number + 1:,}, without "
        f"{alike:,} that look like the one before"
    )


def _ordinal(number: int) -> str:
    """Write a whole number as in "every 12th"."""
    ends = {1: "st", 2: "nd", 3: "rd"} if number // 10 % 10 != 1 else {}
    return f"{number}{ends.get(number % 10, 'th')}"


def seeded_random(seed: int, key: str) -> random.Random:
    """Make the random numbers of a picture. Use only `random()` of it: Python promises that
    sequence for all versions."""
    name = f"{seed}\0{key}".encode("utf-8", "surrogatepass")  # file names need not be valid text
    return random.Random(int.from_bytes(hashlib.sha256(name).digest(), "big"))


def _low_resolution(photo: Image.Image) -> Image.Image:
    """Shrink by area, as a sensor with fewer pixels sees it, and enlarge to the size again.

    Enlarged by `imaging.picture.resize`, bicubic, because that is how a small picture is enlarged
    before a translation; and nearest would leave a grid of blocks that no person's picture has.
    """
    less = tuple(max(1, round(side / SHRINK_FACTOR)) for side in photo.size)
    return resize(photo.resize(less, Image.Resampling.BOX), photo.size).copy()


def _hole_mask(size: tuple[int, int], chance: random.Random) -> Image.Image:
    """Draw an 'L' mask, 255 in one to four holes that cover MIN_HOLE_SHARE to MAX_HOLE_SHARE.

    Pictures of a few pixels, which cannot have such a share, get one hole of a pixel or more.
    """
    pixels = size[0] * size[1]
    for _ in range(_ATTEMPTS):
        mask = Image.new("L", size)
        pen = ImageDraw.Draw(mask)
        count = 1 + int(4 * chance.random())
        share = between(MIN_HOLE_SHARE, MAX_HOLE_SHARE, chance)
        for _ in range(count):
            shape = (_draw_rectangle, _draw_ellipse, _draw_stroke)[int(3 * chance.random())]
            shape(pen, size, share * pixels / count, chance)
        if MIN_HOLE_SHARE <= np.count_nonzero(np.asarray(mask)) / pixels <= MAX_HOLE_SHARE:
            return mask
    mask = Image.new("L", size)
    width, height = (
        max(1, round(side * (MIN_HOLE_SHARE * MAX_HOLE_SHARE) ** 0.25)) for side in size
    )
    mask.paste(255, (0, 0, width, height))
    return mask


def _random_box(size: tuple[int, int], area: float, chance: random.Random) -> list[float]:
    """Place a box of `area` pixels inside: left, top, right, bottom; up to twice as long as wide
    where the picture is."""
    wide, high = size
    width = min(wide, (area * between(0.5, 2.0, chance)) ** 0.5)
    height = min(high, area / width)
    width = min(wide, area / height)
    left, top = between(0, wide - width, chance), between(0, high - height, chance)
    return [left, top, left + width - 1, top + height - 1]


def _draw_rectangle(pen: ImageDraw.ImageDraw, size: tuple[int, int], area: float, chance) -> None:
    left, top, right, bottom = _random_box(size, area, chance)
    pen.rectangle((left, top, max(left, right), max(top, bottom)), fill=255)


def _draw_ellipse(pen: ImageDraw.ImageDraw, size: tuple[int, int], area: float, chance) -> None:
    left, top, right, bottom = _random_box(size, area * 4 / np.pi, chance)
    pen.ellipse((left, top, max(left, right), max(top, bottom)), fill=255)


def _draw_stroke(pen: ImageDraw.ImageDraw, size: tuple[int, int], area: float, chance) -> None:
    """Draw a brush's path through five places of one half, as wide as `area` asks."""
    wide, high = size
    x, y = between(0, wide / 2, chance), between(0, high / 2, chance)
    stops = [(x + between(0, wide / 2, chance), y + between(0, high / 2, chance)) for _ in range(5)]
    path = smooth(stops)
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    # Width w covers about w * length, and w * w more at its ends; bends fold over themselves.
    width = 1.3 * ((length**2 + 4 * area) ** 0.5 - length) / 2
    pen.line([tuple(stop) for stop in path], fill=255, width=max(1, round(width)), joint="curve")
    for end_x, end_y in path:  # round ends and bends
        r = width / 2
        pen.ellipse((end_x - r, end_y - r, end_x + r, end_y + r), fill=255)
