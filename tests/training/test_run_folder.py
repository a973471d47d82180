"""Runs in processes of their own: killed, stopped, queued, found again, and never lost."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from pix2pix.config import TrainConfig
from pix2pix.errors import Cancelled, UserError
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import (
    best_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    publish_checkpoint,
)
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.saved_state import load_state
from pix2pix.utils import files
from pix2pix.utils.files import write_json
from tests.support.drawn_pairs import draw_dataset

TINY = {"size": 64, "jitter": 4, "ngf": 4, "ndf": 4, "layers": 1, "steps": 40, "ema": 0.9}
SAVING = {"save_every_steps": 3, "sample_every_steps": 20}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data", train=5, val=2)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "runs"
    for run in (tmp_path / "runs").glob("*/"):
        run_control.force_stop(run, patience=0.0)


def settings(data: Path, **values: object) -> dict:
    config = TrainConfig(**{**TINY, **SAVING, **values})
    return {**dataclasses.asdict(config), "data": str(data), "start_from": "", "device": "cpu"}


def wait(
    run: Path, until: Callable[[run_folder.Status], bool], seconds: float = 120
) -> run_folder.Status:
    """The run's status once it is as wanted; fails where nothing has moved for so many seconds."""
    deadline, before = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        status = run_folder.read_status(run)
        if until(status):
            return status
        if (status.state, steps_done(run)) != before:
            deadline, before = time.monotonic() + seconds, (status.state, steps_done(run))
        time.sleep(0.01)  # the next look at the condition
    log = (run / "log.txt").read_text()
    pytest.fail(f"still {run_folder.read_status(run)} after {seconds} s:\n{log}")


def ended(status: run_folder.Status) -> bool:
    return not status.is_active


def steps_done(run: Path) -> int:
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def weights(run: Path) -> dict:
    return torch.load(run / "state.pt", weights_only=True)["trainer"]


def equal(one: object, other: object) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(v, other[k]) for k, v in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def kill(run: Path) -> None:
    process = psutil.Process(json.loads((run / "process.json").read_text())["pid"])
    process.kill()
    process.wait(30)


@pytest.mark.usefixtures("forked")
def test_ten_kills_change_no_bit(data: Path, root: Path) -> None:
    """With all that a step may draw, average and rebuild: frozen features are not in the state."""
    straight, killed = root / "straight", root / "killed"
    both = {
        "discriminator": "projected", "adversarial": "hinge", "lambda_perceptual": 10.0,
        "diffaugment": True, "ema": 0.99,
    }  # fmt: skip
    run_control.start_process(straight, settings(data, **both))
    assert wait(straight, ended).state == "finished"
    rng = random.Random(0)
    run_control.start_process(killed, settings(data, **both))
    for moment in sorted(rng.sample(range(1, 28), 10)):
        wait(killed, lambda status, m=moment: steps_done(killed) >= m or ended(status))
        assert run_folder.is_alive(killed), "it ended before it could be killed"
        kill(killed)
        assert run_folder.read_status(killed).state == "interrupted"
        run_control.start_process(killed)
    assert wait(killed, ended).state == "finished"
    assert equal(weights(straight), weights(killed))
    assert (straight / "metrics.jsonl").read_text() == (killed / "metrics.jsonl").read_text()
    assert len((killed / "metrics.jsonl").read_text().splitlines()) == 40


def test_a_run_outlives_the_process_that_started_it(data: Path, root: Path) -> None:
    run = root / "faces"
    code = "import json, sys; from pathlib import Path; from pix2pix.training import run_control\n"
    code += "run_control.start_process(Path(sys.argv[1]), json.loads(sys.argv[2]))\n"
    code += "assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, str(run), json.dumps(settings(data, steps=4000))]
    subprocess.run(command, check=True)
    status = wait(run, lambda s: s.step >= 2)
    assert (status.state, status.steps) == ("running", 4000)
    assert [s.name for s in run_folder.list_runs(root)] == ["faces"]
    with pytest.raises(UserError, match="running already"):
        run_control.start_process(run)
    run_control.request_stop(run, "paused")
    assert wait(run, ended).state == "paused"
    assert not (run / "stop").exists() and (run / "model" / "model.safetensors").exists()
    step = run_folder.read_status(run).step
    run_control.start_process(run)
    assert wait(run, lambda s: s.step > step).state == "running"
    run_control.force_stop(run, patience=0.0)
    assert run_folder.read_status(run).state == "stopped"


