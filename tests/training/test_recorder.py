"""What a run writes while it trains, and that writing it changes nothing."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pix2pix.config import TrainConfig
from pix2pix.data.build import build
from pix2pix.data.loader import PairDataset
from pix2pix.data.plan import make_plan
from pix2pix.data.records import Inputs, Recipe
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import evaluate
from pix2pix.evaluation.metrics import JUDGE
from pix2pix.imaging.grids import GAP
from pix2pix.models.folder import read_config
from pix2pix.models.saving import save_model
from pix2pix.models.translator import Translator
from pix2pix.nn.imagenet import installed
from pix2pix.training.checkpoints import best_checkpoint, publish_checkpoint
from pix2pix.training.loop import TrainProgress, run_loop
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.recorder import Recorder
from pix2pix.training.saved_state import (
    STATE_FILE,
    STATE_FORMAT,
    load_state,
    random_state,
    set_random_state,
)
from pix2pix.training.trainer import Trainer
from tests.support.drawn_pairs import COLOURS, draw_dataset, draw_folders

CPU = torch.device("cpu")
SMALL = TrainConfig(size=64, ngf=4, ndf=4, jitter=4, steps=9, save_every_steps=3, ema=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("recording") / "data", train=3, val=4)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_loop(folder, data, SMALL, device=CPU)
    return folder


def test_each_saved_model_is_measured_on_the_validation_pairs(run: Path, data: Path) -> None:
    rows = read_jsonl(run / "validation.jsonl")
    assert [row["step"] for row in rows] == [3, 6, 9] and [r["epoch"] for r in rows] == [0, 1, 2]
    assert {"l1", "psnr", "ssim", "train_l1", "spread"} <= set(rows[-1])
    losses = read_jsonl(run / "metrics.jsonl")
    assert rows[1]["train_l1"] == pytest.approx(sum(r["g_l1"] for r in losses[3:6]) / 6)
    # The last model's L1, computed here: one picture a forward, normalised by its own statistics,
    # and no dropout.
    trainer = Trainer(SMALL, CPU)
    state = torch.load(run / "state.pt", weights_only=True)
    trainer.load_state_dict(state["trainer"])
    pairs = [PairDataset(data, "val", SMALL).plain(i) for i in range(4)]
    generator = trainer.current_generator().train()
    for layer in generator.modules():
        layer.train(not isinstance(layer, nn.Dropout))
    with torch.no_grad():
        made = torch.cat([generator(source[None]) for source, _ in pairs])
    eight = [((x + 1) * 127.5).round() for x in (made, torch.stack([t for _, t in pairs]))]
    assert rows[-1]["l1"] == pytest.approx(float((eight[0] - eight[1]).abs().mean() / 255))
    measure = "perceptual" if "perceptual" in rows[0] else "l1"
    assert best_checkpoint(run).step == min(rows, key=lambda row: row[measure])["step"]


def test_of_models_that_make_label_maps_the_best_is_nearest_in_colour(
    data: Path, tmp_path: Path
) -> None:
    labels = shutil.copytree(data, tmp_path / "data")
    (labels / "dataset.json").write_text(json.dumps({"label_maps": [False, True]}))
    run_loop(tmp_path / "run", labels, SMALL, device=CPU)
    rows = read_jsonl(tmp_path / "run" / "validation.jsonl")
    assert rows and not any("perceptual" in row for row in rows)
    assert best_checkpoint(tmp_path / "run").step == min(rows, key=lambda row: row["l1"])["step"]


def test_looking_changes_nothing(data: Path, run: Path, tmp_path: Path) -> None:
    seldom = tmp_path / "seldom"
    run_loop(seldom, data, replace(SMALL, save_every_steps=100), device=CPU)
    one, two = (torch.load(r / "state.pt", weights_only=True)["trainer"] for r in (run, seldom))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(value, two[part][name]) for name, value in one[part].items())


def test_the_state_is_safe_before_anything_is_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop by force waits for seconds, and measuring may take a minute."""

    done: list[TrainProgress] = []

    def go() -> None:
        run_loop(tmp_path, data, SMALL, device=CPU, resume=True, on_progress=done.append,
              should_stop=lambda: len(done) == 2)  # fmt: skip

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("sample", "validate"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Recorder, name, killed)
            go()
        assert load_state(tmp_path)["step"] == 2
    go()
    (row,) = read_jsonl(tmp_path / "validation.jsonl")
    assert row["step"] == 2
    assert row["train_l1"] == pytest.approx(sum(p.losses["g_l1"] for p in done) / 4)
    assert "Not measured" not in (tmp_path / "model" / "README.md").read_text()
    assert (tmp_path / "samples" / "step-0000002.png").exists()


