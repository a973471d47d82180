"""Count the colours of label maps, and name them as a palette."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import (
    read_dataset_json,
)
from pix2pix.utils.text import printable


def find_label_sides(folder: Path, config: TrainConfig) -> tuple[bool, bool]:
    """Return whether source and target are label maps, whose colours must not mix: the source
    where the configuration says so, either where `dataset.json` does."""
    declared = [side is True for side in declared_label_maps(folder) or (False, False)]
    source, target = declared[::-1] if config.direction == "BtoA" else declared
    if config.derive == "grey":
        source = target = False
    return source or config.source_kind == "labels", target


MAX_LABELS = 64  # colours of a label map


def label_colours(pictures: Iterable[Image.Image]) -> list[tuple[int, int, int]] | None:
    """List the colours of label maps, the commonest first; None where there are too many for
    such."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for picture in pictures:
        colour_counts = picture.convert("RGB").getcolors(MAX_LABELS)
        for count, colour in colour_counts or []:
            counts[colour] += count
        if colour_counts is None or len(counts) > MAX_LABELS:
            return None
    return [colour for colour, _ in counts.most_common()]


def label_palette(folder: Path, sources: Iterable[Image.Image]) -> list[dict[str, str]]:
    """Make the palette to paint label maps with: {"name", "color" as "#rrggbb"} for each label,
    the commonest first. The names come from `palette` in `dataset.json`, a list of the same
    form, else they are numbers; empty where the sources hold too many colours for label maps."""
    palette = read_dataset_json(folder).get("palette")
    names = {}
    for label in palette if isinstance(palette, list) else []:
        if isinstance(label, dict) and isinstance(label.get("name"), str):
            names[str(label.get("color")).lower()] = printable(label["name"])
    colours = [f"#{bytes(colour).hex()}" for colour in label_colours(sources) or []]
    return [
        {"name": names.get(colour, f"label {number}"), "color": colour}
        for number, colour in enumerate(colours, 1)
    ]


def declared_label_maps(folder: Path) -> list[Any] | None:
    """Read from `dataset.json` whether [A, B] are label maps; None where it does not say. The
    two values are whatever the file's author wrote."""
    value = read_dataset_json(folder).get("label_maps")
    return value if isinstance(value, list) and len(value) == 2 else None
