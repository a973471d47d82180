"""Lay out the forms that send what is ours to the Hugging Face Hub, or away as a web page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.hub.models import push_model
from pix2pix.ui.auth import visitor_token
from pix2pix.ui.events import page_progress, results_folder
from pix2pix.ui.limits import check_disk
from pix2pix.ui.model_view import ModelSource
from pix2pix.ui.static_page import export_page
from pix2pix.utils.text import escape_text

TOKEN_NOTE = "Used once and not kept."


def push_model_form(models: ModelSource, name: gr.Textbox) -> None:
    """Lay out the form that sends the model that `name` holds."""

    def push(chosen: str, repo: str, **options: Any) -> str:
        folder = models.models().get(chosen)
        if folder is None:
            raise UserError("Only models that are kept here can be sent: choose one of them.")
        return push_model(folder, repo, **options)

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


def upload_form(name: gr.Textbox, push: Callable[..., str], elem_id: str) -> None:
    """Lay the form out inside the current ``gr.Blocks``; its button has `elem_id`.

    ``push(chosen, repo, token=, private=, on_progress=)`` sends what `name` holds and returns the
    address of its page.
    """
    repo = gr.Textbox(label="Repository", placeholder="owner/name")
    token = gr.Textbox(label="Token that may write", type="password", info=TOKEN_NOTE)
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
