"""Videos that our code draws: little houses that a camera passes, and a tone of 440 Hz."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.imaging.example_houses import draw_house

RATE, TONE, SOUND_RATE = 24, 440, 44_100


def house_frames(seconds: int = 3, size: tuple[int, int] = (96, 72)) -> list[Image.Image]:
    """A house a second; the camera moves by a pixel a frame, and stands still in the last one."""
    frames = []
    for number in range(seconds):
        _, house = draw_house(number, max(size) + RATE)
        for step in range(RATE):
            left = 0 if number == seconds - 1 else step
            frames.append(house.crop((left, 8, left + size[0], 8 + size[1])))
    return frames


def write_clip(
    file: Path,
    frames: list[Image.Image],
    *,
    codec: str = "libx264",
    sound: str = "aac",
    time: Callable[[int], int] = lambda number: number,
    turn: int = 0,
    shape: Fraction | None = None,
) -> Path:
    """Write frames at the times `time(number)` in 24ths of a second. `turn` is by how many degrees
    a player turns them, `shape` that of a pixel."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(file), "w") as made:
        stream = made.add_stream(codec, rate=RATE, options={"crf": "10", "cpu-used": "8"})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        if turn:
            stream.set_display_rotation(turn)
        heard = made.add_stream(sound, rate=SOUND_RATE) if sound else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = time(number), Fraction(1, RATE)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
        if heard:
            write_tone(av, made, heard, len(frames) / RATE)
    return file


def write_tone(av: Any, made: Any, stream: Any, seconds: float) -> None:
    times = np.arange(round(SOUND_RATE * seconds)) / SOUND_RATE
    wave = (0.3 * np.sin(2 * np.pi * TONE * times)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
    frame.sample_rate, frame.pts = SOUND_RATE, 0
    made.mux(stream.encode(frame))
    made.mux(stream.encode())


def look_at(file: Path) -> dict[str, Any]:
    """Say what a video holds: `pictures` as arrays, their `times` in seconds, `seconds` in all,
    the `codec`, the sound's name, its loudest `tone` in Hz, and its `packets`."""
    import av

    with av.open(str(file)) as opened:
        stream, heard = opened.streams.video[0], opened.streams.best("audio")
        frames = list(opened.decode(stream))
        found = {
            "codec": stream.codec_context.name, "seconds": (opened.duration or 0) / 1e6,
            "times": [float(frame.pts * frame.time_base) for frame in frames],
            "pictures": [frame.to_ndarray(format="rgb24").astype(int) for frame in frames],
        }  # fmt: skip
        if heard:
            found["sound"] = heard.codec_context.codec.canonical_name
            opened.seek(0)
            wave = np.concatenate([f.to_ndarray() for f in opened.decode(heard)], axis=1)[0]
            spectrum = np.abs(np.fft.rfft(wave))
            found["tone"] = spectrum.argmax() * heard.rate / len(wave)
    with av.open(str(file)) as opened:
        packets = opened.demux(opened.streams.best("audio")) if heard else ()
        found["packets"] = [bytes(packet) for packet in packets if packet.size]
    return found
