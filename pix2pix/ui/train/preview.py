"""Preview a run: pairs of the dataset, and the table of all settings."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import dataset_info, find_pairs
from pix2pix.data.plausibility import dataset_doubts
from pix2pix.data.ranges import folder_ranges
from pix2pix.data.records import SPLITS
from pix2pix.errors import UserError
from pix2pix.ui.components.pairs_view import encode_pair, join_pair
from pix2pix.ui.dataset.library import chosen_folder, dataset_version
from pix2pix.ui.dataset.wording import format_pairs, format_splits
from pix2pix.ui.gradio_patches import escape_template
from pix2pix.ui.train.launch import preset_values, setting_names
from pix2pix.utils.validation import setting_text

PREVIEW_PAIRS = 4  # pairs of the preview


def dataset_preview(name: str | None) -> dict[str, Any]:
    """Show a few pairs and the counts, every text escaped."""
    if not name:
        return {}
    try:
        folder = chosen_folder(name)
        return preview_pairs(folder, dataset_version(folder))
    except UserError as error:
        return escape_template({"words": str(error)})


@functools.lru_cache(maxsize=32)
def preview_pairs(folder: Path, times: tuple[int, ...]) -> dict[str, Any]:
    """Encode a few pairs; `times` only say when to look again."""
    info = dataset_info(folder)
    pairs = [pair for split in SPLITS for pair in find_pairs(folder, split)]
    pictures, ranges = [], folder_ranges(folder)
    for pair in pairs[:: max(1, len(pairs) // PREVIEW_PAIRS)][:PREVIEW_PAIRS]:
        try:
            picture = join_pair(pair, ranges)
            picture.thumbnail((256, 256))
            pictures.append({**encode_pair(picture), "name": pair.name})
        except UserError:
            continue  # the Dataset tab says what is wrong with it
    words = [f"{format_pairs(info.total)}: {format_splits(info.counts)}."]
    if not info.counts.get("val"):
        words.append("Without val pairs, samples show training pairs.")
    words += [f"Look at {d.file}: it {d.reason}." for d in dataset_doubts(folder)]
    return escape_template({"pairs": pictures, "words": " ".join(words)})


def settings_table(preset: str) -> dict[str, Any]:
    """Return every setting with the preset's value and its choices."""
    config, hints = preset_values(preset), get_type_hints(TrainConfig)

    def row(name: str) -> dict[str, str]:
        choices = get_args(hints[name]) if get_origin(hints[name]) else ()
        if hints[name] is bool:
            choices = ("true", "false")
        return {
            "name": name, "value": setting_text(getattr(config, name)),
            "choices": ", ".join(map(str, choices)),
        }  # fmt: skip

    return escape_template({"settings": [row(field.name) for field in setting_names()]})
