"""What each of the five reference systems puts out, made here from end to end on drawn pairs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.config import train_config
from pix2pix.data.dataset import find_pairs
from pix2pix.data.npz import read_npz, write_npz
from pix2pix.evaluation.evaluate import comparison_picture, evaluate
from pix2pix.imaging.grids import GAP
from pix2pix.models.folder import read_config
from pix2pix.models.translator import Translator
from pix2pix.training.loop import run_loop
from pix2pix.training.metrics_log import read_jsonl
from tests.support.drawn_pairs import draw_dataset, draw_folders, drawn_pair
from tests.support.fork_server import ForkServer

CPU, SIDE = torch.device("cpu"), 64
SMALL = {"size": "64", "ngf": "4", "ndf": "4", "jitter": "4", "batch_size": "1", "layers": "2"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_script(forks: ForkServer) -> Callable[..., dict]:
    """The JSON object that a command ends with."""

    def run(name: str, *words: object) -> dict:
        done = forks.run([sys.executable, ROOT / "scripts" / name, *words])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_maps_goes_through_npz_and_keeps_a_model_and_three_rows_every_ten_epochs(
    tmp_path: Path, run_script: Callable[..., dict]
) -> None:
    pairs = draw_dataset(tmp_path / "pairs", train=2)
    write_npz(pairs, tmp_path / "maps.npz", size=SIDE)
    with np.load(tmp_path / "maps.npz") as arrays:
        assert [arrays[name].shape for name in ("arr_0", "arr_1")] == [(2, SIDE, SIDE, 3)] * 2
    data = read_npz(tmp_path / "maps.npz", tmp_path / "data")
    for direction in ("AtoB", "BtoA"):  # one switch
        run = tmp_path / direction
        settings = {**SMALL, "epochs": "20", "direction": direction, "ema": "0"}
        model = run_loop(run, data, train_config("maps", settings), device=CPU)
        kept = sorted(folder.name for folder in (run / "checkpoints").iterdir())
        assert kept == ["step-0000020", "step-0000040"]  # after 10 and 20 epochs of 2 steps
        with Image.open(run / "samples" / "step-0000020.png") as rows:
            assert rows.size == (2 * SIDE + GAP, 3 * SIDE + 2 * GAP)
            top = np.asarray(rows)[:SIDE, :SIDE]
        source = drawn_pair(0, SIDE, SIDE)[0 if direction == "AtoB" else 1]
        assert np.array_equal(top, np.asarray(source))
        every = read_jsonl(run / "metrics.jsonl")
        assert len(every) == 40
        assert {"d_real", "d_fake", "g_adversarial", "g_l1"} <= set(every[0])  # d1, d2 and g
    # Any kept model translates one stand-alone picture, which has no target.
    drawn_pair(9, 80, 50)[1].save(tmp_path / "alone.png")
    chosen = tmp_path / "BtoA" / "checkpoints" / "step-0000020"
    run_script("translate.py", "--model", chosen, tmp_path / "alone.png", "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / "alone.png") as made:
        assert made.size == (80, 50)
    assert model == tmp_path / "BtoA" / "model"


def test_cityscapes_takes_the_right_half_and_shows_input_target_and_prediction(
    tmp_path: Path,
) -> None:
    data = draw_dataset(tmp_path / "data", train=3, val=2)
    own = {key: value for key, value in SMALL.items() if key not in ("ngf", "layers")}
    settings = {**own, "batch_size": "2", "steps": "2"}
    model = run_loop(tmp_path / "run", data, train_config("cityscapes", settings), device=CPU)
    config = read_config(model)
    assert (config.generator.kind, config.direction) == ("small-unet", "BtoA")
    translator = Translator.load(model, "cpu")
    grid = comparison_picture({"model": evaluate(translator, data)})
    assert grid.size == (2 * SIDE + GAP, 3 * SIDE + 2 * GAP)
    label, photo = drawn_pair(0, SIDE, SIDE)  # A, the left half, and B
    rows = [np.asarray(grid)[row * (SIDE + GAP) :][:SIDE, :SIDE] for row in range(3)]
    expected = (photo, translator.translate(photo), label)
    assert all(np.array_equal(row, np.asarray(picture)) for row, picture in zip(rows, expected))


def test_scratch_prints_its_layers_totals_and_true_receptive_field(
    tmp_path: Path, run_script: Callable[..., dict]
) -> None:
    said = run_script("summary.py", "--preset", "scratch", "--image", tmp_path / "nets.png")
    assert said["generator"]["parameters"] == 54_419_459
    assert said["discriminator"] == {
        "parameters": 6_965_441, "receptive_field": 142, "output": [16, 16],
    }  # fmt: skip
    with Image.open(tmp_path / "nets.png") as picture:
        assert len(picture.convert("L").getcolors()) > 5


def test_colorize_greys_each_photo_and_gives_colour_back(tmp_path: Path) -> None:
    (tmp_path / "photos" / "train").mkdir(parents=True)
    for number in range(2):
        photo = drawn_pair(number, 96, 96)[1]
        photo.save(tmp_path / "photos" / "train" / f"{number}.jpg")
    config = train_config("colorize", {**SMALL, "steps": "2"})
    model = run_loop(tmp_path / "run", tmp_path / "photos", config, device=CPU)
    generator = read_config(model).generator
    assert (generator.source_channels, generator.target_channels) == (1, 3)
    assert Translator.load(model, "cpu").translate(photo.convert("L")).mode == "RGB"


def test_face_sketch_pairs_names_that_differ_and_turns_sketches_into_photos(
    tmp_path: Path, run_script: Callable[..., dict]
) -> None:
    photos, sketches = draw_folders(
        tmp_path, 4, source="f-{:03}-01.jpg", target="F2-{:03}-01-sz1.jpg"
    )
    words = ["--source", photos, "--target", sketches, "--out", tmp_path / "data"]
    said = run_script("build_dataset.py", *words, "--size", SIDE, "--split", "1,0,0")
    assert said["pairs"] == said["train"] == 4 and said["refused"] == []
    with Image.open(find_pairs(tmp_path / "data", "train")[0].a) as strip:
        assert strip.size == (2 * SIDE, SIDE)  # photo left, sketch right
    config = train_config("face-sketch", {**SMALL, "steps": "1"})
    model = read_config(run_loop(tmp_path / "run", tmp_path / "data", config, device=CPU))
    assert (model.direction, model.source_name, model.target_name) == ("BtoA", "sketch", "photo")
