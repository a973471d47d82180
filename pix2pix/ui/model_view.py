"""What a page shows of models: their cards, the drawing pad's state, photos to try them on; in the
app and on a page of static files. No gradio."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.picture import data_url, resize
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import CONFIG, EXAMPLES, THUMBNAIL, read_config, sample_files, tints

OFFERED_TINTS = 6
CARD_SIDE, PREVIEW_SIDE = 80, 128  # pixels of the thumbnail on a card and, larger, on the pad
KINDS = ("drawing", "labels", "photo")  # of sources; the first one found is on the first screen
MAX_SAMPLES = 6  # photos of a model to try it on
# Pixels of a photo's longer side that the pad keeps: as many as every browser paints, or as few as
# a device translates tile by tile in seconds.
PHOTO_SIDES = {"whole": 4096, "tiles": 1024}

UI = Path(__file__).parent
DRAWING = "translate/drawing.html"


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


def card_words(name: str, config: ModelConfig) -> tuple[str, str]:
    """Return the two lines of a model's card: title and direction. A title that says the direction
    itself, "Map to satellite", is cut into "Map" and "to satellite"."""
    title = config.title or name
    source, _, target = title.rpartition(" to ")
    if source and target.lower() == config.target_name.lower():
        return source, f"to {target}"
    return title, f"{config.source_name} to {config.target_name}"


def model_card_items(models: dict[str, Path], chosen: str) -> dict[str, Any]:
    """List what the cards show, what one draws for comes first."""
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
    return {"models": items}


def first_model(models: dict[str, Path]) -> str:
    """Choose the model of the first screen: one to draw for, if there is any."""
    return min(models, key=lambda name: KINDS.index(read_config(models[name]).source_kind))


def sample_photos(folder: Path, most: int = MAX_SAMPLES) -> list[tuple[Image.Image, str]]:
    """List (photo, name) to try the model on."""
    photos = []
    for file in sample_files(folder)[:most]:
        with contextlib.suppress(UserError):
            photos.append((open_picture(file, max_pixels=4_000_000).to_pil(3), file.stem))
    return photos


def read_asset(name: str) -> str:
    """Read an HTML or CSS file, named by its path below `pix2pix/ui`; at the place of ``{drawing}``
    stands the paper with its tools."""
    text = (UI / name).read_text(encoding="utf-8")
    return text.replace("{drawing}", read_asset(DRAWING)) if "{drawing}" in text else text


def pad_state(name: str, folder: Path, engine: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the pad's state for a model (see ``pix2pix.ui.translate.pad``); `engine` are the
    files by which the visitor's own device draws."""
    config = read_config(folder)
    labels = config.source_kind == "labels" and config.palette
    return {
        "model": name,
        "kind": config.source_kind,
        "size": config.generator.size,
        "photoSide": PHOTO_SIDES[config.fit] if config.source_kind == "photo" else 0,
        "source": config.source_name,
        "target": config.target_name,
        "noise": config.has_noise,
        "hints": config.generator.hints and config.source_kind == "drawing",
        "tints": tints(folder, OFFERED_TINTS) if config.generator.tint else [],
        "palette": config.palette if labels else None,
        "background": config.palette[0]["color"] if labels else "#ffffff",
        "examples": example_drawings(folder),
        "preview": thumbnail(folder, PREVIEW_SIDE),
        "engine": engine,
    }


def example_drawings(folder: Path) -> list[dict[str, Any]]:
    """Read example drawings as strokes. A broken file costs the examples, not the page."""
    try:
        drawings = json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))
        return [{"name": str(e["name"]), "strokes": list(e["strokes"])} for e in drawings][:24]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def thumbnail(folder: Path, side: int = CARD_SIDE) -> str:
    """Return the model's picture, its answer to the first example, as a data URL of so many pixels
    square, or nothing where it has none."""
    try:
        picture = open_picture(folder / THUMBNAIL, max_pixels=4_000_000)
    except UserError:
        return ""
    return data_url(resize(picture.to_pil(3), (side, side)))
