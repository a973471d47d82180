"""Drawings: strokes, lines of a photo and the example faces."""

import json

import numpy as np
import pytest
from PIL import Image

from pix2pix.imaging import strokes as d
from pix2pix.imaging.line_art import LINE_STYLES, line_drawing
from pix2pix.imaging.strokes import draw_strokes
from scripts.examples.faces import example_faces


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


@pytest.mark.parametrize("style", LINE_STYLES)
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


@pytest.mark.parametrize("style", LINE_STYLES)
def test_odd_pictures_are_drawn_too(style):
    for mode, size in (("RGB", (3, 5)), ("L", (40, 300)), ("RGBA", (33, 17))):
        drawing = line_drawing(Image.new(mode, size, 128 if mode == "L" else None), style)
        assert drawing.mode == "L" and drawing.size == size
        assert np.asarray(drawing).min() == 255, "nothing to see, nothing drawn"
    with pytest.raises(ValueError, match="style"):
        line_drawing(Image.new("L", (8, 8)), "oil")
