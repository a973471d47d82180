"""How far a painted thing's colour is from the ink, of painters whose answer is known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pix2pix.imaging.hints import foreground
from tests.support.models_and_servers import load_script

script = load_script("dev/measure_ink")
PAPER, THING = (255, 255, 255), (120, 90, 60)


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    """Three A|B pictures: outlines of a box with more and more lines, and a brown box."""
    for number in range(3):
        pair = Image.new("RGB", (128, 64), PAPER)
        pen = ImageDraw.Draw(pair)
        pen.rectangle((8, 20, 56, 44), outline="black")
        for line in range(number):
            pen.line((12, 24 + 5 * line, 52, 24 + 5 * line), fill="black")
        pen.rectangle((72, 20, 120, 44), fill=THING)
        (tmp_path / "val").mkdir(exist_ok=True)
        pair.save(tmp_path / "val" / f"{number}.png")
    return tmp_path


def measured(paint: Any, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict:
    monkeypatch.setattr(script, "find_model", Path)
    monkeypatch.setattr(script, "Translator", SimpleNamespace(load=lambda folder: paint))
    words = ["measure_ink.py", "any", "--data", str(data), "--count", "2"]
    monkeypatch.setattr(sys, "argv", words)
    assert script.main() == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_one_who_paints_with_the_ink_is_near_and_one_who_paints_brown_is_not(
    drawings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    seen = []

    def with_ink(source: Image.Image) -> Image.Image:
        seen.append(np.asarray(source))
        ink = next(color for _, color in source.getcolors(4096) if color in script.INKS.values())
        return Image.new("RGB", source.size, ink)

    said = measured(with_ink, drawings, monkeypatch, capsys)
    assert said["drawings"] == 2 and len(seen) == 2 * len(script.INKS)
    assert all(found == {"near": 2, "mean": 0.0} for found in said["inks"].values())
    brown = measured(lambda s: Image.new("RGB", s.size, THING), drawings, monkeypatch, capsys)
    assert all(found["near"] == 0 and found["mean"] > 15 for found in brown["inks"].values())


def test_the_stroke_runs_along_the_middle_of_the_thing() -> None:
    photo = np.full((64, 64, 3), 1.0, np.float32)
    photo[20:45, 8:57] = 0.3
    line = np.array(script.middle_line(foreground(photo)))
    assert line[0, 0] > 8 / 64 and line[-1, 0] < 57 / 64 and np.allclose(line[:, 1], 32.5 / 64)
