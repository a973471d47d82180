"""The graph beside the weights makes PyTorch's picture, and the translator uses it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.picture import data_url
from pix2pix.models import folder as models_folder
from pix2pix.models.folder import GRAPH, WEIGHTS, load_model
from pix2pix.models.onnx_runtime import OnnxEngine
from pix2pix.models.saving import save_model
from pix2pix.models.translator import Translator
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.nn.layers import use_own_statistics
from pix2pix.ui.translate.tab import live_functions
from tests.support.models_and_servers import (
    load_script,
    noise,
    save_tiny_model,
    tiny_config,
    tiny_generator,
)

NEEDED = "graphs are not tried: it needs pip install onnx onnxruntime"
onnxruntime = pytest.importorskip("onnxruntime", reason=NEEDED)
onnx = pytest.importorskip("onnx", reason=NEEDED)
pytestmark = pytest.mark.usefixtures("float32")

NETWORKS = {
    "unet": ({}, "batch"),
    "stored": ({}, "stored"),
    "resize": ({"upsample": "resize", "bias": False, "widest": 4, "depth": 4}, "batch"),
    "instance": ({"upsample": "resize", "norm": "instance"}, "batch"),
    "hints": ({"hints": True, "depth": 4}, "batch"),
    "gate": ({"hints": True, "gate": True, "depth": 4}, "batch"),
    "noise": ({"noise": True, "depth": 4}, "batch"),
    "tint": ({"noise": True, "tint": True, "source_channels": 1, "depth": 4}, "batch"),
    "residual": ({"residual": True, "source_channels": 1, "depth": 4}, "batch"),
    "small": ({"kind": "small-unet"}, "batch"),
    "resnet": ({"kind": "resnet", "blocks": 1, "source_channels": 1}, "batch"),
    "resnet-plain": ({"kind": "resnet", "blocks": 2, "norm": "none", "dropout": "none"}, "batch"),
}


@pytest.mark.parametrize("half", [True, False], ids=["float16", "float32"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_graph_makes_pytorchs_picture_at_every_size(
    kind: str, half: bool, tmp_path: Path
) -> None:
    network, norm_mode = NETWORKS[kind]
    config = tiny_config(network, norm_mode=norm_mode)
    save_model(tmp_path / "model", tiny_generator(config), config, "", half)
    file = tmp_path / "model" / GRAPH
    assert file.stat().st_size < 100_000
    onnx.checker.check_model(file, full_check=True)
    # As another program does, which looks for the weights beside the file.
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    generator, _ = load_model(tmp_path / "model")
    use_own_statistics(generator, norm_mode == "batch")
    multiple = config.generator.multiple
    for height, width in ((64, 64), (64 + multiple, 64 + 16 * multiple)):
        shape = 1, config.generator.source_channels, height, width
        source = np.random.default_rng(height).uniform(-1, 1, shape).astype(np.float32)
        tint = [np.float32([[0.5, -0.2, 0.9]])] if kind == "tint" else []
        with torch.inference_mode():
            target = generator(*map(torch.from_numpy, [source, *tint])).numpy()
        inputs = {"source": source} | ({"tint": tint[0].reshape(1, 3, 1, 1)} if tint else {})
        made = session.run(["generated"], inputs)[0]
        own = OnnxEngine(file.read_bytes(), file.parent).run(source, *tint)
        assert np.array_equal(own, made)
        assert np.ptp(target) > 0.01
        assert np.abs(made - target).max() < 1e-4


def difference(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


def without_onnx(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Translator:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        return Translator.load(folder, "cpu")


def test_onnx_runtime_paints_what_has_no_noise_and_pytorch_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny_model(tmp_path / "model")
    ours, plain = Translator.load(folder, "cpu"), without_onnx(folder, monkeypatch)
    runs: list[tuple[int, ...]] = []
    engine = ours._onnx
    assert engine and plain._onnx is None and Translator(*load_model(folder), "cpu")._onnx is None
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda source: (runs.append(source.shape), run(source))[1])
    source = noise(100, 70)
    assert difference(ours(source), plain(source)) <= 1
    assert len(runs) == 4  # tiles
    assert ours(source, seed=1) == plain(source, seed=1)  # to the last bit
    assert ours(source, norm="stored") == plain(source, norm="stored")
    assert len(runs) == 4
    assert ours(source, fit="whole", norm="batch").size == source.size and len(runs) == 5


def test_the_page_and_the_command_make_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_model(tmp_path / "models" / "faces")
    source = tmp_path / "drawing.png"
    noise(64, 64).save(source)
    translate, _ = live_functions(TranslatorCache(lambda: [tmp_path / "models"], "cpu"))
    image = data_url(Image.open(source))
    answer = translate({"model": "faces", "image": image, "seed": None})
    model, out = tmp_path / "models" / "faces", tmp_path / "out"
    words = [source, "--model", model, "--out", out, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["translate.py", *map(str, words)])
    assert load_script("translate").main() == 0
    made = Image.open(out / "drawing.png")
    assert np.ptp(np.asarray(made)) > 3
    assert difference(from_data_url(answer["image"], 10**6), made) == 0


def test_a_runtime_that_fails_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, source = save_tiny_model(tmp_path / "model"), noise(64, 64)
    expected = without_onnx(folder, monkeypatch)(source)

    def fail(*_: object) -> None:
        raise RuntimeError("no such instruction")

    for module in ("onnx_runtime", "saving"):
        monkeypatch.setattr(f"pix2pix.models.{module}.open_session", fail)
    assert Translator.load(folder, "cpu")(source) == expected
    assert "ONNX Runtime cannot run 'model'" in caplog.text
    save_tiny_model(tmp_path / "other", tiny_config({"ngf": 6}))  # as a run saves it
    assert "'other' has no model.onnx: ONNX Runtime cannot run the graph" in caplog.text


def test_memory_that_runs_out_is_one_sentence(tmp_path: Path) -> None:
    translator = Translator.load(save_tiny_model(tmp_path / "model"), "cpu")

    class Full:
        def run(self, *_: object) -> None:
            raise Exception("[ONNXRuntimeError] : 6 : Failed to allocate memory for buffer")

    translator._onnx._session = Full()
    with pytest.raises(Exception, match="The memory ran out: choose a smaller picture"):
        translator(noise(64, 64))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_threads_of_its_own(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as a session has them, whose threads no fork takes along
    try:
        translator = Translator.load(save_tiny_model(tmp_path / "model"), "cpu")
    finally:
        torch.set_num_threads(threads)
    source, context = noise(64, 64), multiprocessing.get_context("fork")
    expected, pipe = translator(source), context.Pipe()
    process = context.Process(target=lambda: pipe[1].send(translator(source)))
    process.start()
    assert pipe[0].poll(60)
    assert difference(pipe[0].recv(), expected) <= 1
    process.join(60)
    assert process.exitcode == 0


def test_a_graph_is_never_that_of_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny_model(tmp_path / "model")
    before = (folder / GRAPH).read_bytes()
    save_tiny_model(folder, seed=9)  # other numbers at the same places
    assert (folder / GRAPH).read_bytes() == before
    save_tiny_model(folder, tiny_config({"ngf": 8}))
    assert (folder / GRAPH).read_bytes() != before
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        patch.delitem(sys.modules, "pix2pix.models.onnx_graph")
        save_tiny_model(folder)
    assert not (folder / GRAPH).exists() and (folder / WEIGHTS).exists()


def test_models_are_listed_by_what_changed_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = models_folder.read_config
    monkeypatch.setattr(
        models_folder, "read_config", lambda f, *name: (read.append(f.name), real(f, *name))[1]
    )
    for name in ("a", "b"):
        save_tiny_model(tmp_path / name)
    read.clear()
    assert [list(models_folder.list_models([tmp_path])) for _ in range(3)] == [["a", "b"]] * 3
    assert sorted(read) == ["a", "b"]
    (tmp_path / "a" / models_folder.CONFIG).write_text("{}")
    save_tiny_model(tmp_path / "c")
    (tmp_path / "b" / WEIGHTS).unlink()
    assert list(models_folder.list_models([tmp_path])) == ["c"]
