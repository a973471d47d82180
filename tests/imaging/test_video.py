"""Videos are read as people see them, and written with all that is not their pictures."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging import video
from pix2pix.imaging.video import change_frames, open_clip, read_frames
from tests.support.clips import RATE, TONE, house_frames, look_at, write_clip

CODED = 6  # grey levels that a picture is off on average once it was coded
pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture(scope="module")
def frames() -> list[Image.Image]:
    return house_frames(1)


def off(a: object, b: object) -> float:
    return float(np.abs(np.asarray(a, int) - np.asarray(b, int)).mean())


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_frames_are_upright(frames: list[Image.Image], tmp_path: Path, turn: int) -> None:
    clip = open_clip(write_clip(tmp_path / "phone.mp4", frames, turn=turn, sound=""))
    shown = [picture for _, picture in read_frames(clip, 5) if picture]
    upright = [frame.rotate(turn, expand=True) for frame in frames[::5]]
    assert clip.size == upright[0].size and len(shown) == len(upright)
    assert max(map(off, shown, upright)) < CODED
    made = tmp_path / "made.mp4"
    change_frames(clip, made, lambda image: image)
    assert open_clip(made).turn == 0 and off(look_at(made)["pictures"][5], upright[1]) < CODED


def test_pixels_are_square(frames: list[Image.Image], tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "dv.mp4", frames, shape=Fraction(16, 15)))
    assert clip.size == (102, 72)
    _, first = next(read_frames(clip))
    assert off(first, frames[0].resize((102, 72), Image.Resampling.BICUBIC)) < CODED
    change_frames(clip, tmp_path / "made.mp4", lambda image: image)
    assert open_clip(tmp_path / "made.mp4").size == (102, 72)


@pytest.mark.parametrize(
    ("name", "codec", "sound", "kept"),
    [
        ("clip.mp4", "libx264", "aac", True),
        ("clip.mts", "libx264", "aac", True),  # begins at 1.4 s
        ("clip.avi", "mpeg4", "libmp3lame", True),
        ("clip.mov", "libx264", "pcm_s16le", False),
        ("clip.mpg", "mpeg2video", "mp2", False),
        ("clip.webm", "libvpx-vp9", "", False),
    ],
)
def test_times_and_sound_stay(
    frames: list[Image.Image], tmp_path: Path, name: str, codec: str, sound: str, kept: bool
) -> None:
    before = look_at(write_clip(tmp_path / name, frames, codec=codec, sound=sound))
    seen: list[Image.Image] = []
    heard: list[tuple[int, int]] = []

    def change(image: Image.Image) -> Image.Image:
        seen.append(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        return seen[-1]

    clip, made = open_clip(tmp_path / name), tmp_path / "made.mp4"
    count, remarks = change_frames(
        clip, made, change, on_progress=lambda done, total: heard.append((done, total))
    )
    after = look_at(made)
    assert count == len(frames) == len(after["pictures"]) and after["codec"] == "h264"
    assert heard[-1] == (count, count) and [done for done, _ in heard[:-1]] == [
        *range(1, count + 1)
    ]
    assert max(map(off, after["pictures"], seen)) < CODED
    assert off(seen[3], frames[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT)) < CODED
    np.testing.assert_allclose(np.diff(after["times"]), np.diff(before["times"]), atol=1e-4)
    assert after["seconds"] == pytest.approx(before["seconds"], abs=0.03)
    if sound:
        assert after["sound"] == (before["sound"] if kept else "aac")
        assert after["tone"] == pytest.approx(TONE, abs=2)
        assert (after["packets"] == before["packets"]) == (kept and name != "clip.mts")
    assert bool(remarks) == (bool(sound) and not kept)
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_frames_that_come_at_odd_times_keep_them(frames: list[Image.Image], tmp_path: Path) -> None:
    write_clip(tmp_path / "screen.mp4", frames, time=lambda number: number * (number + 1) // 2)
    change_frames(open_clip(tmp_path / "screen.mp4"), tmp_path / "made.mp4", lambda image: image)
    times = [number * (number + 1) // 2 / RATE for number in range(len(frames))]
    np.testing.assert_allclose(look_at(tmp_path / "made.mp4")["times"], times, atol=1e-4)


def test_odd_sides_are_made_even_and_other_encoders_are_said(
    frames: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [frame.crop((0, 0, 95, 71)) for frame in frames[:4]]
    clip = open_clip(write_clip(tmp_path / "odd.webm", odd, codec="libvpx-vp9", sound=""))
    assert clip.size == (95, 71)
    monkeypatch.setattr(video, "_ENCODERS", {"libvpx-vp9": video._ENCODERS["libvpx-vp9"]})
    _, remarks = change_frames(clip, tmp_path / "made.mp4", lambda image: image)
    assert "becomes 96 x 72" in remarks[0] and "becomes VP9" in remarks[1]
    made = look_at(tmp_path / "made.mp4")
    assert made["codec"] in ("vp9", "libvpx-vp9") and made["pictures"][0].shape == (72, 96, 3)
    assert off(made["pictures"][3][:71, :95], odd[3]) < CODED
    monkeypatch.setattr(video, "_ENCODERS", {})
    with pytest.raises(UserError, match="writes no video that browsers play"):
        change_frames(clip, tmp_path / "none.mp4", lambda image: image)


def test_what_is_no_video_is_refused_in_a_sentence(
    frames: list[Image.Image], tmp_path: Path
) -> None:
    whole = write_clip(tmp_path / "whole.mkv", frames, codec="ffv1", sound="").read_bytes()
    (tmp_path / "secret.mp4").write_bytes(write_clip(tmp_path / "a.mp4", frames).read_bytes())
    bad = {
        "empty.mp4": b"",
        "page.mp4": b"<!doctype html><title>Not found</title>",
        "cut.mp4": (tmp_path / "a.mp4").read_bytes()[:4000],
        "list.mp4": b"ffconcat version 1.0\nfile secret.mp4\n",  # would have another file read
        "hls.mp4": b"#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"^{name} is no video that can be read"):
            open_clip(tmp_path / name)
    with pytest.raises(UserError, match=r"^missing"):
        open_clip(tmp_path / "missing.mp4")
    middle = len(whole) // 2
    noise = np.random.default_rng(0).bytes(3000)
    (tmp_path / "bad.mkv").write_bytes(whole[:middle] + noise + whole[middle + 3000 :])
    with pytest.raises(UserError, match="or is damaged"):
        change_frames(open_clip(tmp_path / "bad.mkv"), tmp_path / "made.mp4", lambda image: image)
    assert not (tmp_path / "made.mp4").exists()
    assert not [*tmp_path.glob(".*")]


def test_too_large_and_too_long_videos_are_refused(
    frames: list[Image.Image], tmp_path: Path
) -> None:
    file = write_clip(tmp_path / "clip.mp4", frames)
    with pytest.raises(UserError, match="more than 6,000 pixels a frame"):
        open_clip(file, max_pixels=6_000)
    with pytest.raises(UserError, match="more than the 20 frames"):
        open_clip(file, max_frames=20)
    with pytest.raises(UserError, match="more than the 20 frames"):  # where the file says fewer
        change_frames(open_clip(file), tmp_path / "made.mp4", lambda image: image, max_frames=20)
    assert {item.name for item in tmp_path.iterdir()} == {"clip.mp4"}


def test_stopped_work_leaves_nothing(frames: list[Image.Image], tmp_path: Path) -> None:
    clip, done = open_clip(write_clip(tmp_path / "clip.mp4", frames)), []
    (tmp_path / "made.mp4").write_text("of before")
    with pytest.raises(Cancelled):
        change_frames(
            clip, tmp_path / "made.mp4", lambda image: image,
            on_progress=lambda number, total: done.append(number),
            should_stop=lambda: len(done) == 7,
        )  # fmt: skip
    assert done == [*range(1, 8)] and (tmp_path / "made.mp4").read_text() == "of before"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not be saved"):
        change_frames(clip, tmp_path / "file" / "made.mp4", lambda image: image)
    assert {item.name for item in tmp_path.iterdir()} == {"clip.mp4", "made.mp4", "file"}


def test_without_pyav_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="pip install av"):
        open_clip(tmp_path / "clip.mp4")
