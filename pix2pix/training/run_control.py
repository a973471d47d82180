"""Start, queue, stop, resume, extend and delete runs, each a process of its own. No torch.

One run trains on a device at a time: each waits for the lock of its device, in the order in which
they were started. A lock goes with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from pix2pix.errors import Cancelled, UserError
from pix2pix.training.run_folder import (
    Status,
    is_alive,
    is_remote,
    list_runs,
    process_identity,
    read_status,
    write_status,
)
from pix2pix.utils.files import (
    deleting,
    read_json_object,
    remove_folder,
    to_number,
    write_atomically,
    write_errors,
    write_json,
)
from pix2pix.utils.progress import ShouldStop
from pix2pix.utils.workspace import IMPORT_PATH, ROOT

# -------------------------------------------------------------------------------------- for the app


def start_process(run: Path, settings: dict[str, Any] | None = None) -> None:
    """Start a run's process, or go on with it; it outlives this process.

    `settings` is what `config.json` will hold; without, it is there already and the run resumes.
    Raises UserError where the run is active or trains elsewhere, or the folder cannot be written.
    """
    refuse_remote(run)
    if settings is not None and (run / "config.json").exists():
        raise UserError(f"There is a run '{run.name}' already: choose another name, or resume it.")
    if settings is None and not (run / "config.json").exists():
        raise UserError(f"There is no run '{run.name}': start it first.")
    sentence = (
        f"'{run.name}' could not be started: check that there is free space and that the workspace "
        "can be written to."
    )
    with write_errors(run, sentence):
        run.mkdir(parents=True, exist_ok=True)
        with start_lock(run):
            if (run / "config.json").exists() and read_status(run).is_active:
                raise UserError(f"'{run.name}' is running already: watch it, or stop it first.")
            if settings is not None:
                write_json(run / "config.json", settings)
            (run / "stop").unlink(missing_ok=True)
            now = time.time()
            write_status(run, state="queued", started=now, updated=now, sentence="")
            _spawn(run)


def start_lock(run: Path) -> FileLock:
    """Lock: only one process at a time may start or claim runs of this folder."""
    return FileLock(run.parent / ".start.lock")


def refuse_remote(run: Path) -> None:
    """Raise UserError for a run that trains elsewhere."""
    if is_remote(run):
        raise UserError(
            f"'{run.name}' trains on Hugging Face Jobs: resume it there, or fine-tune its model."
        )


def request_stop(run: Path, word: str = "stopped") -> None:
    """Ask a run to stop after its current step; `word` is stopped or paused."""
    write_atomically(run / "stop", lambda f: f.write_text(word, encoding="utf-8"))


def force_stop(run: Path, patience: float = 10.0) -> None:
    """End a run's process after `patience` seconds at most; its last saved state stays whole."""
    if not is_alive(run):
        return
    request_stop(run)
    if _wait_for_end(run, patience):
        return
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        psutil.Process(int(read_json_object(run / "process.json")["pid"])).kill()
        _wait_for_end(run, 10.0)
        write_status(run, state="stopped", sentence="Stopped by force.", updated=time.time())


def _wait_for_end(run: Path, seconds: float) -> bool:
    """Wait for the process, also one that its own parent has not heard of yet."""
    deadline = time.monotonic() + seconds
    while is_alive(run) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(run)


def extend_run(run: Path, epochs: int) -> None:
    """Let a finished run go on for so many epochs more when it is started again.

    A falling learning rate is stretched over the whole of the new length. Raises UserError for a
    run that is active or trains elsewhere.
    """
    refuse_remote(run)
    status = _resting(run)
    key, more = ("steps", max(1, status.per_epoch)) if status.config.get("steps") else ("epochs", 1)
    length = int(to_number(status.config.get(key))) + epochs * more
    write_json(run / "config.json", {**status.config, key: length})


def choose_data(run: Path, data: Path) -> None:
    """Let a run go on with the dataset `data`, where its own is gone. Raises UserError for a run
    that is active."""
    write_json(run / "config.json", {**_resting(run).config, "data": str(data.resolve())})


