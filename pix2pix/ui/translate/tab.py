"""Lay out the Translate tab: draw, or give photos or tiles, and see the model's picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.hub.models import fetch_model
from pix2pix.imaging.decode import from_data_url, open_picture
from pix2pix.imaging.hints import photo_hints
from pix2pix.imaging.line_art import line_drawing
from pix2pix.imaging.picture import data_url
from pix2pix.models.folder import read_config
from pix2pix.models.source_kind import wants_lines
from pix2pix.ui.auth import can_sign_in, visitor_token
from pix2pix.ui.custom_html import CHOOSE_CARD, Reply, Request, custom_html, on_card
from pix2pix.ui.events import HIDDEN_EVENT, CancelSwitches, page_progress, show_one, wire_work
from pix2pix.ui.hub_forms import TOKEN_NOTE
from pix2pix.ui.limits import Limits, check_disk
from pix2pix.ui.model_view import (
    ModelSource,
    first_model,
    known_models,
    model_card_items,
    pad_state,
    sample_photos,
)
from pix2pix.ui.theme import OFFSCREEN
from pix2pix.ui.translate.batch import tiles_mode
from pix2pix.ui.translate.options import norm_choice, parse_seed, seeds_from, tint_choice
from pix2pix.ui.translate.pad import MAX_IMAGE_BYTES, pad
from pix2pix.ui.translate.photo import PhotoMode
from pix2pix.ui.web_files import device_files
from pix2pix.utils.files import remove_folder
from pix2pix.utils.text import escape_text
from pix2pix.utils.workspace import hub_model_cache, workspace

MODES = ("Draw", "Photo", "Tiles")
MAX_DRAWING_SIDE = 1024


def translate_tab(models: ModelSource, queued: ModelSource, limits: Limits) -> TranslateTab | None:
    """Lay out the tab inside the current ``gr.Blocks`` and wire it to ``models``, the same ones
    as ``queued`` for what waits in the queue.

    Returns None where there is no model to show.
    """
    if not models.models():
        gr.Markdown(
            "There is no model here yet. Train one in the Train tab and publish it, or put a model "
            "folder into `checkpoints/` where the app starts; then start the app again."
        )
        return None
    tab = TranslateTab(models, queued, limits)
    tab.wire()

    def list_models() -> list[dict[str, Any]]:
        """List the models, each {"name", "source", "target", "size"}: a picture of the source
        becomes one of the target; the size is that of the network in pixels."""
        return describe_models(models)

    gr.api(list_models, api_name="list_models")
    return tab


class TranslateTab:
    """The components: the `row` of models, those that are the visitor's alone (`mine`, see
    ``known_models``), the chosen one's `name`, the modes' `columns`, of which one is seen, and
    `to_hub`, where a model is sent from or deleted."""

    def __init__(self, models: ModelSource, queued: ModelSource, limits: Limits) -> None:
        self.models, self.limits = models, limits
        names = models.models()
        first = first_model(names)
        folder = names[first]
        drawn = read_config(folder).source_kind != "photo"
        self.row = custom_html(
            "cards.html", ["cards.css"], js_on_load=CHOOSE_CARD,
            value=model_card_items(names, first), elem_id="models",
        )  # fmt: skip
        self.mine = gr.State({})
        self.name = gr.Textbox(first, visible=False, label="Model")
        self.mode = gr.Radio(
            MODES, value=MODES[0 if drawn else 1], label="What goes in", interactive=True,
            elem_classes="modes", show_label=False, container=False,
        )  # fmt: skip
        with gr.Column(elem_classes=[] if drawn else OFFSCREEN) as draw:
            state = pad_state(first, folder, device_files(first, folder))
            self.drawing = pad(*live_functions(models), state)
        with gr.Column(elem_classes=OFFSCREEN if drawn else []) as photo:
            self.photo = PhotoMode(queued, self.name, folder, limits, models)
        with gr.Column(elem_classes=OFFSCREEN) as tiles:
            self.of_tiles = tiles_mode(queued, self.name, folder, limits)
        self.before = gr.State(first)  # chosen last: the textbox on the page lags behind
        self.columns = [draw, photo, tiles]

    def outputs(self) -> list[Any]:
        """List what `show_model` gives the values of."""
        photo = self.photo
        chosen = [self.before, self.name, self.drawing, self.row, self.mode]
        of_photo = [photo.samples, photo.to_pad, photo.hints, photo.norm, photo.tint]
        return [*chosen, *of_photo, *self.of_tiles, *photo.of_lines]

    def wire(self) -> None:
        """Wire the switch of modes, the models' cards, and what puts a photo on the pad."""
        photo, outputs = self.photo, self.outputs()
        self.mode.change(None, self.mode, self.columns, js=show_one(MODES))

        def choose(event: gr.EventData, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
            return self.show_model(str(event.value), before, mode, mine)

        on_card(
            self.row, choose, [self.before, self.mode, self.mine], outputs,
            trigger_mode="multiple", **HIDDEN_EVENT,
        )  # fmt: skip
        rasters = itertools.count(1)

        def to_pad(*asked: Any) -> list[Any]:
            state = self.photo_state(*asked)
            state["raster"]["id"] = next(rasters)
            return [state, MODES[0]]

        photo.to_pad.click(
            to_pad, [photo.photo, photo.lines, photo.style, photo.hints, self.name, self.mine],
            [self.drawing, self.mode], api_visibility="private",
        )  # fmt: skip
        with gr.Column(elem_classes="squares"):
            with gr.Accordion("A model from the Hugging Face Hub", open=False, elem_id="hub-load"):
                self.lay_out_hub_model(outputs)
            title = "Send this model to the Hugging Face Hub, export it as a web page, or delete it"
            self.to_hub = gr.Accordion(title, open=False, elem_id="hub-send")
            if can_sign_in():
                with gr.Row():
                    gr.LoginButton(size="md", scale=0, min_width=280)

    def lay_out_hub_model(self, outputs: list[Any]) -> None:
        """Lay out and wire the form that fetches a model and shows it; `outputs` are what another
        model changes."""
        repo = gr.Textbox(
            label="Model", placeholder="owner/name or owner/name@revision", elem_id="hub-model",
            info="A model of Pix2Pix Studio. Until you reload the page, it is among your models "
            "above.",
        )  # fmt: skip
        token = gr.Textbox(label="Token, where it is not public", type="password", info=TOKEN_NOTE)
        load = gr.Button("Load", elem_id="hub-load-start")
        stop = gr.Button("Stop", visible=False)
        message = gr.Markdown(elem_classes="quiet", elem_id="hub-load-said")
        running = CancelSwitches()

        def fetch(
            repo_name: str, typed: str, had: dict[str, str], before: str, mode: str,
            request: gr.Request, signed_in: gr.OAuthToken | None,
            progress: gr.Progress = gr.Progress(),  # noqa: B008
        ) -> dict[Any, Any]:  # fmt: skip
            with running.at_work(str(request.session_hash), "fetch") as switch:
                check_disk()
                folder = fetch_model(
                    repo_name or "", hub_model_cache(), token=visitor_token(typed, signed_in),
                    most_work=self.limits.work, visitor_models=map(Path, had.values()),
                    should_stop=switch.is_set, on_progress=page_progress(progress, "Loading"),
                )  # fmt: skip
                self.models.get(folder.name)
            has = {**had, folder.name: str(folder)}
            view = self.show_model(folder.name, before, mode, has)
            words = f"Loaded, and chosen above: {escape_text(folder.name)}"
            return {token: "", message: words, self.mine: has, **dict(zip(outputs, view))}

        wire_work(
            running, "fetch", [load, stop], fetch, [repo, token, self.mine, self.before, self.mode],
            [token, message, self.mine, *outputs], stopped={message: "Stopped."},
            show_progress_on=message, api_visibility="private",
        )  # fmt: skip

    def lay_out_deletion(self) -> None:
        """Lay out and wire the button that deletes the chosen model, and shows another."""
        outputs = self.outputs()
        with gr.Accordion("Delete", open=False) as part:
            gr.Markdown("Its folder is gone then; the run that trained it stays.")
            button = gr.Button("Delete this model for good", variant="stop", size="md")

        def delete(chosen: str, mode: str, mine: dict[str, str]) -> list[Any]:
            delete_model(chosen, self.models)
            closed = gr.Accordion(open=False)  # another model is chosen now
            if left := known_models(self.models, mine):
                return [closed, *self.show_model(first_model(left), chosen, mode, mine)]
            none = ({"models": []} if shown is self.row else gr.skip() for shown in outputs)
            return [closed, *none]

        button.click(
            delete, [self.name, self.mode, self.mine], [part, *outputs], show_progress_on=self.row,
            api_visibility="private",
        )  # fmt: skip

    def show_model(self, chosen: str, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        """Give the values of what another model changes."""
        models_now = known_models(self.models, mine)
        state = model_pad_state(chosen, models_now)
        config = read_config(models_now[chosen])
        norm, tint = norm_choice(config), tint_choice(config)
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
            *(norm, tint, norm, tint),
            *(gr.Radio(visible=kind == "drawing") for _ in self.photo.of_lines),
        ]

    def photo_state(
        self,
        file: str | None,
        lines: str,
        style: str,
        hints: bool,
        chosen: str,
        mine: dict[str, str],
    ) -> dict[str, Any]:
        """Return the pad's state with a photo's lines on it, and its colours as strokes; a drawing
        comes there as it is."""
        if not file:
            raise UserError("Choose a photo first.")
        folders = known_models(self.models, mine)
        state = model_pad_state(chosen, folders)
        opened = open_picture(file, max_pixels=self.limits.pixels)
        picture = photo = opened.to_pil(3)
        if wants_lines(opened, lines, read_config(folders[chosen])):
            picture = line_drawing(photo, style)
        else:
            hints = False
        side = state["size"]
        paper = Image.new(picture.mode, (side, side), "white")
        picture.thumbnail((side, side))
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        paper.paste(picture, (left, top))
        box = [v / side for v in (left, top, *picture.size)]
        found = photo_hints(photo) if hints and state["hints"] else []
        strokes = [hint.within(*box).to_json() for hint in found]
        return {**state, "raster": {"image": data_url(paper), "strokes": strokes}}


def other_mode(mode: str, is_photo: bool, was_photo: bool) -> Any:
    """Begin where the model's sources come from; what a person chooses in the meantime stays, and
    the other modes stay on offer."""
    if is_photo == was_photo:
        return gr.skip()
    here, there = MODES[:2] if is_photo else MODES[1::-1]
    return there if mode == here else mode


def delete_model(name: str, models: ModelSource) -> None:
    """Delete a model of the workspace; raises UserError for another, and where the disk refuses."""
    folder = models.models().get(name)
    if folder is None:
        raise UserError("Only models that are kept here can be deleted: choose one of them.")
    if folder.resolve().parent != (workspace() / "models").resolve():
        raise UserError(f"'{name}' came with the program: choose a model of your own.")
    remove_folder(folder)
    gr.Info(f"'{escape_text(name)}' is deleted.")


def model_pad_state(chosen: str, folders: dict[str, Path]) -> dict[str, Any]:
    """Return the pad's state for a model that may have been deleted since the page was loaded."""
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


def live_functions(
    models: ModelSource,
) -> tuple[Callable[[Request], Reply], Callable[[Request], Reply]]:
    """Make the two functions that the pad asks: of a picture, and of its variations."""

    def read(request: Request) -> tuple[Any, Image.Image, int | None, str]:
        model = models.get(str(request.get("model", "")))
        image = from_data_url(request.get("image"), MAX_IMAGE_BYTES)
        if max(image.size) > MAX_DRAWING_SIDE:
            raise UserError(f"A drawing has at most {MAX_DRAWING_SIDE} pixels on a side.")
        return model, image, parse_seed(request.get("seed")), str(request.get("tint") or "")

    def translate(request: Request) -> Reply:
        model, image, seed, tint = read(request)
        return {"image": data_url(model.look(model.translate(image, seed=seed, tint=tint)))}

    def variations(request: Request) -> Reply:
        model, image, seed, _ = read(request)
        made = [(s, model.look(model.translate(image, seed=s))) for s in seeds_from(seed)]
        return {"images": [{"seed": s, "image": data_url(picture)} for s, picture in made]}

    return translate, variations
