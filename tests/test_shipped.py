"""The models that come with the repository: whole, small, with a card, and doing what they say."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.evaluation import evaluate
from pix2pix.models import read_config
from pix2pix.translate import Translator

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
SHIPPED = ("colorize", "facades", "face-sketch", "map-to-satellite", "satellite-to-map", "streets")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_has_a_card_and_something_to_begin_with(name: str) -> None:
    folder = ROOT / "checkpoints" / name
    config = read_config(folder)
    assert config.title and config.title != name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: ")
    parts = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert parts == ["Data and licence", "Training", "Metrics", "Limits"]
    assert "(results.jpg)" in card and "--preset" in card
    with Image.open(folder / "results.jpg") as rows, Image.open(folder / "thumbnail.png") as small:
        assert rows.width > 4 * rows.height / 2 and small.size == (128, 128)
    colours = {label["color"] for label in config.palette}
    if config.source_kind == "photo":
        assert len(list((folder / "samples").glob("*.jpg"))) == 6
    else:
        drawn = json.loads((folder / "examples.json").read_text())
        assert len(drawn) >= 6
        used = {stroke.get("color") for example in drawn for stroke in example["strokes"]}
        assert config.source_kind == "drawing" or used <= colours


def test_each_is_light_and_so_are_all_together() -> None:
    files = [file for file in (ROOT / "checkpoints").rglob("*") if file.is_file()]
    assert {file.parent.name for file in files if file.suffix == ".safetensors"} == set(SHIPPED)
    sizes = Counter()
    for file in files:
        sizes[file.relative_to(ROOT / "checkpoints").parts[0]] += file.stat().st_size
    assert max(sizes.values()) <= 28_000_000 and sizes.total() < 140_000_000, sizes


def some(tmp_path: Path, **folders: tuple[str, str]) -> Path:
    """A dataset of a few files of the real pairs: valA="folder/*pattern"."""
    if not DATA.is_dir():
        pytest.skip("the real pairs are not here: shipped models are measured on them alone")
    for side, (folder, pattern) in folders.items():
        (tmp_path / side).mkdir(parents=True)
        for file in sorted((DATA / folder).glob(pattern))[::8][:6]:
            shutil.copy(file, tmp_path / side)
    return tmp_path


def test_a_map_is_right_more_often_than_the_commonest_class(tmp_path: Path) -> None:
    sides = {"valA": ("maps/train/photo", "t4*"), "valB": ("maps/train/map", "t4*")}
    data = some(tmp_path / "maps", **sides)
    translator = Translator.load(ROOT / "checkpoints" / "satellite-to-map", "cpu")
    found = evaluate(translator, data).measures
    assert found["images"] == 6
    assert found["accuracy"] > found["commonest"] + 0.05


def test_a_grey_photo_becomes_a_colourful_one(tmp_path: Path) -> None:
    data = some(tmp_path / "photos", val=("colour/landscapes", "*sunrise*"))
    translator = Translator.load(ROOT / "checkpoints" / "colorize", "cpu")
    for file in (data / "val").iterdir():
        with Image.open(file) as photo:
            grey = photo.convert("L")
        made = translator.translate(grey)
        assert made.size == grey.size
        light, blue, red = (np.asarray(b, float) for b in made.convert("YCbCr").split())
        assert np.abs(light - np.asarray(grey, float)).mean() < 8  # no bright colour is as bright
        assert np.hypot(blue - 128, red - 128).mean() > 4
