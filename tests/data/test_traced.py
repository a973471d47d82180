"""Pairs that a person draws: what a set keeps, refuses and becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pix2pix.data.build import build
from pix2pix.data.compose import fit_square
from pix2pix.data.dataset import dataset_info
from pix2pix.data.plan import make_plan
from pix2pix.data.rebuild import rebuild
from pix2pix.data.records import Recipe
from pix2pix.data.report import read_dataset_json
from pix2pix.data.traced import SIDE, TracedSet, create_set, list_sets, open_set, remove_set
from pix2pix.errors import UserError
from pix2pix.imaging.picture import as_picture
from pix2pix.training.resolve_config import resolve_config
from pix2pix.utils import files
from tests.support.models_and_servers import noise

SKY, ROOF = {"name": "sky", "color": "#8cb8e8"}, {"name": "roof", "color": "#a8402c"}
STROKE = {"kind": "stroke", "tool": "pencil", "width": 0.05, "points": [[0.2, 0.2], [0.8, 0.8]]}


def photo(number: int) -> Any:
    return as_picture(noise(300, 200, seed=number))


def drawing(colour: str = "#000000", paper: str = "#ffffff", place: int = 100) -> Image.Image:
    """A square on paper."""
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    ImageDraw.Draw(picture).rectangle((place, 100, place + 99, 199), fill=colour)
    return picture


@pytest.fixture()
def lines(tmp_path: Path) -> TracedSet:
    return create_set(tmp_path / "traced", "drawing", [])


@pytest.fixture()
def labels(tmp_path: Path) -> TracedSet:
    return create_set(tmp_path / "traced", "labels", [SKY, ROOF])


@pytest.mark.parametrize("frame", ["crop", "pad", "stretch"])
def test_a_photo_is_framed_as_a_dataset_would(lines: TracedSet, frame: str) -> None:
    name = lines.add_photo(photo(1), "some/My cat!.jpeg", frame)
    assert name == "001-My_cat"
    expected = fit_square(
        noise(300, 200, seed=1).convert("RGB"), Recipe(size=SIDE, fit=frame), False
    )
    assert np.array_equal(np.asarray(Image.open(lines.photo(name))), np.asarray(expected))


def test_a_draft_is_kept_and_only_what_is_done_becomes_a_pair(lines: TracedSet) -> None:
    first, second, third = (lines.add_photo(photo(n), "cat.jpg", "crop") for n in range(3))
    assert lines.photos() == ["001-cat", "002-cat", "003-cat"]
    assert lines.save(first, [STROKE], drawing(), done=False) == "begun"
    with pytest.raises(UserError, match="No drawing is done yet"):
        lines.inputs()
    assert lines.save(second, [STROKE], drawing(), done=True) == "done"
    assert lines.save(second, [STROKE] * 2, drawing(place=300), done=False) == "done"
    again = open_set(lines.folder.parent, lines.folder.name)
    assert again == lines and again.strokes(second) == [STROKE] * 2 and again.strokes(third) == []
    assert [again.state(name) for name in again.photos()] == ["begun", "done", ""]
    plan = make_plan(again.inputs())
    assert [pair.source for pair in plan.pairs] == ["002-cat.png"]
    assert {(r.file, r.kind) for r in plan.refused} == {
        (f"{name}.png", "unmatched") for name in (first, third)
    }


def test_clearing_and_removing_leave_nothing_behind(lines: TracedSet) -> None:
    first, second = (lines.add_photo(photo(n), "cat.jpg", "crop") for n in range(2))
    for name in (first, second):
        lines.save(name, [STROKE], drawing(), done=True)
    assert lines.save(first, [], drawing(), done=True) == ""
    assert lines.strokes(first) == [] and lines.photos() == [first, second]
    lines.remove(second)
    assert [f.name for f in sorted(lines.folder.rglob("*.*"))] == ["001-cat.png", "traced.json"]
    assert lines.add_photo(photo(3), "dog.png", "pad") == "002-dog"
    remove_set(lines.folder.parent, lines.folder.name)
    assert list_sets(lines.folder.parent) == [] and not lines.folder.exists()


def test_a_set_that_the_disk_keeps_is_whole_and_said(
    lines: TracedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = lines.add_photo(photo(1), "cat.jpg", "crop")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(UserError, match="could not be deleted"):
        remove_set(lines.folder.parent, lines.folder.name)
    assert lines.photos() == [name] and list_sets(lines.folder.parent) == [lines.folder.name]


@pytest.mark.parametrize("kind", ["drawing", "labels"])
def test_training_knows_what_was_drawn(
    kind: str, lines: TracedSet, labels: TracedSet, tmp_path: Path
) -> None:
    traced = lines if kind == "drawing" else labels
    colours = () if kind == "drawing" else (ROOF["color"], SKY["color"])
    for number in range(4):
        name = traced.add_photo(photo(number), "x.png", "crop")
        traced.save(name, [STROKE], drawing(*colours, place=100 + 50 * number), done=True)
    out, recipe = tmp_path / "out", Recipe(size=256, split=(1.0, 0.0, 0.0))
    build(make_plan(traced.inputs()), recipe, out)
    info, facts = read_dataset_json(out), dataset_info(out)
    assert (facts.source_name, facts.target_name, facts.total) == (kind, "photo", 4)
    assert info["label_maps"] == [kind == "labels", False] and info["source_kind"] == kind
    assert info.get("palette", []) == traced.palette and info["scaled"] is True
    assert resolve_config("recommended", {}, out).source_kind == kind
    assert resolve_config("recommended", {"direction": "BtoA"}, out).source_kind == "photo"
    pair = np.asarray(Image.open(out / "train" / "001-x.png"))
    seen = np.asarray(
        Image.open(traced.photo("001-x")).resize((256, 256), Image.Resampling.BICUBIC)
    )
    assert np.array_equal(pair[:, 256:], seen)
    inside, paper = (bytes(pair[at, at]) for at in (75, 20))
    assert [f"#{p.hex()}" for p in (inside, paper)] == [*(colours or ("#000000", "#ffffff"))]
    again = tmp_path / "again"
    rebuild(out / "dataset.json", again)
    assert read_dataset_json(again) == info
    assert (again / "train" / "001-x.png").read_bytes() == (
        out / "train" / "001-x.png"
    ).read_bytes()


def test_label_maps_hold_the_palette_alone(labels: TracedSet) -> None:
    name = labels.add_photo(photo(1), "x.png", "crop")
    with pytest.raises(UserError, match="not in the palette"):
        labels.save(name, [STROKE], drawing("#000000", SKY["color"]), done=True)
    with pytest.raises(UserError, match="512 pixels"):
        labels.save(name, [STROKE], drawing().resize((64, 64)), done=True)
    assert labels.state(name) == ""


def test_a_palette_keeps_what_is_drawn(labels: TracedSet) -> None:
    name = labels.add_photo(photo(1), "x.png", "crop")
    grown = labels.change("labels", [ROOF, SKY])
    in_sky = {**STROKE, "color": SKY["color"]}
    grown.save(name, [in_sky], drawing(SKY["color"], ROOF["color"]), done=False)
    door = {"name": "door", "color": "#704020"}
    for kind, palette in (("drawing", []), ("labels", [SKY, ROOF]), ("labels", [ROOF, door])):
        with pytest.raises(UserError, match="is drawn"):
            grown.change(kind, palette)
    grown.change("labels", [ROOF, SKY, door]).change("labels", [ROOF, SKY])
    grown.change("labels", [{**ROOF, "name": "tiles"}, SKY, door])
    again = open_set(labels.folder.parent, labels.folder.name)
    assert [label["name"] for label in again.palette] == ["tiles", "sky", "door"]


@pytest.mark.parametrize(
    ("kind", "palette"),
    [("photo", []), ("labels", []), ("labels", [SKY]), ("labels", [SKY, SKY]), ("labels", "x"),
     ("labels", [SKY, {"name": " ", "color": "#000000"}]), ("labels", [SKY, {"name": "a"}])],
)  # fmt: skip
def test_nonsense_is_no_set(kind: Any, palette: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        create_set(tmp_path, kind, palette)
    assert list_sets(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "", None, 7, "002-cat", "/etc/passwd", ["001-cat"]])
def test_only_names_that_are_there_count(name: Any, lines: TracedSet, tmp_path: Path) -> None:
    lines.add_photo(photo(1), "cat.jpg", "crop")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="gone"):
        lines.save(name, [STROKE], drawing(), done=True)
    with pytest.raises(UserError, match="gone"):
        lines.remove(name)
    with pytest.raises(UserError, match="gone"):
        open_set(lines.folder.parent, name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("strokes", [None, {}, [1], [{"kind": "raster"}], [STROKE] * 60_000])
def test_only_the_pads_operations_are_kept(strokes: Any, lines: TracedSet) -> None:
    name = lines.add_photo(photo(1), "cat.jpg", "crop")
    with pytest.raises(UserError, match="did not arrive"):
        lines.save(name, strokes, drawing(), done=False)
    assert lines.state(name) == ""


def test_a_damaged_file_costs_its_strokes_alone(lines: TracedSet) -> None:
    name = lines.add_photo(photo(1), "cat.jpg", "crop")
    lines.save(name, [STROKE], drawing(), done=True)
    (lines.folder / "strokes" / f"{name}.json").write_text(json.dumps({"strokes": [STROKE]})[:20])
    assert lines.strokes(name) == [] and lines.state(name) == "done"
