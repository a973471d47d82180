"""What other logs are told of a run, and that none of them holds it up."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.config import TrainConfig
from pix2pix.errors import UserError
from pix2pix.training import external_log
from pix2pix.training.external_log import ExternalLog
from pix2pix.training.loop import TrainProgress, run_loop
from pix2pix.training.metrics_log import read_jsonl
from tests.support.drawn_pairs import draw_dataset

CPU = torch.device("cpu")
SMALL = TrainConfig(size=64, ngf=4, ndf=4, jitter=4, steps=6, save_every_steps=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("reporting") / "data", train=3, val=2)


class Service(ModuleType):
    """A module with the part of wandb's interface that trackio has too, and what it was told."""

    def __init__(self) -> None:
        super().__init__("service")
        self.told: list[tuple[str, Any]] = []

    def init(self, **options: Any) -> None:
        self.told.append(("init", options))

    def log(self, values: dict[str, Any], step: int) -> None:
        self.told.append((str(step), values))

    def finish(self) -> None:
        self.told.append(("finish", None))

    Image = staticmethod(lambda image: ("picture", image.size))


@pytest.mark.parametrize("kind", ["trackio", "wandb"])
def test_a_service_hears_all_of_a_run_and_knows_it_again(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    monkeypatch.setitem(sys.modules, kind, service)
    run, config = tmp_path / "faces", replace(SMALL, report_to=kind)
    run_loop(run, data, config, device=CPU)
    (first, options), *told, (last, _) = service.told
    assert (first, last) == ("init", "finish") and options["resume"] == "never"
    assert (options["project"], options["name"]) == ("pix2pix-studio", "faces")
    assert options["config"] == asdict(replace(config, source_channels=3, target_channels=3)) | {
        key: options["config"][key] for key in ("ranges", "numbers")
    }
    assert options.get("private") is (True if kind == "trackio" else None)
    losses = [(int(step), values) for step, values in told if "loss/g_l1" in values]
    rows = read_jsonl(run / "metrics.jsonl")
    assert [(step, values["loss/g_l1"]) for step, values in losses] == [
        (row["step"], row["g_l1"]) for row in rows
    ]
    rates = [values["loss/lr"] for _, values in losses]
    assert rates[0] == config.lr and rates == sorted(rates, reverse=True) and rates[-1] < rates[0]
    measured = [(int(step), v["validation/l1"]) for step, v in told if "validation/l1" in v]
    known = read_jsonl(run / "validation.jsonl")
    assert measured == [(row["step"], row["l1"]) for row in known]
    grid = Image.open(run / "samples" / "step-0000006.png")
    assert ("6", {"samples/grid": ("picture", grid.size)}) in told
    service.told.clear()
    run_loop(run, data, replace(config, steps=7), device=CPU, resume=True)
    (_, again), *told, _ = service.told
    assert again["resume"] == "allow" and again.get("id") == options.get("id")
    assert [step for step, values in told if "loss/g_l1" in values] == ["7"]


def test_tensorboard_shows_losses_measures_and_samples_and_no_step_twice(
    data: Path, tmp_path: Path
) -> None:
    """Neither those after a state nor those of a run that was killed before its first one."""
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(SMALL, report_to="tensorboard")
    deadly = [2, 5]  # states are of step 3 and 6

    def kill(progress: TrainProgress) -> None:
        if progress.step in deadly:
            deadly.remove(progress.step)
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_loop(tmp_path, data, config, device=CPU, resume=True, on_progress=kill)
    run_loop(tmp_path, data, config, device=CPU, resume=True)
    seen = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in seen.Scalars("loss/g_l1")] == list(range(1, 7))
    assert [event.step for event in seen.Scalars("validation/l1")] == [3, 6]
    last = {row["step"]: row["g_l1"] for row in read_jsonl(tmp_path / "metrics.jsonl")}
    written = [event.value for event in seen.Scalars("loss/g_l1")]
    assert written == pytest.approx([last[step] for step in range(1, 7)])
    shown = seen.Images("samples/grid")[-1]
    grid = Image.open(tmp_path / "samples" / "step-0000006.png")
    assert (shown.step, shown.width, shown.height) == (6, *grid.size)


@pytest.mark.parametrize("at", ["init", "log", "finish"])
def test_a_service_that_fails_is_said_once(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("nobody is there")

    service = Service()
    setattr(service, at, fail)
    monkeypatch.setitem(sys.modules, "wandb", service)
    with caplog.at_level(logging.WARNING):
        report = ExternalLog("wandb", tmp_path, SMALL)
        for step in range(1, 20):
            report.send(step, "loss", {"g": 1.0})
        report.close()
    assert [record.getMessage() for record in caplog.records] == [
        "wandb failed, and the run goes on without it: nobody is there"
    ]


def test_a_service_that_hangs_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, answer = Service(), threading.Event()
    service.init = lambda **_: answer.wait(60)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "wandb", service)
    monkeypatch.setattr(external_log, "LAST_SECONDS", 0.01)
    monkeypatch.setattr(external_log, "MAX_WAITING", 5)
    report = ExternalLog("wandb", tmp_path, SMALL)
    for step in range(1, 20):
        report.send(step, "loss", {"g": 1.0})
    report.close()  # does not wait for the answer
    assert report.thread.is_alive() and not service.told
    answer.set()
    report.thread.join(60)
    assert [step for step, _ in service.told] == ["1", "2", "3", "4", "5", "finish"]


@pytest.mark.parametrize("kind", ["tensorboard", "trackio", "wandb"])
def test_a_package_that_is_absent_is_asked_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch.utils.tensorboard", "trackio", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"pip install {kind}"):
        ExternalLog(kind, tmp_path, SMALL)


def test_pictures_of_one_channel_are_shown_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report = ExternalLog("tensorboard", tmp_path, SMALL)
    report.send(1, "samples", {"grid": Image.fromarray(np.zeros((4, 6), np.uint8))})
    report.close()
    (shown,) = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Images("samples/grid")
    assert (shown.width, shown.height) == (6, 4)


def test_runs_of_before_load() -> None:
    old = {key: value for key, value in asdict(SMALL).items() if key != "report_to"}
    assert TrainConfig.from_json(old | {"tensorboard": True}).report_to == "tensorboard"
    assert TrainConfig.from_json(old | {"tensorboard": False}) == SMALL
    with pytest.raises(UserError, match="true or false"):
        TrainConfig.from_json(old | {"tensorboard": "yes"})
    with pytest.raises(UserError, match="report_to must be one of"):
        TrainConfig(report_to="mail")  # type: ignore[arg-type]
