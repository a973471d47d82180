"""Read the folder of a run: its status, its process, all runs there are. No torch.

The run folder is the only channel between the process that trains and everyone else:

- `config.json`: every value of the run, its dataset and the model that it began from;
- `process.json`: pid and start of the process, which together name it for ever;
- `status.json`: state, step, steps, epoch, speed and a sentence, replaced whole;
- `job.json`: of a run that trains elsewhere, on Hugging Face Jobs (see `hub.jobs_launch`);
- `stop`: there while someone asks the run to stop, with the word that it will be called by;
- `metrics.jsonl` (a line a step), `validation.jsonl` (a line a validation), `samples/`,
  `checkpoints/`, `model/` (the current generator), `state.pt` (to go on from), `log.txt`;
- `report_id.txt`: by which trackio or wandb knows a run that reports there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pix2pix.utils.files import read_json_object, to_number, write_json
from pix2pix.utils.workspace import local_workspace, supports_append, workspace

ACTIVE = ("queued", "starting", "running", "stopping")
RESUMABLE = ("paused", "stopped", "interrupted", "failed")
JOB_FILE = "job.json"
WATCH_TIMEOUT = 120.0  # seconds without a look at its job, after which a run's state is old news


@dataclass(frozen=True)
class Status:
    """What a run is doing.

    `state` is one of ACTIVE; paused or stopped (by a person); interrupted (its process is gone
    without a word: killed, or the machine was switched off); finished; failed (see `sentence`).
    """

    name: str
    folder: Path
    state: str
    step: int = 0
    steps: int = 0
    epoch: int = 0
    seconds_per_step: float = 0.0
    memory_mib: int = 0
    sentence: str = ""
    started: float = 0.0  # seconds since 1970
    updated: float = 0.0
    per_epoch: int = 0  # steps
    config: dict[str, object] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        """Return whether it waits, trains or is about to stop."""
        return self.state in ACTIVE

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at this pace; None where that is not known."""
        known = self.state == "running" and self.seconds_per_step > 0
        return (self.steps - self.step) * self.seconds_per_step if known else None


def runs_folder() -> Path:
    """Return the folder of runs: in the workspace, or beside the program where the workspace
    cannot append lines (see `hub.bucket_backup`)."""
    return (workspace() if supports_append() else local_workspace()) / "runs"


def list_runs(root: Path | None = None) -> list[Status]:
    """List all runs in a folder, the last started first."""
    root = root or runs_folder()
    folders = [f for f in root.iterdir() if f.is_dir()] if root.is_dir() else []
    runs = [read_status(f) for f in folders if (f / "config.json").exists()]
    return sorted(runs, key=lambda status: -status.started)


def read_status(run: Path) -> Status:
    """Read the state of a run: what its process wrote last, and whether it still lives."""
    status = read_json_object(run / "status.json")
    state = status.get("state", "stopped")
    remote = is_remote(run)
    if state in ACTIVE and not remote and not is_alive(run):
        state = "interrupted"
    elif state in ("starting", "running") and (run / "stop").exists():
        state = "stopping"
    counters = "step", "steps", "epoch", "per_epoch", "memory_mib"
    numbers = {k: int(to_number(status.get(k))) for k in counters}
    times = {k: float(to_number(status.get(k))) for k in ("seconds_per_step", "started", "updated")}
    sentence = status.get("sentence") if isinstance(status.get("sentence"), str) else ""
    if state == "interrupted":
        sentence = (
            "Its process ended without a word: resume it, and it goes on from its last state."
            if _is_writable(run)
            else "Its process ended, and its folder takes no more files: make space on the disk or "
            "see to its rights, then resume it; the last saved state is whole."
        )
    if remote and state in ACTIVE and time.time() - to_number(status.get("looked")) > WATCH_TIMEOUT:
        sentence = (
            "Nobody watches its job from here: choose it under 'Train on Hugging Face Jobs' and "
            "give your token, which the app does not keep."
        )
    return Status(
        run.name,
        run,
        str(state),
        sentence=sentence or "",
        config=read_json_object(run / "config.json"),
        **numbers,
        **times,
    )


def is_remote(run: Path) -> bool:
    """Return whether the run trains elsewhere and this folder only follows it."""
    return (run / JOB_FILE).exists()


def is_alive(run: Path) -> bool:
    """Return whether the run's process is there: the same pid, and started at the same time."""
    recorded = read_json_object(run / "process.json")
    try:
        process = psutil.Process(int(recorded["pid"]))
        current = process_identity(process)
        same = (
            recorded["boot"] == current["boot"]
            and abs(current["started"] - recorded["started"]) < 0.5
        )
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def process_identity(process: psutil.Process) -> dict[str, Any]:
    """Return what identifies a process beyond its pid.

    Linux knows when a process started since the boot, and psutil adds the date of the boot, which
    moves when the clock is set: there the start is counted from the boot, whose own id goes along.
    """
    started, boot = process.create_time(), ""
    if psutil.LINUX:
        started -= psutil.boot_time()
        with contextlib.suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"pid": process.pid, "started": started, "boot": boot}


def _is_writable(run: Path) -> bool:
    return os.access(run, os.W_OK) and shutil.disk_usage(run).free > 2**20


def write_status(run: Path, **changes: Any) -> None:
    """Replace some of what the run says of itself."""
    write_json(run / "status.json", {**read_json_object(run / "status.json"), **changes})
