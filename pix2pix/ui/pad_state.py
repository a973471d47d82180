"""Describe a model to the drawing pad, and read its HTML, in the app and on a page of static files.
No gradio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pix2pix.models.folder import EXAMPLES, read_config

COMPONENTS = Path(__file__).parent / "components"


def pad_html(name: str) -> str:
    """Read a component with paper to draw on, its tools at the place of ``{drawing}``."""
    page, drawing = ((COMPONENTS / f).read_text(encoding="utf-8") for f in (name, "drawing.html"))
    return page.replace("{drawing}", drawing)


def pad_state(name: str, folder: Path, engine: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the pad's state for a model (see ``pix2pix.ui.components.pad``); `engine` are the
    files by which the visitor's own device draws."""
    config = read_config(folder)
    labels = config.source_kind == "labels" and config.palette
    return {
        "model": name,
        "kind": config.source_kind,
        "size": config.generator.size,
        "source": config.source_name,
        "target": config.target_name,
        "noise": config.has_noise,
        "hints": config.generator.hints and config.source_kind == "drawing",
        "palette": config.palette if labels else None,
        "background": config.palette[0]["color"] if labels else "#ffffff",
        "examples": example_drawings(folder),
        "engine": engine,
    }


def example_drawings(folder: Path) -> list[dict[str, Any]]:
    """Read example drawings as strokes. A broken file costs the examples, not the page."""
    try:
        drawings = json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))
        return [{"name": str(e["name"]), "strokes": list(e["strokes"])} for e in drawings][:24]
    except (OSError, ValueError, TypeError, KeyError):
        return []
