"""The drawing pad: a canvas of our own on `gr.HTML`, translating while the pencil moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.ui.shared import server_function

Reply = dict[str, Any]
Handler = Callable[[dict[str, Any]], Reply]

# The pad's script, in this order. Gradio runs it as the body of one function, where nothing can be
# imported, so these are no ES modules: they are joined as text and share that function's scope.
PARTS = ["pad_paint.js", "pad_drawing.js", "pad_live.js", "pad.js"]

MAX_IMAGE_CHARS = 8_000_000
"""A 1024 x 1024 drawing is far below this; anything above was not made by the pad."""


def pad(translate: Handler, variations: Handler, state: dict[str, Any]) -> gr.HTML:
    """Return the pad, a component whose value is `state`.

    `state` is `{"model", "size", "source", "target", "palette", "background",
    "examples"}`, besides `"noise": False` for a model without dropout, which has no use for seeds,
    and `"raster": {"id", "image"}` to put a picture on the pad; coordinates and widths of example
    strokes are fractions of the side. A handler that outputs a new state reconfigures the pad and
    keeps the drawing; give it `show_progress="hidden"`.

    `translate` receives `{"model", "image", "seed"}` and returns `{"image"}`; `variations`
    receives a `"count"` besides and returns `{"images": [{"seed", "image"}, ...]}`; images are
    PNG data URLs. Either may return `{"error": sentence}`. They are called outside Gradio's
    queue, in worker threads, by anyone who can reach the page.
    """
    return gr.HTML(
        value=state,
        html_template=_read("pad.html"),
        css_template=_read("pad.css"),
        js_on_load="\n".join(map(_read, PARTS)),
        apply_default_css=False,
        server_functions=[_guard("translate", translate), _guard("variations", variations)],
    )


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _guard(name: str, handler: Handler) -> Handler:
    """Make `handler` a server function called `name` that answers nonsense with a sentence."""

    def checked(request: Any) -> Reply:
        image = request.get("image") if isinstance(request, dict) else None
        if not isinstance(image, str) or not image.startswith("data:image/png;base64,"):
            raise UserError("The drawing did not arrive as a PNG image.")
        if len(image) > MAX_IMAGE_CHARS:
            raise UserError("The drawing is too large.")
        return handler(request)

    failed = "The picture could not be made; the server's log says why."
    return server_function(name, checked, failed)
