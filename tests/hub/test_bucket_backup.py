"""A workspace in a mounted bucket: runs train beside it, are kept in it, and come back from it."""

from __future__ import annotations

import builtins
import dataclasses
import io
import os
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from pix2pix.config import TrainConfig
from pix2pix.hub import bucket_backup
from pix2pix.hub.bucket_backup import BucketBackup, file_stamps, start_bucket_backup, storage_hint
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import publish_checkpoint
from pix2pix.training.train import main
from pix2pix.ui.page import warnings
from pix2pix.utils import workspace
from pix2pix.utils.files import write_json
from pix2pix.utils.workspace import local_workspace, model_folders, supports_append
from tests.support.drawn_pairs import draw_dataset
from tests.support.models_and_servers import until

TINY = {"size": 64, "jitter": 4, "ngf": 4, "ndf": 4, "layers": 1}


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose files can be replaced and not added to, as hf-mount has it."""
    folder, real = tmp_path / "bucket", io.open
    folder.mkdir()

    def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        adds = isinstance(file, (str, os.PathLike)) and set(mode) & {"a", "+"}
        path = Path(os.path.abspath(file)) if adds else Path()
        if adds and path.is_relative_to(folder) and path.is_file() and path.stat().st_size:
            raise OSError(1, "Operation not permitted", str(path))
        return real(file, mode, *rest, **options)

    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(workspace, "ROOT", tmp_path / "program")
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(folder))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """What the copies of a run have to be equal in."""
    return {name: (folder / name).read_bytes() for name in file_stamps(folder)}


def test_a_run_trains_beside_a_bucket_and_goes_on_after_a_restart(bucket: Path) -> None:
    data = draw_dataset(bucket / "datasets" / "blocks", train=2, val=1)
    run = run_folder.runs_folder() / "faces"
    assert not run.is_relative_to(bucket)
    config = TrainConfig(**TINY, epochs=2, keep_every_epochs=1)
    said = {**dataclasses.asdict(config), "data": str(data), "start_from": "", "device": "cpu"}
    write_json(run / "config.json", said)
    assert main(run) == 0, run_folder.read_status(run).sentence
    BucketBackup(run_folder.runs_folder(), bucket / "runs").look()
    kept = bucket / "runs" / "faces"
    assert files(kept) == files(run) and {"state.pt", "validation.jsonl"} < files(run).keys()
    publish_checkpoint(run, "mine")
    assert (model_folders()[0] / "mine").is_relative_to(bucket)

    shutil.rmtree(local_workspace())  # what a restart of a Space does
    assert run_folder.list_runs() == []
    keeper = BucketBackup(run_folder.runs_folder(), bucket / "runs")
    keeper.bring_back()
    assert [status.name for status in run_folder.list_runs()] == ["faces"] and files(run) == files(
        kept
    )
    run_control.extend_run(run, 1)
    assert main(run) == 0, run_folder.read_status(run).sentence
    keeper.look()
    assert files(kept) == files(run) and len(files(run)["validation.jsonl"].splitlines()) == 3
    assert run_folder.read_status(run).step == 3 * run_folder.read_status(run).per_epoch


def test_a_state_is_copied_at_first_then_seldom_and_in_the_end(tmp_path: Path) -> None:
    run, kept = tmp_path / "own" / "faces", tmp_path / "kept" / "faces"
    write_json(run / "config.json", {})
    write_json(run / "process.json", run_folder.process_identity(psutil.Process()))
    run_folder.write_status(run, state="running")
    keeper = BucketBackup(run.parent, kept.parent)
    keeper.look()
    for state in ("one", "two"):
        (run / "state.pt").write_text(state)
        (run / "metrics.jsonl").write_text(state)
        keeper.look()
        assert (kept / "state.pt").read_text() == "one"
        assert (kept / "metrics.jsonl").read_text() == state
    run_folder.write_status(run, state="finished")
    keeper.look()
    assert (kept / "state.pt").read_text() == "two" and not (kept / "process.json").exists()
    run.parent.rename(tmp_path / "elsewhere")
    keeper.look()
    assert (kept / "state.pt").exists(), "a disk that is gone deletes nothing"
    run.parent.mkdir()
    keeper.look()
    assert not kept.exists()


def test_what_is_here_is_newer_than_what_is_kept(tmp_path: Path) -> None:
    run, kept = tmp_path / "own" / "faces", tmp_path / "kept" / "faces"
    for folder, word in ((run, "new"), (kept, "old")):
        write_json(folder / "config.json", {})
        (folder / "metrics.jsonl").write_text(word)
    (kept / "samples").mkdir()
    (kept / "samples" / "gone.png").write_text("old")
    keeper = BucketBackup(run.parent, kept.parent)
    keeper.bring_back()
    keeper.look()
    assert files(run) == files(kept) and files(run)["metrics.jsonl"] == b"new"


def test_one_run_that_cannot_be_copied_keeps_no_other_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        write_json(tmp_path / "own" / name / "config.json", {})
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a").write_text("a file in the way")
    BucketBackup(tmp_path / "own", tmp_path / "kept").look()
    assert "a cannot be copied" in caplog.text
    assert (tmp_path / "kept" / "b" / "config.json").exists()


def test_the_app_keeps_runs_and_says_so(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_backup, "SYNC_SECONDS", 0.01)
    write_json(bucket / "runs" / "old" / "config.json", {})
    start_bucket_backup()
    assert [status.name for status in run_folder.list_runs()] == ["old"]
    write_json(run_folder.runs_folder() / "new" / "config.json", {})
    until((bucket / "runs" / "new" / "config.json").exists, 60)
    dataset, train = warnings()
    assert "cannot be written" not in dataset and storage_hint() not in dataset
    assert (
        storage_hint()
        and storage_hint() in train
        and "resumes from every 10 minutes" in storage_hint()
    )


def test_a_disk_that_takes_lines_needs_none_of_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(bucket_backup, "BucketBackup", lambda *_: pytest.fail("nothing to keep"))
    start_bucket_backup()
    assert (
        supports_append() and storage_hint() == "" and run_folder.runs_folder() == tmp_path / "runs"
    )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path / "file"))
    assert supports_append(), "that nothing can be written is another sentence"


def test_where_nothing_can_be_locked_runs_lie_elsewhere_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(workspace.FileLock, "_acquire", refuse)
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path))
    assert not supports_append()
