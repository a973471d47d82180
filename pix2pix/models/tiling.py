"""Cover a picture of any size with overlapping tiles that fade into each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pix2pix.utils.progress import Progress

Box = tuple[int, int, int, int]


def blend_tiles(
    picture_size: tuple[int, int],
    size: int,
    channels: int,
    make: Callable[[int, Box], np.ndarray],
    on_progress: Progress,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (top, `channels` x h x width in [-1, 1]) of finished rows, top to bottom.

    `make(number, box)` gives a tile of `size` pixels a side at most, `channels` x h x w. Tiles
    overlap by a quarter. One row of tiles is held in float32 at a time, so memory stays that of the
    two pictures and a band.
    """
    width, height = picture_size
    tops, lefts = tile_starts(height, size), tile_starts(width, size)
    # The last channel holds the weights.
    band: np.ndarray = np.zeros((channels + 1, min(size, height), width), np.float32)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            number = row * len(lefts) + column
            box = left, top, min(left + size, width), min(top + size, height)
            tile = make(number, box)
            weight = feather_weights(tile.shape[1], tile.shape[2], size // 4)
            band[:-1, :, left : box[2]] += tile * weight
            band[-1, :, left : box[2]] += weight
            on_progress(number + 1, len(tops) * len(lefts))
        # Rows above the next tile's top are finished; the others wait for their neighbours.
        done = (tops[row + 1] if row + 1 < len(tops) else height) - top
        yield top, band[:-1, :done] / band[-1:, :done]
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
