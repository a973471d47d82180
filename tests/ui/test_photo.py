"""Photo mode: examples of models, another model, and what takes its time: another photo, Stop."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageDraw

from pix2pix.errors import Cancelled
from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.line_art import LINE_STYLES
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.limits import Limits
from pix2pix.ui.page import build_page
from pix2pix.ui.translate.tab import TranslateTab
from tests.support.models_and_servers import noise, save_tiny_model, tiny_config
from tests.support.page_server import launched

SLOW, QUICK, SAMPLE = 96, 200, 120  # widths of three photos


class SlowTranslator:
    """Takes as long as it is told to for photos of one width; the rest is its model's."""

    def __init__(self, models: SlowModels, name: str) -> None:
        self.models, self.own = models, TranslatorCache.get(models, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def translate(self, source: Any, **options: Any) -> Image.Image:
        if getattr(source, "image", source).width == SLOW:
            self.models.begun.set()
            while not self.models.goes_on.wait(0.02):
                if self.models.can_stop and options["should_stop"]():
                    raise Cancelled
            self.models.begun.clear()
        return self.own.translate(source, **options)


class SlowModels(TranslatorCache):
    """Their translations of slow photos begin, and end when they may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(lambda: [folder], "cpu")
        self.begun, self.goes_on, self.can_stop = threading.Event(), threading.Event(), True

    def get(self, name: str) -> Any:
        return SlowTranslator(self, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photo")
    save_tiny_model(folder / "models" / "views", tiny_config(source_kind="photo"))
    shown = save_tiny_model(folder / "models" / "with-sample", tiny_config(source_kind="photo"), 1)
    (shown / "samples").mkdir()
    noise(SAMPLE, 64).save(shown / "samples" / "one.png")
    noise(SLOW, 64).save(folder / "slow.png")
    noise(QUICK, 64).save(folder / "quick.png")
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[tuple[str, SlowModels]]:
    models = SlowModels(folder / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setenv("PIX2PIX_WORKSPACE", str(folder))
        page = build_page(models)
        yield launched(page, themed=True), models
        models.goes_on.set()
        page.close()


@pytest.fixture
def visited(
    app: tuple[str, SlowModels], visit: Callable[..., Any], folder: Path
) -> Iterator[tuple[Any, SlowModels]]:
    """The page with a slow photo on it, whose translation has begun."""
    url, models = app
    models.begun.clear()
    models.goes_on.clear()
    page = visit(url)
    choose(page, folder / "slow.png")
    assert models.begun.wait(60)
    yield page, models
    models.goes_on.set()


def choose(page: Any, file: Path) -> None:
    if page.locator("#photo img").count():
        take_away(page)
    page.locator("#photo input[type=file]").first.set_input_files(file)


def take_away(page: Any) -> None:
    """Take the photo away; the next file has its own place from then on."""
    page.locator("#photo button[aria-label*=lear], #photo button[aria-label*=emove]").first.click()
    page.wait_for_function("!document.querySelector('#photo img')")


def wait_for_width(page: Any, width: int) -> None:
    """Until both sides of the comparison are so many pixels wide."""
    page.wait_for_function(
        "width => { const all = [...document.querySelectorAll('#compared img')];"
        " return all.length > 1 && all.every((img) => img.naturalWidth === width); }",
        arg=width,
    )


def vary(page: Any) -> None:
    page.locator("button.label-wrap", has_text="More").locator("visible=true").first.click()
    page.locator("#vary").click()


def result(page: Any) -> str:
    return page.locator("#compared img").last.get_attribute("src")


@pytest.mark.parametrize(("lines", "is_filtered"), [("auto", False), ("no", False), ("yes", True)])
def test_a_drawing_is_edited_as_it_is(lines: str, is_filtered: bool, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "models" / "faces", tiny_config(source_kind="drawing"))
    drawing = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(drawing).ellipse((10, 10, 50, 50), outline="black", width=3)
    drawing.save(tmp_path / "drawing.png")
    models = TranslatorCache(lambda: [tmp_path / "models"], "cpu")
    tab = SimpleNamespace(models=models, limits=Limits())
    asked = str(tmp_path / "drawing.png"), lines, LINE_STYLES[1], True, "faces", {}
    raster = TranslateTab.photo_state(tab, *asked)["raster"]
    shown = from_data_url(raster["image"], 10**6).convert("RGB")
    assert (shown.tobytes() != drawing.tobytes()) is is_filtered and raster["strokes"] == []


@pytest.mark.browser
def test_a_model_shows_an_example_and_makes_its_own_of_the_photo_that_is_there(
    app: tuple[str, SlowModels], visit: Callable[..., Any], folder: Path
) -> None:
    page = visit(app[0])
    page.locator('.card[data-name="with-sample"]').click()
    wait_for_width(page, SAMPLE)
    choose(page, folder / "quick.png")
    wait_for_width(page, QUICK)
    by_one = result(page)
    page.locator('.card[data-name="views"]').click()
    page.wait_for_function(
        "before => [...document.querySelectorAll('#compared img')].at(-1).src !== before",
        arg=by_one,
    )
    wait_for_width(page, QUICK)
    take_away(page)
    page.wait_for_function("!document.querySelector('#compared img')")  # it has no example
    page.locator('.card[data-name="with-sample"]').click()
    wait_for_width(page, SAMPLE)


@pytest.mark.browser
@pytest.mark.parametrize("can_stop", [True, False])
def test_another_photo_takes_the_place_of_a_slow_one(
    visited: tuple[Any, SlowModels], folder: Path, can_stop: bool
) -> None:
    """Also where the slow one cannot be stopped and comes in later."""
    page, models = visited
    models.can_stop = can_stop
    choose(page, folder / "quick.png")
    wait_for_width(page, QUICK)
    assert models.begun.is_set()
    models.goes_on.set()
    vary(page)  # its answer comes after that of the slow one
    page.get_by_alt_text("seed 1").or_(page.get_by_text("seed 1")).first.wait_for()
    wait_for_width(page, QUICK)
    assert page.locator("#stop-photo").is_hidden()


@pytest.mark.browser
def test_a_slow_photo_and_its_variations_can_be_stopped(
    visited: tuple[Any, SlowModels], folder: Path
) -> None:
    page, models = visited
    models.can_stop = True
    for stop in ("#stop-photo", "#stop-variations"):
        page.locator(stop).click()
        page.locator(stop).wait_for(state="hidden")
        assert not page.locator("#compared img").count()
        if stop == "#stop-photo":
            models.begun.clear()
            vary(page)
            assert models.begun.wait(60)
    choose(page, folder / "quick.png")
    wait_for_width(page, QUICK)
