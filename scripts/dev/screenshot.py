"""Draw an example face with the mouse on the real page, and take the picture for the README.

Needs playwright and a Chromium, as the tests do (`tests/requirements.txt`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import Page, sync_playwright

from pix2pix.imaging.example_faces import example_faces
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.page import build_page
from pix2pix.ui.theme import CSS_FILE, theme
from pix2pix.ui.train.tab import train_tab
from pix2pix.utils.workspace import model_folders
from tests.conftest import CHROMIUM_FLAGS, chromium_path

SETTLED = "getComputedStyle(document.querySelector('.result'), '::after').opacity === '0'"
IDLE = "document.querySelector('.pad').parentElement.pad.idle()"


def main() -> int:
    args = arguments()
    page = build_page(TranslatorCache(model_folders), train_tab)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, theme=theme(), css_paths=CSS_FILE)
    with sync_playwright() as playwright:
        path = chromium_path(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        view = browser.new_page(viewport={"width": args.width, "height": args.height})
        view.goto(f"{url}?__theme={args.theme}")
        view.wait_for_selector(".pad .paper")
        view.wait_for_function(IDLE)
        draw(view, args.face)
        view.keyboard.press("g")  # the guide is traced
        view.wait_for_function(IDLE)
        view.mouse.move(2, 2)
        view.wait_for_function(SETTLED)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        view.screenshot(path=args.out)
        browser.close()
    page.close()
    return 0


def draw(view: Page, name: str) -> None:
    """Draw the strokes of a code-drawn face as a person would: press, move, release."""
    box = view.locator(".pad .paper").bounding_box()
    view.locator(".pad .paper").focus()
    chosen = 1  # of the pad's pencils, the middle one
    for stroke in example_faces()[name]:
        size = int(stroke.width > 0.012)
        if size != chosen:
            view.keyboard.press("[" if size < chosen else "]")
            chosen = size
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"])
                  for x, y in stroke.points]  # fmt: skip
        view.mouse.move(*points[0])
        view.mouse.down()
        for point in points[1:]:
            view.mouse.move(*point)
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
