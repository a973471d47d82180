"""The drawing pad, driven with a real mouse, keyboard and finger in a real browser."""

from __future__ import annotations

import base64
import io
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

gr = pytest.importorskip("gradio")

from pix2pix.ui.pad import pad  # noqa: E402

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
GHOST = [{"width": 0.02, "points": [[0.2, 0.2], [0.5, 0.3], [0.8, 0.8]]}]
LINES: dict[str, Any] = {
    "model": "lines", "size": 128, "source": "sketch", "target": "photo", "channels": 3,
    "palette": None, "background": "#ffffff", "examples": [{"name": HOSTILE, "strokes": GHOST}],
}  # fmt: skip
WALL, DOOR, EARTH = "#a05020", "#00ff80", "#102030"
LABELS = LINES | {
    "model": "labels", "source": "labels", "target": "facade", "background": EARTH, "examples": [],
    "palette": [{"name": "wall", "color": WALL}, {"name": HOSTILE, "color": DOOR}],
}  # fmt: skip


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

    def use(self, state: str) -> None:
        self.page.get_by_role("button", name=f"use {state}", exact=True).click()
        self.page.wait_for_selector(f".pad[data-kind={state}]")

    def drawing(self) -> np.ndarray:
        return decode(self.js("pad.png()"))

    def picture(self) -> np.ndarray:
        return decode(self.js("element.querySelector('.picture').toDataURL()"))

    def message(self) -> str:
        return self.page.locator(".message").inner_text()


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
STROKE = [(0.2, 0.5), (0.5, 0.4), (0.8, 0.5)]


@pytest.fixture(scope="module")
def opened(browser: Any) -> Iterator[Page]:
    """The page of a small app around the pad and a fake translator."""
    fake = Negative()
    raster = {"id": 7, "image": encode(np.full((40, 40, 3), 128, np.uint8))}
    states = {"lines": LINES, "labels": LABELS, "raster": LINES | {"raster": raster}}
    with gr.Blocks() as demo:
        component = pad(lambda r: fake.translate(r), lambda r: fake.variations(r), LINES)
        for name, state in (states | {"other": LINES | {"model": "other", "size": 64}}).items():
            button = gr.Button(f"use {name}")
            button.click(lambda s=state: s, None, component, show_progress="hidden")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    demo.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True)
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(15000)
    page.goto(f"http://127.0.0.1:{port}")
    yield Page(page, fake)
    page.close()
    demo.close()


@pytest.fixture
def page(opened: Page) -> Page:
    """The page with a clean sheet; loading it once for all tests keeps them fast."""
    fake = opened.fake
    fake.failing = False
    fake.open.set()
    opened.page.mouse.up()
    opened.settle()
    opened.use("lines")
    for key in ["Delete", "p"]:
        opened.page.keyboard.press(key)
    if opened.page.locator("[data-do=unseed]").is_enabled():
        opened.do("unseed")
    opened.settle()
    fake.peak = 0
    fake.requests.clear()
    return opened


def test_empty_pad_sends_only_the_example(page: Page) -> None:
    page.page.reload()
    page.settle()
    assert len(page.fake.requests) == 1
    assert (decode(page.fake.requests[0]["image"]) < 128).any(), "an empty canvas was sent"
    assert page.js("pad.ops.length") == 0 or (page.drawing() == 255).all()
    assert "photo appears here" in page.page.locator(".caption").inner_text()


