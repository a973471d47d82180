"""Where a Chromium is, how it is started, and who visits pages with it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

# Painted by the processor at once: a software GPU costs ten times as much for the same pixels. And
# the browser needs no network of its own.
CHROMIUM_FLAGS = [
    *["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
    *["--disable-component-update", "--disable-sync", "--no-first-run"],
    *["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],  # a camera
]


def chromium_path(own: str) -> str | None:
    """The first Chromium that exists, one without windows before others: a page costs it a quarter
    less. `own` is where playwright would have installed its own."""
    named = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
    places = [os.environ.get("PIX2PIX_CHROMIUM"), *map(shutil.which, named), own]
    return next((place for place in places if place and Path(place).exists()), None)


class Visitors:
    """Those who visit pages, each for the first time and with no mistake of the page.

    Gradio's page has 120 files, which a browser reads and compiles for a new context in more time
    than most tests take. Contexts stay, then, and what a visitor left in them is taken away.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.free: dict[str, list[Any]] = {}
        self.here: list[tuple[str, Any]] = []
        self.problems: list[str] = []

    def open(self, url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        """The address in a tab of somebody who was never there."""
        options["viewport"] = {"width": width, "height": height}
        kind = repr(sorted(options.items()))
        free = self.free.setdefault(kind, [])
        context = free.pop() if free else self.browser.new_context(**options)
        self.here.append((kind, context))
        page = context.new_page()
        page.set_default_timeout(180_000)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)
        return page

    def leave(self) -> None:
        for kind, context in self.here:
            context.set_offline(False)
            for page in context.pages:
                page.close()
            context.set_storage_state({"cookies": [], "origins": []})
            self.free[kind].append(context)
        problems, self.here, self.problems = self.problems, [], []
        assert problems == []
