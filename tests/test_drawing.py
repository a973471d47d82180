"""Drawings and the face data set built from them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pix2pix import drawing as d
from pix2pix.drawing import STYLES, draw_strokes, example_faces, line_drawing
from tests.helpers import load_script

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_face_sketch.py"


@pytest.fixture(scope="module")
def prepare():
    return load_script("prepare_face_sketch")


def test_example_faces_stay_in_the_frame_and_leave_ink_on_white_paper():
    faces = example_faces()
    assert len(faces) >= 6
    for name, strokes in faces.items():
        points = np.array([p for s in strokes for p in s.points])
        assert points.min() >= 0 and points.max() <= 1, name
        picture = np.asarray(draw_strokes(strokes, 128))
        assert picture.shape == (128, 128) and picture.dtype == np.uint8
        assert picture.min() < 40 and np.median(picture) == 255, name
        assert 0.01 < (picture < 128).mean() < 0.2, name
        # Both pupils are where the model has learnt to look for them.
        for x in (0.4, 0.6):
            around = picture[round(0.48 * 128) - 3 :, round(x * 128) - 3 :][:6, :6]
            assert around.min() < 128, name


def test_the_same_face_is_drawn_every_time_and_survives_json():
    assert example_faces() == example_faces()
    stroke = example_faces()["Glasses"][0]
    data = json.loads(json.dumps(stroke.to_json()))
    assert set(data) == {"width", "points"} and len(data["points"]) == len(stroke.points)
    again = d.make_stroke(data["points"], data["width"])
    assert np.allclose(again.points, stroke.points, atol=1e-4)


def test_strokes_scale_with_the_canvas_and_have_round_ends():
    dot = d.Stroke(0.25, ((0.5, 0.5),))
    small, large = (np.asarray(draw_strokes([dot], n)) for n in (64, 256))
    assert abs((small < 128).mean() - (large < 128).mean()) < 0.005
    assert abs((large < 128).mean() - np.pi * 0.125**2) < 0.003
    assert (np.asarray(draw_strokes([], 32)) == 255).all()


def test_curves_pass_through_their_points():
    points = np.array([(0.1, 0.1), (0.5, 0.3), (0.9, 0.1)])
    curve = d.smooth(points, 200)
    assert curve.shape == (200, 2)
    for p in points:
        assert np.hypot(*(curve - p).T).min() < 0.01
    closed = d.smooth(d.arc(0.5, 0.5, 0.2, 0.2, 0, 330)[::4], 100, closed=True)
    assert np.allclose(closed[0], closed[-1], atol=1e-6)


def test_wobble_is_seeded_and_as_large_as_asked():
    still = np.zeros((4000, 2))
    a, b = (d.wobble(still, 0.01, np.random.default_rng(5)) for _ in range(2))
    assert (a == b).all()
    assert 0.008 < a.std() < 0.012
    assert np.abs(np.diff(a, axis=0)).max() < 0.01  # a tremor, not noise


@pytest.mark.parametrize("style", STYLES)
def test_a_step_edge_gets_ink_and_flat_areas_stay_white(style):
    step = np.full((256, 256, 3), 220, np.uint8)
    step[:, 128:] = 120
    noise = np.random.default_rng(0).normal(0, 2, step.shape)
    noisy = Image.fromarray(np.uint8(np.clip(step + noise, 0, 255)))
    drawing = np.asarray(line_drawing(noisy, style))
    assert drawing.shape == (256, 256)
    assert drawing[:, 122:140].min(axis=1).max() < 128, "every row has ink at the edge"
    assert (drawing[:, :110] == 255).mean() > 0.995
    if style != "bold":  # "bold" fills what is dark
        assert (drawing[:, 165:] == 255).mean() > 0.995


@pytest.mark.parametrize("style", STYLES)
def test_odd_pictures_are_drawn_too(style):
    for mode, size in (("RGB", (3, 5)), ("L", (40, 300)), ("RGBA", (33, 17))):
        drawing = line_drawing(Image.new(mode, size, 128 if mode == "L" else None), style)
        assert drawing.mode == "L" and drawing.size == size
        assert np.asarray(drawing).min() == 255, "nothing to see, nothing drawn"
    with pytest.raises(ValueError, match="style"):
        line_drawing(Image.new("L", (8, 8)), "oil")


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
    cuhk = tmp_path / "cuhk"
    for folder in ("photos", "sketches"):
        (cuhk / folder).mkdir(parents=True)
    rows, marks = ["photo,sketch,split"], {}
    for k, split in enumerate(["train", "train", "val"]):
        photo, marks[f"f-{k}.png"] = a_photo_and_its_marks(95 + 4 * k, 120, 48 + 2 * k)
        photo.save(cuhk / "photos" / f"f-{k}.png")
        sketch = Image.new("L", photo.size, 240)  # grey paper, to be cleaned to white
        oval = [tuple(p) for p in marks[f"f-{k}.png"]["oval"]]
        ImageDraw.Draw(sketch).polygon(oval, outline=30)
        sketch.save(cuhk / "sketches" / f"F2-{k}-sz1.png")
        rows.append(f"f-{k}.png,F2-{k}-sz1.png,{split}")
    rows.append("gone.png,F2-0-sz1.png,train")
    (cuhk / "split.csv").write_text("\n".join(rows) + "\n")
    Image.new("RGB", (200, 250)).save(cuhk / "photos" / "alone.png")
    landmarks = tmp_path / "faces.json"
    landmarks.write_text(json.dumps(marks))
    return cuhk, landmarks, tmp_path / "out"


def last_line(capsys) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_prepare_end_to_end(prepare, sets, capsys):
    cuhk, landmarks, out = sets
    code = prepare.main(
        [
            "--cuhk",
            str(cuhk),
            "--landmarks",
            str(landmarks),
            "--out",
            str(out),
            "--size",
            "128",
            "--renderings",
            "12",
        ]
    )
    summary = last_line(capsys)
    assert code == 1, "something was refused"
    assert {r["file"]: r["reason"] for r in summary["refused"]} == {
        "gone.png": "gone.png is missing",
        "alone.png": "not listed in split.csv",
    }
    assert (summary["train"], summary["val"]) == (24, 2)
    assert {p.name for p in (out / "val").iterdir()} == {
        "cuhk-f-2-sketch.png",
        "cuhk-f-2-stick.png",
    }
    info = json.loads((out / "dataset.json").read_text())
    assert info["counts"] == {"train": 24, "val": 2} and info["size"] == 128
    assert info["names"] == {"a": "photo", "b": "sketch"} and info["direction"] == "BtoA"
    for path in out.glob("*/*.png"):
        strip = np.asarray(Image.open(path)).astype(int)
        assert strip.shape == (128, 256, 3), path
        photo, drawing = strip[:, :128], strip[:, 128:]
        assert np.ptp(photo, axis=-1).max() > 60, "colour on the left"
        assert np.ptp(drawing, axis=-1).max() == 0 and np.median(drawing) == 255, path
        for x in (0.4, 0.6):  # pupils of every size and place end at the same pixel
            assert photo[round(0.48 * 128), round(x * 128)].max() < 90, path
    before = {p.name: p.read_bytes() for p in out.glob("*/*.png")}
    prepare.main(
        ["--cuhk", str(cuhk), "--landmarks", str(landmarks), "--out", str(out), "--size", "128"]
    )
    assert before == {p.name: p.read_bytes() for p in out.glob("*/*.png")}, "same seed, same set"


def test_turned_heads_and_wrong_arguments_are_refused(prepare, sets, capsys):
    cuhk, landmarks, out = sets
    marks = json.loads(landmarks.read_text())
    for point in marks["f-0.png"]["bridge"]:
        point[0] -= 35  # the nose almost at the left cheek
    del marks["f-1.png"]
    landmarks.write_text(json.dumps(marks))
    prepare.main(["--cuhk", str(cuhk), "--landmarks", str(landmarks), "--out", str(out)])
    summary = last_line(capsys)
    reasons = {r["file"]: r["reason"] for r in summary["refused"]}
    assert reasons["f-0.png"] == "the head is turned too far"
    assert reasons["f-1.png"] == "no face was found"
    for wrong in ([], ["--cuhk", str(cuhk)], ["--cuhk", "/nowhere", "--find-landmarks", "x"]):
        with pytest.raises(SystemExit) as stop:
            prepare.main(wrong)
        assert stop.value.code == 2
