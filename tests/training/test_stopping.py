"""Stop reaches work that still waits in the queue: what is pressed can be stopped from then on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.picture import save_png
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.events import CancelSwitches
from pix2pix.ui.page import build_page
from pix2pix.ui.train.evaluate import STOPPED
from tests.support.drawn_pairs import draw_dataset
from tests.support.models_and_servers import noise, save_tiny_model

VISITOR, OTHER = SimpleNamespace(session_hash="me"), SimpleNamespace(session_hash="other")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> gr.Blocks:
    folder = tmp_path_factory.mktemp("stopping")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIX2PIX_WORKSPACE", str(folder))
        draw_dataset(folder / "datasets" / "faces", train=1, val=1)
        save_tiny_model(folder / "models" / "tiny")
        yield build_page(TranslatorCache(lambda: [folder / "models"]))


def functions(page: gr.Blocks, *names: str) -> list[Callable[..., Any]]:
    found = dict.fromkeys(event.fn for event in page.fns.values() if event.name in names)
    return list(found)


def silent(*said: Any, **more: Any) -> None: ...


@pytest.fixture()
def stopped(page: gr.Blocks) -> None:
    """A visitor pressed every button of work, and Stop before its turn came."""
    begins, ends = (
        [f for f in functions(page, name) if f.__qualname__.startswith("wire_work.")]
        for name in ("begin", "cancel")
    )
    assert len(begins) == len(ends) == 5  # check, build, load, measure, translate all
    for begin in begins:
        begin(0.0, VISITOR)
    for end in ends:
        end(VISITOR)


def test_a_batch_that_waits_is_stopped(page: gr.Blocks, stopped: None, tmp_path: Path) -> None:
    save_png(noise(64, 64), tmp_path / "a.png")
    (translate,) = functions(page, "translate_batch")
    answer = translate([str(tmp_path / "a.png")], "tiny", "", "", "", "", VISITOR, silent)
    assert answer[-1] == "Stopped: nothing was translated."
    for visitor in (VISITOR, OTHER):  # it is over; and others go on
        assert translate([str(tmp_path / "a.png")], "tiny", "", "", "", "", visitor, silent)[0]


def test_measuring_that_waits_is_stopped(page: gr.Blocks, stopped: None) -> None:
    (measure,) = functions(page, "measure")
    assert list(measure("faces", ["tiny"], "val", 1, VISITOR, silent).values()) == [STOPPED]
    assert len(measure("faces", ["tiny"], "val", 1, VISITOR, silent)) == 3


def test_a_switch_is_that_of_the_press_until_its_work_ends() -> None:
    running = CancelSwitches()
    asked = running.switch("me", "batch")
    with running.at_work("me", "batch") as first:
        assert first is asked
        newer = running.switch("me", "batch")
        assert first.is_set() and not newer.is_set()
    running.stop("me", "batch")  # the end of the older work took nothing from the newer
    with running.at_work("me", "batch") as second:
        assert second is newer and second.is_set()
    assert not running.requested and not running.running_work
    with running.at_work("me", "batch") as one, running.at_work("me", "batch") as two:
        assert not one.is_set() and not two.is_set()  # a program may ask for much at once


def test_the_latest_counts_whatever_order_requests_come_in() -> None:
    running = CancelSwitches()
    with pytest.raises(Cancelled), running.latest("me", "photo", 1.0) as first:
        with running.latest("me", "photo", 3.0) as last, running.latest("other", "photo", 2.0):
            assert first.is_set() and not last.is_set()
        raise UserError("of a photo that nobody waits for")
    with pytest.raises(Cancelled), running.latest("me", "photo", 2.0):
        raise AssertionError("it was asked for before the last one")
    with pytest.raises(UserError), running.latest("me", "photo", 4.0):
        raise UserError("of the photo that is there")


def test_who_pressed_and_never_came_back_is_forgotten() -> None:
    running = CancelSwitches()
    with running.at_work("me", "batch") as mine:
        for number in range(2 * CancelSwitches.MAX_REQUESTED):
            last = running.switch(f"gone {number}", "batch")
        assert len(running.requested) == CancelSwitches.MAX_REQUESTED
        running.stop("me", "batch")
        assert mine.is_set()
    running.stop(f"gone {number}", "batch")
    assert last.is_set()
