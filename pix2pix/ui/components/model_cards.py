"""Show the models as small cards above the picture: thumbnail, name, direction in words."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.models.folder import CONFIG, read_config, sample_files
from pix2pix.ui.gradio_patches import escape_template
from pix2pix.ui.model_view import MAX_SAMPLES, card_words, thumbnail
from pix2pix.ui.theme import read_asset

KINDS = ("drawing", "labels", "photo")  # of sources; the first one found is on the first screen
CHOOSE = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('.card');
  if (card) trigger('select', { value: card.dataset.name });
});
"""


class ModelSource(Protocol):
    """What the page needs of `TranslatorCache`; tests pass a fake."""

    def models(self) -> dict[str, Path]:
        """Name -> folder of all."""

    def get(self, name: str) -> Any:
        """Load one, or find it loaded; raises UserError where there is none."""


def known_models(models: ModelSource, mine: dict[str, str]) -> dict[str, Path]:
    """Name -> folder of the models that a visitor sees: those from the Hub that are theirs alone,
    as far as they were not removed to make room, then those for everybody."""
    visitor_models = {name: Path(folder) for name, folder in mine.items()}
    existing = {
        name: folder for name, folder in visitor_models.items() if (folder / CONFIG).is_file()
    }
    return {**existing, **models.models()}


def model_cards(models: dict[str, Path], chosen: str) -> gr.HTML:
    """Lay out cards for ``models`` (name -> folder). Its ``select`` event carries the chosen
    name."""
    return gr.HTML(
        value=model_card_items(models, chosen),
        html_template=read_asset("components/cards.html"),
        css_template=read_asset("components/cards.css"),
        js_on_load=CHOOSE,
        apply_default_css=False,
        elem_id="models",
    )


def model_card_items(models: dict[str, Path], chosen: str) -> dict[str, Any]:
    """List what the cards show, every text escaped: what one draws for comes first."""
    items = []
    known = [(name, folder, read_config(folder)) for name, folder in models.items()]
    for name, folder, config in sorted(known, key=lambda m: KINDS.index(m[2].source_kind)):
        title, direction = card_words(name, config)
        items.append(
            {
                "name": name,
                "title": title,
                "direction": direction,
                "chosen": "true" if name == chosen else "false",
                "thumbnail": thumbnail(folder),
            }
        )
    return escape_template({"models": items})


def first_model(models: dict[str, Path]) -> str:
    """Choose the model of the first screen: one to draw for, if there is any."""
    return min(models, key=lambda name: KINDS.index(read_config(models[name]).source_kind))


def sample_photos(folder: Path) -> list[tuple[Image.Image, str]]:
    """List (photo, name) to try the model on."""
    photos = []
    for file in sample_files(folder)[:MAX_SAMPLES]:
        with contextlib.suppress(UserError):
            photos.append((open_picture(file, max_pixels=4_000_000).to_pil(3), file.stem))
    return photos
