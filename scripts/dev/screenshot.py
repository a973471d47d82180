"""Draw an example face with the mouse on the real page, and take the picture for the docs.

Needs playwright and a Chromium, as the tests do (`tests/requirements.txt`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import Page, sync_playwright

from pix2pix.imaging.example_faces import example_faces
from pix2pix.imaging.strokes import Stroke
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.page import build_page
from pix2pix.ui.theme import CSS_FILE, theme
from pix2pix.ui.train.tab import train_tab
from pix2pix.utils.workspace import model_folders
from tests.support.chromium import CHROMIUM_FLAGS, chromium_path

SETTLED = "getComputedStyle(document.querySelector('.result'), '::after').opacity === '0'"
IDLE = "document.querySelector('.pad')?.parentElement.pad?.idle()"
THINNEST, BROADEST = 0.011, 0.022  # of the pad's three pencils, where the next begins


def main() -> int:
    args = arguments()
    with open_app(args.width, args.height, args.theme) as view:
        draw(view, example_faces()[args.face])
        view.keyboard.press("g")  # the guide is traced
        view.wait_for_function(IDLE)
        view.mouse.move(2, 2)
        view.wait_for_function(SETTLED)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        view.screenshot(path=args.out)
    return 0


@contextlib.contextmanager
def open_app(width: int, height: int, look: str) -> Iterator[Page]:
    """Start the app and open it in a headless Chromium, as soon as the pad is there."""
    os.environ["PIX2PIX_ON_DEVICE"] = "off"  # the server draws, and no badge says who
    page = build_page(TranslatorCache(model_folders), train_tab)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, theme=theme(), css_paths=CSS_FILE)
    with sync_playwright() as playwright:
        path = chromium_path(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        view = browser.new_page(viewport={"width": width, "height": height})
        view.set_default_timeout(120_000)
        view.goto(f"{url}?__theme={look}")
        view.wait_for_selector(".pad .paper")
        view.wait_for_function(IDLE)
        yield view
        browser.close()
    page.close()


def draw(
    view: Page,
    strokes: Sequence[Stroke],
    on_point: Callable[[float, float], None] = lambda x, y: None,
) -> None:
    """Draw strokes as a person would: press, move, release. `on_point` hears where the pencil is,
    in fractions of the paper."""
    box = view.locator(".pad .paper").bounding_box()
    view.locator(".pad .paper").focus()
    chosen = 1  # of the pad's pencils, the middle one
    for stroke in strokes:
        size = int(stroke.width > THINNEST) + int(stroke.width > BROADEST)
        while size != chosen:
            view.keyboard.press("[" if size < chosen else "]")
            chosen += 1 if size > chosen else -1
        for number, (x, y) in enumerate(stroke.points):
            view.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if number == 0:
                view.mouse.down()
            on_point(x, y)
        view.mouse.up()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--face", default="Long hair", choices=list(example_faces()))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1050)
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
