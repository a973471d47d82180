"""The first minute: from an empty workspace to a model that paints houses, by mouse alone."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from pix2pix.data.dataset import list_datasets
from pix2pix.data.sample import SAMPLE_NAME, make_sample_dataset
from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.example_houses import PALETTE
from pix2pix.models.folder import read_config
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.presets import PRESETS
from pix2pix.training import run_control
from pix2pix.ui.auth import Roles
from pix2pix.ui.dataset import library
from pix2pix.ui.page import build_page
from tests.support.models_and_servers import save_tiny_model
from tests.support.page_server import launched

COVERED = """() => {
  const button = document.querySelector('#start-training').getBoundingClientRect();
  const blocks = [...document.querySelectorAll('#setup .block, #setup button')];
  return blocks.filter((block) => {
    const box = block.getBoundingClientRect();
    return block.id !== 'start-training' && box.width && !block.closest('#new-run')
      && box.top < button.bottom && button.top < box.bottom;
  }).map((block) => block.id || block.textContent);
}"""
PAD = "document.querySelector('.pad').parentElement.pad"
# No frozen network: loading one takes longer than these steps. test_presets.py trains it as it is.
FEW = {"steps": 3, "ngf": 4, "ndf": 4, "batch_size": 1, "sample_every_steps": 3}
FEW |= {"discriminator": "patch", "layers": 1, "lambda_perceptual": 0.0}


@pytest.fixture()
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: None) -> Iterator[Path]:
    """Empty. The sample has few pairs, the preset few steps, and a run starts at once, so that a
    minute is a moment."""
    folder = tmp_path / "workspace"
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(folder))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setitem(PRESETS, "quick", {**PRESETS["quick"], **FEW})
    few = functools.partial(make_sample_dataset, pairs=6, size=64)
    monkeypatch.setattr(library, "make_sample_dataset", few)
    yield folder
    for run in (folder / "runs").glob("*/"):
        run_control.force_stop(run, patience=0.0)


@pytest.fixture()
def page(visit: Callable[..., Any], workspace: Path, tmp_path: Path) -> Iterator[Any]:
    """The whole page, with a model that it came with and none of the person's."""
    save_tiny_model(tmp_path / "shipped" / "other")
    models = TranslatorCache(lambda: [workspace / "models", tmp_path / "shipped"])
    app = build_page(models, Roles(everybody=True))
    opened = visit(launched(app, themed=True))
    yield opened
    opened.close()
    app.close(verbose=False)


@pytest.mark.browser
def test_sample_training_publishing_and_painting(page: Any, workspace: Path) -> None:
    page.get_by_role("tab", name="Dataset").click()
    page.locator("#make-sample").click()
    page.get_by_text("6 pairs of 64 x 64 pixels, labels to house.").wait_for()
    page.locator("#make-sample").wait_for(state="hidden")
    page.get_by_role("tab", name="Train").click()
    page.locator("#trial").click()
    page.wait_for_function(
        "document.querySelector('#live .state b')?.textContent.startsWith('Finished')"
    )
    page.locator("#trial").wait_for(state="hidden")
    assert page.locator("#preset input").input_value().endswith("(quick)")  # what was started
    assert page.locator("#train-size input").input_value() == "64"
    assert page.locator("#epochs input").input_value() == str(PRESETS["quick"]["epochs"])
    assert page.evaluate(COVERED) == []
    page.locator("#live [data-publish]").first.click()
    page.locator("#live .open").click()
    page.wait_for_selector(f"#models .card[data-name={SAMPLE_NAME}][aria-pressed=true]")
    assert page.evaluate("scrollY") == 0  # from the foot of a long tab
    assert read_config(workspace / "models" / SAMPLE_NAME).source_kind == "labels"

    card = page.locator(f"#models .card[data-name={SAMPLE_NAME}] img")
    assert card.get_attribute("src").startswith("data:image/png;base64,")
    page.locator(".pad .ghost").wait_for()  # the card is pressed before the pad has its state
    assert page.locator(".examples button").count() == 1
    drawn = json.loads((workspace / "models" / SAMPLE_NAME / "examples.json").read_text())
    assert {shape["color"] for shape in drawn[0]["strokes"]} <= set(PALETTE.values())
    page.get_by_role("button", name="wall", exact=True).wait_for()
    page.wait_for_function(f"{PAD}.idle()")
    named = {button.inner_text().strip() for button in page.locator(".palette button").all()}
    assert {"sky", "grass", "wall", "roof", "window"} <= named <= set(PALETTE)
    before = page.evaluate(f"{PAD}.shownCount")
    page.get_by_role("button", name="wall", exact=True).click()
    box = page.locator(".pad .paper").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_function(f"{PAD}.idle() && {PAD}.shownCount > {before}")
    painted = np.asarray(from_data_url(page.evaluate(f"{PAD}.png()"), 10_000_000).convert("RGB"))
    assert bytes.fromhex(PALETTE["wall"][1:]) in {bytes(pixel) for pixel in painted[32]}
    shown = page.evaluate("document.querySelector('.pad canvas.picture').toDataURL('image/png')")
    assert np.asarray(from_data_url(shown, 10_000_000).convert("RGB")).std() > 5

    page.locator("#hub-send").get_by_text("Send this model", exact=False).click()
    page.locator("#hub-send").get_by_text("Delete", exact=True).click()
    delete = page.get_by_role("button", name="Delete this model for good")
    delete.click()
    page.get_by_text(f"'{SAMPLE_NAME}' is deleted.").wait_for()
    page.wait_for_selector("#models .card[data-name=other][aria-pressed=true]")
    assert page.locator("#models .card").count() == 1
    assert [*(workspace / "models").iterdir()] == [] and len([*workspace.glob("runs/*/model")]) == 1
    delete.wait_for(state="hidden")  # lest a second click deletes the model that is chosen now
    page.locator("#hub-send").get_by_text("Delete", exact=True).click()
    delete.click()
    page.get_by_text("'other' came with the program: choose a model of your own.").wait_for()


def test_the_sample_is_made_once_and_found_again(workspace: Path) -> None:
    assert library.library_items()[1].visible
    made = library.ready_sample(gr.Progress())
    assert list(list_datasets(workspace / "datasets")) == [made.name] == [SAMPLE_NAME]
    before = {file: file.stat().st_mtime_ns for file in made.rglob("*")}
    assert library.ready_sample(gr.Progress()) == made
    assert {file: file.stat().st_mtime_ns for file in made.rglob("*")} == before
    assert not library.library_items()[1].visible
