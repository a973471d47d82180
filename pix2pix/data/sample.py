"""Make the sample dataset: little houses that our code draws, for a first run without own pairs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pix2pix.data.compose import side_by_side
from pix2pix.data.dataset import PairFile, open_pair
from pix2pix.data.report import DATASET_JSON
from pix2pix.errors import UserError
from pix2pix.imaging.example_houses import PALETTE, Shape, draw_house, draw_shapes, house_shapes
from pix2pix.utils.files import atomic_folder, write_json
from pix2pix.utils.progress import Progress, ShouldStop, each

SAMPLE_NAME = "little-houses"  # of the dataset in the workspace
PAIRS, SIZE = 200, 128  # pairs, and pixels of a side of each half
VALIDATION = 0.1  # share of the pairs


def make_sample_dataset(
    out: Path,
    *,
    pairs: int = PAIRS,
    size: int = SIZE,
    seed: int = 0,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Draw label maps of houses (A) and pictures of them (B) into the dataset `out`, and return
    its counts.

    `size` is the side of each half in pixels. The same seed gives the same bytes. Raises UserError
    where `out` is taken, a number is out of range or the disk is full, and Cancelled when told to
    stop: then there is no `out`.
    """
    if not 2 <= pairs <= 100_000 or not 32 <= size <= 1024:
        raise UserError("Ask for 2 to 100,000 sample pairs of 32 to 1024 pixels.")
    val = max(1, round(pairs * VALIDATION))
    counts = {"pairs": pairs, "train": pairs - val, "val": val, "test": 0}
    with atomic_folder(out) as folder:
        for split in ("train", "val"):
            (folder / split).mkdir()
        for number in each(range(pairs), should_stop, on_progress):
            strip = side_by_side(*draw_house(house_seed(seed, number), size))
            split = "train" if number < counts["train"] else "val"
            strip.save(folder / split / f"{number:04}.png", compress_type=zlib.Z_RLE)
        write_json(folder / DATASET_JSON, describe_sample(counts, size, seed))
    return counts


def house_seed(seed: int, number: int) -> int:
    """Return the seed of the scene of a pair of a dataset."""
    return seed * 100_000 + number


def sample_scenes(pairs: Sequence[PairFile], seed: int | None) -> list[list[Shape]]:
    """Return the scenes of pairs of a sample dataset with this seed, in order; none where this code
    did not draw them."""
    if seed is None:
        return []
    scenes = []
    for pair in pairs:
        labels, number = open_pair(pair)[0].convert("RGB"), pair.name
        shapes = house_shapes(house_seed(seed, int(number))) if number.isdecimal() else []
        if not shapes or not np.array_equal(labels, draw_shapes(shapes, PALETTE, labels.width)):
            return []
        scenes.append(shapes)
    return scenes


def describe_sample(counts: dict[str, int], size: int, seed: int) -> dict[str, object]:
    """Return what `dataset.json` says of it."""
    return {
        "format_version": 1,
        "title": "Little houses",
        "source_name": "labels",
        "target_name": "house",
        "label_maps": [True, False],
        "palette": [{"name": name, "color": colour} for name, colour in PALETTE.items()],
        "drawn": {"size": size, "seed": seed},
        "counts": counts,
        "warnings": [],
        "refused": [],
        "doubts": [],
    }
