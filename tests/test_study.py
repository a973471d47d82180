"""The study of settings: equal time for each arm, measured, and kept when it is stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from scripts import study as script
from tests.drawn_pairs import draw_dataset


def test_arms_get_the_steps_that_fit_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    data, out = draw_dataset(tmp_path / "data", train=3, val=2), tmp_path / "out"
    words = ["--data", f"blocks={data}:BtoA", "--out", out, "--minutes", "0.01", "--seeds", "3"]
    words += ["--arm", "one=maps ngf=4", "two=maps ngf=4 mirror=false", "--only", "one", "two"]
    for setting in ("size=64", "jitter=4", "ndf=4", "layers=1"):
        words += ["--set", setting]
    monkeypatch.setattr(sys, "argv", ["study.py", *map(str, words)])

    out.mkdir()
    (out / "seconds.json").write_text(json.dumps({"one": 0.3}))  # timed before; two is not
    measured = []
    monkeypatch.setattr(script, "time_step", lambda config, data: measured.append(config) or 0.15)
    done = out / "blocks-one-3"  # trained before
    done.mkdir()
    figures = {"perceptual": 1.25, "kid": 7.0, "l1": 0.5, "ssim": 0.25}
    (done / "measures.json").write_text(json.dumps(figures))
    monkeypatch.setattr(script, "picture", lambda jobs, name, seed: Image.new("RGB", (8, 8)))
    assert script.main() == 0

    assert [config.mirror for config in measured] == [False]
    config = json.loads((out / "blocks-two-3" / "config.json").read_text())
    assert (config["steps"], config["seed"], config["direction"]) == (4, 3, "BtoA")
    lines = (out / "blocks-two-3" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4 and not (out / "blocks-two-3" / "state.pt").exists()
    rows = [row for row in (out / "study.md").read_text().splitlines() if row.startswith("|")]
    assert rows[2] == "| one | `maps ngf=4` | 2 | 1.250 | 7 | 0.500 | 0.250 |"
    own = json.loads((out / "blocks-two-3" / "measures.json").read_text())
    cells = " | ".join(how.format(own[name]) for name, how in script.MEASURES.items())
    assert rows[3] == f"| two | `maps ngf=4 mirror=false` | 4 | {cells} |"
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["runs"] == 2


def test_a_step_is_timed_in_a_run_of_its_own(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", train=3, val=0)
    config = script.train_config(
        "maps", {"size": "64", "jitter": "4", "ngf": "4", "ndf": "4", "layers": "1", "steps": "6"}
    )
    assert 0 < script.time_step(config, data) < 60
    assert sorted(tmp_path.iterdir()) == [data]
