"""Lay out the Translate tab: draw, or give photos or tiles, and see the model's picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.decode import from_data_url, open_picture
from pix2pix.imaging.hints import photo_hints
from pix2pix.imaging.line_art import line_drawing
from pix2pix.imaging.picture import data_url
from pix2pix.models.folder import read_config
from pix2pix.ui.components.hub_forms import hub_models
from pix2pix.ui.components.model_cards import (
    ModelSource,
    first_model,
    known_models,
    model_card_items,
    model_cards,
    sample_photos,
)
from pix2pix.ui.components.pad import MAX_IMAGE_CHARS, pad
from pix2pix.ui.events import HIDDEN_EVENT, user_errors
from pix2pix.ui.model_view import pad_state
from pix2pix.ui.theme import OFFSCREEN
from pix2pix.ui.translate.batch import tiles_mode
from pix2pix.ui.translate.options import Limits, norm_choice, parse_seed, seeds_from
from pix2pix.ui.translate.photo import PhotoMode, photo_mode
from pix2pix.ui.web_files import device_files

MODES = ("Draw", "Photo", "Tiles")
# Shows the columns of one mode at once, by the page alone; the others stay in it, unseen.
SHOW_MODE = f"""(mode) => {list(MODES)}.map((one) => (
  {{ __type__: "update", elem_classes: one === mode ? [] : ["{OFFSCREEN}"] }}))"""
MAX_DRAWING_SIDE = 1024


@dataclass(frozen=True)
class TranslateTab:
    """The parts that the rest of the page uses: the `row` of models, those that are the visitor's
    alone (`mine`, see ``known_models``), the chosen one's `name`, and `to_hub`, where it is sent
    from."""

    row: gr.HTML
    mine: gr.State
    name: gr.Textbox
    to_hub: gr.Accordion


@dataclass(frozen=True)
class _Parts:
    """The components of the tab that its wiring uses."""

    row: gr.HTML
    mine: gr.State
    name: gr.Textbox
    before: gr.State  # the model that was chosen last: the textbox on the page lags behind
    mode: gr.Radio
    columns: list[gr.Column]  # of the modes
    drawing: gr.HTML
    photo: PhotoMode
    tiles_norm: gr.Radio


def translate_tab(models: ModelSource, queued: ModelSource, limits: Limits) -> TranslateTab | None:
    """Lay out the tab inside the current ``gr.Blocks`` and wire it to ``models``, the same ones
    as ``queued`` for what waits in the queue.

    Returns None where there is no model to show.
    """
    names = models.models()
    if not names:
        gr.Markdown(
            "There is no model here yet. Train one in the Train tab and publish it, or put a model "
            "folder into `checkpoints/` where the app starts; then start the app again."
        )
        return None
    parts = lay_out(models, queued, limits, first_model(names), names)
    parts.mode.change(None, parts.mode, parts.columns, js=SHOW_MODE)
    outputs, show_model = wire_model_choice(models, parts)
    wire_to_pad(models, limits, parts)

    def list_models() -> list[dict[str, Any]]:
        """List the models, each {"name", "source", "target", "size"}: a picture of the source
        becomes one of the target; the size is that of the network in pixels."""
        return describe_models(models)

    gr.api(list_models, api_name="list_models")
    asked = [parts.before, parts.mode]
    to_hub = hub_models(models, parts.mine, asked, outputs, show_model, limits)
    return TranslateTab(parts.row, parts.mine, parts.name, to_hub)


def lay_out(
    models: ModelSource, queued: ModelSource, limits: Limits, first: str, names: dict[str, Path]
) -> _Parts:
    """Lay out the models, the switch and the three modes, of which one is seen."""
    row, mine = model_cards(names, first), gr.State({})
    name = gr.Textbox(first, visible=False, label="Model")
    labels = {"elem_classes": "modes", "show_label": False, "container": False}
    drawn = read_config(names[first]).source_kind != "photo"
    mode = gr.Radio(
        MODES, value=MODES[0 if drawn else 1], label="What goes in", interactive=True, **labels
    )
    with gr.Column(elem_classes=[] if drawn else OFFSCREEN) as draw:
        state = pad_state(first, names[first], device_files(first, names[first]))
        drawing = pad(*live_functions(models), state)
    with gr.Column(elem_classes=OFFSCREEN if drawn else []) as photo:
        photo_parts = photo_mode(queued, name, names[first], limits)
    with gr.Column(elem_classes=OFFSCREEN) as tiles:
        tiles_norm = tiles_mode(queued, name, names[first], limits)
    before, columns = gr.State(first), [draw, photo, tiles]
    return _Parts(row, mine, name, before, mode, columns, drawing, photo_parts, tiles_norm)


def wire_model_choice(
    models: ModelSource, parts: _Parts
) -> tuple[list[Any], Callable[..., list[Any]]]:
    """Wire a click on a model's card. Returns the components that another model changes, and
    ``show_model(chosen, before, mode, mine)``, which gives their values."""

    photo = parts.photo

    def show_model(chosen: str, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        models_now = known_models(models, mine)
        state = model_pad_state(chosen, models_now)
        norm = norm_choice(read_config(models_now[chosen]))
        kind, kind_before = (
            read_config(models_now[name]).source_kind if name in models_now else ""
            for name in (chosen, before)
        )
        some = sample_photos(models_now[chosen])
        return [
            *(chosen, chosen, state, model_card_items(models_now, chosen)),
            other_mode(mode, kind == "photo", kind_before == "photo"),
            gr.Gallery(some, visible=bool(some)),
            gr.Button(visible=kind == "drawing"),
            gr.Checkbox(visible=state["hints"]),
            *(norm, norm),
            *(gr.Radio(visible=kind == "drawing") for _ in photo.of_lines),
        ]

    def choose(event: gr.EventData, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        return show_model(str(event.value), before, mode, mine)

    outputs = [parts.before, parts.name, parts.drawing, parts.row, parts.mode]
    outputs += [photo.samples, photo.to_pad, photo.hints, photo.norm, parts.tiles_norm]
    outputs += photo.of_lines
    # Every quick click counts and the last one stays: answered one by one. ("always_last" would
    # repeat the first click, with its name.)
    parts.row.select(
        choose, [parts.before, parts.mode, parts.mine], outputs, trigger_mode="multiple",
        concurrency_limit=1, **HIDDEN_EVENT,
    )  # fmt: skip
    return outputs, show_model


def other_mode(mode: str, is_photo: bool, was_photo: bool) -> Any:
    """Begin where the model's sources come from; what a person chooses in the meantime stays, and
    the other modes stay on offer."""
    if is_photo == was_photo:
        return gr.skip()
    return (MODES[1] if mode == MODES[0] else mode) if is_photo else MODES[0]


def wire_to_pad(models: ModelSource, limits: Limits, parts: _Parts) -> None:
    """Wire the button that puts a photo's lines, and its colours as strokes, on the pad."""
    rasters = itertools.count(1)

    def to_pad(
        file: str | None, style: str, hints: bool, chosen: str, mine: dict[str, str]
    ) -> list[Any]:
        with user_errors():
            if not file:
                raise UserError("Choose a photo first.")
            opened = open_picture(file, max_pixels=limits.pixels)
            photo = opened.to_pil(3)
            picture = line_drawing(photo, style)
        state = model_pad_state(chosen, known_models(models, mine))
        side = state["size"]
        paper = Image.new("L", (side, side), 255)
        picture.thumbnail((side, side))
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        paper.paste(picture, (left, top))
        box = [v / side for v in (left, top, *picture.size)]
        found = photo_hints(photo) if hints and state["hints"] else []
        strokes = [hint.within(*box).to_json() for hint in found]
        state["raster"] = {"id": next(rasters), "image": data_url(paper), "strokes": strokes}
        return [state, MODES[0]]

    photo = parts.photo
    photo.to_pad.click(
        to_pad, [photo.photo, photo.style, photo.hints, parts.name, parts.mine],
        [parts.drawing, parts.mode], api_visibility="private",
    )  # fmt: skip


