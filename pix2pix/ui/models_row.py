"""The models as small cards above the picture: thumbnail, name, direction in words."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.images import data_url, open_picture, resize
from pix2pix.models import CONFIG, EXAMPLES, THUMBNAIL, read_config, sample_files
from pix2pix.ui.shared import inert

HERE = Path(__file__).parent
KINDS = ("drawing", "labels", "photo")  # of sources; the first one found is on the first screen
MOST_SAMPLES = 6
CHOOSE = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('.card');
  if (card) trigger('select', { value: card.dataset.name });
});
"""


class Models(Protocol):
    """What the page needs of ``pix2pix.translate.Translators``; tests pass a fake."""

    def models(self) -> dict[str, Path]: ...

    def get(self, name: str) -> Any: ...


def known(models: Models, mine: dict[str, str]) -> dict[str, Path]:
    """Name -> folder of the models that a visitor sees: those from the Hub that are theirs alone,
    as far as they were not removed to make room, then those for everybody."""
    theirs = {name: Path(folder) for name, folder in mine.items()}
    kept = {name: folder for name, folder in theirs.items() if (folder / CONFIG).is_file()}
    return {**kept, **models.models()}


def models_row(models: dict[str, Path], chosen: str) -> gr.HTML:
    """Cards for ``models`` (name -> folder). Its ``select`` event carries the chosen name."""
    return gr.HTML(
        value=cards(models, chosen),
        html_template=(HERE / "cards.html").read_text(encoding="utf-8"),
        css_template=(HERE / "cards.css").read_text(encoding="utf-8"),
        js_on_load=CHOOSE,
        apply_default_css=False,
        elem_id="models",
    )


def cards(models: dict[str, Path], chosen: str) -> dict[str, Any]:
    """What the cards show, every word of it inert."""
    shown = []
    for name, folder in models.items():
        config = read_config(folder)
        shown.append(
            {
                "name": name,
                "title": config.title or name,
                "source": config.source_name,
                "target": config.target_name,
                "chosen": "true" if name == chosen else "false",
                "thumbnail": thumbnail(folder),
            }
        )
    return inert({"models": shown})


def to_begin_with(models: dict[str, Path]) -> str:
    """The model of the first screen: one to draw for, if there is any."""
    return min(models, key=lambda name: KINDS.index(read_config(models[name]).source_kind))


def samples(folder: Path) -> list[tuple[Image.Image, str]]:
    """(photo, name) to try the model on, or none."""
    found = []
    for file in sample_files(folder)[:MOST_SAMPLES]:
        with contextlib.suppress(UserError):
            found.append((open_picture(file, max_pixels=4_000_000).to_pil(3), file.stem))
    return found


def thumbnail(folder: Path) -> str:
    """The model's picture as a data URL of 80 x 80, or nothing where it has none."""
    try:
        picture = open_picture(folder / THUMBNAIL, max_pixels=4_000_000)
    except UserError:
        return ""
    return data_url(resize(picture.to_pil(3), (80, 80)))


def pad_state(name: str, folder: Path) -> dict[str, Any]:
    """What the drawing pad needs to know of a model; see ``pix2pix.ui.pad``."""
    config = read_config(folder)
    labels = config.source_kind == "labels" and config.palette
    return {
        "model": name,
        "size": config.generator.size,
        "source": config.source_name,
        "target": config.target_name,
        "noise": config.has_noise,
        "hints": config.generator.hints and config.source_kind == "drawing",
        "palette": config.palette if labels else None,
        "background": config.palette[0]["color"] if labels else "#ffffff",
        "examples": examples(folder),
    }


def examples(folder: Path) -> list[dict[str, Any]]:
    """Example drawings as strokes, or none. A broken file costs the examples, not the page."""
    try:
        found = json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))
        return [{"name": str(e["name"]), "strokes": list(e["strokes"])} for e in found][:24]
    except (OSError, ValueError, TypeError, KeyError):
        return []