def delete_run(run: Path) -> None:
    """Delete a run with all that it saved; what was published from it stays. Raises UserError for a
    run that is active, and where the disk refuses."""
    with deleting(run), start_lock(run):
        _resting(run)
        remove_folder(run)


def _resting(run: Path) -> Status:
    """Return the status of a run that rests; raises UserError for one that is active."""
    status = read_status(run)
    if status.is_active:
        raise UserError(f"'{run.name}' is running: let it finish or stop it first.")
    return status


# ------------------------------------------------------------------------ for the run's own process


def requested_stop(run: Path) -> str:
    """Return the state that the run shall end in, empty while nobody asks it to stop."""
    try:
        word = (run / "stop").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return word if word in ("paused", "stopped") else "stopped"


def claim_run(run: Path) -> None:
    """Write down that this process is the run's, which waits for its turn, and remove what an
    earlier one was writing when it was killed. Raises UserError where another process is it."""
    run.mkdir(parents=True, exist_ok=True)
    mine = process_identity(psutil.Process())
    with start_lock(run):
        if is_alive(run) and read_json_object(run / "process.json").get("pid") != mine["pid"]:
            raise UserError(f"{run.name} is running already: stop it first.")
        for pattern in (".state.pt.*", "model/.*", "samples/.*", "checkpoints/.*"):
            for leftover in run.glob(pattern):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        write_json(run / "process.json", mine)
        write_status(run, state="queued", updated=time.time(), sentence="")


def _spawn(run: Path) -> None:
    """Start the run's process in a session of its own: it gets no signal meant for this one."""
    command = [sys.executable, "-m", "pix2pix.training.train", str(run.resolve())]
    # Its threads may spin while they wait, unlike the server's, to which they give way: sleeping
    # and waking them at every layer took a quarter of a step on two cores.
    environment = {**os.environ, **IMPORT_PATH}
    environment.pop("OMP_WAIT_POLICY", None)
    if os.name == "nt":  # a console of its own, lest it end with this one's
        options = {
            "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        }
    else:
        options = {"start_new_session": True}
    with (run / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            **options,
        )  # fmt: skip
    with contextlib.suppress(psutil.Error):  # it may be over already
        write_json(run / "process.json", process_identity(psutil.Process(process.pid)))


POLL_SECONDS = 0.5  # seconds between two looks at the queue
# What the time of a step depends on, besides the device.
PACE_SETTINGS = (
    "generator", "size", "ngf", "norm", "upsample", "blocks", "depth", "widest", "discriminator",
    "ndf", "layers", "lambda_features", "lambda_perceptual", "batch_size",
    "gradient_accumulation_steps", "ema", "diffaugment", "precision", "channels_last", "compile",
)  # fmt: skip


def count_ahead(run: Path) -> int:
    """Count the runs before this one on its device, the one that trains included."""
    return sum(status.is_active for status in _runs_before(run))


def past_step_time(settings: dict[str, Any], root: Path | None = None) -> tuple[float, str] | None:
    """Return (seconds a step, name) of the last run in a folder whose steps were the same work
    on the same device; None where there was none."""
    for status in list_runs(root):
        same = all(
            status.config.get(key) == settings.get(key) for key in ("device", *PACE_SETTINGS)
        )
        if same and status.seconds_per_step and not is_remote(status.folder):
            return status.seconds_per_step, status.name
    return None


@contextlib.contextmanager
def wait_for_device(run: Path, device: str, should_stop: ShouldStop) -> Iterator[None]:
    """Wait until the device is free and no earlier run waits for it, and hold it meanwhile.

    Raises Cancelled if told to while waiting.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.parent / f".{device.replace(':', '-')}.lock")
    while True:
        if should_stop():
            raise Cancelled
        if all(before.state != "queued" for before in _runs_before(run)):
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                break
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _runs_before(run: Path) -> list[Status]:
    """List the runs on the device of this one that were started before it."""
    mine = read_status(run)

    def is_before(other: Status) -> bool:
        same = other.config.get("device", "") == mine.config.get("device", "")
        return same and (other.started, other.name) < (mine.started, mine.name)

    return list(filter(is_before, list_runs(run.parent)))
