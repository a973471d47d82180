"""The drawing pad: a canvas of our own on `gr.HTML`, translating while the pencil moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from pix2pix.errors import UserError
from pix2pix.ui.limits import address_of
from pix2pix.ui.shared import server_function

Reply = dict[str, Any]
Handler = Callable[[dict[str, Any]], Reply]

# The pad's script, in this order. Gradio runs it as the body of one function, where nothing can be
# imported, so these are no ES modules: they are joined as text and share that function's scope.
PARTS = ["pad_paint.js", "pad_drawing.js", "pad_live.js", "pad.js"]

MAX_IMAGE_CHARS = 8_000_000
"""A 1024 x 1024 drawing is far below this; anything above was not made by the pad."""

AT_ONCE = 8  # requests in work: the forwards of so many drawings take turns with those of the queue
MOST_WAITING = 64  # behind them; above that the wait would be longer than the page's patience
MOST_OF_ONE = 4  # of one address, where half of these places are taken: a class alone has them all
BUSY = "Many people are drawing right now: go on, and it will catch up."


def pad(translate: Handler, variations: Handler, state: dict[str, Any]) -> gr.HTML:
    """Return the pad, a component whose value is `state`.

    `state` is `{"model", "size", "source", "target", "palette", "background",
    "examples"}`, besides `"noise": False` for a model without dropout, which has no use for seeds,
    `"hints": True` for one that takes strokes of colour under the lines, and `"raster": {"id",
    "image", "strokes"}` to put a picture on the pad, with strokes over it if any. Coordinates and
    widths of strokes are fractions of the side. A handler that outputs a new state reconfigures the
    pad and keeps the drawing; give it `show_progress="hidden"`.

    `translate` receives `{"model", "image", "seed"}` and returns `{"image"}`; `variations`
    receives a `"count"` besides and returns `{"images": [{"seed", "image"}, ...]}`; images are
    PNG data URLs. Either may return `{"error": sentence}`. They are called outside Gradio's
    queue, in threads of their own, by anyone who can reach the page: first come, first served, and
    turned away with `{"error", "busy": True}` where too many wait; the page asks again by itself.
    """
    line = Line()
    functions = {"translate": translate, "variations": variations}
    return gr.HTML(
        value=state,
        html_template=_read("pad.html"),
        css_template=_read("pad.css"),
        js_on_load="\n".join(map(_read, PARTS)),
        apply_default_css=False,
        server_functions=[line.led(_guard(name, f)) for name, f in functions.items()],
    )


class Line:
    """Those who wait for a picture. They hold no threads: Gradio has 40 for everything that the
    page asks of it, uploads and files included."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(AT_ONCE, "pad")
        self.inside = Counter()  # in work or waiting, by address; counted by the event loop alone

    def led(self, handler: Handler) -> Callable[[Any], Awaitable[Reply]]:
        """`handler` as a server function that awaits its turn."""

        async def in_turn(request: Any) -> Reply:
            asked = LocalContext.request.get(None)
            address = address_of(asked) if asked else ""
            if self.is_full(address):
                return {"error": BUSY, "busy": True}
            self.inside[address] += 1
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self.threads, handler, request)
            finally:
                self.inside[address] -= 1
                self.inside += Counter()  # forgets who is out

        in_turn.__name__ = handler.__name__
        return in_turn

    def is_full(self, address: str) -> bool:
        places = AT_ONCE + MOST_WAITING
        taken, of_one = self.inside.total(), self.inside[address]
        return taken >= places or (taken >= places // 2 and of_one >= MOST_OF_ONE)


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
