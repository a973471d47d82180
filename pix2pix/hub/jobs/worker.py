"""Train a run on a machine of Hugging Face Jobs: ``python -m pix2pix.hub.jobs.worker MOUNT
WORK``.

A mounted bucket takes whole new files only: no line is added to one, and nothing is locked. So the
run trains on the machine's own disk, and what changes in its folder is copied into the bucket.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from pix2pix.training import run_control
from pix2pix.utils.files import write_json
from pix2pix.utils.workspace import IMPORT_PATH

SYNC_SECONDS = 10.0  # seconds between two looks at the run folder
SYNC_TIME_SHARE = 0.1  # of the time that copying may take
STATE, STATE_SECONDS = "state.pt", 600.0  # large, and needed only where the job is cut off
LOCAL_FILES = ("process.json", "stop")  # of this machine alone

Stamps = dict[str, tuple[int, int]]  # name below the run folder -> time and size of the file


def main(mount: Path, work: Path) -> int:
    """Train `mount/run`, or go on with it, in the new folder `work`; returns the exit code."""
    shutil.copytree(mount, work, ignore=shutil.ignore_patterns("source"))
    run = work / "run"
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    start_from = config["start_from"] and str(work / config["start_from"])
    write_json(run / "config.json", config | {"data": str(work / "data"), "start_from": start_from})
    known: Stamps = file_stamps(run)
    signal.signal(signal.SIGTERM, lambda *_: run_control.request_stop(run))
    process = subprocess.Popen(
        [sys.executable, "-m", "pix2pix.training.train", str(run)],
        env={**os.environ, **IMPORT_PATH},
    )
    pause, saved = SYNC_SECONDS, time.monotonic()
    while True:
        try:
            code = process.wait(pause)
            break
        except subprocess.TimeoutExpired:
            start = time.monotonic()
            late = start - saved > STATE_SECONDS
            try:
                copy_changes(run, mount / "run", known, with_state=late)
                saved = start if late else saved
            except OSError as error:
                print(f"The bucket could not be written, the next look tries again: {error}")
            pause = max(SYNC_SECONDS, (time.monotonic() - start) / SYNC_TIME_SHARE)
    copy_changes(run, mount / "run", known, with_state=True)
    return code


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
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, out / name)
            known[name] = current[name]
        except FileNotFoundError:
            if (run / name).exists():  # else it was pruned or is being replaced
                raise
    for name in known.keys() - current.keys():
        (out / name).unlink(missing_ok=True)
        del known[name]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
