"""A video in, a video out: by the command, and played by a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.imaging.video import open_clip, read_frames
from pix2pix.models.translator import Translator
from tests.scripts.test_translate import run_here
from tests.support.clips import RATE, TONE, house_frames, look_at, write_clip
from tests.support.models_and_servers import noise, save_tiny_model

CODED = 4  # grey levels that light, and colours of 4 x 4 pixels, are off on average once coded
PAGE = """<video src="walk.mp4" muted autoplay loop></video><script>
const video = document.querySelector("video");
video.onloadeddata = () => { document.title = "loaded"; };
video.onerror = () => { document.title = video.error.message; };
</script>"""
PLAYS_H264 = """document.createElement("video").canPlayType('video/mp4; codecs="avc1.64000a"')"""
pytest.importorskip("av", reason="PyAV is not installed")


def light(picture: Any) -> np.ndarray:
    return np.asarray(picture, float) @ (0.2126, 0.7152, 0.0722)


def colours(picture: Any) -> np.ndarray:
    return np.asarray(Image.fromarray(np.asarray(picture, np.uint8)).reduce(4), int)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 3 s, a model, and in `out` what the command made of the clip."""
    folder = tmp_path_factory.mktemp("translated")
    write_clip(folder / "walk.mov", house_frames(3))
    save_tiny_model(folder / "model")
    done = run_here(
        *["--model", folder / "model", folder / "walk.mov", "--out", folder / "out"],
        *["--device", "cpu"],
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"translated": 1, "refused": []}
    assert [file.name for file in (folder / "out").iterdir()] == ["walk.mp4"]
    return folder


def test_frames_times_and_sound_are_those_of_the_clip(folder: Path) -> None:
    before, after = look_at(folder / "walk.mov"), look_at(folder / "out" / "walk.mp4")
    assert len(after["pictures"]) == 3 * RATE and after["codec"] == "h264"
    np.testing.assert_allclose(after["times"], before["times"], atol=1e-4)
    assert after["seconds"] == pytest.approx(3, abs=0.05)
    assert after["sound"] == "aac" and after["tone"] == pytest.approx(TONE, abs=1)
    assert after["packets"] == before["packets"]  # not coded again


def test_a_frame_is_the_translation_of_the_frame(folder: Path) -> None:
    made = look_at(folder / "out" / "walk.mp4")["pictures"]
    translator = Translator.load(folder / "model", "cpu")
    for number, picture in read_frames(open_clip(folder / "walk.mov"), 20):
        if picture:
            right = translator.translate(picture)
            assert np.abs(light(made[number]) - light(right)).mean() < CODED
            assert np.abs(colours(made[number]) - colours(right)).mean() < CODED
            assert np.abs(colours(made[number]) - colours(picture)).mean() > 10 * CODED


@pytest.mark.browser
def test_a_browser_plays_it(folder: Path, browser: Any) -> None:
    (folder / "out" / "page.html").write_text(PAGE)
    page = browser.new_page()
    if not page.evaluate(PLAYS_H264):
        pytest.skip("this Chromium was built without H.264")
    page.goto((folder / "out" / "page.html").as_uri())
    page.wait_for_function("document.title")
    assert page.title() == "loaded"
    page.wait_for_function("document.querySelector('video').currentTime > 0.5")
    size = page.evaluate("(({videoWidth, videoHeight}) => [videoWidth, videoHeight])"
        "(document.querySelector('video'))")  # fmt: skip
    assert size == [96, 72]
    page.close()
    (folder / "out" / "page.html").unlink()


def test_a_bad_clip_among_pictures_is_refused_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    noise(20, 20).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    out = ["--out", tmp_path / "out", "--device", "cpu"]
    done = run_here("--model", folder / "model", tmp_path / "in", *out)
    assert done.returncode == 1 and "bad.mp4 is no video that can be read" in done.stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["good.png"]