@pytest.mark.usefixtures("forked")
def test_the_second_run_waits_for_the_first(data: Path, root: Path) -> None:
    first, second, third = (root / name for name in ("first", "second", "third"))
    run_control.start_process(first, settings(data, steps=100_000))
    wait(first, lambda s: s.step > 0)
    for run in (second, third):
        run_control.start_process(run, settings(data, steps=3))
    assert (
        run_control.count_ahead(first),
        run_control.count_ahead(second),
        run_control.count_ahead(third),
    ) == (0, 1, 2)
    assert run_folder.read_status(second).state == "queued"
    kill(first)  # the lock goes with the process
    assert wait(second, ended).state == "finished"
    assert wait(third, ended).state == "finished"
    ends = [run_folder.read_status(run).updated for run in (second, third)]
    assert ends == sorted(ends)


@pytest.mark.usefixtures("forked")
def test_a_queued_run_can_be_stopped(data: Path, root: Path) -> None:
    run_control.start_process(root / "first", settings(data, steps=100_000))
    wait(root / "first", lambda s: s.step > 0)
    run_control.start_process(root / "second", settings(data))
    run_control.request_stop(root / "second")
    assert wait(root / "second", ended).state == "stopped"
    assert steps_done(root / "second") == 0
    pid = json.loads((root / "first" / "process.json").read_text())["pid"]
    psutil.Process(pid).terminate()  # as at a shutdown: what was done since the last state is saved
    assert wait(root / "first", ended).state == "stopped"
    assert load_state(root / "first")["step"] == steps_done(root / "first") > 0


def test_a_recycled_pid_is_no_run(root: Path) -> None:
    run = root / "old"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    run_folder.write_status(run, state="running", step=7, steps=9)
    me = run_folder.process_identity(psutil.Process())
    others = {"started": me["started"] - 60}, {"boot": "another"}
    for said, alive in (({}, True), *((other, False) for other in others)):
        (run / "process.json").write_text(json.dumps({**me, **said}))
        assert run_folder.is_alive(run) is alive
    status = run_folder.read_status(run)
    assert (status.state, status.step) == ("interrupted", 7) and "resume" in status.sentence


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux counts from the boot")
def test_a_clock_that_is_set_ends_no_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, boot = root / "old", psutil.boot_time()
    run.mkdir(parents=True)
    (run / "process.json").write_text(json.dumps(run_folder.process_identity(psutil.Process())))
    monkeypatch.setattr("psutil.boot_time", lambda: boot + 3600)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
    moved = psutil.Process().create_time() > time.time()  # for psutil it starts in an hour
    alive = run_folder.is_alive(run)
    (run / "process.json").unlink()  # lest this process be ended as a run that was left behind
    assert moved and alive


def test_of_two_who_start_a_run_at_once_one_does(data: Path, root: Path) -> None:
    run = root / "once"
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(run_control.start_process, run, settings(data, steps=100_000))
            for _ in range(2)
        ]
    refused = [str(call.exception()) for call in calls if call.exception()]
    assert len(refused) == 1 and ("already" in refused[0])
    words = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert sum(str(run) in line for line in words) == 1
    with pytest.raises(UserError, match="running already"):
        run_control.claim_run(run)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"state": 3, "step": "x", "sentence": []}'),
        *('{"step": NaN, "updated": NaN}', '{"step": 1e400, "started": -Infinity}'),
    ],
)
def test_damaged_files_are_no_trouble_to_those_who_watch(root: Path, text: str) -> None:
    run = root / "odd"
    run.mkdir(parents=True)
    for name in ("config.json", "status.json", "process.json"):
        (run / name).write_text(text)
    assert [s.step for s in run_folder.list_runs(root)] == [0]
    assert not run_folder.is_alive(run)


@pytest.mark.usefixtures("forked")
def test_a_deleted_dataset_stops_the_run_with_a_sentence(data: Path, root: Path) -> None:
    run = root / "faces"
    run_control.start_process(run, settings(data))
    assert wait(run, ended).state == "finished"
    shutil.rmtree(data)
    run_control.start_process(run)
    status = wait(run, ended)
    assert status.state == "failed" and "nor where it was" in status.sentence
    assert len(weights(run)) > 0
    assert "Traceback" not in (run / "log.txt").read_text()


