"""Each preset trains on real pairs of the kind that it is for."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from pix2pix.config import train_config
from pix2pix.data.build import build
from pix2pix.data.plan import make_plan
from pix2pix.data.records import Inputs, Recipe
from pix2pix.errors import UserError
from pix2pix.models.translator import Translator
from pix2pix.presets import PRESETS
from pix2pix.training.loop import run_loop
from pix2pix.utils.validation import split_setting
from scripts.dev.study import ARMS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDERS = {  # of A and B; the source alone for colours
    "recommended": ("facades/train/label", "facades/train/photo"),
    "quick": ("facades/train/label", "facades/train/photo"),
    "maps": ("maps/train/photo", "maps/train/map"),
    "cityscapes": ("streets/train/photo", "streets/train/label"),
    "scratch": ("facades/train/label", "facades/train/photo"),
    "colorize": ("colour/landscapes", ""),
    "face-sketch": ("face-sketch/cuhk/photos", "face-sketch/cuhk/sketches"),
}
STEPS = 20


def some_of(place: str, folder: Path) -> Path:
    """The first ten files: in both folders of a set they are those of the same pairs."""
    folder.mkdir(parents=True)
    for file in sorted((DATA / place).iterdir())[:10]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture()
def dataset(preset: str, tmp_path: Path) -> Path:
    if not DATA.is_dir():
        pytest.skip("the real pairs are not here: presets are tried on them alone")
    a, b = FOLDERS[preset]
    if not b:
        return some_of(a, tmp_path / "data" / "train").parent
    plan = make_plan(Inputs(some_of(a, tmp_path / "a"), some_of(b, tmp_path / "b")))
    build(plan, Recipe(split=(0.8, 0.2, 0.0)), tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("preset", PRESETS)
def test_it_trains_on_real_pairs(preset: str, dataset: Path, tmp_path: Path) -> None:
    small = {"size": "128", "ndf": "8", "batch_size": "1", "steps": str(STEPS)}
    # So few steps tell little where D sees changed pictures: they are larger there.
    changes = {"ngf": 8, "lr": 2e-3} if preset in ("recommended", "quick") else {"ngf": 8}
    config = train_config(preset, small, changes)
    run = tmp_path / "run"
    model = run_loop(run, dataset, config, device=torch.device("cpu"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert all(math.isfinite(value) for row in rows for value in row.values())
    goal = "g_perceptual" if config.lambda_perceptual else "g_l1"
    losses = [row[goal] for row in rows]
    assert sum(losses[-5:]) < sum(losses[:5])  # it learns
    assert (run / "samples" / f"step-{STEPS:07d}.png").exists()
    validated = (run / "validation.jsonl").exists()
    assert validated == (preset != "colorize")  # whose ten photos have no val/
    photo = next((DATA / FOLDERS[preset][0]).iterdir())
    with Image.open(photo) as image:
        assert Translator.load(model, "cpu").translate(image).size == image.size


def test_names_too_long_for_a_models_card_are_refused_before_a_run() -> None:
    assert train_config("maps", {"source_name": "x" * 200}).source_name
    for name in ("source_name", "target_name"):
        with pytest.raises(UserError, match=f"{name} is longer than 200"):
            train_config("maps", {name: "x" * 201})


def test_recommended_is_what_the_study_measured() -> None:
    """An arm of the study, written there as changes to `maps`."""
    *_, changes = ARMS["frozen features"].split(" ", 1)
    measured = train_config("maps", dict(map(split_setting, changes.split())))
    assert train_config("recommended") == dataclasses.replace(measured, preset="recommended")


def test_quick_is_the_recipe_of_recommended_made_small() -> None:
    quick, whole = (dataclasses.asdict(train_config(name)) for name in ("quick", "recommended"))
    small = {"preset", "size", "jitter", "ngf", "ndf", "ema", "batch_size", "epochs"}
    small |= {"steps_per_epoch", "save_every_steps", "sample_every_steps", "keep_every_epochs"}
    assert {name for name in quick if quick[name] != whole[name]} == small
