"""Lay out the forms that load models from the Hugging Face Hub and send what is ours there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_space

from pix2pix.errors import UserError
from pix2pix.hub.models import fetch_model, publish_model
from pix2pix.ui.auth import visitor_token
from pix2pix.ui.events import CancelSwitches, page_progress, results_folder, wire_work
from pix2pix.ui.limits import check_disk
from pix2pix.ui.model_view import ModelSource
from pix2pix.ui.static_page import export_page
from pix2pix.ui.translate.options import Limits
from pix2pix.utils.text import escape_text
from pix2pix.utils.workspace import hub_model_cache


def hub_models(
    models: ModelSource,
    mine: gr.State,
    event_ids: list[Any],
    outputs: list[Any],
    show_model: Callable[..., list[Any]],
    limits: Limits,
) -> gr.Accordion:
    """Lay the parts out inside the current ``gr.Blocks``; returns the place for `publish_form`.

    `mine` holds the models that are the visitor's alone, name -> folder.
    ``show_model(chosen, *asked, mine)`` gives the values of `outputs` for another model.
    """
    with gr.Column(elem_classes="squares"):
        with gr.Accordion("A model from the Hugging Face Hub", open=False, elem_id="hub-load"):
            download_form(models, mine, event_ids, outputs, show_model, limits)
        title = "Publish this model: on the Hugging Face Hub, or as a web page"
        to_hub = gr.Accordion(title, open=False, elem_id="hub-send")
        if can_sign_in():
            with gr.Row():
                gr.LoginButton(size="md", scale=0, min_width=280)
    return to_hub


def can_sign_in() -> bool:
    """Return whether this is a Space with OAuth: elsewhere Gradio would hand every visitor the
    login that is saved on the server."""
    return bool(os.environ.get("OAUTH_CLIENT_ID") and get_space())


def download_form(
    models: ModelSource, mine: gr.State, event_ids: list[Any], outputs: list[Any],
    show_model: Callable[..., list[Any]], limits: Limits,
) -> None:  # fmt: skip
    """Lay out and wire the form that fetches a model; see `hub_models`."""
    repo = gr.Textbox(
        label="Model", placeholder="owner/name or owner/name@revision", elem_id="hub-model",
        info="A model of Pix2Pix Studio. Until you reload the page, it is among your models above.",
    )  # fmt: skip
    token = gr.Textbox(label="Token, where it is not public", type="password", info=UPLOAD_LIMIT)
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
                most_work=limits.work, visitor_models=map(Path, had.values()),
                should_stop=switch.is_set, on_progress=page_progress(progress, "Loading"),
            )  # fmt: skip
            models.get(folder.name)
        has = {**had, folder.name: str(folder)}
        view = show_model(folder.name, before, mode, has)
        words = f"Loaded, and chosen above: {escape_text(folder.name)}"
        return {token: "", message: words, mine: has, **dict(zip(outputs, view))}

    wire_work(
        running, "fetch", [load, stop], fetch, [repo, token, mine, *event_ids],
        [token, message, mine, *outputs], stopped={message: "Stopped."}, show_progress_on=message,
        api_visibility="private",
    )  # fmt: skip


def publish_form(models: ModelSource, name: gr.Textbox) -> None:
    """Lay out the form that sends the model that `name` holds."""

    def push(chosen: str, repo: str, **options: Any) -> str:
        folder = models.models().get(chosen)
        if folder is None:
            raise UserError("Only models that are kept here can be sent: choose one of them.")
        return publish_model(folder, repo, **options)

    upload_form(name, push, "model-push")


def export_form(models: ModelSource, name: gr.Textbox) -> None:
    """Lay out the button that makes a page of static files of the model that `name` holds."""
    button = gr.Button("Export as a web page", elem_id="export-web")
    packed = gr.File(visible=False, label="The page, as a ZIP", elem_id="exported-web")

    def export(chosen: str) -> Any:
        folder = models.models().get(chosen)
        if folder is None:
            raise UserError("Only models that are kept here can be exported: choose one.")
        check_disk()
        place = Path(tempfile.mkdtemp(dir=results_folder()))
        export_page({chosen: folder}, place / chosen)
        made = shutil.make_archive(str(place / f"{chosen}-page"), "zip", place, chosen)
        shutil.rmtree(place / chosen)
        return gr.File(made, visible=True)

    button.click(export, name, packed, api_visibility="private")


UPLOAD_LIMIT = "Used once and not kept."  # of a token


def upload_form(name: gr.Textbox, push: Callable[..., str], elem_id: str) -> None:
    """Lay the form out inside the current ``gr.Blocks``; its button has `elem_id`.

    ``push(chosen, repo, token=, private=, on_progress=)`` sends what `name` holds and returns the
    address of its page.
    """
    repo = gr.Textbox(label="Repository", placeholder="owner/name")
    token = gr.Textbox(label="Token that may write", type="password", info=UPLOAD_LIMIT)
    private = gr.Checkbox(True, label="Private")
    start = gr.Button("Send", elem_id=elem_id)
    message = gr.Markdown(elem_classes="quiet")

    def send(
        chosen: str, repo_name: str, typed: str, private: bool, signed_in: gr.OAuthToken | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:  # fmt: skip
        page = push(
            chosen, repo_name or "", token=visitor_token(typed, signed_in), private=private,
            on_progress=page_progress(progress, "Sending", "files"),
        )  # fmt: skip
        return "", f"Sent: [{escape_text(repo_name.strip())}]({page})"

    start.click(
        send, [name, repo, token, private], [token, message], show_progress_on=message,
        api_visibility="private",
    )  # fmt: skip
