"""The drawing pad, driven with a real mouse, keyboard and finger in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from pix2pix.ui.translate.pad import pad
from tests.support.models_and_servers import awaited
from tests.support.pad_page import (
    DOOR,
    EARTH,
    FIND_PAD,
    HOSTILE,
    LINES,
    PREVIEW,
    WALL,
    Page,
    decode,
    open_page,
)

pytestmark = pytest.mark.browser

STROKE = [(0.2, 0.5), (0.5, 0.4), (0.8, 0.5)]


@pytest.fixture(scope="module")
def opened(browser: Any) -> Iterator[Page]:
    with open_page(browser) as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """The page with a clean sheet; loading it once for all tests keeps them fast."""
    opened.reset()
    return opened


def test_empty_pad_sends_only_the_example(page: Page) -> None:
    page.page.reload()
    page.settle()
    assert len(page.fake.requests) == 1
    assert (decode(page.fake.requests[0]["image"]) < 128).any(), "an empty canvas was sent"
    assert page.js("pad.ops.length") == 0 or (page.drawing() == 255).all()
    assert "picture appears here" in page.page.locator(".caption").inner_text()


def test_stroke_changes_the_picture(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    drawing = page.drawing()
    assert (drawing[64] < 50).any() and (drawing[5] == 255).all()
    assert np.array_equal(page.picture(), 255 - drawing)
    assert page.fake.requests[-1]["model"] == "lines" and page.fake.requests[-1]["seed"] is None


def test_a_stroke_may_begin_on_the_very_edge(page: Page) -> None:
    page.draw((0.0, 0.3), (0.3, 0.3))
    page.draw((0.6, 0.999), (0.6, 0.7))
    assert page.js("pad.drawing.seen().length") == 2
    dark = (page.drawing() < 128).all(2)
    assert dark[30:50, 0].any() and dark[-1, 70:90].any()


def test_the_models_own_picture_is_seen_until_the_example_is_translated(page: Page) -> None:
    page.fake.open.clear()
    page.apply("previewed")
    page.until("pad.model === 'previewed' && element.querySelector('.picture').width === 8")
    assert np.array_equal(page.picture(), PREVIEW)
    assert page.page.locator(".ghost").is_visible() and not page.js("pad.idle()")
    page.fake.open.set()
    page.settle()
    answer = 255 - decode(page.fake.requests[-1]["image"])
    assert np.array_equal(page.picture(), answer) and (answer > 128).any()


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


def test_keys_that_others_use_count_on_the_pad_alone(page: Page) -> None:
    page.draw(*STROKE)
    page.js("document.body.insertAdjacentHTML('beforeend', '<button id=card>A card</button>')")
    page.page.locator("#card").focus()
    count = page.js("pad.ops.length")
    for key in ("Backspace", "Delete", "e"):
        page.page.keyboard.press(key)
    assert page.js("[pad.ops.length, pad.tools.tool]") == [count, "pencil"]
    page.page.keyboard.press("Control+z")  # nobody else's
    assert page.js("pad.drawing.seen().length") == 0
    page.page.keyboard.press("Control+Shift+Z")
    page.js("document.activeElement.blur()")
    page.page.keyboard.press("Backspace")
    assert page.js("pad.drawing.seen().length") == 0


def test_long_stroke_is_one_step_of_undo(page: Page) -> None:
    blank, count = page.js("pad.png()"), page.js("pad.ops.length")
    page.scribble()
    assert page.js("pad.ops.length") > count + 1, "a long stroke is kept in pieces"
    page.do("undo")
    assert page.js("pad.png()") == blank


def test_a_click_leaves_a_dot(page: Page) -> None:
    page.draw((0.5, 0.5))
    inked = (page.drawing() < 255).any(axis=2)
    assert inked[63:65, 63:65].all() and inked.sum() <= 16
    page.settle()
    assert np.array_equal(page.picture(), 255 - page.drawing())


def test_eraser_and_leaving_the_square(page: Page) -> None:
    page.draw((0.5, 0.5), (1.3, 0.5), (1.3, 0.7), (0.5, 0.7))
    drawing = page.drawing()
    assert (drawing[64, 70:] < 100).all() and (drawing[89, 70:] < 100).all()
    page.page.keyboard.press("e")
    page.draw((0.3, 0.5), (1.0, 0.5))
    assert (page.drawing()[64] == 255).all() and (page.drawing()[89, 70:] < 100).all()


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
    page.apply("other")
    page.page.wait_for_function("() => document.querySelector('.picture').width === 64")
    page.settle()
    assert page.fake.requests[-1]["model"] == "other"
    assert page.drawing().shape == (64, 64, 3) and (page.drawing()[28] < 150).any()


def test_raster_is_one_undoable_operation(page: Page) -> None:
    page.draw(*STROKE)
    before = page.js("pad.png()")
    page.apply("raster")
    page.until("pad.ops.some((op) => op.kind === 'raster')")
    page.settle()
    assert (page.drawing() == 128).all() and (page.picture() == 127).all()
    page.page.keyboard.press("Control+z")
    assert page.js("pad.png()") == before


def test_errors_are_sentences_and_the_picture_comes_late(page: Page) -> None:
    page.fake.failing = True
    page.draw(*STROKE)
    page.settle()
    assert page.message().startswith("The model is away.")
    page.fake.failing = False
    page.page.route("**/component_server/**", lambda route: route.abort())
    page.draw((0.1, 0.1), (0.3, 0.1))
    page.settle()
    assert page.message() == "The server does not answer; the drawing is kept."
    shown = page.js("pad.shownCount")
    page.page.unroute("**/component_server/**")
    page.until(f"pad.shownCount > {shown}")  # it asks again without a stroke
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


def test_a_tint_is_asked_for_and_seeds_have_their_own(page: Page) -> None:
    row = page.page.locator(".tints")
    row.wait_for(state="hidden")
    page.apply("tinted")
    row.wait_for(state="visible")
    page.draw(*STROKE)
    page.settle()
    assert "tint" not in page.fake.requests[-1]
    row.get_by_role("button", name="Tint 2").click()
    page.settle()
    assert page.fake.requests[-1]["tint"] == "#405060"
    assert row.locator("[aria-pressed=true]").get_attribute("data-color") == "#405060"
    row.locator("input").fill("#e080a0")
    page.settle()
    assert page.fake.requests[-1]["tint"] == "#e080a0"
    page.do("variations")
    page.page.locator(".variations button").first.click()
    page.settle()
    assert page.fake.requests[-1]["seed"] == 10 and "tint" not in page.fake.requests[-1]
    assert row.locator("[aria-pressed=true]").get_attribute("data-color") == ""
    row.get_by_role("button", name="Tint 1").click()
    page.apply("lines")
    row.wait_for(state="hidden")
    page.settle()
    assert page.fake.requests[-1]["model"] == "lines" and "tint" not in page.fake.requests[-1]


def test_variations_asked_for_while_the_server_works(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    page.fake.open.clear()
    page.draw((0.5, 0.8))
    page.do("variations")
    page.fake.open.set()
    page.settle()
    assert page.page.locator(".variations button").count() == 4


def test_model_without_noise_has_no_seed_and_no_variations(page: Page) -> None:
    controls = [page.page.locator(name) for name in (".seed", "[data-do=variations]")]
    for state, seen in [("plain", False), ("lines", True), ("plain", False), ("labels", True)]:
        page.apply(state)
        for control in controls:
            control.wait_for(state="visible" if seen else "hidden")
        assert page.page.locator("[data-do=download]").is_visible()


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
    for call in (component.translate, component.variations):
        assert awaited(call(request_))["error"].endswith(".")


def test_a_picture_is_saved_under_its_own_models_name_alone(page: Page) -> None:
    page.draw(*STROKE)
    page.settle()
    page.fake.open.clear()
    page.apply("other")
    page.page.wait_for_function("() => document.querySelector('.result').dataset.state === 'stale'")
    assert page.page.locator("[data-do=download]").is_disabled()
    page.fake.open.set()
    page.settle()
    with page.page.expect_download() as download:
        page.do("download")
    assert download.value.suggested_filename == "other-photo.png"


def test_a_reload_after_a_long_session_keeps_what_is_on_the_pad(page: Page) -> None:
    """More was drawn and cleared than the browser keeps."""
    page.draw(*STROKE)
    page.page.evaluate(
        f"() => {{ {FIND_PAD}; pad.ops[0].note = 'x'.repeat(2000000); }}"
    )  # fmt: skip
    page.do("clear")
    page.draw(*STROKE[::-1])
    page.settle()
    before = page.js("pad.png()")
    page.page.reload()
    page.until("pad.shownCount > 0 && pad.idle()")
    assert page.js("pad.png()") == before and page.fake.requests[-1]["image"] == before


def test_variations_come_into_sight_and_what_is_made_is_said(page: Page) -> None:
    page.page.set_viewport_size({"width": 1000, "height": 640})
    page.draw(*STROKE)
    page.settle()
    page.fake.open.clear()
    page.draw((0.5, 0.8))
    page.do("variations")
    assert page.message() == "Making four variations…"
    page.fake.open.set()
    page.settle()
    last = page.page.locator(".variations button").last.bounding_box()
    page.page.set_viewport_size({"width": 1000, "height": 900})
    assert last["y"] + last["height"] <= 640 and page.message() == ""


def test_on_a_phone_every_colour_and_the_first_picture_are_in_sight(page: Page) -> None:
    page.use("labels")
    page.page.set_viewport_size({"width": 390, "height": 600})
    for state in ("labels", "hints"):
        page.use(state)
        boxes = [e.bounding_box() for e in page.page.locator(".palette > *").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes), state
    page.page.evaluate("scrollTo(0, 0)")
    page.js("pad.live.isRevealed = false")
    page.draw(*STROKE)
    page.settle()
    page.page.wait_for_function(
        "document.querySelector('.result').getBoundingClientRect().top < innerHeight / 2 + 150"
    )
    page.page.set_viewport_size({"width": 1000, "height": 900})
