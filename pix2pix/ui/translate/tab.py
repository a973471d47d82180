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
from pix2pix.ui.common import OFFSCREEN, user_errors
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
from pix2pix.ui.pad_state import pad_state
from pix2pix.ui.translate.options import Limits, norm_choice, parse_seed, seeds_from
from pix2pix.ui.translate.photo import photo_mode
from pix2pix.ui.translate.tiles import tiles_mode
from pix2pix.ui.web_files import device_files

MODES = ("Draw", "Photo", "Tiles")
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
    first = first_model(names)
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

    def show(mode: str) -> list[Any]:
        return [gr.Column(elem_classes=[] if mode == m else [OFFSCREEN]) for m in MODES]

    mode.change(show, mode, [draw, photo, tiles], show_progress="hidden", api_visibility="private")

    before = gr.State(first)  # the textbox on the page lags behind quick clicks

    def show_model(chosen: str, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        models_now = known_models(models, mine)
        state, norm = (
            model_pad_state(chosen, models_now),
            norm_choice(read_config(models_now[chosen])),
        )
        kind, kind_before = (
            read_config(models_now[name]).source_kind if name in models_now else ""
            for name in (chosen, before)
        )
        now, then = kind == "photo", kind_before == "photo"
        way: Any = gr.skip()  # what a person chooses in the meantime stays
        if now != then:  # begin where its sources come from; the other ways stay on offer
            way = (MODES[1] if mode == MODES[0] else mode) if now else MODES[0]
        some = sample_photos(models_now[chosen])
        gallery = gr.Gallery(some, visible=bool(some))
        lines = gr.Button(visible=kind == "drawing")
        hints = gr.Checkbox(visible=state["hints"])
        return [
            chosen,
            chosen,
            state,
            model_card_items(models_now, chosen),
            way,
            gallery,
            lines,
            hints,
            norm,
            norm,
        ]

    def choose(event: gr.EventData, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        return show_model(str(event.value), before, mode, mine)

    outputs = [before, name, drawing, row, mode]
    outputs += [*map(photo_parts.get, ("samples", "to_pad", "hints", "norm")), tiles_norm]
    # Every quick click counts and the last one stays: answered one by one. ("always_last" would
    # repeat the first click, with its name.)
    row.select(
        choose, [before, mode, mine], outputs, trigger_mode="multiple", concurrency_limit=1,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
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
        models_now = photo_hints(photo) if hints and state["hints"] else []
        strokes = [hint.within(*box).to_json() for hint in models_now]
        state["raster"] = {"id": next(rasters), "image": data_url(paper), "strokes": strokes}
        return [state, MODES[0], *show(MODES[0])]

    photo_parts["to_pad"].click(
        to_pad,
        [photo_parts["photo"], photo_parts["style"], photo_parts["hints"], name, mine],
        [drawing, mode, draw, photo, tiles],
        api_visibility="private",
    )

    def list_models() -> list[dict[str, Any]]:
        """List the models, each {"name", "source", "target", "size"}: a picture of the source
        becomes one of the target; the size is that of the network in pixels."""
        return describe_models(models)

    gr.api(list_models, api_name="list_models")
    to_hub = hub_models(models, mine, [before, mode], outputs, show_model, limits)
    return TranslateTab(row, mine, name, to_hub)


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
