"""A Space on ZeroGPU, with a fake of the package that lends the GPU."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.picture import data_url, save_png
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.nn.device import pick_device
from pix2pix.ui import zero_gpu
from pix2pix.ui.page import build_page
from tests.support.models_and_servers import awaited, noise, save_tiny_model
from tests.support.page_server import handler


class FakeSpaces:
    """`spaces.GPU`: what it decorates is called with what a pipe lets through."""

    def __init__(self) -> None:
        self.decorated: list[Callable[..., Any]] = []
        self.borrowed: list[int] = []  # seconds of each call
        self.error: Exception | None = None

    def GPU(self, task: Callable[..., Any], *, duration: Callable[..., int]) -> Callable[..., Any]:
        self.decorated.append(task)

        def borrow(*given: Any) -> Any:
            given = pickle.loads(pickle.dumps(given))
            self.borrowed.append(duration(*given))
            if self.error:
                raise self.error
            return pickle.loads(pickle.dumps(task(*given)))

        return borrow


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> FakeSpaces:
    """ZeroGPU on a machine without a GPU: there, "cuda" is the CPU."""
    fake = FakeSpaces()
    monkeypatch.setattr(zero_gpu, "spaces", fake)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(
        "pix2pix.models.translator.pick_device",
        lambda name: torch.device("cpu") if name == "cuda" else pick_device(name),
    )
    return fake


def models_in(folder: Path) -> TranslatorCache:
    save_tiny_model(folder / "models" / "faces")
    return TranslatorCache(lambda: [folder / "models"])


def test_photos_and_batches_borrow_the_gpu_and_the_pad_does_not(
    spaces: FakeSpaces, tmp_path: Path
) -> None:
    models = models_in(tmp_path)
    page = build_page(models, queued=zero_gpu.borrow_models(models))
    assert len(spaces.decorated) == 1
    photo, file = noise(100, 70), tmp_path / "photo.png"
    save_png(photo, file)

    right = models.get("faces").translate(photo)
    assert handler(page, "translate")(str(file), "faces") == right
    assert len(spaces.borrowed) == 1
    visitor, progress = SimpleNamespace(session_hash="s"), lambda *a, **k: None
    asked_for = 1.0, str(file), "faces", "", "auto", "pencil", "", "", False, ""
    handler(page, "vary")(*asked_for, visitor, progress)
    assert len(spaces.borrowed) == 1 + 4

    pictures, _, said = handler(page, "translate_batch")(
        [str(file), str(file)], "faces", "", "", "stored", "", visitor, progress
    )
    assert said.startswith("2 of 2")
    stored = models.get("faces").translate(photo, norm="stored")
    assert Image.open(pictures[1][0]).tobytes() == stored.tobytes() != right.tobytes()
    assert len(spaces.borrowed) == 5 + 2

    component = next(b for b in page.blocks.values() if hasattr(b, "variations"))
    asked = {"model": "faces", "image": data_url(photo), "seed": None}
    assert awaited(component.translate(asked)) == {"image": data_url(right)}
    assert len(spaces.borrowed) == 7


def test_without_the_package_or_the_hardware_models_are_as_they_were(
    spaces: FakeSpaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = models_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(zero_gpu, "spaces", None)
        assert zero_gpu.borrow_models(models) is models
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert zero_gpu.borrow_models(models) is models and not spaces.decorated


def test_what_goes_wrong_beyond_the_fork_is_said_here(spaces: FakeSpaces, tmp_path: Path) -> None:
    lent = zero_gpu.borrow_models(models_in(tmp_path))
    with pytest.raises(UserError, match="There is no model 'nobody'"):
        lent.get("nobody")
    model = lent.get("faces")
    with pytest.raises(Cancelled):
        model.translate(noise(9, 9), should_stop=lambda: True)
    spaces.error = gr.Error("You have exceeded your quota.")
    with pytest.raises(UserError, match="quota"):
        model.translate(noise(9, 9))
    spaces.error = None
    (tmp_path / "models" / "faces" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="There is no model 'faces'"):
        model.translate(noise(9, 9))


def test_a_large_picture_asks_for_more_seconds_within_what_is_lent() -> None:
    asked = [zero_gpu.gpu_seconds("", Image.new("1", size), None, "", "") for size in
             [(256, 256), (5000, 4000), (20000, 10000)]]  # fmt: skip
    assert asked == [15, 35, 120]


def test_no_cuda_is_sought_outside_a_call_and_training_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as `spaces` promises
    assert pick_device().type == "cuda" and zero_gpu.training_hint() == ""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert pick_device().type == "cpu" and "Hugging Face Jobs" in zero_gpu.training_hint()
