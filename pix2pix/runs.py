"""Runs as folders: started, stopped, queued, watched and listed, without torch.

The run folder is the only channel between the process that trains and everyone else:

- `config.json`: every value of the run, its dataset and the model that it began from;
- `process.json`: pid and start of the process, which together name it for ever;
- `status.json`: state, step, steps, epoch, speed and a sentence, replaced whole;
- `job.json`: of a run that trains elsewhere, on Hugging Face Jobs (see `jobs`);
- `stop`: there while someone asks the run to stop, with the word that it will be called by;
- `metrics.jsonl` (a line a step), `validation.jsonl` (a line a validation), `samples/`,
  `checkpoints/`, `model/` (the current generator), `state.pt` (to go on from), `log.txt`.

One run trains on a device at a time: each waits for the lock of its device, in the order in which
they were started. A lock goes with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from pix2pix.errors import Stopped, UserError
from pix2pix.files import write_atomically, write_json
from pix2pix.workspace import IMPORT_PATH, ROOT, own_workspace, takes_lines, workspace

ACTIVE = ("queued", "starting", "running", "stopping")
RESUMABLE = ("paused", "stopped", "interrupted", "failed")
LOOK_EVERY = 0.5  # seconds between two looks at the queue
JOB = "job.json"
# What the time of a step depends on, besides the device.
WORK = (
    "generator", "size", "ngf", "norm", "upsample", "blocks", "discriminator", "ndf", "layers",
    "lambda_features", "batch_size", "accumulate", "ema", "diffaugment", "precision",
    "channels_last", "compile",
)  # fmt: skip
UNWATCHED = 120.0  # seconds without a look at its job, after which a run's state is old news


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
        return self.state in ACTIVE

    @property
    def seconds_left(self) -> float | None:
        known = self.state == "running" and self.seconds_per_step > 0
        return (self.steps - self.step) * self.seconds_per_step if known else None


def runs_folder() -> Path:
    """In the workspace, or beside the program where a run cannot add its lines there: `keeping`."""
    return (workspace() if takes_lines() else own_workspace()) / "runs"


# ---------------------------------------------------------------------------------- for watchers


def list_runs(root: Path | None = None) -> list[Status]:
    """All runs in a folder, the last started first."""
    root = root or runs_folder()
    folders = [f for f in root.iterdir() if f.is_dir()] if root.is_dir() else []
    found = [read_status(f) for f in folders if (f / "config.json").exists()]
    return sorted(found, key=lambda status: -status.started)


def read_status(run: Path) -> Status:
    """The state of a run as it is now: what its process last said, and whether it still lives."""
    said = read_object(run / "status.json")
    state = said.get("state", "stopped")
    remote = is_remote(run)
    if state in ACTIVE and not remote and not is_alive(run):
        state = "interrupted"
    elif state in ("starting", "running") and (run / "stop").exists():
        state = "stopping"
    whole = "step", "steps", "epoch", "per_epoch", "memory_mib"
    numbers = {k: int(as_number(said.get(k))) for k in whole}
    times = {k: float(as_number(said.get(k))) for k in ("seconds_per_step", "started", "updated")}
    sentence = said.get("sentence") if isinstance(said.get("sentence"), str) else ""
    if state == "interrupted":
        sentence = (
            "Its process ended without a word: resume it, and it goes on from its last state."
            if _takes_files(run)
            else "Its process ended, and its folder takes no more files: make space on the disk or "
            "see to its rights, then resume it; the last saved state is whole."
        )
    if remote and state in ACTIVE and time.time() - as_number(said.get("looked")) > UNWATCHED:
        sentence = (
            "Nobody watches its job from here: choose it under 'Train on Hugging Face Jobs' and "
            "give your token, which the app does not keep."
        )
    return Status(
        run.name, run, str(state), sentence=sentence or "", config=read_object(run / "config.json"),
        **numbers, **times,
    )  # fmt: skip


def is_remote(run: Path) -> bool:
    """Whether the run trains elsewhere and this folder only follows it."""
    return (run / JOB).exists()


def is_alive(run: Path) -> bool:
    """Whether the run's process is there: the same pid, and started at the same time."""
    said = read_object(run / "process.json")
    try:
        process = psutil.Process(int(said["pid"]))
        there = identity(process)
        same = said["boot"] == there["boot"] and abs(there["started"] - said["started"]) < 0.5
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def identity(process: psutil.Process) -> dict[str, Any]:
    """What names a process for ever.

    Linux knows when a process started since the boot, and psutil adds the date of the boot, which
    moves when the clock is set: there the start is counted from the boot, whose own id goes along.
    """
    started, boot = process.create_time(), ""
    if psutil.LINUX:
        started -= psutil.boot_time()
        with contextlib.suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"pid": process.pid, "started": started, "boot": boot}


def _takes_files(run: Path) -> bool:
    return os.access(run, os.W_OK) and shutil.disk_usage(run).free > 2**20


def ahead_of(run: Path) -> int:
    """How many runs come before this one on its device, the one that trains included."""
    mine = read_status(run)
    device = mine.config.get("device", "")
    others = [s for s in list_runs(run.parent) if s.is_active and s.folder != run]
    return sum(s.config.get("device", "") == device and _earlier(s, mine) for s in others)


def known_pace(settings: dict[str, Any], root: Path | None = None) -> tuple[float, str] | None:
    """(Seconds a step, name) of the last run in a folder whose steps were the same work on the
    same device; None where there was none."""
    for status in list_runs(root):
        same = all(status.config.get(key) == settings.get(key) for key in ("device", *WORK))
        if same and status.seconds_per_step and not is_remote(status.folder):
            return status.seconds_per_step, status.name
    return None