@pytest.mark.usefixtures("forked")
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are of POSIX systems")
def test_a_full_disk_stops_the_run_and_the_last_state_is_whole(data: Path, root: Path) -> None:
    run = root / "full"
    run_control.start_process(run, settings(data, steps=6))
    wait(run, lambda status: not run_folder.is_alive(run))  # it says so before it is gone
    assert run_folder.read_status(run).state == "finished"
    before = (run / "state.pt").read_bytes()
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "steps": 12}))
    # As on a full disk, every write beyond what fits fails: a limit on the size of files.
    code = "import resource, signal, sys; from pathlib import Path\n"
    code += "from pix2pix.training.train import main\n"
    code += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    code += "sys.exit(main(Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True)
    status = run_folder.read_status(run)
    assert (done.returncode, status.state) == (1, "failed"), done.stderr
    assert "check that the disk has space" in status.sentence
    assert (run / "state.pt").read_bytes() == before
    assert not list(run.glob(".state*"))


@pytest.mark.usefixtures("forked")
@pytest.mark.skipif(not psutil.LINUX, reason="only Linux limits another process")
def test_a_disk_that_takes_nothing_any_more_is_told(
    data: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = root / "full"
    run_control.start_process(run, settings(data, steps=100_000))
    wait(run, lambda s: s.step > 0)
    process = psutil.Process(json.loads((run / "process.json").read_text())["pid"])
    process.rlimit(psutil.RLIMIT_FSIZE, (0, 0))
    assert "without a word" in wait(run, ended).sentence
    full = shutil.disk_usage(root)._replace(free=0)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    status = run_folder.read_status(run)
    assert status.state == "interrupted" and "make space on the disk" in status.sentence


@pytest.mark.usefixtures("forked")
def test_a_broken_config_is_one_sentence(root: Path) -> None:
    run = root / "broken"
    run_control.start_process(
        run, {"data": "nowhere", "start_from": "", "device": "cpu", "magic": 1}
    )
    status = wait(run, ended)
    assert status.state == "failed" and "magic" in status.sentence


@pytest.mark.usefixtures("forked")
def test_names_that_are_taken_or_unknown(data: Path, root: Path) -> None:
    with pytest.raises(UserError, match="There is no run 'x'"):
        run_control.start_process(root / "x")
    run_control.start_process(root / "x", settings(data, steps=1))
    with pytest.raises(UserError, match="There is a run 'x' already"):
        run_control.start_process(root / "x", settings(data))


def test_waiting_for_a_turn_can_be_stopped(root: Path) -> None:
    with pytest.raises(Cancelled), run_control.wait_for_device(root / "x", "cpu", lambda: True):
        pytest.fail("it was told to stop")


# ------------------------------------------------------------------------------ kept and published


def keep_moments(run: Path, steps: list[int], perceptual: dict[int, float] | None = None) -> None:
    """Kept models and pictures as a run would leave them, with figures for some."""
    for step in steps:
        folder = run / "checkpoints" / f"step-{step:07d}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"title": "run", "step": step}))
        (folder / "model.safetensors").write_bytes(b"weights")
        (run / "samples").mkdir(exist_ok=True)
        (run / "samples" / f"step-{step:07d}.png").write_bytes(b"")
    rows = [{"step": s, "perceptual": p, "l1": 0.1} for s, p in (perceptual or {}).items()]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "validation.jsonl").write_text(text + '{"step": 1, "perce')


def test_the_best_is_that_of_the_perceptual_measure(root: Path) -> None:
    keep_moments(root / "a", [100, 200, 300], {100: 0.7, 200: 0.5, 300: 0.6, 400: 0.1})
    found = best_checkpoint(root / "a")
    assert found is not None and (found.step, found.metrics["l1"]) == (200, 0.1)
    keep_moments(root / "b", [100])
    assert best_checkpoint(root / "b") is None


def test_pruning_keeps_the_best_the_ends_and_an_even_spread(root: Path) -> None:
    keep_moments(root / "a", list(range(100, 2100, 100)), {300: 0.1, 900: 0.9})
    prune_checkpoints(root / "a", keep=6)
    kept = [m.step for m in list_checkpoints(root / "a") if m.model]
    assert len(kept) == 6
    assert {100, 300, 1900, 2000} < set(kept)
    assert max(b - a for a, b in itertools.pairwise(kept)) <= 1000
    assert len(list_checkpoints(root / "a")) == 20  # pictures stay


