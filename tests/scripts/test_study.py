"""The study of settings: equal time for each arm, measured, and kept when it is stopped."""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pix2pix.config import TrainConfig, train_config
from pix2pix.errors import UserError
from scripts.dev import study as script
from tests.support.drawn_pairs import draw_dataset


class Study:
    """The command on two arms, whose steps are timed as 0.3 s and 0.15 s, and what it left."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = draw_dataset(folder / "data", train=3, val=2)
        self.out, self.patch = folder / "out", monkeypatch
        self.timed: list[TrainConfig] = []
        monkeypatch.setattr(script, "time_step", self.time_step)

    def time_step(self, config: TrainConfig, data: Path) -> float:
        self.timed.append(config)
        return 0.3 if config.mirror else 0.15

    def run(
        self, *more: str, name: str = "blocks", minutes: str = "0.01", data: Path | None = None
    ) -> int:
        words = [f"--data={name}={data or self.data}:BtoA", f"--out={self.out}", "--seeds=3"]
        words += [f"--minutes={minutes}", "--arm", "one=maps ngf=4", "two=maps ngf=4 mirror=false"]
        words += ["--only", "one", "two"]
        words += [f"--set={setting}" for setting in ("size=64", "jitter=4", "ndf=4", "layers=1")]
        self.patch.setattr(sys, "argv", ["study.py", *words, *more])
        return script.main()

    def read(self, arm: str, file: str) -> dict:
        return json.loads((self.out / f"blocks-{arm}-3" / file).read_text())

    def row(self, arm: str) -> str:
        lines = (self.out / "study.md").read_text().splitlines()
        return next(line for line in lines if line.startswith(f"| {arm} |"))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(script, "picture", lambda jobs, name, seed: Image.new("RGB", (8, 8)))
    return Study(tmp_path, monkeypatch)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes, which take seconds to start."""
    monkeypatch.setattr(script, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))


def test_arms_get_the_steps_that_fit_their_time(
    study: Study, capsys: pytest.CaptureFixture
) -> None:
    assert study.run() == 0
    assert [config.mirror for config in study.timed] == [True, False]
    config = study.read("two", "config.json")
    assert (config["steps"], config["seed"], config["direction"]) == (4, 3, "BtoA")
    two = study.out / "blocks-two-3"
    lines = (two / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4 and not (two / "state.pt").exists()
    own = study.read("two", "measures.json")
    cells = " | ".join(how.format(own[name]) for name, how in script.MEASURES.items())
    assert study.row("two") == f"| two | `maps ngf=4 mirror=false` | 4 | {cells} |"
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["runs"] == 2


def test_the_same_command_goes_on_and_keeps_what_is_done(study: Study, threads: None) -> None:
    assert study.run("--only", "one") == 0
    figures = {"perceptual": 1.25, "kid": 7.0, "l1": 0.5, "ssim": 0.25}
    figures |= {"perceptual_halves": 1.5, "kid_halves": 3.0}
    (study.out / "blocks-one-3" / "measures.json").write_text(json.dumps(figures))
    two = study.out / "blocks-two-3"
    assert study.run() == 0
    assert [config.mirror for config in study.timed] == [True, False]
    assert study.row("one") == "| one | `maps ngf=4` | 2 | 1.250 | 7 | 0.500 | 0.250 |"
    halves = "one half of the real pictures to the other"
    assert study.row(halves) == f"| {halves} | | | 1.500 | 3 | | |"
    # Stopped before its first state was saved, it begins anew.
    before = study.row("two")
    (two / "measures.json").unlink()
    shutil.rmtree(two / "model")
    shutil.rmtree(two / "checkpoints")
    losses = (two / "metrics.jsonl").read_text()
    (two / "metrics.jsonl").write_text(losses.splitlines(keepends=True)[0])
    assert study.run() == 0
    assert study.row("two") == before and (two / "metrics.jsonl").read_text() == losses


def test_another_command_is_refused_where_old_figures_would_be_taken_for_its_own(
    study: Study, threads: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert study.run() == 0
    one = study.out / "blocks-one-3"
    kept = {file: file.read_bytes() for file in study.out.rglob("*") if file.is_file()}
    capsys.readouterr()

    def refused(folder: Path, *more: str, **changed: object) -> bool:
        code, said = study.run(*more, **changed), capsys.readouterr()
        assert not said.out and len(study.timed) == 2
        words = "was measured with other settings, data, minutes or networks: give another --out."
        return (code, said.err) == (1, f"{folder} {words}\n")

    elsewhere = draw_dataset(tmp_path / "elsewhere", train=3, val=2)
    assert refused(one, minutes="0.02")
    assert refused(study.out, "--set=lr=0.001")
    assert refused(study.out, data=elsewhere)
    assert {f: f.read_bytes() for f in study.out.rglob("*") if f.is_file()} == kept
    # Another arm of the same call, whose name has the same letters.
    config = replace(study.timed[0], lr=0.001)
    with pytest.raises(UserError, match="blocks-one-3 was measured with other settings"):
        script.work(script.Job("one,", "blocks", study.data, config, one))
    # As earlier versions left it; the arm before it is not begun either.
    two = study.out / "blocks-two-3"
    (two / "job.json").unlink()
    assert refused(two)
    # Trained for a while, and not measured yet.
    (one / "measures.json").unlink()
    assert refused(one, minutes="0.02")
    # As earlier versions left it.
    (study.out / "seconds.json").write_text(json.dumps({"one": 0.3, "two": 0.15}))
    assert refused(study.out)


def test_a_palette_that_has_no_names_for_a_scene_costs_its_picture_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: None, capsys: pytest.CaptureFixture
) -> None:
    study = Study(tmp_path, monkeypatch)
    assert study.run(name="facades") == 0
    out, err = capsys.readouterr()
    assert "| two | `maps ngf=4 mirror=false` | 4 | " in out
    assert json.loads(out.splitlines()[-1])["runs"] == 2
    notes = [line for line in err.splitlines() if "left out" in line]
    assert len(notes) == 1
    assert notes[0].startswith("facades-drawn.png was left out: The model's palette has no ")
    with Image.open(study.out / "facades.png") as rows:  # source, two arms, target
        assert rows.height > 4 * 64
    assert not (study.out / "facades-drawn.png").exists()


def test_a_step_is_timed_in_a_run_of_its_own(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", train=3, val=0)
    config = train_config(
        "maps", {"size": "64", "jitter": "4", "ngf": "4", "ndf": "4", "layers": "1", "steps": "6"}
    )
    assert 0 < script.time_step(config, data) < 60
    assert sorted(tmp_path.iterdir()) == [data]