def model_pad_state(chosen: str, folders: dict[str, Path]) -> dict[str, Any]:
    """Return the pad's state for a model that may have been deleted since the page was loaded."""
    with user_errors():
        if chosen not in folders:
            raise UserError("This model is gone: reload the page.")
        return pad_state(chosen, folders[chosen], device_files(chosen, folders[chosen]))


def describe_models(models: ModelSource) -> list[dict[str, Any]]:
    """List every model's name with its source and target."""
    descriptions = []
    for name, folder in models.models().items():
        config = read_config(folder)
        descriptions.append(
            {"name": name, "source": config.source_name, "target": config.target_name,
             "size": config.generator.size}
        )  # fmt: skip
    return descriptions


# ------------------------------------------------------------------------------------- the pad


def live_functions(models: ModelSource) -> tuple[Callable, Callable]:
    """Make the two server functions of the pad. They answer {"image"} or {"error"}."""

    def answer(request: dict[str, Any], make: Callable[..., dict]) -> dict:
        try:
            translator = models.get(str(request.get("model", "")))
            image = from_data_url(request["image"], MAX_IMAGE_CHARS)
            if max(image.size) > MAX_DRAWING_SIDE:
                raise UserError(f"A drawing has at most {MAX_DRAWING_SIDE} pixels on a side.")
            return make(translator, image, parse_seed(request.get("seed")))
        except UserError as error:
            return {"error": str(error)}

    def translate(request: dict[str, Any]) -> dict[str, Any]:
        def make(model: Any, image: Image.Image, seed: int | None) -> dict[str, Any]:
            return {"image": data_url(model.translate(image, seed=seed))}

        return answer(request, make)

    def variations(request: dict[str, Any]) -> dict[str, Any]:
        def make(model: Any, image: Image.Image, seed: int | None) -> dict[str, Any]:
            made = [(s, model.translate(image, seed=s)) for s in seeds_from(seed)]
            return {"images": [{"seed": s, "image": data_url(picture)} for s, picture in made]}

        return answer(request, make)

    return translate, variations
