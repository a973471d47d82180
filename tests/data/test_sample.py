"""The sample dataset: what it holds, the same bytes each time, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import (
    dataset_info,
    find_pairs,
    label_palette,
    open_pair,
)
from pix2pix.data.report import read_facts
from pix2pix.data.sample import make_sample_dataset, sample_scenes
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.example_houses import PALETTE, draw_house, draw_shapes, house_shapes
from pix2pix.training.resolve_config import resolve_config
from tests.support.models_and_servers import load_script


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "houses"
    assert make_sample_dataset(folder, pairs=20, size=64)["train"] == 18
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_a_seed_gives_the_same_bytes_and_another_one_others(sample: Path, tmp_path: Path) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        make_sample_dataset(tmp_path / name, pairs=20, size=64, seed=seed)
    again, other = contents(tmp_path / "again"), contents(tmp_path / "other")
    assert again == contents(sample)
    assert not set(other.values()) & set(again.values())
    assert len(set(again.values())) == 21, "no two pairs are alike"


def test_it_says_what_its_sides_are_and_names_every_colour(sample: Path) -> None:
    info = dataset_info(sample)
    assert info.counts == {"train": 18, "val": 2, "test": 0} and info.size == (64, 64)
    config = resolve_config("quick", {}, sample)
    assert (config.source_kind, config.source_name, config.target_name) == (
        "labels", "labels", "house",
    )  # fmt: skip
    assert read_facts(sample).label_sides(TrainConfig()) == (True, False)
    sources = [open_pair(pair)[0] for pair in find_pairs(sample, "train")]
    palette = {
        label["name"]: label["color"] for label in label_palette(read_facts(sample), sources)
    }
    assert palette == PALETTE


def test_pictures_show_what_their_labels_say() -> None:
    """The materials have about the same colours in all houses, and textures of their own."""
    for seed, name, darkest, brightest in (
        (0, "grass", 90, 190), (0, "wall", 140, 245), (0, "window", 80, 235),
        (1, "brick", 90, 170), (2, "boards", 90, 190),
    ):  # fmt: skip
        labels, picture = (np.asarray(side, float) for side in draw_house(seed, 128))
        colour = [int(PALETTE[name][i : i + 2], 16) for i in (1, 3, 5)]
        inside = picture[(labels == colour).all(2)]
        assert darkest < inside.mean() < brightest and inside.std(axis=0).min() > 4, name
    kinds = {shape.label for seed in range(30) for shape in house_shapes(seed)}
    assert kinds == set(PALETTE)


def test_scenes_are_known_of_what_this_code_drew_alone(sample: Path, tmp_path: Path) -> None:
    seed = read_facts(sample).sample_seed
    scenes = sample_scenes(find_pairs(sample, "val"), seed)
    sources = [open_pair(pair)[0] for pair in find_pairs(sample, "val")]
    assert len(scenes) == 2
    for scene, source in zip(scenes, sources):
        assert np.array_equal(draw_shapes(scene, PALETTE, 64), source)
    other = Path(shutil.copytree(sample, tmp_path / "other"))
    find_pairs(other, "val")[0].a.write_bytes(find_pairs(sample, "train")[0].a.read_bytes())
    assert sample_scenes(find_pairs(other, "val"), seed) == []
    assert sample_scenes(find_pairs(other, "train")[:5], seed)
    (other / "dataset.json").unlink()
    seed = read_facts(other).sample_seed
    assert sample_scenes(find_pairs(other, "train")[:5], seed) == []


def test_it_is_there_whole_or_not_at_all(sample: Path, tmp_path: Path) -> None:
    before = contents(sample)
    with pytest.raises(UserError, match="exists already"):
        make_sample_dataset(sample, pairs=4, size=64)
    assert contents(sample) == before
    steps = iter([False, True])
    with pytest.raises(Cancelled):
        make_sample_dataset(tmp_path / "half", pairs=4, size=64, should_stop=lambda: next(steps))
    with pytest.raises(UserError, match="2 to 100,000"):
        make_sample_dataset(tmp_path / "half", pairs=1)
    assert not any(tmp_path.iterdir())


def test_the_command_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("build_dataset")
    asked = ["--sample", "--out", str(tmp_path / "houses"), "--size", "32"]
    monkeypatch.setattr("sys.argv", ["build_dataset.py", *asked])
    assert script.main() == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == {
        "pairs": 200, "train": 180, "val": 20, "test": 0, "rule": "drawn", "refused": [],
            "doubts": [],
        "ranges": {"source": [0.0, 255.0], "target": [0.0, 255.0]},
    }  # fmt: skip
    assert dataset_info(tmp_path / "houses").size == (32, 32)
