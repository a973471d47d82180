"""Copy runs to a mounted bucket, which takes whole new files only: no line is added to one, and
nothing is locked. No torch.

So they train on the machine's own disk, and what changes in their folders is copied. A Space keeps
its runs this way, which come back when its disk begins anew, as it does at a restart; and so does a
machine of Hugging Face Jobs: ``python -m pix2pix.hub.bucket_backup MOUNT WORK`` trains there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from pix2pix.training import run_control, run_folder
from pix2pix.utils.files import copy_folder, write_atomically, write_json
from pix2pix.utils.workspace import IMPORT_PATH, workspace

log = logging.getLogger(__name__)
SYNC_SECONDS = 10.0  # seconds between two looks at the run folder
SYNC_TIME_SHARE = 0.1  # of the time that copying may take
STATE, STATE_SECONDS = "state.pt", 600.0  # large, and needed only where the job is cut off
LOCAL_FILES = ("process.json", "stop")  # of this machine alone

Stamps = dict[str, tuple[int, int]]  # name below the run folder -> time and size of the file
STORAGE_HINT = (
    "The workspace takes whole files only, as a mounted bucket does, so runs train on this "
    "machine's own disk; they are copied to the workspace as they go, what a run resumes from "
    f"every {STATE_SECONDS / 60:.0f} minutes."
)


def file_stamps(run: Path) -> Stamps:
    """List the files that belong in the bucket too, with size and time."""
    stamps: Stamps = {}
    for file in run.rglob("*"):
        name = file.relative_to(run)
        if file.name not in LOCAL_FILES and not any(part.startswith(".") for part in name.parts):
            try:
                if file.is_file():
                    stamps[name.as_posix()] = file.stat().st_mtime_ns, file.stat().st_size
            except FileNotFoundError:  # replaced at this moment
                continue
    return stamps


def copy_changes(run: Path, out: Path, known: Stamps, *, with_state: bool) -> None:
    """Copy what is not as it was when it became `known`, which is kept up to date, and delete what
    is gone. The state comes first, so that the losses reach it; the status, which tells the end,
    last. Raises OSError."""
    current = file_stamps(run)
    for name in sorted(current, key=lambda name: (name == "status.json", name != STATE, name)):
        if known.get(name) == current[name] or (name == STATE and not with_state):
            continue
        try:
            write_atomically(out / name, partial(shutil.copyfile, run / name))
            known[name] = current[name]
        except FileNotFoundError:
            if (run / name).exists():  # else it was pruned or is being replaced
                raise
    for name in known.keys() - current.keys():
        (out / name).unlink(missing_ok=True)
        del known[name]


class RunCopy:
    """A run and its copy in a bucket, of which `known` says what is there."""

    def __init__(self, run: Path, out: Path, known: Stamps) -> None:
        self.run, self.out, self.known = run, out, known
        self.state_copied = -STATE_SECONDS  # monotonic time

    def update(self, *, is_over: bool) -> None:
        """Copy what has changed: the state as soon as there is one, then seldom, and in the end.
        Raises OSError."""
        now = time.monotonic()
        late = now - self.state_copied > STATE_SECONDS
        copy_changes(self.run, self.out, self.known, with_state=late or is_over)
        if late and STATE in self.known:
            self.state_copied = now


def pause_after(start: float) -> float:
    """Return the seconds until the next look, after one that began at the monotonic time."""
    return max(SYNC_SECONDS, (time.monotonic() - start) / SYNC_TIME_SHARE)


# ------------------------------------------------------------------------------------- of a Space


def storage_hint() -> str:
    """Say that runs lie elsewhere than the rest of the workspace, where they do."""
    return "" if run_folder.runs_folder() == _bucket_runs() else STORAGE_HINT


def _bucket_runs() -> Path:
    return workspace() / "runs"


def start_bucket_backup() -> None:
    """Bring runs back from the bucket where they lie elsewhere, and save them there as they
    change, for as long as this process lives."""
    if run_folder.runs_folder() != _bucket_runs():
        keeper = BucketBackup(run_folder.runs_folder(), _bucket_runs())
        keeper.bring_back()
        threading.Thread(target=keeper.work, daemon=True).start()


class BucketBackup:
    """Copies runs from the program's own disk to a mounted bucket, and back."""

    def __init__(self, local: Path, bucket_copy: Path) -> None:
        self.local, self.bucket_copy = local, bucket_copy
        self.copies: dict[str, RunCopy] = {}  # by the run's name

    def bring_back(self) -> None:
        """Copy runs that are only in the bucket; one that cannot be copied is logged."""
        for folder in sorted(self.bucket_copy.glob("[!.]*/")):
            run = self.local / folder.name
            try:
                if not run.exists():
                    copy_folder(folder, run)
                    self.copies[run.name] = RunCopy(run, folder, file_stamps(run))
            except OSError:
                log.exception("%s cannot be brought back", run.name)

    def work(self) -> None:
        """Look again and again, for as long as the process lives."""
        while True:
            start = time.monotonic()
            self.look()
            time.sleep(pause_after(start))

    def look(self) -> None:
        """Copy what has changed; what fails is logged, and tried again by the next look."""
        for name, copy in list(self.copies.items()):
            if self.local.is_dir() and not copy.run.exists():  # the run was deleted
                shutil.rmtree(copy.out, ignore_errors=True)
                del self.copies[name]
        for status in run_folder.list_runs(self.local):
            name, out = status.name, self.bucket_copy / status.name
            if name not in self.copies:
                self.copies[name] = RunCopy(status.folder, out, file_stamps(out))
            try:
                self.copies[name].update(is_over=not status.is_active)
            except OSError:
                log.exception("%s cannot be copied to the workspace", name)


# ----------------------------------------------------------------------------- on Hugging Face Jobs


def main(mount: Path, work: Path) -> int:
    """Train `mount/run`, or go on with it, in the new folder `work`; returns the exit code."""
    shutil.copytree(mount, work, ignore=shutil.ignore_patterns("source"))
    run = work / "run"
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    start_from = config["start_from"] and str(work / config["start_from"])
    write_json(run / "config.json", config | {"data": str(work / "data"), "start_from": start_from})
    copy = RunCopy(run, mount / "run", file_stamps(run))
    signal.signal(signal.SIGTERM, lambda *_: run_control.request_stop(run))
    process = subprocess.Popen(
        [sys.executable, "-m", "pix2pix.training.train", str(run)],
        env={**os.environ, **IMPORT_PATH},
    )
    code, pause = None, SYNC_SECONDS
    while code is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(pause)
        start = time.monotonic()
        try:
            copy.update(is_over=code is not None)
        except OSError as error:
            if code is not None:
                raise
            print(f"The bucket could not be written, the next look tries again: {error}")
        pause = pause_after(start)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
