"""The frames of a video become photos of a dataset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.build import build_dataset
from pix2pix.data.sources import derive_source, take_frames
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.video import open_clip, read_frames
from pix2pix.ui.dataset.uploads import UploadedInputs, gather_inputs
from tests.support.clips import RATE, house_frames, write_clip
from tests.support.models_and_servers import noise

ROOT = Path(__file__).resolve().parents[2]
STILL = range(2 * RATE, 3 * RATE)  # frames in which the camera stands still
pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", house_frames(3, (128, 96)))


def by_script(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "build_dataset.py", *options]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


def test_every_so_many_frames_are_photos_without_those_that_stand_still(
    clip: Path, tmp_path: Path
) -> None:
    heard: list[tuple[int, int]] = []
    every, words = take_frames(
        clip, tmp_path, 8, on_progress=lambda done, total: heard.append((done, total))
    )
    names = sorted(file.name for file in tmp_path.iterdir())
    expected = [n for n in range(0, 3 * RATE, 8) if n not in STILL[1:]]
    assert names == [f"walk-{number:06}.png" for number in expected]
    assert every == 8 and heard[-1] == (72, 72)
    assert words == (
        "of walk.mp4 every 8th frame, 7 of 72, without 2 that look like the one before"
    )
    shown = dict(read_frames(open_clip(clip)))
    for number, name in zip(expected, names):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), shown[number])
    with pytest.raises(Cancelled):
        take_frames(clip, tmp_path, should_stop=lambda: True)


def test_a_command_makes_a_dataset_of_a_video_and_makes_it_again(
    clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "walk"
    options = ["--derive", "lines", "--size", 64, "--split", "0.5,0.25,0.25"]
    done = by_script("--source", clip, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["pairs"] == 5 and not said["refused"]  # 0, 12, 24, 36 and 48 of 0 to 71
    assert "line drawing -> photo: of walk.mp4 every 12th frame, 5 of 72" in done.stderr
    about = json.loads((out / "dataset.json").read_text())
    assert about["inputs"]["origin"]["table"] == "walk.mp4" and "every 12th" in about["explanation"]
    strip = Image.open(next(out.glob("*/*000012.png")))
    photo = dict(read_frames(open_clip(clip)))[12]
    target = strip.crop((64, 0, 128, 64))
    small = photo.resize((64, 64), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(target, int) - np.asarray(small, int)).mean() < 4
    lines = derive_source(target, "lines", "").convert("RGB")
    assert np.abs(np.asarray(strip.crop((0, 0, 64, 64)), int) - np.asarray(lines, int)).mean() < 1
    again = by_script(
        "--rebuild", out / "dataset.json", "--source", clip, "--out", tmp_path / "again"
    )
    assert again.returncode == 0, again.stderr
    pictures: list[dict[str, Any]] = [
        {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.png")}
        for folder in (out, tmp_path / "again")
    ]
    assert pictures[0] == pictures[1] and {*os.listdir(tmp_path)} == {"walk", "again"}


def test_the_api_takes_a_video_and_says_what_is_wrong(clip: Path, tmp_path: Path) -> None:
    made = build_dataset(clip, None, tmp_path / "made", derive="small", every=24, size=64)
    assert made["counts"]["pairs"] == 3 and made["rule"] == "derived"
    with pytest.raises(UserError, match="say what sources are made of"):
        build_dataset(clip, None, tmp_path / "none")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="is no video that can be read"):
        build_dataset(tmp_path / "bad.mp4", None, tmp_path / "none", derive="grey")
    assert {*os.listdir(tmp_path)} == {"made", "bad.mp4"}


def test_an_upload_may_be_photos_and_videos(clip: Path, tmp_path: Path) -> None:
    noise(40, 30).save(tmp_path / "photo.png")
    given = UploadedInputs([str(tmp_path / "photo.png"), str(clip)], derive="grey", every=24)
    inputs = gather_inputs(given, tmp_path / "check", lambda: False, lambda done, total: None)
    names = {"photo.png", "walk-000000.png", "walk-000024.png", "walk-000048.png"}
    assert {file.name for file in inputs.source.iterdir()} == names and inputs.kind == "derived"
    assert "of walk.mp4 every 24th frame, 3 of 72" in inputs.taken and inputs.origin.every == 24