def test_models_that_epochs_keep_are_never_pruned(root: Path) -> None:
    keep_moments(root / "a", list(range(100, 2100, 100)))
    prune_checkpoints(root / "a", keep=4, every=300)
    kept = [m.step for m in list_checkpoints(root / "a") if m.model]
    assert kept == [100, 300, 600, 900, 1200, 1500, 1800, 1900, 2000]


def test_what_a_killed_process_was_writing_goes_and_is_never_published(tmp_path: Path) -> None:
    run = tmp_path / "a"
    keep_moments(run, [100])
    model = run / "checkpoints" / "step-0000100"
    shutil.copytree(model, run / "model")
    halves = [run / ".state.pt.x1", run / "model" / ".model.safetensors.x2"]
    halves += [run / "samples" / ".step-0000200.png.x3"]
    for half in halves:
        half.write_bytes(b"half")
    (run / "checkpoints" / ".step-0000200.x4").mkdir()
    published = publish_checkpoint(run, "mine", None, tmp_path / "models")
    assert {f.name for f in published.iterdir()} == {"config.json", "model.safetensors"}
    run_control.claim_run(run)
    assert not [f for f in run.rglob(".*")] and (run / "process.json").exists()


def test_a_run_of_steps_goes_on_for_whole_epochs(root: Path) -> None:
    run = root / "a"
    write_json(run / "config.json", {"steps": 1001})
    run_folder.write_status(run, state="finished", step=1001, epoch=1, per_epoch=1000)
    run_control.extend_run(run, 10)
    assert files.read_json_object(run / "config.json")["steps"] == 11_001


def test_publishing_copies_one_moment_under_a_new_name(root: Path, tmp_path: Path) -> None:
    keep_moments(root / "a", [100, 200])
    out = publish_checkpoint(root / "a", "My faces", 100, tmp_path / "models")
    assert json.loads((out / "config.json").read_text()) == {"title": "My faces", "step": 100}
    assert sorted(f.name for f in (tmp_path / "models").iterdir()) == ["My faces"]
    with pytest.raises(UserError, match="There is a model 'My faces' already"):
        publish_checkpoint(root / "a", "My faces", 200, tmp_path / "models")
    with pytest.raises(UserError, match="no checkpoint of this step"):
        publish_checkpoint(root / "a", "other", 150, tmp_path / "models")
    with pytest.raises(UserError, match="is no name"):
        publish_checkpoint(root / "a", "../other", 100, tmp_path / "models")


def test_a_run_that_rests_is_deleted_and_what_was_published_stays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_moments(root / "a", [100])
    keep_moments(root / "b", [100])
    published = publish_checkpoint(root / "a", "mine", 100, tmp_path / "models")
    run_control.claim_run(root / "a")
    run_folder.write_status(root / "a", state="running")
    with pytest.raises(UserError, match="'a' is running: let it finish or stop it first"):
        run_control.delete_run(root / "a")
    run_folder.write_status(root / "a", state="stopped")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="could not be deleted"):
        patch.setattr(files.os, "replace", refuse)
        run_control.delete_run(root / "a")
    assert (root / "a" / "checkpoints" / "step-0000100").is_dir()
    assert {file.name for file in root.iterdir()} == {"a", "b", ".start.lock"}
    run_control.delete_run(root / "a")
    assert not (root / "a").exists() and published.is_dir()
    assert (root / "b" / "checkpoints" / "step-0000100").is_dir()


@pytest.mark.usefixtures("forked")
def test_a_finished_run_goes_on_for_more_epochs(data: Path, root: Path) -> None:
    run = root / "faces"
    run_control.start_process(run, settings(data, steps=0, epochs=2, decay=0.0))
    assert wait(run, ended).step == 10
    run_control.extend_run(run, 3)
    run_control.start_process(run)
    assert wait(run, ended).state == "finished"
    assert [row["step"] for row in read_jsonl(run / "metrics.jsonl")] == list(range(1, 26))
    straight = root / "straight"
    run_control.start_process(straight, settings(data, steps=0, epochs=5, decay=0.0))
    wait(straight, ended)
    assert equal(weights(run), weights(straight))
