"""What a picture costs a visitor in a real browser, made by the server and by their own device: the
same face drawn on the app's page. Needs playwright and a Chromium, as the tests do."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from pix2pix.imaging.example_faces import example_faces
from scripts.dev.benchmark_load import app_at
from tests.support.chromium import CHROMIUM_FLAGS, chromium_path
from tests.support.pad_page import WATCH_FRAMES, Page, renderer_memory

# Whoever saves data has the server draw until they ask for more.
SAVE_DATA = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } })"
WATCH_PENCIL = "addEventListener('pointerup', () => { window.upAt = performance.now(); }, true)"
FETCHED = "performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])"


def page_by_server_and_device() -> dict[str, object]:
    """Measure both, and by how much of 255 their pictures of the same drawing differ."""
    with (
        tempfile.TemporaryDirectory() as place,
        app_at(Path(place)) as (_, client),
        sync_playwright() as playwright,
    ):
        path = chromium_path(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        by_server, first = measured(browser, client.src, "server")
        by_device, second = measured(browser, client.src, "device")
        browser.close()
    apart = np.abs(first.astype(int) - second)
    return {
        "page_by_server": by_server,
        "page_by_device": by_device,
        "picture_apart_most": int(apart.max()),
        "picture_apart_mean": round(float(apart.mean()), 4),
    }


def measured(browser: Browser, url: str, who: str) -> tuple[dict[str, object], np.ndarray]:
    """Draw a face on a fresh page and return its figures and the picture."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    if who == "server":
        context.add_init_script(SAVE_DATA)
    page = Page(context.new_page(), None)
    page.page.set_default_timeout(120_000)
    page.page.goto(url)
    page.until("pad.idle()")
    result: dict[str, object] = {}
    if who == "device":
        page.draw((0.3, 0.3), (0.7, 0.35))
        page.until("pad.engines.state === 'ready' && pad.idle()")
        page.js("pad.engines.want()")  # whichever is faster here
        result["session_s"] = round(page.js("pad.engines.seconds"), 2)
        page.do("clear")
    page.page.evaluate(WATCH_FRAMES)
    page.page.evaluate(WATCH_PENCIL)
    waits = list(pen_up_to_picture(page))
    times = page.js(f"pad.engines.times.{who}")
    result |= {
        "picture_ms": round(statistics.median(times)),
        "pen_up_to_picture_ms": round(statistics.median(waits)),
        "longest_frame_gap_ms": round(page.page.evaluate("window.longestGap"), 1),
        "renderer_mb": renderer_memory(),
        "transferred_mb": transferred(page.page),
    }
    picture = page.picture()
    context.close()
    return result, picture


def pen_up_to_picture(page: Page) -> Iterable[float]:
    """Draw a face; yield for each stroke the milliseconds from its end to its picture."""
    for stroke in example_faces()["Long hair"]:
        page.draw(stroke.points[0], *stroke.points[12::12], stroke.points[-1])
        page.settle()
        yield max(0.0, page.js("pad.lastShownAt - window.upAt"))


def transferred(page: Any) -> dict[str, float]:
    """MB that came over the line, by what they were for."""
    kinds = {"/studio/models/": "model", "/studio/runtime/": "runtime", "/studio/web/": "modules"}
    total = dict.fromkeys([*kinds.values(), "rest"], 0.0)
    for target in (page, *page.workers):
        for name, size in target.evaluate(FETCHED):
            kind = next((kinds[part] for part in kinds if part in name), "rest")
            total[kind] += size / 1e6
    return {kind: round(size, 2) for kind, size in total.items()}
