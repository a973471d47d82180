"""Where a Chromium is, and how it is started."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Painted by the processor at once: a software GPU costs ten times as much for the same pixels. And
# the browser needs no network of its own.
CHROMIUM_FLAGS = [
    *["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
    *["--disable-component-update", "--disable-sync", "--no-first-run"],
    *["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],  # a camera
]


def chromium_path(own: str) -> str | None:
    """The first Chromium that exists; `own` is where playwright would have installed its own."""
    named = ["chromium", "chromium-browser", "google-chrome"]
    places = [os.environ.get("PIX2PIX_CHROMIUM"), "/usr/bin/chromium", *map(shutil.which, named)]
    return next((place for place in [*places, own] if place and Path(place).exists()), None)
