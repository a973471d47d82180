"""The settings of a new run: what a model, a dataset and a preset bring, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

from pix2pix.config import TrainConfig, train_config
from pix2pix.errors import UserError
from pix2pix.model_config import ModelConfig
from pix2pix.nn.discriminators import build_discriminator
from pix2pix.nn.generators import build_generator
from pix2pix.presets import PRESETS
from pix2pix.training.resolve_config import describe_losses, read_run, resolve_config, run_config
from pix2pix.utils.validation import setting_text
from scripts import train as script
from tests.support.drawn_pairs import draw_dataset
from tests.support.models_and_servers import save_tiny_model, tiny_config

FACES = {"source_name": "sketch", "target_name": "photo"}
SKETCH = tiny_config(direction="BtoA", source_kind="drawing", **FACES)
LABELS = tiny_config(source_kind="labels", source_name="labels", target_name="facade")
GREY = tiny_config({"source_channels": 1}, training={"preset": "colorize"},
                   source_name="grey", target_name="colour")  # fmt: skip
UNNAMED = tiny_config(direction="BtoA", source_kind="drawing")
TASK = ("direction", "source_kind", "derive", "source_name", "target_name")


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data", train=1)


def named(data: Path, a: str, b: str, **more: object) -> None:
    (data / "dataset.json").write_text(json.dumps({"source_name": a, "target_name": b, **more}))


def task(
    data: Path, model: ModelConfig, preset: str = "recommended", **given: str
) -> tuple[str, ...]:
    begin = save_tiny_model(data.parent / "model", model)
    config = resolve_config(preset, given, data, begin)
    return tuple(getattr(config, name) for name in TASK)


# --------------------------------------------------------------------- a model to start from


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (SKETCH, ("BtoA", "drawing", "pairs", "sketch", "photo")),
        (LABELS, ("AtoB", "labels", "pairs", "labels", "facade")),
        (GREY, ("AtoB", "photo", "grey", "grey", "colour")),
        (UNNAMED, ("BtoA", "drawing", "pairs", "", "")),
    ],
    ids=["sketch", "labels", "grey", "unnamed"],
)
def test_a_run_takes_over_what_its_model_translates(
    model: ModelConfig, expected: tuple, data: Path
) -> None:
    assert task(data, model) == expected


@pytest.mark.parametrize(
    ("a", "b", "direction"),
    [
        ("photo", "sketch", "BtoA"),
        ("sketch", "photo", "AtoB"),
        ("Sketch", "PHOTO", "AtoB"),
        ("sketches", "photos", "AtoB"),  # as their folders were called
        ("photos", "sketches", "BtoA"),
        ("sketch photo", "sketch photo", "BtoA"),
        ("sketch", "picture", "BtoA"),  # one name alone tells nothing
        ("drawing", "picture", "BtoA"),
    ],
)
def test_names_tell_the_direction_before_the_model_does(
    a: str, b: str, direction: str, data: Path
) -> None:
    named(data, a, b)
    found = task(data, SKETCH)
    assert found[:2] == (direction, "drawing")
    assert found[3:] == ((a, b) if direction == "AtoB" else (b, a))  # the dataset's own words


@pytest.mark.parametrize(
    ("preset", "said", "direction"),
    [
        ("face-sketch", ("sketches", "photos", {}), "AtoB"),
        ("face-sketch", ("photos", "Sketches", {}), "BtoA"),
        ("face-sketch", ("lines", "photos", {}), "BtoA"),  # nothing tells: as in its tutorial
        ("face-sketch", ("lines", "photos", {"source_kind": "drawing"}), "AtoB"),
        ("cityscapes", ("labels", "street", {"label_maps": [True, False]}), "AtoB"),
        ("cityscapes", ("street", "labels", {"label_maps": [False, True]}), "BtoA"),
        ("cityscapes", ("A", "B", {}), "BtoA"),
        ("maps", ("street", "labels", {"label_maps": [False, True]}), "AtoB"),
        ("colorize", ("colour", "grey", {}), "AtoB"),
    ],
)
def test_a_preset_with_a_direction_finds_its_sources(
    preset: str, said: tuple, direction: str, data: Path
) -> None:
    named(data, *said[:2], **said[2])
    assert resolve_config(preset, {}, data).direction == direction
    assert resolve_config(preset, {"direction": "AtoB"}, data).direction == "AtoB"


def test_equal_names_tell_no_direction(data: Path) -> None:
    named(data, "face", "face")
    model = dataclasses.replace(SKETCH, source_name="face", target_name="face")
    assert task(data, model)[0] == "BtoA"


def test_what_is_given_wins_over_the_model(data: Path) -> None:
    assert task(data, SKETCH, source_kind="photo", target_name="face") == (
        *("BtoA", "photo", "pairs", "sketch", "face"),
    )
    assert task(data, GREY, derive="pairs")[2] == "pairs"
    # The other way round its source is no drawing, and no sketch.
    assert task(data, SKETCH, direction="AtoB") == ("AtoB", "photo", "pairs", "", "")
    assert task(data, GREY, direction="BtoA")[:3] == ("BtoA", "photo", "grey")


def test_networks_without_hints_train_on_drawings_with_ink(data: Path) -> None:
    named(data, "lines", "photo", inputs={"derive": "lines+colours"})
    for preset, given, hints in [
        ("recommended", {}, True),
        ("recommended", {"hints": "false"}, False),
        ("maps", {"generator": "resnet"}, False),
        ("cityscapes", {"direction": "AtoB"}, False),
    ]:
        config = resolve_config(preset, given, data)
        assert (config.source_kind, config.hints, config.gate) == ("drawing", hints, hints)


def test_a_preset_of_grey_sources_keeps_them(data: Path) -> None:
    assert task(data, LABELS, "colorize") == ("AtoB", "photo", "grey", "grey", "colour")


def test_a_dataset_of_label_maps_says_so_itself(data: Path) -> None:
    named(data, "photo", "sketch", label_maps=[False, True])
    assert task(data, SKETCH)[1] == "labels"


@pytest.mark.parametrize(
    ("preset", "sides", "given", "expected"),
    [
        ("recommended", [False, True], {}, ("patch", "bce", 100.0, True)),
        ("quick", [False, True], {}, ("patch", "bce", 100.0, True)),
        ("recommended", [True, False], {}, ("projected", "hinge", 10.0, False)),
        ("recommended", [True, False], {"direction": "BtoA"}, ("patch", "bce", 100.0, True)),
        ("recommended", [False, True], {"lambda_l1": "20"}, ("projected", "hinge", 20.0, False)),
        ("maps", [False, True], {}, ("patch", "bce", 100.0, False)),
    ],
)
def test_label_maps_as_targets_are_judged_by_their_pixels(
    data: Path, preset: str, sides: list[bool], given: dict[str, str], expected: tuple
) -> None:
    named(data, "photo", "map", label_maps=sides)
    config = resolve_config(preset, given, data)
    told = describe_losses(config, data)
    assert (config.discriminator, config.adversarial, config.lambda_l1, bool(told)) == expected
    rates = {"projected": 1.8e-3, "patch": 2e-4 if preset == "maps" else 4e-4}
    assert config.lr == rates[config.discriminator]
    faster = resolve_config(preset, {**given, "lr": "0.003"}, data)
    assert faster == dataclasses.replace(config, lr=0.003), "which replaces no losses"


def test_the_command_takes_over_the_same(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny_model(tmp_path / "model", SKETCH)
    words = ["train.py", f"--data={data}", f"--run={tmp_path / 'run'}", f"--from={model}"]
    monkeypatch.setattr(sys, "argv", words)
    config, *_ = script.run_settings(script.arguments())
    assert tuple(getattr(config, name) for name in TASK) == (
        *("BtoA", "drawing", "pairs", "sketch", "photo"),
    )
    assert (config.preset, config.ngf, config.size) == ("recommended", 4, 64)


# --------------------------------------------------------------- settings that change nothing

OF_GENERATOR = {"ngf": 8, "norm": "none", "dropout": "none", "bias": False, "upsample": "resize",
                "blocks": 6}  # fmt: skip
OF_DISCRIMINATOR = {"ndf": 8, "norm": "none", "layers": 2}


@pytest.mark.parametrize(
    ("part", "kind", "changes"),
    [
        *(("generator", kind, OF_GENERATOR) for kind in ("unet", "small-unet", "resnet")),
        *(("discriminator", kind, OF_DISCRIMINATOR) for kind in ("patch", "scratch", "cityscapes")),
    ],
)
def test_a_setting_is_refused_just_where_it_changes_nothing(
    part: str, kind: str, changes: dict
) -> None:
    plain = TrainConfig(**{part: kind, "size": 64, "ngf": 4, "ndf": 4})
    for key, value in changes.items():
        words = {part: kind, key: setting_text(value)}
        if built(dataclasses.replace(plain, **{key: value})) != built(plain):
            assert getattr(train_config("maps", words), key) == value
            continue
        with pytest.raises(UserError, match=f"^{part}={kind} has no setting '{key}': .*\\.$"):
            train_config("maps", words)


def built(config: TrainConfig) -> str:
    """The layers of both networks."""
    with torch.device("meta"):
        generator = build_generator(config.generator_config())
        return f"{generator}{build_discriminator(config.discriminator_config())}"


def test_what_stands_in_presets_models_and_older_runs_is_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for preset in PRESETS:
        config = train_config(preset)
        assert train_config(preset, {"ngf": str(config.ngf)}) == config  # as it stands there
    with pytest.raises(UserError, match="upsample"):  # also where the preset has the same
        train_config("recommended", {"generator": "small-unet", "upsample": "resize"})
    old = dataclasses.replace(train_config("cityscapes"), ngf=32, layers=2, size=64, jitter=0)
    model = save_tiny_model(tmp_path / "model", tiny_config({"kind": "small-unet", "ngf": 32}))
    assert resolve_config("maps", {}, data, model).ngf == 32
    run = tmp_path / "run"
    run.mkdir()
    saved = run_config(old, data, None, torch.device("cpu"))
    (run / "config.json").write_text(json.dumps(saved))
    assert read_run(run)[0] == old
    words = ["train.py", f"--run={run}", "--resume", "--epochs=7"]
    monkeypatch.setattr(sys, "argv", words)
    config, *_ = script.run_settings(script.arguments())
    assert config == dataclasses.replace(old, epochs=7)
    monkeypatch.setattr(sys, "argv", [*words, "--set", "ngf=16"])
    with pytest.raises(UserError, match="generator=small-unet has no setting 'ngf'"):
        script.run_settings(script.arguments())
