"""Cut large pictures into overlapping windows, put their translations together, and pad what a
network sees. No torch.

Windows overlap by a quarter and fade into each other. One row of them is held in float32 at a time,
so memory stays that of a band, whatever a picture is read from and written to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pix2pix.errors import Cancelled
from pix2pix.imaging.picture import Box, from_array, with_light
from pix2pix.utils.progress import Progress, ShouldStop

Crop = tuple[slice, slice, slice]  # an index into C x H x W


def _never(box: Box) -> bool:
    return False


@dataclass(frozen=True)
class LargePicture:
    """A picture that is read and written by parts: `size` is (width, height), `read(box, channels)`
    gives float32 channels x h x w in [-1, 1] of a part inside it, `write(rows, top)` takes full
    rows of the translation from the top down. What `is_empty` is not translated: black."""

    size: tuple[int, int]
    read: Callable[[Box, int], np.ndarray]
    write: Callable[[Image.Image, int], None]
    bits: int = 8  # of the rows: 16 for one channel only
    is_empty: Callable[[Box], bool] = _never


def with_own_light(picture: LargePicture) -> LargePicture:
    """Return a picture whose rows are written with its own light, and the network's colours."""

    def write(rows: Image.Image, top: int) -> None:
        if rows.mode == "RGB":
            box = 0, top, rows.width, top + rows.height
            rows = with_light(rows, from_array(picture.read(box, 1)))
        picture.write(rows, top)

    return replace(picture, write=write)


def translate_windows(
    picture: LargePicture,
    forward: Callable[[np.ndarray, int | None], np.ndarray],
    image: Callable[[np.ndarray], Image.Image],
    window: int,
    channels: tuple[int, int],
    *,
    seed: int | None,
    on_progress: Progress,
    should_stop: ShouldStop,
) -> None:
    """Translate a picture by windows of a side of `window` pixels. `forward(array, seed)` runs the
    network on C x h x w in [-1, 1] and gives C' x h x w, of which `image(array)` makes rows; C and
    C' are the `channels`, and every window has a seed of its own.

    `on_progress` hears (windows done, windows in all); Cancelled is raised after `should_stop`.
    """
    width, height = picture.size
    tops, lefts = tile_starts(height, window), tile_starts(width, window)
    # The last channel holds the weights.
    band: np.ndarray = np.zeros((channels[1] + 1, min(window, height), width), np.float32)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            if should_stop():
                raise Cancelled
            box = left, top, min(left + window, width), min(top + window, height)
            number = row * len(lefts) + column
            if not picture.is_empty(box):
                source = picture.read(box, channels[0])
                tile = forward(source, None if seed is None else seed + number)
                weight = feather_weights(tile.shape[1], tile.shape[2], window // 4)
                band[:-1, :, left : box[2]] += tile * weight
                band[-1, :, left : box[2]] += weight
            on_progress(number + 1, len(tops) * len(lefts))
        # Rows above the next window's top are finished; the others wait for their neighbours.
        done = (tops[row + 1] if row + 1 < len(tops) else height) - top
        weights = band[-1:, :done]
        finished = np.full_like(band[:-1, :done], -1.0)
        np.divide(band[:-1, :done], weights, out=finished, where=weights > 0)
        picture.write(image(finished), top)
        band = np.concatenate([band[:, done:], np.zeros_like(band[:, :done])], axis=1)


def tile_starts(length: int, size: int) -> list[int]:
    """Say where tiles of ``size`` start so that they cover ``length``, evenly spaced, overlapping
    by a quarter or more; the last ends with the picture."""
    if length <= size:
        return [0]
    count = -(-(length - size) // (size - size // 4)) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def feather_weights(height: int, width: int, margin: int) -> np.ndarray:
    """Make weights H x W in (0, 1] that fall off linearly over ``margin`` pixels to every side."""

    def ramp(length: int) -> np.ndarray:
        distance = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1))
        return np.minimum(distance / margin, 1.0).astype(np.float32)

    return ramp(height)[:, None] * ramp(width)[None]


def keep_edge(made: Image.Image, source: Image.Image) -> None:
    """Make a map transparent where its source is: the edge of what there is to see stays one."""
    if source.mode in ("LA", "RGBA") and made.mode in ("L", "RGB"):
        made.putalpha(source.getchannel("A"))


def pad_reflect(array: np.ndarray, multiple: int, minimum: int = 1) -> tuple[np.ndarray, Crop]:
    """Mirror C x H x W outwards until H and W are multiples of `multiple`, `minimum` or more.

    Also returns the index that undoes it, on any array of the padded H and W:
    `padded, crop = pad_reflect(array, 256)`, then `network(padded)[crop]`. Where the padding
    exceeds the image the mirrors repeat, down to a single pixel.
    """
    rows, vertical = _mirror(array.shape[1], multiple, minimum)
    columns, horizontal = _mirror(array.shape[2], multiple, minimum)
    return array[:, rows[:, None], columns], (slice(None), vertical, horizontal)


def _mirror(length: int, multiple: int, minimum: int) -> tuple[np.ndarray, slice]:
    """Return indices that reflect an axis about both ends, and where the axis lies in them."""
    padded = math.ceil(max(length, minimum) / multiple) * multiple
    start = (padded - length) // 2
    period = max(1, 2 * (length - 1))  # unlike NumPy's padding, right for a single pixel too
    place = (np.arange(padded) - start) % period
    return np.minimum(place, period - place), slice(start, start + length)
