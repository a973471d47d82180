"""Use the real page with the mouse, and take the picture of it for the docs.

`--view draw` draws an example face, `dataset` checks two folders of drawn houses, `train` shows the
newest run of the workspace (`PIX2PIX_WORKSPACE`), or begins one by *Try it* where there is none.
Needs playwright and a Chromium, as the tests do (`tests/requirements.txt`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pix2pix.imaging.example_houses import draw_house
from pix2pix.imaging.hints import Hint
from pix2pix.imaging.strokes import Stroke
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.page import build_page
from pix2pix.ui.theme import CSS_FILE, theme
from pix2pix.utils.workspace import model_folders
from scripts.examples.faces import example_faces, face_colours
from tests.support.chromium import CHROMIUM_FLAGS, chromium_path

SETTLED = "getComputedStyle(document.querySelector('.result'), '::after').opacity === '0'"
IDLE = "document.querySelector('.pad')?.parentElement.pad?.idle()"
PENCILS, INKS = (0.011, 0.022), (0.07, 0.12)  # widths from which the pad's next size is nearer


HOUSES, STEPS = 14, 2  # pairs of the check; kept checkpoints of the run
QUALITY = 72  # of a picture that is no PNG


def main() -> int:
    args = arguments()
    with open_app(args.width, args.height, args.theme) as view:
        if args.view == "draw":
            draw_sheet(view, args.face)
        elif args.view == "dataset":
            check_houses(view)
        else:
            show_run(view)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.open(io.BytesIO(view.screenshot())).convert("RGB")
        picture.save(args.out, quality=QUALITY)
    return 0


def draw_sheet(view: Page, face: str) -> None:
    """Draw a face and its colours, without the guide that it traces."""
    draw(view, [*example_faces()[face], *face_colours()[face]])
    view.keyboard.press("g")
    view.wait_for_function(IDLE)
    view.mouse.move(2, 2)
    view.wait_for_function(SETTLED)


def check_houses(view: Page) -> None:
    """Check folders of houses whose names differ; one has no partner, and one is no square."""
    view.get_by_role("tab", name="Dataset").click()
    with tempfile.TemporaryDirectory() as place:
        for number in range(HOUSES):
            labels, house = draw_house(number, 256)
            for side, name, picture in (
                ("labels", f"L-{number:03}-v2.png", labels), ("houses", f"h-{number:03}.png", house)
            ):  # fmt: skip
                (Path(place) / side).mkdir(exist_ok=True)
                picture.save(Path(place) / side / name)
        (Path(place) / "houses" / "h-009.png").unlink()
        house.crop((0, 64, 256, 192)).save(Path(place) / "houses" / "h-005.png")
        for side, folder in {"source": "labels", "target": "houses"}.items():
            view.locator(f"#{side} input[type=file]").set_input_files(Path(place) / folder)
            view.locator(f"#{side} .file-preview").wait_for()
        view.get_by_role("button", name="Check the pairs").click()
        view.get_by_text(f"{HOUSES - 1} pairs").first.wait_for()
        view.locator("#pairs .grid img").first.wait_for()


def show_run(view: Page) -> None:
    """Show the newest run from its curves on, once it keeps a few checkpoints."""
    view.get_by_role("tab", name="Train").click()
    view.locator("#train-preview img, #trial").first.wait_for()
    if not view.locator("#live .card").count():
        view.locator("#trial").click()
    view.set_default_timeout(1_200_000)
    view.locator("#live .kept .checkpoint").nth(STEPS - 1).wait_for()
    view.wait_for_function("document.querySelector('#live .cells span').style.backgroundImage")
    view.evaluate("document.querySelector('#live .charts').scrollIntoView()")


@contextlib.contextmanager
def open_app(width: int, height: int, look: str) -> Iterator[Page]:
    """Start the app and open it in a headless Chromium, as soon as the pad is there."""
    os.environ["PIX2PIX_ON_DEVICE"] = "off"  # the server draws, and no badge says who
    page = build_page(TranslatorCache(model_folders))
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
    strokes: Sequence[Stroke | Hint],
    on_point: Callable[[float, float], None] = lambda x, y: None,
) -> None:
    """Draw strokes as a person would: press, move, release; those of colour with ink. `on_point`
    hears where the pencil is, in fractions of the paper."""
    box = view.locator(".pad .paper").bounding_box()
    view.locator(".pad .paper").focus()
    chosen = 1  # of the pad's pencils, the middle one
    for stroke in strokes:
        if is_ink := isinstance(stroke, Hint):
            color = "#{:02x}{:02x}{:02x}".format(*stroke.color)
            view.locator(".palette input").fill(color)
        else:
            view.keyboard.press("p")
        size = sum(stroke.width > next_ for next_ in (INKS if is_ink else PENCILS))
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
    parser.add_argument("--out", type=Path, required=True, help="PNG, WebP or JPEG to write")
    parser.add_argument("--view", default="draw", choices=["draw", "dataset", "train"])
    parser.add_argument("--face", default="Long hair", choices=list(example_faces()))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1050)
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
