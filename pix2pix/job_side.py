"""A run on a machine of Hugging Face Jobs: ``python -m pix2pix.job_side MOUNT WORK``.

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

from pix2pix import runs
from pix2pix.files import write_json
from pix2pix.workspace import IMPORT_PATH

EVERY = 10.0  # seconds between two looks at the run folder
SHARE = 0.1  # of the time that copying may take
STATE, STATE_EVERY = "state.pt", 600.0  # large, and needed only where the job is cut off
OWN = ("process.json", "stop")  # of this machine alone

Stamps = dict[str, tuple[int, int]]  # name below the run folder -> time and size of the file


def main(mount: Path, work: Path) -> int:
    """Train `mount/run`, or go on with it, in the new folder `work`; returns the exit code."""
    shutil.copytree(mount, work, ignore=shutil.ignore_patterns("source"))
    run = work / "run"
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    start_from = config["start_from"] and str(work / config["start_from"])
    write_json(run / "config.json", config | {"data": str(work / "data"), "start_from": start_from})
    known: Stamps = stamps(run)
    signal.signal(signal.SIGTERM, lambda *_: runs.ask_to_stop(run))
    process = subprocess.Popen(
        [sys.executable, "-m", "pix2pix.training", str(run)],
        env={**os.environ, **IMPORT_PATH},
    )
    pause, saved = EVERY, time.monotonic()
    while True:
        try:
            code = process.wait(pause)
            break
        except subprocess.TimeoutExpired:
            begun = time.monotonic()
            late = begun - saved > STATE_EVERY
            try:
                copy_changes(run, mount / "run", known, with_state=late)
                saved = begun if late else saved
            except OSError as error:
                print(f"The bucket could not be written, the next look tries again: {error}")
            pause = max(EVERY, (time.monotonic() - begun) / SHARE)
    copy_changes(run, mount / "run", known, with_state=True)
    return code


def stamps(run: Path) -> Stamps:
    """The files that shall be in the bucket too."""
    found: Stamps = {}
    for file in run.rglob("*"):
        name = file.relative_to(run)
        if file.name not in OWN and not any(part.startswith(".") for part in name.parts):
            try:
                if file.is_file():
                    found[name.as_posix()] = file.stat().st_mtime_ns, file.stat().st_size
            except FileNotFoundError:  # replaced at this moment
                continue
    return found


def copy_changes(run: Path, out: Path, known: Stamps, *, with_state: bool) -> None:
    """Copy what is not as it was when it became `known`, which is kept up to date, and delete what
    is gone. The state comes first, so that the losses reach it; the status, which tells the end,
    last. Raises OSError."""
    there = stamps(run)
    for name in sorted(there, key=lambda name: (name == "status.json", name != STATE, name)):
        if known.get(name) == there[name] or (name == STATE and not with_state):
            continue
        try:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, out / name)
            known[name] = there[name]
        except FileNotFoundError:
            if (run / name).exists():  # else it was pruned or is being replaced
                raise
    for name in known.keys() - there.keys():
        (out / name).unlink(missing_ok=True)
        del known[name]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
