"""What another program makes of an exported model is what the app makes of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pix2pix.models import saving
from pix2pix.models.folder import GRAPH
from pix2pix.models.translator import Translator
from tests.support.models_and_servers import load_script, save_tiny_model, tiny_config

pytestmark = pytest.mark.usefixtures("float32")


def export(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["export_onnx.py", *map(str, words)])
    return load_script("export_onnx").main()


def test_one_file_makes_the_same_picture_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = tiny_config({"upsample": "resize"}, title="Tiny", source_name="a")
    model, file = save_tiny_model(tmp_path / "model", config), tmp_path / "alone" / "tiny.onnx"
    assert export(monkeypatch, "--model", model, "--out", file) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["bytes"] == file.stat().st_size and 0 < said["difference"] < 1e-4
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(file)
    source = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 128)).astype(np.float32)
    made = session.run(["generated"], {"source": source})[0]
    assert np.ptp(made) > 0.01
    assert np.abs(made[0] - Translator.load(model, "cpu").forward(source[0], None)).max() < 1e-6
    facts = session.get_modelmeta().custom_metadata_map
    names = {"title": "Tiny", "source": "a", "target": "target"}
    assert facts == {**names, "size": "64", "multiple": "64"}


def test_graphs_come_beside_the_weights_that_lack_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folders = [save_tiny_model(tmp_path / name) for name in "ab"]
    graph = (folders[0] / GRAPH).read_bytes()
    (folders[0] / GRAPH).unlink()
    (folders[1] / GRAPH).write_bytes(b"of other weights")
    assert export(monkeypatch, "--beside", *folders, tmp_path / "none") == 1
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["onnx"] for one in said["written"]] == [str(f / GRAPH) for f in folders]
    assert len(said["refused"]) == 1
    assert all((folder / GRAPH).read_bytes() == graph for folder in folders)


@pytest.mark.parametrize("where", ["--model", "--beside"])
def test_a_graph_that_makes_another_picture_is_not_written(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    model, file = save_tiny_model(tmp_path / "model"), tmp_path / "tiny.onnx"
    file.write_bytes(b"exported before")
    (model / GRAPH).write_bytes(b"written before")
    monkeypatch.setattr(saving, "_checked_graphs", set())
    # The graph is of the norm that the config says, and the network is made to use the other.
    own = saving.use_own_statistics
    monkeypatch.setattr(saving, "use_own_statistics", lambda net, use: own(net, not use))
    assert export(monkeypatch, where, model, *(["--out", file] if where == "--model" else [])) == 1
    said = capsys.readouterr().err
    assert said.startswith("The ONNX graph differs from the model by 0.") or "by 1." in said
    assert "and was not written" in said
    assert file.read_bytes() == b"exported before"
    assert (model / GRAPH).read_bytes() == b"written before"


def test_without_the_packages_a_sentence_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    model, file = save_tiny_model(tmp_path / "model"), tmp_path / "x.onnx"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for words in (["--model", model, "--out", file], ["--beside", model]):
        assert export(monkeypatch, *words) == 1
        needed = "Exporting needs two more packages: pip install onnx onnxruntime\n"
        assert capsys.readouterr().err == needed and not file.exists()
