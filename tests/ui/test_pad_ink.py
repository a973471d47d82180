"""Ink on the drawing pad: colours under the lines, for models that follow them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from tests.support.pad_page import Page, decode, open_page

pytestmark = pytest.mark.browser

RED, BLUE, YELLOW = (0xBE, 0x28, 0x2D), (0x28, 0x4B, 0xA0), (0xEB, 0xC3, 0x32)
ACROSS = [(0.1, 0.5), (0.9, 0.5)]
DOWN = [(0.5, 0.1), (0.5, 0.9)]


@pytest.fixture(scope="module")
def opened(browser: Any) -> Iterator[Page]:
    with open_page(browser) as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """A clean sheet for a model that follows colours."""
    opened.reset()
    opened.use("hints")
    for key in ["Delete", "p"]:
        opened.page.locator(".paper").press(key)
    opened.settle()
    opened.fake.requests.clear()
    return opened


def ink(page: Page, name: str = "Red") -> None:
    page.page.get_by_role("button", name=f"{name} ink", exact=True).click()


def png(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def is_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels.astype(int) - colour).max(axis=-1) <= 1).all())


def test_ink_lies_under_the_lines_whichever_came_first(page: Page) -> None:
    page.draw(*DOWN)
    ink(page)
    page.draw(*ACROSS)
    page.page.keyboard.press("p")
    page.draw((0.3, 0.1), (0.3, 0.9))
    page.settle()
    drawing = page.drawing()
    for x in (64, 38):
        assert (drawing[64, x] < 60).all() and (drawing[30, x] < 60).all()
    assert is_colour(drawing[62:67, [25, 50, 80, 100]], RED) and (drawing[5, 5] == 255).all()
    assert np.array_equal(decode(page.fake.requests[-1]["image"]), drawing)
    assert np.array_equal(page.picture(), 255 - drawing)


def test_the_screen_shows_what_is_sent_while_ink_is_drawn(page: Page) -> None:
    page.draw(*DOWN)
    ink(page, "Yellow")
    page.press(*ACROSS)
    before = page.drawing()
    shown = page.page.locator(".paper").screenshot()
    page.page.mouse.up()
    assert np.array_equal(page.drawing(), before), "lifting the brush changed the drawing"
    page.page.mouse.move(5, 5)
    page.settle()
    for picture in (shown, page.page.locator(".paper").screenshot()):
        screen = png(picture)
        height, width = screen.shape[:2]
        row = screen[height // 2]
        assert is_colour(row[[width // 4, 3 * width // 4]], YELLOW)
        assert (row[width // 2] < 60).all(), "the line is not above the ink"


def test_undo_redo_and_clear_take_both_layers(page: Page) -> None:
    sheets = [page.js("pad.png()")]
    page.draw(*DOWN)
    sheets.append(page.js("pad.png()"))
    for name, y in (("Red", 0.4), ("Blue", 0.5)):
        ink(page, name)
        page.draw((0.1, y), (0.9, y))
        sheets.append(page.js("pad.png()"))
    page.page.keyboard.press("e")
    page.draw((0.5, 0.45), (0.9, 0.45))
    sheets.append(page.js("pad.png()"))
    assert len(set(sheets)) == 5
    page.do("clear")
    assert page.js("pad.png()") == sheets[0]
    for sheet in reversed(sheets):
        page.do("undo")
        assert page.js("pad.png()") == sheet
    for sheet in sheets[1:]:
        page.do("redo")
        assert page.js("pad.png()") == sheet


def test_the_eraser_takes_lines_and_colours(page: Page) -> None:
    ink(page, "Blue")
    page.draw(*ACROSS)
    page.page.keyboard.press("p")
    page.draw(*DOWN)
    page.page.keyboard.press("e")
    page.draw((0.3, 0.5), (0.7, 0.5))
    drawing = page.drawing()
    assert (drawing[64, 45:84] == 255).all() and is_colour(drawing[64, [20, 108]], BLUE)


def test_any_colour_by_the_picker_and_sizes_by_the_keyboard(page: Page) -> None:
    picker = page.page.get_by_label("Ink of any colour")
    picker.fill("#12ab98")
    page.draw((0.5, 0.5))
    assert is_colour(page.drawing()[64, 64], (0x12, 0xAB, 0x98))
    widths = []
    for key in ("[", "]", "]"):
        picker.press(key)  # the picker has the focus, and shortcuts work
        page.do("clear")
        page.draw((0.5, 0.5))
        widths.append(int((page.drawing() < 255).any(axis=2).sum()))
        picker.focus()
    assert widths[0] * 2 < widths[1] and widths[1] * 2 < widths[2]
    page.page.locator(".paper").press("i")
    pressed = page.page.locator("[data-tool=ink]").get_attribute("aria-pressed")
    assert pressed == "true"


def test_other_models_show_no_ink_and_keep_it(page: Page) -> None:
    page.draw(*DOWN)
    lines = page.js("pad.png()")
    ink(page)
    page.draw(*ACROSS)
    both = page.js("pad.png()")
    page.use("lines")
    page.settle()
    assert page.js("pad.png()") == lines and page.fake.requests[-1]["image"] == lines
    assert not page.page.locator("[data-tool=ink]").is_visible()
    assert page.page.locator(".palette button").count() == 0
    page.do("undo")  # what is seen: the line
    assert (page.drawing() == 255).all()
    assert page.page.locator(".invite").is_visible()
    page.do("redo")
    page.use("hints")
    page.do("redo")
    assert page.js("pad.png()") == both


def test_examples_and_pictures_bring_their_colours(page: Page) -> None:
    page.page.locator(".examples button").click()
    drawing = page.drawing()
    assert is_colour(drawing[32, [56, 72]], YELLOW) and (drawing < 60).all(axis=2).any()
    page.do("undo")
    page.apply("hinted raster")
    page.until("pad.ops.some((op) => op.kind === 'raster')")
    page.settle()
    drawing = page.drawing()
    assert (drawing[100, 100] == 128).all(), "a grey picture"
    assert is_colour(drawing[32, 64], tuple(v * 128 // 255 for v in YELLOW))
    page.do("undo")
    assert (page.drawing() == 255).all()


def test_compare_shows_the_colours_and_a_reload_keeps_them(page: Page) -> None:
    page.draw(*DOWN)
    ink(page)
    page.draw(*ACROSS)
    page.settle()
    page.do("compare")
    before = decode(page.js("element.querySelector('.before').toDataURL()"))
    side = len(before)
    assert (
        is_colour(before[side // 2, side // 4], RED) and (before[side // 2, side // 2] < 60).all()
    )
    page.do("compare")
    sheet = page.js("pad.png()")
    page.page.reload()
    page.until("pad.idle()")
    page.use("hints")
    page.settle()
    assert page.js("pad.png()") == sheet


def test_a_finger_paints_with_ink(page: Page) -> None:
    ink(page, "Blue")
    touch = page.page.context.new_cdp_session(page.page)
    for kind, points in (
        ("touchStart", [(0.2, 0.3)]), ("touchMove", [(0.8, 0.3)]), ("touchEnd", []),
    ):  # fmt: skip
        places = [dict(zip("xy", page.place(point))) for point in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    page.settle()
    assert is_colour(page.drawing()[38, 30:98], BLUE)
