"""Under a photo that looks like an A|B strip: a sentence, and the two ways to cut it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.images import open_picture, save_png
from pix2pix.strips import Half, half_of, is_pair_strip
from pix2pix.ui.shared import QUIET, results_folder, sentences


def strip_part(photo: gr.Image, max_pixels: int) -> None:
    """Seen while `photo` looks like a strip; a button puts the half in its place."""
    with gr.Column(visible=False, elem_classes="squares", elem_id="strip") as part:
        gr.Markdown(
            "This looks like a pair, two pictures side by side, and the model takes one of them.",
            elem_classes="quiet",
        )
        with gr.Row():
            buttons: dict[Half, gr.Button] = {
                "left": gr.Button("Use the left half", size="md", elem_id="left-half"),
                "right": gr.Button("Use the right half", size="md", elem_id="right-half"),
            }

    def look(file: str | None) -> gr.Column:
        seen = False
        with suppress(UserError):  # said by what translates it
            seen = bool(file) and is_pair_strip(open_picture(file, max_pixels=max_pixels))
        return gr.Column(visible=seen)

    def cut(half: Half) -> Callable[[str | None], str]:
        def use(file: str | None) -> str:
            with sentences():
                picture = open_picture(file, max_pixels=max_pixels) if file else None
                if picture is None or not is_pair_strip(picture):
                    raise UserError("There is no pair to cut: drop one on the left square.")
                folder = Path(tempfile.mkdtemp(dir=results_folder()))
                made = folder / f"{Path(file).stem}-{half}.png"
                save_png(half_of(picture, half), made)
            return str(made)

        return use

    photo.change(look, photo, part, **QUIET)
    for half, button in buttons.items():
        button.click(cut(half), photo, photo, **QUIET)
