"""Model folders: what is saved comes back; the broken and the hostile is refused in a sentence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pix2pix.config import train_config
from pix2pix.errors import UserError
from pix2pix.model_config import DiscriminatorConfig, GeneratorConfig, ModelConfig
from pix2pix.models import folder as models_folder
from pix2pix.models import saving
from pix2pix.models.folder import find_model, list_models, load_model, read_config
from pix2pix.models.saving import save_model
from pix2pix.nn.generators import build_generator

SMALL = GeneratorConfig(size=64, ngf=4)


def make_model(
    folder: Path, config: GeneratorConfig = SMALL, half: bool = False
) -> torch.nn.Module:
    torch.manual_seed(0)
    generator = build_generator(config)
    generator(torch.randn(2, config.source_channels, 64, 64))  # running statistics of its own
    save_model(folder, generator.eval(), ModelConfig(config, title="Small"), "# Small\n", half)
    return generator


def edit_config(folder: Path, **values: Any) -> None:
    data = json.loads((folder / "config.json").read_text())
    for path, value in values.items():
        *parents, key = path.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[key] = value
    (folder / "config.json").write_text(json.dumps(data))


def assert_refused(folder: Path, says: str) -> None:
    with pytest.raises(UserError, match=says) as refusal:
        load_model(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["unet", "small-unet", "resnet"])
def test_float32_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    config = GeneratorConfig(kind=kind, size=64, ngf=4, blocks=1, source_channels=1)
    saved = make_model(tmp_path / "m", config)
    loaded, found = load_model(tmp_path / "m")
    assert found == ModelConfig(config, title="Small") and not loaded.training
    assert saved.state_dict().keys() == loaded.state_dict().keys()
    for name, value in saved.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    source = torch.randn(1, 1, 64, 64)
    assert torch.equal(saved(source), loaded(source))
    assert (tmp_path / "m" / "README.md").read_text() == "# Small\n"


def test_half_stores_float16_but_not_statistics(tmp_path: Path) -> None:
    saved = make_model(tmp_path / "m", half=True)
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    kinds = {name.rpartition(".")[2]: value.dtype for name, value in tensors.items()}
    assert kinds["weight"] is torch.float16 and kinds["running_var"] is torch.float32
    loaded, _ = load_model(tmp_path / "m")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    source = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert (saved(source) - loaded(source)).abs().max() < 0.01


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_loading_is_strict(change: str, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    if change == "missing":
        del tensors["out.bias"]
    elif change == "extra":
        tensors["more.weight"] = torch.zeros(1)
    else:
        tensors["out.bias"] = torch.zeros(4)
    save_file(tensors, file)
    assert_refused(tmp_path / "m", "do not fit")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"colour": "blue"}, "does not know: colour"),
        ({"generator__height": 3}, "does not know: height"),
        ({"generator__ngf": "64"}, "ngf must be of type int"),
        ({"generator__ngf": True}, "ngf must be of type int"),
        ({"generator__ngf": float("nan")}, "ngf must be of type int"),
        ({"generator__bias": 1}, "bias must be of type bool"),
        ({"generator__kind": "vae"}, "kind must be one of"),
        ({"generator__kind": ["unet"]}, "kind must be one of"),
        ({"generator__size": 100}, "Size must be"),
        ({"generator__size": 0}, "Size must be"),
        ({"generator__ngf": 10**9}, "ngf must be from"),
        ({"generator": [1]}, "named fields"),
        ({"norm_mode": "own"}, "norm_mode must be one of"),
        ({"title": None}, "title must be of type str"),
        ({"format_version": 99}, "update Pix2Pix Studio"),
        ({"generator__ngf": 10**400}, "ngf must be from"),
        ({"ranges": {"target": [0, 10**400]}}, "the smaller first"),
        ({"numbers": {"target": {"type": [], "channels": 1}}}, "must name a type"),
    ],
)
def test_configs_are_validated(values: dict, says: str, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    edit_config(tmp_path / "m", **values)
    assert_refused(tmp_path / "m", says)
    assert list_models([tmp_path]) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "named fields"),
        ("null", "named fields"),
        ("[" * 100_000, "not valid JSON"),
        ('{"title": "x"}', "no generator"),
        (" " * 1_000_001, "too large"),
        ("\udcff", "not valid JSON"),
    ],
)
def test_broken_json_is_refused(text: str, says: str, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert_refused(tmp_path / "m", says)


def test_training_settings_are_validated() -> None:
    wrong = {"lr": "nan", "beta1": "inf", "batch_size": "0", "ngf": "x", "mirror": "maybe"}
    for key, value in wrong.items():
        with pytest.raises(UserError, match=key):
            train_config("maps", {key: value})
    with pytest.raises(UserError, match="no preset 'x'"):
        train_config("x")
    with pytest.raises(UserError, match="layers"):
        DiscriminatorConfig(layers=7)


def test_a_giant_network_is_refused_without_being_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "m")
    edit_config(tmp_path / "m", generator__ngf=256, generator__size=1024)  # 1.1 billion weights
    real, devices = models_folder.construct_generator, set()

    def watched(config: GeneratorConfig) -> torch.nn.Module:
        network = real(config)
        devices.update(p.device.type for p in network.parameters())
        return network

    monkeypatch.setattr(models_folder, "construct_generator", watched)
    assert_refused(tmp_path / "m", "do not fit")
    assert devices == {"meta"}


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path("ran").touch, ())


def test_pickles_named_safetensors_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(pickle.dumps(Bomb()))
    assert_refused(tmp_path / "m", "not a safetensors file")
    torch.save({"out.bias": Bomb()}, file)
    assert_refused(tmp_path / "m", "not a safetensors file")
    assert not (tmp_path / "ran").exists()


def test_cut_off_and_absent_weights_are_refused(tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert_refused(tmp_path / "m", "not a safetensors file")
    file.unlink()
    assert_refused(tmp_path / "m", "missing")
    assert_refused(tmp_path / "absent", "There is no model in 'absent'")


def test_listing_skips_what_does_not_work(tmp_path: Path) -> None:
    for name in ("b", "a", "broken", "weightless"):
        make_model(tmp_path / "mine" / name)
    make_model(tmp_path / "shipped" / "a")
    make_model(tmp_path / "shipped" / "c")
    (tmp_path / "mine" / "broken" / "config.json").write_text("{")
    (tmp_path / "mine" / "weightless" / "model.safetensors").unlink()
    (tmp_path / "mine" / "file").touch()
    found = list_models([tmp_path / "mine", tmp_path / "shipped", tmp_path / "absent"])
    assert list(found) == ["a", "b", "c"]
    assert found["a"].parent.name == "mine"  # earlier folders win
    assert find_model("c", [tmp_path / "shipped"]) == tmp_path / "shipped" / "c"
    assert find_model(str(tmp_path / "mine" / "b"), []) == tmp_path / "mine" / "b"
    with pytest.raises(UserError, match="choose from a, c"):
        find_model("x", [tmp_path / "shipped"])


@pytest.mark.parametrize("fails", ["weights", "config"])
def test_a_failing_save_leaves_the_old_model(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_model(tmp_path / "m")

    def full(*args: Any, **kwargs: Any) -> None:
        if args and isinstance(args[-1], Path):
            args[-1].write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_file" if fails == "weights" else "write_json", full)
    with pytest.raises(OSError, match="No space"):
        save_model(tmp_path / "m", old, ModelConfig(SMALL, title="New"), "# New\n")
    loaded, config = load_model(tmp_path / "m")
    assert config.title == "Small"
    if fails == "weights":
        assert all(map(torch.equal, old.state_dict().values(), loaded.state_dict().values()))
    assert sorted(f.name for f in (tmp_path / "m").iterdir()) == [
        "README.md", "config.json", "model.onnx", "model.safetensors"
    ]  # fmt: skip


def test_config_json_holds_everything(tmp_path: Path) -> None:
    config = ModelConfig(
        SMALL, "T", "sketch", "photo", "BtoA", "stored", "labels",
        [{"name": "wall", "color": "#0000ff"}], "whole", {"steps": 3},
    )  # fmt: skip
    save_model(tmp_path / "m", build_generator(SMALL), config, "")
    assert read_config(tmp_path / "m") == config
