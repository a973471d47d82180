"""Models and the Hugging Face Hub: one is loaded for the visitor who named it, one is sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_space

from pix2pix.errors import Stopped, UserError
from pix2pix.hub_models import fetch_model, publish_model
from pix2pix.ui.hub_send import ONCE, send_form
from pix2pix.ui.limits import DISK_FULL, disk_is_short
from pix2pix.ui.models_row import Models
from pix2pix.ui.shared import (
    QUIET,
    Switches,
    paced,
    plain_text,
    pressed,
    resting,
    sentences,
    visitors_token,
)
from pix2pix.ui.translate_options import Most
from pix2pix.workspace import fetched_models


def hub_part(
    models: Models,
    mine: gr.State,
    asked: list[Any],
    outputs: list[Any],
    show_model: Callable[..., list[Any]],
    most: Most,
) -> gr.Accordion:
    """Lay the parts out inside the current ``gr.Blocks``; returns the place for `send_part`.

    `mine` holds the models that are the visitor's alone, name -> folder.
    ``show_model(chosen, *asked, mine)`` gives the values of `outputs` for another model.
    """
    with gr.Column(elem_classes="squares"):
        with gr.Accordion("A model from the Hugging Face Hub", open=False, elem_id="hub-load"):
            load_part(models, mine, asked, outputs, show_model, most)
        to_hub = gr.Accordion(
            "Send this model to the Hugging Face Hub", open=False, elem_id="hub-send"
        )
        if can_sign_in():
            with gr.Row():
                gr.LoginButton(size="md", scale=0, min_width=280)
    return to_hub


def can_sign_in() -> bool:
    """Whether this is a Space with OAuth: elsewhere Gradio would hand every visitor the login that
    is saved on the server."""
    return bool(os.environ.get("OAUTH_CLIENT_ID") and get_space())


def load_part(
    models: Models,
    mine: gr.State,
    asked: list[Any],
    outputs: list[Any],
    show_model: Callable[..., list[Any]],
    most: Most,
) -> None:
    repo = gr.Textbox(
        label="Model", placeholder="owner/name or owner/name@revision", elem_id="hub-model",
        info="A model of Pix2Pix Studio. Until you reload the page, it is among your models above.",
    )  # fmt: skip
    token = gr.Textbox(label="Token, where it is not public", type="password", info=ONCE)
    load = gr.Button("Load", elem_id="hub-load-start")
    stop = gr.Button("Stop", visible=False)
    said = gr.Markdown(elem_classes="quiet", elem_id="hub-load-said")
    running = Switches()

    def fetch(
        wanted: str, typed: str, had: dict[str, str], before: str, mode: str,
        request: gr.Request, signed_in: gr.OAuthToken | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        try:
            with running.at_work(str(request.session_hash), "fetch") as switch, sentences():
                if disk_is_short():
                    raise UserError(DISK_FULL)
                folder = fetch_model(
                    wanted or "", fetched_models(), token=visitors_token(typed, signed_in),
                    most_work=most.work, theirs=map(Path, had.values()),
                    should_stop=switch.is_set,
                    on_progress=paced(progress, "Loading"),
                )  # fmt: skip
                models.get(folder.name)
        except Stopped:
            return {said: "Stopped."}
        has = {**had, folder.name: str(folder)}
        shown = show_model(folder.name, before, mode, has)
        words = f"Loaded, and chosen above: {plain_text(folder.name)}"
        return {token: "", said: words, mine: has, **dict(zip(outputs, shown))}

    buttons = [load, stop]
    begun = load.click(pressed(running, "fetch"), None, buttons, queue=False, **QUIET)
    ended = begun.then(
        fetch, [repo, token, mine, *asked], [token, said, mine, *outputs], show_progress_on=said,
        api_visibility="private",
    )  # fmt: skip
    for after in (ended.then, ended.failure):
        after(resting, None, buttons, queue=False, **QUIET)

    def end(request: gr.Request) -> None:
        running.stop(str(request.session_hash), "fetch")

    stop.click(end, None, None, queue=False, api_visibility="private")


def send_part(models: Models, name: gr.Textbox) -> None:
    """What sends the model that `name` holds."""

    def push(chosen: str, repo: str, **options: Any) -> str:
        folder = models.models().get(chosen)
        if folder is None:
            raise UserError("Only models that are kept here can be sent: choose one of them.")
        return publish_model(folder, repo, **options)

    send_form(name, push, "model-push")