def test_a_model_that_a_kill_cost_is_made_when_the_run_goes_on(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, calls = tmp_path / "run", []

    def save(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt  # after the state of step 6, before its model
        save_model(*arguments)

    monkeypatch.setattr("pix2pix.training.recorder.save_model", save)
    with pytest.raises(KeyboardInterrupt):
        run_loop(killed, data, SMALL, device=CPU)
    monkeypatch.undo()
    assert load_state(killed)["step"] == 6
    run_loop(killed, data, SMALL, device=CPU, resume=True)
    kept = sorted(file.name for file in (killed / "checkpoints").iterdir())
    assert kept == ["step-0000003", "step-0000006", "step-0000009"]
    for file in (killed / "checkpoints").glob("step-*/*"):  # card and figures, too
        assert file.read_bytes() == (run / file.relative_to(killed)).read_bytes()
    validated = (read_jsonl(one / "validation.jsonl") for one in (killed, run))
    assert [row["step"] for row in next(validated)] == [row["step"] for row in next(validated)]


def test_a_look_draws_no_random_number(data: Path, tmp_path: Path) -> None:
    """Of a network with dropout, and with running statistics that are its own."""
    alone = draw_dataset(tmp_path / "alone", train=3)  # without validation pairs
    for folder in (data, alone):
        trainer, dataset = Trainer(SMALL, CPU), PairDataset(folder, "train", SMALL)
        recorder = Recorder(tmp_path, trainer, dataset, folder, per_epoch=3)
        drawn = torch.get_rng_state()
        before = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
        recorder.sample(1)
        recorder.losses(1, {"g_l1": 0.5})
        recorder.validate(1)
        recorder.close()
        assert torch.equal(torch.get_rng_state(), drawn)
        after = trainer.generator.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_generator_of_apples_gpus_is_part_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    given, taken = torch.arange(44, dtype=torch.uint8), []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: given)
    monkeypatch.setattr(torch.mps, "set_rng_state", taken.append)
    mps, drawn = torch.device("mps"), torch.get_rng_state()
    state = random_state(mps)
    torch.rand(3)
    set_random_state(state, mps)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert len(taken) == 1 and torch.equal(taken[0], given)
    for other in (random_state(CPU), torch.cat([drawn, given[:16]])):  # none, and that of CUDA
        set_random_state(other, mps)
        assert len(taken) == 1 and torch.equal(torch.get_rng_state(), drawn)
    set_random_state(state, CPU)


class Opens:
    """Pickled, it opens a file for writing where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return open, (str(self.file), "w")


@pytest.mark.parametrize(
    "save", [torch.save, lambda state, file: file.write_bytes(pickle.dumps(state, 2))]
)
def test_a_state_with_code_in_it_is_refused_and_not_run(save, tmp_path: Path) -> None:
    save({"format": STATE_FORMAT, "step": Opens(tmp_path / "was-run")}, tmp_path / STATE_FILE)
    with pytest.raises(UserError, match=r"/state.pt cannot be read: start the run anew\.$"):
        load_state(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == [STATE_FILE]


SHORT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_memory_that_is_short_costs_no_state(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to begin anew, or with other networks, while a state is read or loaded."""

    def short(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", short)
        with pytest.raises(UserError, match=r"not enough memory to read .* then resume\.$"):
            load_state(tmp_path)
    trainer = Trainer(SMALL, CPU)
    monkeypatch.setattr(trainer.g_optimizer, "load_state_dict", short)
    with pytest.raises(type(error)):
        trainer.load_state_dict(trainer.state_dict())


def test_pictures_and_models_are_kept_every_few_epochs(data: Path, tmp_path: Path) -> None:
    """As the tutorials do: three rows, source, generated and target, and a model beside them."""
    config = replace(SMALL, steps=13, save_every_steps=100, keep_every_epochs=2)
    run_loop(tmp_path, data, config, device=CPU)
    models = sorted(int(f.name[5:]) for f in (tmp_path / "checkpoints").iterdir())
    pictures = sorted((tmp_path / "samples").iterdir())
    assert models == [int(f.stem[5:]) for f in pictures] == [6, 12, 13]  # three pairs an epoch
    with Image.open(pictures[0]) as grid:
        assert grid.size == (4 * 64 + 3 * GAP, 3 * 64 + 2 * GAP)
        bottom = np.asarray(grid)[-64:, :64]
    target = PairDataset(data, "val", config).plain(0)[1]
    assert np.array_equal(bottom, ((target + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def test_a_model_of_label_maps_brings_its_paints(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", train=3)
    wall, door = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS[:2])
    named = [{"name": "wall", "color": wall.upper()}, {"name": "door", "color": door}, "nonsense"]
    (data / "dataset.json").write_text(json.dumps({"palette": named}))
    config = replace(SMALL, steps=1, source_kind="labels")
    palette = read_config(run_loop(tmp_path / "run", data, config, device=CPU)).palette
    assert {label["color"] for label in palette} == {
        "#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS
    }
    assert palette[0] == {"name": "wall", "color": wall}  # the ground, and so the commonest
    names = {label["color"]: label["name"] for label in palette}
    assert names[door] == "door" and len(set(names.values())) == len(COLOURS)
    photos = run_loop(tmp_path / "back", data, replace(config, direction="BtoA"), device=CPU)
    assert read_config(photos).palette == []  # too many colours for label maps
    assert read_config(photos).target_palette == []  # nobody says that they are label maps


def test_a_model_that_gives_label_maps_knows_their_colours(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", train=3)
    colours = [f"#{bytes(colour).hex()}" for colour in COLOURS]
    said = {"label_maps": [True, False], "palette": [{"name": "wall", "color": colours[0]}]}
    (data / "dataset.json").write_text(json.dumps(said))
    config = replace(SMALL, steps=1, direction="BtoA", source_kind="photo")
    model = run_loop(tmp_path / "run", data, config, device=CPU)
    known = read_config(model)
    assert sorted(known.target_colours) == sorted(colours) and known.palette == []
    assert known.target_palette[0] == {"name": "wall", "color": colours[0]}
    made = Translator.load(model, "cpu").translate(Image.new("RGB", (70, 50), "gray"))
    assert {colour for _, colour in made.getcolors()} <= set(COLOURS)


def test_a_models_card_says_what_it_was_made_of(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "blocks", train=3, val=2)
    info = {"license": "CC0", "title": "Blocks *of* mine", "source_name": "plan"}
    (data / "dataset.json").write_text(json.dumps(info))
    config = replace(SMALL, source_name="plan")
    run_loop(tmp_path / "run", data, config, device=CPU)
    card = (
        publish_checkpoint(tmp_path / "run", "my blocks", 6, tmp_path / "models") / "README.md"
    ).read_text()
    assert card.startswith("# my blocks\n\nFrom plan to target")
    assert r"Blocks \*of\* mine: 3 pairs for training, 2 for validation. Licence: CC0." in card
    assert "6 steps at batch 1 of the preset `maps`, seed 0" in card and "`ngf=4`" in card
    row = read_jsonl(tmp_path / "run" / "validation.jsonl")[1]
    assert row["step"] == 6 and f"| {row['l1']:.4f} | {row['psnr']:.2f} |" in card
    if installed(JUDGE):  # which chooses no model: the row's own distance is another network's
        model = Translator.load(tmp_path / "models" / "my blocks", "cpu")
        judged = evaluate(model, data, direction=config.direction).measures
        told = float(re.search(r"([\d.]+) \|\n$", card)[1])
        assert told == pytest.approx(judged["perceptual"], rel=0.01)
        assert told != pytest.approx(row["perceptual"], rel=0.01)
        apart = judged["perceptual_halves"]
        assert (
            "efficientnet-lite2, which had no part in choosing this model. Different real " in card
        )
        assert f"Different real pictures are {apart:.4f} apart." in card
    run_loop(tmp_path / "other", draw_dataset(tmp_path / "bare", train=1), SMALL, device=CPU)
    card = (tmp_path / "other" / "model" / "README.md").read_text()
    assert "Not measured" in card and "look before you share" in card


def test_validations_take_a_small_share_of_the_time(data: Path, tmp_path: Path) -> None:
    dataset = PairDataset(data, "train", SMALL)
    recorder = Recorder(tmp_path, Trainer(SMALL, CPU), dataset, data, per_epoch=5)
    recorder.losses(1, {"g_l1": 0.5})
    recorder.started -= 1000.0
    for spent, rows in ((21.0, 0), (19.0, 1)):  # seconds of 1000
        recorder.validation_seconds = spent
        recorder.epoch_ended(1)
        assert len(read_jsonl(tmp_path / "validation.jsonl")) == rows
    recorder.close()


@pytest.mark.parametrize(
    ("side", "fit", "expected"),
    [(64, "stretch", "tiles"), (160, "stretch", "whole"), (160, "tiles", "tiles")],
)
def test_larger_pictures_are_tiled_only_where_the_scale_was_learned(
    side: int, fit: str, expected: str, tmp_path: Path
) -> None:
    """A dataset at the network's size may hold tiles of maps, or photos that were scaled down."""
    plan = make_plan(Inputs(*draw_folders(tmp_path, 3, size=(side, side))))
    build(plan, Recipe(size=64, fit=fit, split=(1.0, 0.0, 0.0)), tmp_path / "data")
    model = run_loop(tmp_path / "run", tmp_path / "data", replace(SMALL, steps=1), device=CPU)
    assert read_config(model).fit == expected
