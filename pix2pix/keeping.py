"""Runs where files of the workspace cannot be added to, as in a mounted bucket (see `job_side`).

They lie and train on the program's own disk. A copy of each is kept in the workspace, from which
they come back when that disk begins anew, as a Space's does at a restart.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path

from pix2pix import runs
from pix2pix.files import copy_folder
from pix2pix.job_side import EVERY, SHARE, STATE, STATE_EVERY, Stamps, copy_changes, stamps
from pix2pix.workspace import workspace

log = logging.getLogger(__name__)
HINT = (
    "The workspace takes whole files only, as a mounted bucket does, so runs train on this "
    "machine's own disk; they are copied to the workspace as they go, what a run resumes from "
    f"every {STATE_EVERY / 60:.0f} minutes."
)


def hint() -> str:
    """A sentence where runs lie elsewhere than the rest of the workspace."""
    return "" if runs.runs_folder() == _kept() else HINT


def _kept() -> Path:
    return workspace() / "runs"


def keep_runs() -> None:
    """Where runs lie elsewhere, bring back those that are kept, and keep them as they change for as
    long as this process lives."""
    if runs.runs_folder() != _kept():
        keeper = Keeper(runs.runs_folder(), _kept())
        keeper.bring_back()
        threading.Thread(target=keeper.work, daemon=True).start()


class Keeper:
    def __init__(self, own: Path, kept: Path) -> None:
        self.own, self.kept = own, kept
        self.known: dict[str, Stamps] = {}  # run -> what of it is kept
        self.saved: dict[str, float] = {}  # run -> monotonic time when its state was copied

    def bring_back(self) -> None:
        """What is kept and not here; a run that cannot be copied is missing, and logged."""
        for folder in sorted(self.kept.glob("[!.]*/")):
            run = self.own / folder.name
            try:
                if not run.exists():
                    copy_folder(folder, run)
                    self.known[run.name] = stamps(run)
            except OSError:
                log.exception("%s cannot be brought back", run.name)

    def work(self) -> None:
        while True:
            begun = time.monotonic()
            self.look()
            time.sleep(max(EVERY, (time.monotonic() - begun) / SHARE))

    def look(self) -> None:
        """Copy what has changed; what fails is logged, and tried again by the next look."""
        for name in list(self.known):
            if self.own.is_dir() and not (self.own / name).exists():  # the run was deleted
                shutil.rmtree(self.kept / name, ignore_errors=True)
                del self.known[name]
        for status in runs.list_runs(self.own):
            name = status.name
            known = self.known.setdefault(name, stamps(self.kept / name))
            before = self.saved.get(name)
            late = before is None or time.monotonic() - before > STATE_EVERY
            try:
                with_state = late or not status.is_active
                copy_changes(status.folder, self.kept / name, known, with_state=with_state)
                if late and STATE in known:
                    self.saved[name] = time.monotonic()
            except OSError:
                log.exception("%s cannot be copied to the workspace", name)
