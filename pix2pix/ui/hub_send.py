"""The form that sends a dataset or a model to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from pix2pix.ui.shared import paced, plain_text, sentences, visitors_token

ONCE = "Used once and not kept."  # of a token


def send_form(name: gr.Textbox, push: Callable[..., str], elem_id: str) -> None:
    """Lay the form out inside the current ``gr.Blocks``; its button has `elem_id`.

    ``push(chosen, repo, token=, private=, on_progress=)`` sends what `name` holds and returns the
    address of its page.
    """
    repo = gr.Textbox(label="Repository", placeholder="owner/name")
    token = gr.Textbox(label="Token that may write", type="password", info=ONCE)
    private = gr.Checkbox(True, label="Private")
    start = gr.Button("Send", elem_id=elem_id)
    said = gr.Markdown(elem_classes="quiet")

    def send(
        chosen: str, wanted: str, typed: str, private: bool, signed_in: gr.OAuthToken | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:  # fmt: skip
        with sentences():
            page = push(
                chosen, wanted or "", token=visitors_token(typed, signed_in), private=private,
                on_progress=paced(progress, "Sending", "files"),
            )  # fmt: skip
        return "", f"Sent: [{plain_text(wanted.strip())}]({page})"

    start.click(
        send, [name, repo, token, private], [token, said], show_progress_on=said,
        api_visibility="private",
    )  # fmt: skip
