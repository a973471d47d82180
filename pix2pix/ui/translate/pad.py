"""The drawing pad: a canvas of our own on `gr.HTML`, translating while the pencil moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from pix2pix.ui.custom_html import Reply, Request, custom_html, server_function
from pix2pix.ui.limits import visitor_address

Handler = Callable[[Request], Reply]

FAILED = "The picture could not be made; the server's log says why."
MAX_IMAGE_BYTES = 6_000_000
"""A 1024 x 1024 drawing is far below this; anything above was not made by the pad."""

# Requests in work: the forwards of so many drawings take turns with those of the queue.
MAX_CONCURRENT = 8
MAX_WAITING = 64  # behind them; above that the wait would be longer than the page's patience
MAX_PER_VISITOR = 4  # of an address, where half of these places are taken: a class has them all
BUSY = "Many people are drawing right now: go on, and it will catch up."


def pad(translate: Handler, variations: Handler, state: dict[str, Any]) -> gr.HTML:
    """Return the pad, a component whose value is `state`.

    `state` is `{"model", "kind", "size", "source", "target", "palette", "background",
    "examples", "preview"}`, this a small picture of the answer to the first example as a data URL,
    if any, besides `"engine"`, the files by which a visitor's own device draws (see
    ``engine_files``), `"noise": False` for a model without dropout, which has no use for seeds,
    `"hints": True` for one that takes strokes of colour under the lines, `"tints"`, colours for
    all of its picture, of a model that was trained with a tint, and `"raster": {"id",
    "image", "strokes"}` to put a picture on the pad, with strokes over it if any. Coordinates and
    widths of strokes are fractions of the side. A handler that outputs a new state reconfigures the
    pad and keeps the drawing; give it `show_progress="hidden"`.

    `translate` receives `{"model", "image", "seed", "tint"}` and returns `{"image"}`; `variations`
    receives a `"count"` besides and returns `{"images": [{"seed", "image"}, ...]}`; images are
    PNG data URLs. Either may return `{"error": sentence}`. They are called outside Gradio's
    queue, in threads of their own, by anyone who can reach the page: first come, first served, and
    turned away with `{"error", "busy": True}` where too many wait; the page asks again by itself.
    """
    line = PadQueue()
    guarded = (
        server_function("translate", translate, FAILED),
        server_function("variations", variations, FAILED),
    )
    return custom_html(
        "translate/pad.html", ["translate/pad.css"], "pad.js", value=state,
        server_functions=[line.run_in_turn(function) for function in guarded],
    )  # fmt: skip


class PadQueue:
    """Those who wait for a picture. They hold no threads: Gradio has 40 for everything that the
    page asks of it, uploads and files included."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(MAX_CONCURRENT, "pad")
        # In work or waiting, by address; counted by the event loop alone.
        self.in_progress = Counter()

    def run_in_turn(self, handler: Handler) -> Callable[[Any], Awaitable[Reply]]:
        """Make `handler` a server function that awaits its turn."""

        async def in_turn(request: Any) -> Reply:
            caller = LocalContext.request.get(None)
            address = visitor_address(caller) if caller else ""
            if self.is_full(address):
                return {"error": BUSY, "busy": True}
            self.in_progress[address] += 1
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self.threads, handler, request)
            finally:
                self.in_progress[address] -= 1
                self.in_progress += Counter()  # forgets who is out

        in_turn.__name__ = handler.__name__
        return in_turn

    def is_full(self, address: str) -> bool:
        """Return whether a visitor is turned away: from half of the places on, by their own."""
        places = MAX_CONCURRENT + MAX_WAITING
        waiting, of_visitor = self.in_progress.total(), self.in_progress[address]
        return waiting >= places or (waiting >= places // 2 and of_visitor >= MAX_PER_VISITOR)
