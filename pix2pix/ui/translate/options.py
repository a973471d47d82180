"""The options of a translation: seed, tint, fit and norm, and its progress."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.model_config import ModelConfig
from pix2pix.nn.layers import has_stored_statistics
from pix2pix.ui.events import time_left
from pix2pix.utils.progress import Progress

MAX_SEED = 2**32 - 1
VARIATIONS = 4
FITS = {"As the model prefers": "", "Scale the whole picture": "whole", "In tiles": "tiles"}
NORMS = {"As the model prefers": "", "The picture itself": "batch", "Training averages": "stored"}


def parse_seed(value: Any) -> int | None:
    """Read a seed that a person typed: None for nothing; raises UserError for no seed."""
    if value is None or value == "":
        return None
    try:
        seed = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError("The seed must be a whole number, or empty for none.") from error
    if not 0 <= seed <= MAX_SEED or seed != float(value):
        raise UserError(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    return seed


def seeds_from(seed: int | None) -> list[int]:
    """List the seeds of the variations: the one chosen, or 1, and those after it."""
    first = 1 if seed is None else seed
    return [(first + i) % (MAX_SEED + 1) for i in range(VARIATIONS)]


def fit_choice() -> gr.Radio:
    """Lay out the choice of how larger pictures are fitted."""
    return gr.Radio(list(FITS.items()), value="", label="Pictures larger than the model's size")


def norm_choice(config: ModelConfig) -> gr.Radio:
    """Lay out the choice of the norm, hidden where the model has one way only."""
    default = next(words for words, norm in NORMS.items() if norm == config.norm_mode)
    return gr.Radio(
        list(NORMS.items()),
        value="",
        label="Normalised by",
        info=f"This model's own: {default.lower()}. Training averages are the same for all tiles, "
        "so that tones do not jump in a large picture.",
        visible=has_stored_statistics(config.generator),
    )


def tint_choice(config: ModelConfig) -> gr.Textbox:
    """Lay out the choice of the tint, hidden for a model that was trained without one."""
    return gr.Textbox(
        "",
        label="Tint",
        placeholder="#d8b48c",
        info="A colour for what the source leaves open, by #rrggbb or name; else a seed chooses.",
        visible=config.generator.tint,
    )


def parse_options(seed: Any, fit: str, norm: str, tint: str) -> dict[str, Any]:
    """Read what a translator takes of these; raises UserError for no seed."""
    return {"seed": parse_seed(seed), "fit": fit, "norm": norm, "tint": tint or ""}


def tile_progress(
    progress: gr.Progress, number: int = 0, count: int = 1, name: str = "", part: str = "tile",
    started: float | None = None,
) -> Progress:  # fmt: skip
    """Make a translator's ``on_progress`` that moves the page's bar over ``count`` pictures, each
    of several parts, and says the time left; `started` is that of the first, now unless given."""
    began = time.monotonic() if started is None else started

    def on_progress(done: int, total: int) -> None:
        share = (number + done / total) / count
        parts = f"{part} {done} of {total}" if total > 1 else ""
        where = ", ".join(filter(None, (name, parts))) or "Translating"
        progress(share, desc=where + time_left(time.monotonic() - began, share))

    return on_progress