# ------------------------------------------------------------------------------ for those who ask


def start(run: Path, settings: dict[str, Any] | None = None) -> None:
    """Start a run's process, or go on with it; it outlives this process.

    `settings` is what `config.json` will hold; without, it is there already and the run resumes.
    Raises UserError where the run is active or trains elsewhere, or the folder cannot be written.
    """
    _refuse_remote(run)
    if settings is not None and (run / "config.json").exists():
        raise UserError(f"There is a run '{run.name}' already: choose another name, or resume it.")
    if settings is None and not (run / "config.json").exists():
        raise UserError(f"There is no run '{run.name}': start it first.")
    try:
        run.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(run):
            if (run / "config.json").exists() and read_status(run).is_active:
                raise UserError(f"'{run.name}' is running already: watch it, or stop it first.")
            if settings is not None:
                write_json(run / "config.json", settings)
            (run / "stop").unlink(missing_ok=True)
            now = time.time()
            write_status(run, state="queued", started=now, updated=now, sentence="")
            _spawn(run)
    except OSError as error:
        raise UserError(
            f"'{run.name}' could not be started: check that there is free space and that the "
            "workspace can be written to."
        ) from error


def _one_at_a_time(run: Path) -> FileLock:
    """Of those who would start a run of this folder: two at once would both find it at rest."""
    return FileLock(run.parent / ".start.lock")


def _refuse_remote(run: Path) -> None:
    if is_remote(run):
        raise UserError(
            f"'{run.name}' trains on Hugging Face Jobs: resume it there, or fine-tune its model."
        )


def ask_to_stop(run: Path, word: str = "stopped") -> None:
    """Ask a run to stop after its current step; `word` is stopped or paused."""
    write_atomically(run / "stop", lambda f: f.write_text(word, encoding="utf-8"))


def force_stop(run: Path, patience: float = 10.0) -> None:
    """End a run's process after `patience` seconds at most; its last saved state stays whole."""
    if not is_alive(run):
        return
    ask_to_stop(run)
    if _ends_within(run, patience):
        return
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        psutil.Process(int(read_object(run / "process.json")["pid"])).kill()
        _ends_within(run, 10.0)
        write_status(run, state="stopped", sentence="Stopped by force.", updated=time.time())


def _ends_within(run: Path, seconds: float) -> bool:
    """A process that its own parent has not heard of yet is over too, which psutil waits for."""
    deadline = time.monotonic() + seconds
    while is_alive(run) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(run)


def extend(run: Path, epochs: int) -> None:
    """Let a finished run go on for so many epochs more when it is started again.

    A falling learning rate is stretched over the whole of the new length.
    """
    _refuse_remote(run)
    config = read_object(run / "config.json")
    if read_status(run).is_active:
        raise UserError(f"'{run.name}' is running: let it finish or stop it first.")
    status = read_status(run)
    if config.get("steps"):
        config["steps"] = int(config["steps"]) + epochs * max(1, status.per_epoch)
    else:
        config["epochs"] = int(as_number(config.get("epochs"))) + epochs
    write_json(run / "config.json", config)


# ------------------------------------------------------------------------- for the run's process


def stop_word(run: Path) -> str:
    """What the run shall be called when it has stopped, empty while nobody asks."""
    try:
        word = (run / "stop").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return word if word in ("paused", "stopped") else "stopped"


def claim(run: Path) -> None:
    """Write down that this process is the run's, and remove what an earlier one was writing when
    it was killed. Raises UserError where another process is it."""
    run.mkdir(parents=True, exist_ok=True)
    mine = identity(psutil.Process())
    with _one_at_a_time(run):
        if is_alive(run) and read_object(run / "process.json").get("pid") != mine["pid"]:
            raise UserError(f"{run.name} is running already: stop it first.")
        for pattern in (".state.pt.*", "model/.*", "samples/.*", "checkpoints/.*"):
            for left in run.glob(pattern):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        write_json(run / "process.json", mine)


def write_status(run: Path, **said: Any) -> None:
    """Replace some of what the run says of itself."""
    write_json(run / "status.json", {**read_object(run / "status.json"), **said})


@contextlib.contextmanager
def turn(run: Path, device: str, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Wait until the device is free and no earlier run waits for it, and hold it meanwhile.

    Raises Stopped if told to while waiting.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.parent / f".{device.replace(':', '-')}.lock")
    while True:
        if should_stop():
            raise Stopped()
        if not _others_wait_before(run):
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                break
        time.sleep(LOOK_EVERY)
    try:
        yield
    finally:
        lock.release()


def _others_wait_before(run: Path) -> bool:
    mine = read_status(run)
    device = mine.config.get("device", "")
    return any(
        s.state == "queued" and s.config.get("device", "") == device and _earlier(s, mine)
        for s in list_runs(run.parent)
        if s.folder != run
    )


def _earlier(one: Status, other: Status) -> bool:
    return (one.started, one.name) < (other.started, other.name)


def _spawn(run: Path) -> None:
    """The run's process, in a session of its own: it gets no signal meant for this one."""
    command = [sys.executable, "-m", "pix2pix.training", str(run.resolve())]
    environment = {**os.environ, **IMPORT_PATH, "OMP_WAIT_POLICY": "PASSIVE"}
    if os.name == "nt":  # a console of its own, lest it end with this one's
        own = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        own = {"start_new_session": True}
    with (run / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            **own,
        )  # fmt: skip
    with contextlib.suppress(psutil.Error):  # it may be over already
        write_json(run / "process.json", identity(psutil.Process(process.pid)))


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def as_number(value: Any) -> float:
    """What a file says, 0 where that is no number."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
