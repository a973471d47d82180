"""The models that come with the repository: whole, small, with a card, and doing what they say."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.dataset import label_palette
from pix2pix.data.report import read_facts
from pix2pix.imaging.line_art import line_drawing
from pix2pix.imaging.picture import parse_colour
from pix2pix.models.folder import WEIGHTS, read_config, sample_files, tints
from pix2pix.models.translator import Translator
from pix2pix.models.weights import pack_weights
from pix2pix.training.resolve_config import resolve_config
from pix2pix.utils.files import write_atomically, write_json
from scripts.examples.sources import draw_sources
from tests.support.models_and_servers import load_script, unpack_weights

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SHIPPED = (
    "colorize", "facades", "face-sketch", "map-to-satellite", "satellite-to-map", "shoes",
    "streets",
)  # fmt: skip
DRAWN = {"face-sketch": "faces", "facades": "facades", "map-to-satellite": "towns"}
DRAWN |= {"shoes": "shoes", "streets": "streets"}
BRUSHES = {
    "facades": (
        "background wall molding cornice pillar window door sill blind balcony shop decoration"
    ),
    "map-to-satellite": "building land water road plants other",
    "streets": "road building tree sky pavement fence bicyclist car other sign pedestrian pole",
}
REAL = {  # source and target of two pairs that the model was not trained on
    "colorize": [
        (f"{n}.jpg",) * 2
        for n in ("colour/landscapes/sunrise-sunrise225", "faces/london-A-london_neutral_082_03")
    ],
    "facades": [
        (f"facades-cmp/val/label/{n}.png", f"facades-cmp/val/photo/{n}.jpg")
        for n in ("val-1", "val-11")
    ],
    "face-sketch": [
        (f"face-sketch/cuhk/sketches/{n}-sz1.jpg", f"face-sketch/cuhk/photos/{n}.jpg")
        for n in ("f-039-01", "m-067-01")
    ],
    "map-to-satellite": [
        (f"maps/train/map/{n}.png", f"maps/train/photo/{n}.jpg")
        for n in ("t4p1_0000_0000", "t4p5_0590_0281")
    ],
    "shoes": [(f"shoes/{n}.jpg",) * 2 for n in ("0031", "0224")],
    "streets": [
        (f"streets/val/label/{n}.png", f"streets/val/photo/{n}.jpg")
        for n in ("0016E5_07959", "0016E5_08119")
    ],
}
REAL["satellite-to-map"] = [(photo, map_) for map_, photo in REAL["map-to-satellite"]]


def card(name: str) -> str:
    return (ROOT / "checkpoints" / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_has_a_card_and_something_to_begin_with(name: str) -> None:
    folder = ROOT / "checkpoints" / name
    config = read_config(folder)
    assert config.title and config.title != name
    text = card(name)
    assert text.startswith("---\nlicense: ")
    parts = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert parts == ["Data and licence", "Prepare", "Training", "Metrics", "Limits"]
    assert "(results.jpg)" in text
    with Image.open(folder / "results.jpg") as rows, Image.open(folder / "thumbnail.png") as small:
        assert rows.width > 4 * rows.height / 2 and small.size == (128, 128)
        side = config.generator.size
        first = rows.crop((0, rows.height - side, side, rows.height)).resize((128, 128))
        off = np.abs(np.asarray(first, float) - np.asarray(small.convert("RGB"), float)).mean()
        is_first = off < 8
    colours = {label["color"] for label in config.palette}
    if config.source_kind == "photo":
        assert len(list((folder / "samples").glob("*.jpg"))) == 6
    else:
        drawn = json.loads((folder / "examples.json").read_text())
        assert len(drawn) >= 6
        used = {stroke.get("color") for example in drawn for stroke in example["strokes"]}
        assert config.source_kind == "drawing" or used <= colours
        assert is_first, "the pad shows the thumbnail as the answer to its guide"


def test_each_is_light_and_so_are_all_together() -> None:
    files = [file for file in (ROOT / "checkpoints").rglob("*") if file.is_file()]
    assert {file.parent.name for file in files if file.suffix == ".safetensors"} == set(SHIPPED)
    sizes = Counter()
    for file in files:
        sizes[file.relative_to(ROOT / "checkpoints").parts[0]] += file.stat().st_size
    assert max(sizes.values()) <= 28_000_000 and sizes.total() < 140_000_000, sizes


def commands(name: str) -> list[list[str]]:
    """The words of every command of a card that runs a script."""
    lines = card(name).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("python scripts/")]


@pytest.mark.parametrize("name", SHIPPED)
def test_its_cards_commands_make_such_a_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("cuhk/split.csv", "fs2k/train/photo", "faces.csv", "faces.json"):
        write_atomically(tmp_path / file, lambda partial: partial.write_text("{}"))
    parsed: dict[str, list[argparse.Namespace]] = {}
    for script, *words in commands(name):
        monkeypatch.setattr(sys, "argv", [script, *words])
        module = load_script(script.removeprefix("scripts/").removesuffix(".py"))
        parsed.setdefault(Path(script).stem, []).append(module.arguments())
    (published,), evaluated = parsed["publish_model"], parsed["evaluate"]
    config, trained = read_config(ROOT / "checkpoints" / name), parsed["train"]
    assert published.title == config.title and (ROOT / published.card).is_file()
    assert {run.run for run in trained} >= {Path(*published.run.parts[:2])}
    assert all(args.model == [name] for args in evaluated)
    last = [args for args in trained if not args.resume][-1]
    later = [pair for args in trained if args.resume for pair in args.set]
    said = re.search(r"```json\n(.*?)```", card(name), re.DOTALL)
    described = json.loads(said[1]) if said else {}
    for built in parsed.get("build_dataset", ()):
        described |= {"source_name": built.source_name, "target_name": built.target_name}
    if "prepare_face_sketch" in parsed:
        described |= {"source_name": "photo", "target_name": "sketch"}
    write_json(last.data / "dataset.json", described)
    made = resolve_config(last.preset, dict([*last.set, *later]), last.data)
    assert made.generator_config() == config.generator
    for key in ("source_kind", "source_name", "target_name", "direction"):
        assert getattr(made, key) == getattr(config, key)
    labels = described.get("label_maps", [False, False])
    assert labels[config.direction == "BtoA"] == (config.source_kind == "labels")
    painted = [tuple(bytes.fromhex(label["color"][1:])) for label in config.palette]
    sources = [Image.new("RGB", (8, 8), colour) for colour in painted]
    named = label_palette(read_facts(last.data), sources) if painted else []
    assert {str(label) for label in named} == {str(label) for label in config.palette}


@pytest.mark.parametrize(("name", "brushes"), BRUSHES.items())
def test_the_pad_has_a_brush_for_each_label(name: str, brushes: str) -> None:
    palette = read_config(ROOT / "checkpoints" / name).palette
    assert {label["name"] for label in palette} == set(brushes.split())


def pair(name: str, number: int) -> tuple[Image.Image, Image.Image | None]:
    """A source, and its target where the real pairs are at hand; else one drawn by code."""
    config = read_config(ROOT / "checkpoints" / name)
    mode = "L" if config.colours_grey else "RGB"
    if DATA.is_dir():
        source, target = (DATA / file for file in REAL[name][number])
        with Image.open(source) as a, Image.open(target) as b:
            made = line_drawing(a) if name == "shoes" else a.convert(mode)
            return made, b.convert("RGB")
    if config.source_kind == "photo":
        with Image.open(sample_files(ROOT / "checkpoints" / name)[number]) as sample:
            return sample.convert(mode), None
    return draw_sources(DRAWN[name], config)[number].picture, None


def far(one: Image.Image, other: Image.Image) -> float:
    """L1 on a scale from 0 to 1."""
    a, b = (np.asarray(picture.convert("RGB"), float) for picture in (one, other))
    return float(np.abs(a - b).mean() / 255)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_turns_its_sources_into_something_nearer_to_what_is_wanted(name: str) -> None:
    translator = Translator.load(ROOT / "checkpoints" / name, "cpu")
    made = []
    for number in range(2):
        source, target = pair(name, number)
        picture = translator.translate(source)
        assert picture.size == source.size and picture.mode == "RGB"
        assert far(picture, source) > 0.015
        if target:
            assert far(picture, target) < 0.95 * far(source, target)
        made.append(picture)
    assert far(made[0], made[1].resize(made[0].size)) > 0.03


def test_a_map_is_right_more_often_than_the_commonest_class() -> None:
    tiles = sorted((DATA / "maps" / "train" / "photo").glob("t4*"))[::16]
    if not tiles:
        pytest.skip("the real pairs are not here: shipped models are measured on them alone")
    translator = Translator.load(ROOT / "checkpoints" / "satellite-to-map", "cpu")
    made, wanted = [], []
    for tile in tiles:
        with Image.open(tile) as photo, Image.open(DATA / f"maps/train/map/{tile.stem}.png") as map:
            made.append(np.asarray(translator.translate(photo), float))
            wanted.append(np.asarray(map.convert("RGB"), float))
    labels = read_config(ROOT / "checkpoints" / "map-to-satellite").palette
    colours = np.array([list(bytes.fromhex(label["color"][1:])) for label in labels], float)
    found, right = (
        np.abs(np.stack(maps)[..., None, :] - colours).sum(-1).argmin(-1) for maps in (made, wanted)
    )
    commonest = np.bincount(right.ravel()).max() / right.size
    assert (found == right).mean() > commonest + 0.05


def test_a_grey_photo_becomes_a_colourful_one() -> None:
    translator = Translator.load(ROOT / "checkpoints" / "colorize", "cpu")
    for number in range(2):
        grey, _ = pair("colorize", number)
        made = translator.translate(grey)
        light, blue, red = (np.asarray(b, float) for b in made.convert("YCbCr").split())
        assert np.abs(light - np.asarray(grey, float)).mean() < 8  # no bright colour is as bright
        assert np.hypot(blue - 128, red - 128).mean() > 4


@pytest.mark.parametrize(("name", "most"), [("facades", 15), ("map-to-satellite", 50)])
def test_pictures_follow_the_tint_in_light_and_colour(name: str, most: float) -> None:
    """Of house fronts the mean colour is the tint; no block of Dubai is white or black."""
    folder = ROOT / "checkpoints" / name
    translator, offered = Translator.load(folder, "cpu"), tints(folder, 5)
    sources = [one.picture for one in draw_sources(DRAWN[name], translator.config)]
    made = [
        np.mean([np.asarray(translator(one, tint=tint), float) for one in sources], (0, 1, 2))
        for tint in offered
    ]
    asked = np.array([parse_colour(tint) for tint in offered])
    assert np.abs(np.array(made) - asked).mean(1).max() < most, "of 255"
    assert np.corrcoef(asked.mean(1), np.mean(made, 1))[0, 1] > 0.9


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_of_int8_give_pictures_that_the_eye_cannot_tell_apart(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None
) -> None:
    folder, small = ROOT / "checkpoints" / name, tmp_path / name
    shutil.copytree(folder, small)
    (small / WEIGHTS).write_bytes(unpack_weights(pack_weights(folder / WEIGHTS)))
    exact, packed = (Translator.load(one, "cpu") for one in (folder, small))
    for model in (exact, packed):
        model.palette = model.palette[:0]  # the network's own picture, before the nearest label
    if name in DRAWN:
        sources = [one.picture for one in draw_sources(DRAWN[name], exact.config)]
    else:
        mode = "L" if exact.config.colours_grey else "RGB"
        sources = [Image.open(file).convert(mode) for file in sample_files(folder)]
    apart = [
        np.abs(np.asarray(exact.translate(one), int) - np.asarray(packed.translate(one), int))
        for one in sources
    ]
    most, mean = max(one.max() for one in apart), np.mean([one.mean() for one in apart])
    with capsys.disabled():
        print(
            f"\n{name}: {len(apart)} pictures, int8 apart by {most} at most, {mean:.2f} on average"
        )
    assert 0 < most <= 5 and mean < 0.1, "of 255"
