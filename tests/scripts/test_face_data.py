"""The face data set: framing by the eyes, and the drawings that each photo is paired with."""

import json
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pix2pix.imaging import strokes as d
from tests.support.models_and_servers import load_script

prepare = load_script("dev/prepare_face_sketch")

from prepare_faces import (  # noqa: E402  the script knows where
    drawings,
    features,
    framing,
    hair_colour,
    photos,
    stick,
)

SIZE = 128
EYES = [(round(0.48 * SIZE), round(x * SIZE)) for x in (0.4, 0.6)]


@pytest.fixture(autouse=True)
def own_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests load the script too, and its workers look their functions up by the name."""
    monkeypatch.setitem(sys.modules, prepare.__name__, prepare)


def a_photo_and_its_marks(x: float, y: float, gap: float) -> tuple[Image.Image, dict]:
    """A flat face whose eyes are at known pixels, with the point groups the script asks for."""

    def at(shape):
        return (np.array((x, y)) + np.asarray(shape) * gap).tolist()

    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)  # clockwise from the forehead
    oval = at(np.stack([np.sin(turn), 0.34 - 1.32 * np.cos(turn)], axis=1))
    lips = np.linspace(-0.4, 0.4, 11)
    marks = {
        "oval": oval,
        "pupils": at([(-0.5, 0), (0.5, 0)]),
        "left_eye": at(d.arc(-0.5, 0, 0.25, 0.1, 180, -157)[::2][:16]),
        "right_eye": at(d.arc(0.5, 0, 0.25, 0.1, 180, -157)[::2][:16]),
        "left_brow": at([(-0.8 + 0.15 * k, -0.35) for k in range(5)]),
        "right_brow": at([(0.2 + 0.15 * k, -0.35) for k in range(5)]),
        "bridge": at([(0, 0.12 * k) for k in range(6)]),
        "nose": at([(-0.3 + 0.075 * k, 0.75) for k in range(9)]),
        "upper_lip": at([(t, 1.1) for t in lips]),
        "lower_lip": at([(t, 1.3) for t in lips]),
        "inner_lip": at([(t, 1.2) for t in lips]),
    }
    photo = Image.new("RGB", (200, 250), (150, 200, 250))
    pen = ImageDraw.Draw(photo)
    pen.polygon([tuple(p) for p in oval], fill=(230, 190, 160))
    for px, py in marks["pupils"]:
        pen.ellipse((px - 5, py - 5, px + 5, py + 5), fill=(20, 20, 20))
    return photo, marks


@pytest.fixture
def sets(tmp_path):
    """Arguments that name three pairs of CUHK, two photos alone, and the landmarks of all."""
    cuhk, faces = tmp_path / "cuhk", tmp_path / "faces"
    for folder in (cuhk / "photos", cuhk / "sketches", faces):
        folder.mkdir(parents=True)
    rows, marks = ["photo,sketch,split"], {}
    for k, split in enumerate(["train", "train", "val"]):
        photo, marks[f"cuhk-f-{k}"] = a_photo_and_its_marks(95 + 4 * k, 120, 48 + 2 * k)
        photo.save(cuhk / "photos" / f"f-{k}.png")
        sketch = Image.new("L", photo.size, 240)  # grey paper, to be cleaned to white
        oval = [tuple(p) for p in marks[f"cuhk-f-{k}"]["oval"]]
        ImageDraw.Draw(sketch).polygon(oval, outline=30)
        sketch.save(cuhk / "sketches" / f"F2-{k}-sz1.png")
        rows.append(f"f-{k}.png,F2-{k}-sz1.png,{split}")
    rows.append("gone.png,F2-0-sz1.png,train")
    (cuhk / "split.csv").write_text("\n".join(rows) + "\n")
    Image.new("RGB", (200, 250)).save(cuhk / "photos" / "alone.png")
    rows = ["file,person,source,sharpness,split"]
    for k, split in enumerate(["train", "val"]):
        photo, marks[f"london-p{k}"] = a_photo_and_its_marks(100, 118 + k, 50)
        photo.save(faces / f"p{k}.png")
        rows.append(f"p{k}.png,P{k},london,A,{split}")
    (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
    landmarks = tmp_path / "landmarks.json"
    landmarks.write_text(json.dumps(marks))
    return [
        "--cuhk", str(cuhk), "--faces", str(tmp_path / "faces.csv"), "--landmarks", str(landmarks),
        "--size", str(SIZE), "--jobs", "1",
    ]  # fmt: skip


def last_line(capsys) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def halves(file) -> tuple[np.ndarray, np.ndarray]:
    strip = np.asarray(Image.open(file)).astype(int)
    assert strip.shape == (SIZE, 2 * SIZE, 3), file
    return strip[:, :SIZE], strip[:, SIZE:]


def test_prepare_end_to_end(sets, tmp_path, capsys):
    out = tmp_path / "out"
    code = prepare.main([*sets, "--out", str(out)])
    summary = last_line(capsys)
    assert code == 1, "something was refused"
    assert {r["file"]: r["reason"] for r in summary["refused"]} == {
        "gone.png": "gone.png is missing",
        "alone.png": "not listed in split.csv",
    }
    assert summary["counts"] == {"pairs": 37, "train": 30, "val": 7, "test": 0}
    kinds = [f"cuhk-f-2-{kind}.jpg" for kind in ("scan", "clean", "lines", "stick")]
    kinds += [f"london-p1-{kind}.jpg" for kind in ("lines", "traced", "stick")]
    assert {p.name for p in (out / "val").iterdir()} == set(kinds)
    info = json.loads((out / "dataset.json").read_text())
    assert info["counts"] == summary["counts"] and info["size"] == SIZE
    assert (info["source_name"], info["target_name"]) == ("photo", "sketch")
    for file in out.glob("*/*.jpg"):
        photo, drawing = halves(file)
        assert np.ptp(photo, axis=-1).max() > 60, "colour on the left"
        assert np.ptp(drawing, axis=-1).max() < 4, "none on the right"
        assert np.median(drawing) > 215, "paper on the right"
    for file in out.glob("val/*.jpg"):  # pupils of every size and place end at the same pixel
        assert all(halves(file)[0][eye].max() < 90 for eye in EYES), file


def test_the_same_seed_makes_the_same_files_and_another_set_changes_none(sets, tmp_path):
    outs = [tmp_path / name for name in ("one", "two", "fewer")]
    for out in outs[:2]:
        prepare.main([*sets, "--out", str(out)])
    prepare.main([*sets[2:], "--out", str(outs[2])])
    one, two, fewer = ({p.name: p.read_bytes() for p in out.glob("*/*.jpg")} for out in outs)
    assert one == two
    assert fewer == {name: data for name, data in one.items() if name.startswith("london")}


def test_a_scan_keeps_its_paper_and_a_cleaned_sketch_has_white(sets, tmp_path):
    prepare.main([*sets, "--out", str(tmp_path / "out")])
    scan = halves(tmp_path / "out" / "val" / "cuhk-f-2-scan.jpg")[1]
    clean = halves(tmp_path / "out" / "val" / "cuhk-f-2-clean.jpg")[1]
    assert 215 < np.median(scan) < 254 and np.median(clean) == 255


def test_turned_heads_taken_folders_and_wrong_arguments_are_refused(sets, tmp_path, capsys):
    landmarks = tmp_path / "landmarks.json"
    marks = json.loads(landmarks.read_text())
    for point in marks["cuhk-f-0"]["bridge"]:
        point[0] -= 35  # the nose almost at the left cheek
    del marks["cuhk-f-1"]
    landmarks.write_text(json.dumps(marks))
    out = tmp_path / "out"
    prepare.main([*sets, "--out", str(out)])
    reasons = {r["file"]: r["reason"] for r in last_line(capsys)["refused"]}
    assert reasons["f-0.png"] == "the head is turned too far"
    assert reasons["f-1.png"] == "no face was found"
    assert prepare.main([*sets, "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    for wrong in ([], sets[:2], ["--cuhk", "/nowhere", "--find-landmarks", "x"]):
        with pytest.raises(SystemExit) as stop:
            prepare.main(wrong)
        assert stop.value.code == 2


@pytest.fixture
def face(tmp_path) -> framing.Face:
    photo, marks = a_photo_and_its_marks(100, 120, 50)
    photo.save(tmp_path / "a.png")
    return framing.open_face(
        photos.Photo("x", "train", tmp_path / "a.png"), marks, tmp_path / "no.png", SIZE
    )


def test_a_smaller_head_stands_where_its_place_says(face):
    for seed in range(20):
        place = framing.smaller(face, np.random.default_rng(seed))
        assert 0.5 <= place.size <= 0.9
        photo = framing.frame(face, place).photo
        points = place.of(face.framed_points()["pupils"]) * SIZE
        for x, y in points.astype(int):
            assert photo[y, x].max() < 90, (seed, place)
        chin = place.of(face.framed_points()["oval"])[18]
        assert 0 < chin[0] < 1 and chin[1] < 1, "the face stays in the frame"


def test_kinds_begin_with_the_artists_sketch_and_take_turns():
    seen = Counter()
    for seed in range(40):
        kinds = drawings.kinds_of(True, "train", 5, np.random.default_rng(seed))
        assert kinds[:2] == ["scan", "clean"] and len(kinds) == 5
        seen.update(kinds)
    assert set(seen) == set(drawings.WITH_SKETCH)
    alone = drawings.kinds_of(False, "train", len(drawings.PHOTO_ALONE), np.random.default_rng(0))
    assert sorted(alone) == sorted(drawings.PHOTO_ALONE)
    assert not {"scan", "clean"} & set(alone)


def test_glasses_are_told_by_their_bridge_and_rims(face):
    points = face.framed_points()
    bare = framing.frame(face, framing.GUIDE).photo
    assert not features.wears_glasses(bare, points)
    picture = Image.fromarray(bare)
    pen = ImageDraw.Draw(picture)
    (left, y), (right, _) = points["pupils"] * SIZE
    for x in (left, right):
        pen.ellipse((x - 9, y - 8, x + 9, y + 9), outline=(20, 20, 20), width=2)
    pen.line((left + 9, y, right - 9, y), fill=(20, 20, 20), width=2)
    assert features.wears_glasses(np.asarray(picture), points)


def test_dark_hair_gets_another_colour_and_all_else_stays(face):
    oval = face.framed_points()["oval"]
    photo = framing.frame(face, framing.GUIDE).photo
    picture = Image.fromarray(photo)
    (left, top), (right, _) = oval.min(0) * SIZE, oval.max(0) * SIZE
    cap = Image.new("1", picture.size)
    ImageDraw.Draw(cap).rectangle((left - 6, top - 12, right + 6, top + 24), fill=1)
    hair = np.asarray(cap) & ~features.polygon(oval, SIZE)
    dark = photo.copy()
    dark[hair] = np.random.default_rng(0).integers(15, 45, (hair.sum(), 1))
    assert hair_colour.can_recolour(dark, hair, oval)
    assert not hair_colour.can_recolour(photo, hair, oval), "as light as the face"
    one_side = hair & (np.arange(SIZE) < SIZE / 2)
    assert not hair_colour.can_recolour(dark, one_side, oval)
    assert not hair_colour.can_recolour(dark, np.zeros_like(hair), oval), "bald"
    far = ~features.ndimage.binary_dilation(hair, iterations=8)
    means = set()
    for seed in range(12):
        made = hair_colour.recolour_hair(dark, hair, np.random.default_rng(seed))
        assert (made[far] == dark[far]).all()
        means.add(round(made[hair].mean() / 20))
        assert made[hair].std() > 1, "light and shade stay"
    assert len(means) > 3


def test_people_of_dark_skin_are_drawn_more_often(sets, tmp_path):
    photo, oval = np.full((SIZE, SIZE, 3), 200, np.uint8), np.array([(0.2, 0.1), (0.8, 0.9)])
    assert not features.has_dark_skin(photo, oval)
    photo[30:100, 20:110] = (110, 72, 52)
    assert features.has_dark_skin(photo, oval)
    prepare.main([*sets, "--out", str(tmp_path / "light")])
    for file in tmp_path.glob("**/photos/*.png"):
        Image.open(file).point(lambda value: value // 3).save(file)
    prepare.main([*sets, "--out", str(tmp_path / "dark")])
    train, val = (
        [len(list((tmp_path / name / split).glob("cuhk*"))) for name in ("light", "dark")]
        for split in ("train", "val")
    )
    assert train[1] == 3 * train[0] and val[0] == val[1]


def test_a_half_drawn_face_ends_at_a_line(face):
    points = face.framed_points()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        strokes = [d.Stroke(0.01, tuple(map(tuple, points[k]))) for k in ("oval", "upper_lip")]
        kept = np.concatenate([s.points for s in stick.half_drawn(strokes, rng)])
        every = np.concatenate([s.points for s in strokes])
        assert len(kept) < len(every) and set(map(tuple, kept)) < set(map(tuple, every))
        ends = kept.max(0) < every.max(0) - 0.05, kept.min(0) > every.min(0) + 0.05
        assert sum(map(np.sum, ends)) == 1, "on one side: left, right or below"
