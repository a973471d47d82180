"""What another program makes of an exported model is what the app makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from pix2pix.model_config import GeneratorConfig, ModelConfig
from pix2pix.models.translator import Translator
from tests.support.models_and_servers import load_script, save_tiny_model

pytestmark = pytest.mark.usefixtures("float32")

ROOT = Path(__file__).resolve().parents[2]
NEEDED = "ONNX files are not tried: it needs pip install onnx onnxscript onnxruntime"
NETWORKS = {
    "batch": (GeneratorConfig(size=64, ngf=4), "batch"),
    "stored": (GeneratorConfig(size=64, ngf=4), "stored"),
    "resize": (GeneratorConfig(size=64, ngf=4, upsample="resize", norm="instance"), "batch"),
    "grey": (GeneratorConfig(kind="resnet", size=64, ngf=4, blocks=1, source_channels=1), "batch"),
    "small": (GeneratorConfig(kind="small-unet", size=64), "batch"),
    "hints": (GeneratorConfig(size=64, ngf=4, hints=True), "batch"),
}


def export(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["export_onnx.py", *map(str, words)])
    return load_script("export_onnx").main()


@pytest.mark.parametrize("kind", NETWORKS)
def test_another_program_makes_the_same_picture(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason=NEEDED)
    pytest.importorskip("onnxscript", reason=NEEDED)
    network, norm_mode = NETWORKS[kind]
    config = ModelConfig(network, title="Tiny", source_name="a", norm_mode=norm_mode)
    save_tiny_model(tmp_path / "model", config)
    file = tmp_path / "tiny.onnx"
    assert export(monkeypatch, "--model", tmp_path / "model", "--out", file) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["bytes"] == file.stat().st_size
    session = runtime.InferenceSession(file)
    source = np.random.default_rng(0).uniform(-1, 1, said["source"]).astype(np.float32)
    target = session.run(["target"], {"source": source})[0]
    ours = Translator.load(tmp_path / "model", "cpu").forward(source[0], None)
    assert np.ptp(ours) > 0.01
    assert np.abs(target[0] - ours).max() < 1e-4
    assert 0 < said["difference"] < 1e-4
    # Where there is no runtime the file is tried by onnx itself.
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert np.abs(load_script("export_onnx").made_by_file(file, source) - target).max() < 1e-4
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata == {"title": "Tiny", "source": "a", "target": "target"}


def test_a_file_that_makes_another_picture_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("onnxscript", reason=NEEDED)
    save_tiny_model(tmp_path / "model")
    file = tmp_path / "tiny.onnx"
    file.write_bytes(b"exported before")
    script = load_script("export_onnx")
    words = ["export_onnx.py", "--model", str(tmp_path / "model"), "--out", str(file)]
    monkeypatch.setattr(sys, "argv", words)

    class Shifted(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, source: Tensor) -> Tensor:
            return self.network(source) + 0.1

    def refused(difference: str) -> bool:
        code, said = script.main(), capsys.readouterr()
        assert file.read_bytes() == b"exported before" and not said.out
        assert sorted(f.name for f in tmp_path.iterdir()) == ["model", "tiny.onnx"]
        words = "and was not saved: try other versions of onnx and onnxscript."
        told = f"What was exported differs from the model by {difference} {words}\n"
        return (code, said.err) == (1, told)

    faithful = script.with_instance_norm
    monkeypatch.setattr(script, "with_instance_norm", lambda network: Shifted(faithful(network)))
    assert refused("0.1")
    monkeypatch.setattr(script, "save", lambda *_: None)
    monkeypatch.setattr(script, "made_by_file", lambda file, source: np.nan * source)
    assert refused("nan")


def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    network = GeneratorConfig(size=64, ngf=4)
    save_tiny_model(tmp_path / "model", ModelConfig(network))
    words = ["--model", tmp_path / "model", "--out", tmp_path / "x.onnx"]
    assert export(monkeypatch, *words, "--size", "100") == 1
    assert capsys.readouterr().err == "The size must be a multiple of 64.\n"
    assert not (tmp_path / "x.onnx").exists()


def test_without_the_packages_a_sentence_names_them(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    words = ["export_onnx.py", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "x")]
    absent = f"import runpy, sys; sys.modules['onnxscript'] = None; sys.argv = {words}; "
    absent += f"runpy.run_path({str(ROOT / 'scripts' / 'export_onnx.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", absent], capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / "x").exists()
    assert done.stderr == "Exporting needs two more packages: pip install onnx onnxscript\n"