def test_stroke_changes_the_picture(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    drawing = page.drawing()
    assert (drawing[64] < 50).any() and (drawing[5] == 255).all()
    assert np.array_equal(page.picture(), 255 - drawing)
    assert page.fake.requests[-1]["model"] == "lines" and page.fake.requests[-1]["seed"] is None


def test_picture_follows_the_pencil(page: Page) -> None:
    before = page.js("pad.shownCount")
    page.press(*STROKE)
    page.until(f"pad.shownCount > {before}")
    shown = page.js("pad.shownCount")
    page.page.mouse.move(*page.place((0.8, 0.9)), steps=3)
    page.until(f"pad.shownCount > {shown}")
    assert (page.picture()[64] > 200).any()
    page.page.mouse.up()


def test_one_request_at_a_time_and_the_last_state_wins(page: Page) -> None:
    page.fake.open.clear()
    sent = page.js("pad.sentCount")
    for y in (0.2, 0.4, 0.6):
        page.draw((0.2, y), (0.8, y))
    assert page.js("pad.sentCount") == sent + 1
    page.fake.open.set()
    page.settle()
    page.until("pad.shownCount")
    assert page.fake.peak == 1 and len(page.fake.requests) == 2
    assert np.array_equal(page.picture(), 255 - page.drawing())


def test_late_answer_is_dropped_after_clear(page: Page) -> None:
    page.fake.open.clear()
    shown = page.js("pad.shownCount")
    page.draw(*STROKE)
    page.do("clear")
    page.fake.open.set()
    page.settle()
    assert page.js("pad.shownCount") == shown
    assert page.page.locator(".result").get_attribute("data-state") == "empty"


def test_undo_redo_clear_are_exact(page: Page) -> None:
    sheets = [page.js("pad.png()")]
    for y in (0.3, 0.32, 0.6):
        page.draw((0.1, y), (0.5, y + 0.2), (0.9, y))
        sheets.append(page.js("pad.png()"))
    page.do("clear")
    assert page.js("pad.png()") == sheets[0]
    for sheet in reversed(sheets):
        page.page.keyboard.press("Control+z")
        assert page.js("pad.png()") == sheet
    for sheet in sheets[1:]:
        page.page.keyboard.press("Control+Shift+z")
        assert page.js("pad.png()") == sheet
    page.page.keyboard.press("Control+y")
    assert page.js("pad.png()") == sheets[0]


def test_long_stroke_is_one_step_of_undo(page: Page) -> None:
    blank, count = page.js("pad.png()"), page.js("pad.ops.length")
    page.page.evaluate(SCRIBBLE)
    assert page.js("pad.ops.length") > count + 1, "a long stroke is kept in pieces"
    page.do("undo")
    assert page.js("pad.png()") == blank


def test_eraser_and_leaving_the_square(page: Page) -> None:
    page.draw((0.5, 0.5), (1.3, 0.5), (1.3, 0.7), (0.5, 0.7))
    drawing = page.drawing()
    assert (drawing[64, 70:] < 100).all() and (drawing[90, 70:] < 100).all()
    page.page.keyboard.press("e")
    page.draw((0.3, 0.5), (1.0, 0.5))
    assert (page.drawing()[64] == 255).all() and (page.drawing()[90, 70:] < 100).all()


def test_touch_draws_and_a_second_finger_does_not(page: Page) -> None:
    touch = page.page.context.new_cdp_session(page.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        places = [page.place(point) for point in points]
        fingers = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    send("touchStart", (0.2, 0.3))
    send("touchMove", (0.5, 0.3))
    send("touchStart", (0.5, 0.3), (0.2, 0.8))
    send("touchMove", (0.8, 0.3), (0.8, 0.8))
    send("touchEnd")
    page.settle()
    drawing = page.drawing()
    assert (drawing[38, 30:98] < 50).all() and (drawing[90:] == 255).all()


def test_label_map_holds_only_palette_colours(page: Page) -> None:
    page.use("labels")
    page.page.keyboard.press("Delete")
    page.draw((0.2, 0.2), (0.8, 0.25), (0.75, 0.8), (0.2, 0.7), (0.2, 0.2))
    ring = page.drawing()
    rgb = {name: tuple(bytes.fromhex(name[1:])) for name in (WALL, DOOR, EARTH)}
    assert {tuple(cell) for cell in ring.reshape(-1, 3)} == {rgb[WALL], rgb[EARTH]}
    page.page.locator(".palette button").nth(1).click()
    page.page.keyboard.press("f")
    page.draw((0.5, 0.5))
    filled = page.drawing()
    changed = (filled != ring).any(axis=2)
    assert (filled[changed] == rgb[DOOR]).all() and (ring[changed] == rgb[EARTH]).all()
    assert changed[64, 64] and not changed[2, 2] and 2000 < changed.sum() < 10000
    page.settle()
    assert np.array_equal(decode(page.fake.requests[-1]["image"]), filled)
    page.use("lines")
    assert (page.drawing() == 255).all()
    page.use("labels")
    assert np.array_equal(page.drawing(), filled)


def test_another_model_keeps_the_drawing(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    page.page.get_by_role("button", name="use other").click()
    page.page.wait_for_function("() => document.querySelector('.picture').width === 64")
    page.settle()
    assert page.fake.requests[-1]["model"] == "other"
    assert page.drawing().shape == (64, 64, 3) and (page.drawing()[28] < 150).any()


def test_raster_is_one_undoable_operation(page: Page) -> None:
    page.draw(*STROKE)
    before = page.js("pad.png()")
    page.page.get_by_role("button", name="use raster").click()
    page.until("pad.ops.some((op) => op.kind === 'raster')")
    page.settle()
    assert (page.drawing() == 128).all() and (page.picture() == 127).all()
    page.page.keyboard.press("Control+z")
    assert page.js("pad.png()") == before


def test_errors_are_sentences_and_the_next_stroke_recovers(page: Page) -> None:
    page.fake.failing = True
    page.draw(*STROKE)
    page.settle()
    assert page.message().startswith("The model is away.")
    page.fake.failing = False
    page.page.route("**/component_server/**", lambda route: route.abort())
    page.draw((0.1, 0.1), (0.3, 0.1))
    page.settle()
    assert page.message() == "The server does not answer; the drawing is kept."
    page.page.unroute("**/component_server/**")
    page.draw((0.1, 0.9), (0.3, 0.9))
    page.settle()
    assert page.message() == "" and np.array_equal(page.picture(), 255 - page.drawing())
    assert page.page.title() != "owned" and page.page.locator(".pad img").count() == 0
    assert page.page.locator(".examples span").inner_text() == HOSTILE


def test_example_gives_editable_strokes(page: Page) -> None:
    count = page.js("pad.ops.length")
    page.page.locator(".examples button").click()
    assert [op["kind"] for op in page.js("pad.ops")[count:]][-1] == "stroke"
    assert not page.page.locator(".ghost").is_visible(), "the guide would cover the example"
    page.page.keyboard.press("Control+z")
    assert (page.drawing() == 255).all()


def test_seed_and_variations(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    page.do("variations")
    page.page.locator(".variations button").nth(2).click()
    page.settle()
    box = page.page.locator(".number")
    assert page.fake.requests[-1]["seed"] == 12 and box.input_value() == "12"
    for key in ["End", "Backspace", "Backspace", "e", "Enter"]:
        box.press(key)
    page.settle()
    assert page.fake.requests[-1]["seed"] is None, "typing in the seed box is no shortcut"
    assert (page.drawing() < 50).any()


def test_compare_guide_and_download(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    page.do("compare")
    page.page.locator(".split").press("Home")
    assert page.page.locator(".before").is_visible()
    page.do("compare")
    assert not page.page.locator(".before").is_visible()
    page.page.keyboard.press("g")
    assert not page.page.locator(".ghost").is_visible()
    page.page.keyboard.press("g")
    with page.page.expect_download() as download:
        page.do("download")
    assert download.value.suggested_filename == "lines-photo.png"
    saved = np.asarray(Image.open(download.value.path()))
    assert np.array_equal(saved, page.picture())


def test_reload_keeps_the_drawing(page: Page) -> None:
    page.draw(*STROKE)
    before = page.js("pad.png()")
    page.page.reload()
    page.until("pad.shownCount > 0 && pad.idle()")
    assert page.js("pad.png()") == before and page.fake.requests[-1]["image"] == before


@pytest.mark.parametrize("request_", [None, [], {}, {"image": 3}, {"image": "data:text/html,x"}])
def test_server_function_refuses_nonsense(request_: Any) -> None:
    def never(_: Any) -> dict[str, Any]:
        raise AssertionError("the handler must not see this")

    component = pad(never, never, LINES)
    calls: list[Callable[[Any], dict[str, Any]]] = [component.translate, component.variations]
    assert all(call(request_)["error"].endswith(".") for call in calls)
