"""A page with the drawing pad on it and a fake translator behind it, and hands to use it."""

from __future__ import annotations

import base64
import functools
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import psutil
from PIL import Image

from pix2pix.ui.translate.pad import pad
from pix2pix.ui.web_files import WebPage
from scripts.examples.faces import example_faces
from tests.support.page_server import launched

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
GHOST = [{"width": 0.02, "points": [[0.2, 0.2], [0.5, 0.3], [0.8, 0.8]]}]
LINES: dict[str, Any] = {
    "model": "lines", "size": 128, "source": "sketch", "target": "photo",
    "palette": None, "background": "#ffffff", "examples": [{"name": HOSTILE, "strokes": GHOST}],
}  # fmt: skip
OTHER = LINES | {"model": "other", "size": 64}
PREVIEWED = OTHER | {"model": "previewed"}  # with a picture of its own, which comes first
PREVIEW = np.full((8, 8, 3), (200, 90, 30), np.uint8)
PLAIN = LINES | {"model": "plain", "noise": False}
TINTED = LINES | {"model": "tinted", "tints": ["#d0b090", "#405060"]}
INK = {"kind": "stroke", "tool": "ink", "color": "#ebc332", "width": 0.2, "points": [[0.5, 0.25]]}
HINTS = LINES | {
    "model": "hints", "hints": True, "examples": [{"name": "yellow", "strokes": [*GHOST, INK]}],
}  # fmt: skip
WALL, DOOR, EARTH = "#a05020", "#00ff80", "#102030"
LABELS = LINES | {
    "model": "labels", "source": "labels", "target": "facade", "background": EARTH, "examples": [],
    "palette": [{"name": "wall", "color": WALL}, {"name": HOSTILE, "color": DOOR}],
}  # fmt: skip

FIND_PAD = "const element = document.querySelector('.pad')?.parentElement, pad = element?.pad"
SCRIBBLE = """() => {
    const canvas = document.querySelector('.live');
    const { left, top, width } = canvas.getBoundingClientRect();
    const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId: 1, clientX: left + x * width, clientY: top + y * width, bubbles: true }));
    send('pointerdown', 0.1, 0.1);
    for (let n = 0; n < 300; n++) send('pointermove', 0.1 + (n % 20) / 30, 0.1 + n / 400);
    send('pointerup', 0.5, 0.9);
}"""

