"""A model's samples reach it as they are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from PIL import Image

from pix2pix.imaging.picture import save_png
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.limits import Limits
from pix2pix.ui.translate.tab import translate_tab
from tests.support.models_and_servers import noise, save_tiny_model


def test_a_sample_that_is_picked_keeps_its_pixels(tmp_path: Path) -> None:
    model, sample = save_tiny_model(tmp_path / "models" / "tiny"), noise(48, 40)
    save_png(sample, model / "samples" / "A view.png")
    models = TranslatorCache(lambda: [tmp_path / "models"])
    with gr.Blocks() as page:
        translate_tab(models, models, Limits())
    pick = next(event for event in page.fns.values() if event.name == "pick")
    (photo,) = pick.outputs
    sent = photo.postprocess(pick.fn(SimpleNamespace(index=0), "tiny"))
    with Image.open(photo.preprocess(sent)) as arrived:
        assert arrived.convert("RGB").tobytes() == sample.tobytes()