WATCH_FRAMES = """() => {
  let last = performance.now();
  window.longestGap = 0;
  const tick = (now) => {
    window.longestGap = Math.max(window.longestGap, now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""


def decode(url: str) -> np.ndarray:
    data = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def encode(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


class Negative:
    """A translator that inverts; it counts concurrency and can be held back or made to fail."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failing = False
        self.open = threading.Event()
        self.active = self.peak = 0
        self.lock = threading.Lock()
        self.open.set()

    def translate(self, request: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.requests.append(request)
            self.active += 1
            self.peak = max(self.peak, self.active)
        self.open.wait(30)
        with self.lock:
            self.active -= 1
        if self.failing:
            return {"error": f"The model is away. {HOSTILE}"}
        return {"image": encode(255 - decode(request["image"]))}

    def variations(self, request: dict[str, Any]) -> dict[str, Any]:
        seeds = range(request["count"])
        return {"images": [{"seed": 10 + n, "image": request["image"]} for n in seeds]}


class Page:
    """What a person does on the page, in coordinates from 0 to 1, and what they then see."""

    def __init__(self, page: Any, fake: Negative) -> None:
        self.page, self.fake = page, fake

    def js(self, code: str) -> Any:
        return self.page.evaluate(f"() => {{ {FIND_PAD}; return {code}; }}")

    def until(self, code: str) -> None:
        self.page.wait_for_function(f"() => {{ {FIND_PAD}; return pad && ({code}); }}")

    def settle(self) -> None:
        self.until("pad.idle()")

    def place(self, point: tuple[float, float]) -> tuple[float, float]:
        box = self.page.locator(".paper").bounding_box()
        return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]

    def press(self, *points: tuple[float, float]) -> None:
        """Put the pencil down and move it, without lifting it."""
        self.page.mouse.move(*self.place(points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.place(point), steps=4)

    def draw(self, *points: tuple[float, float]) -> None:
        self.press(*points)
        self.page.mouse.up()

    def do(self, name: str) -> None:
        self.page.locator(f"[data-do={name}]").click()

    def scribble(self) -> None:
        """One stroke of three hundred points."""
        self.page.evaluate(SCRIBBLE)

    def apply(self, state: str) -> None:
        """Let the app give the pad another state; it arrives some time later."""
        self.page.get_by_role("button", name=f"use {state}", exact=True).click()

    def use(self, model: str) -> None:
        """Another model. The one that is there is not asked for: nothing would tell when its
        state has come, and it would end the next stroke."""
        if self.js("pad.model") != model:
            self.apply(model)
            self.until(f"pad.model === '{model}'")

    def reset(self) -> None:
        """Lift the pencil, clear the sheet, and let the translator work as it should."""
        self.fake.failing = False
        self.fake.open.set()
        self.page.mouse.up()
        self.settle()
        self.use("lines")
        for key in ["Delete", "p"]:
            self.page.locator(".paper").press(key)  # the focus may be where they are typed
        if self.page.locator("[data-do=unseed]").is_enabled():
            self.do("unseed")
        self.settle()
        self.fake.peak = 0
        self.fake.requests.clear()

    def drawing(self) -> np.ndarray:
        return decode(self.js("pad.png()"))

    def picture(self) -> np.ndarray:
        return decode(self.js("element.querySelector('.picture').toDataURL()"))

    def message(self) -> str:
        return self.page.locator(".message").inner_text()


@contextmanager
def open_page(browser: Any) -> Iterator[Page]:
    """A small app: the pad, and a button `use NAME` for each state that it can be given."""
    fake = Negative()
    raster = {"id": 7, "image": encode(np.full((40, 40, 3), 128, np.uint8))}
    states = {"lines": LINES, "labels": LABELS, "raster": LINES | {"raster": raster}}
    with WebPage() as demo:
        component = pad(fake.translate, fake.variations, LINES)
        given = HINTS | {"raster": raster | {"id": 8, "strokes": [INK]}}
        states |= {"other": OTHER, "plain": PLAIN, "tinted": TINTED}
        states |= {"hints": HINTS, "hinted raster": given}
        states["previewed"] = PREVIEWED | {"preview": encode(PREVIEW)}
        for name, state in states.items():
            button = gr.Button(f"use {name}")
            button.click(lambda s=state: s, None, component, show_progress="hidden")
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(120_000)
    page.goto(launched(demo))
    yield Page(page, fake)
    page.close()
    demo.close()


class Static:
    """A folder as `python -m http.server` serves it; counts what it sends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent: dict[str, int] = {}
        sent = self.sent

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def copyfile(self, source: Any, target: Any) -> None:
                data = source.read()
                sent[self.path] = len(data)
                target.write(data)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def open_pad(visit: Any, url: str, **options: Any) -> Page:
    pad = Page(visit(url, 1100, **options), None)
    pad.until("true")
    return pad


def draw_face(page: Page, name: str = "Long hair") -> None:
    """Draw a face that our code made, in fewer points."""
    mouse = page.page.mouse
    for stroke in example_faces()[name]:
        mouse.move(*page.place(stroke.points[0]))
        mouse.down()
        for point in [*stroke.points[12::12], stroke.points[-1]]:
            mouse.move(*page.place(point))
        mouse.up()


def renderer_memory() -> int:
    """Of the largest page of the browsers that this process started, in MB."""
    taken = [0]
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if "--type=renderer" in process.cmdline():
                taken.append(process.memory_info().rss)
    return max(taken) // 2**20
