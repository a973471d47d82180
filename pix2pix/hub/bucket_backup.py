"""Sync runs with a mounted bucket, whose files cannot be appended to. No torch.

They lie and train on the program's own disk. A copy of each is kept in the workspace, from which
they come back when that disk begins anew, as a Space's does at a restart.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path

from pix2pix.hub.jobs.worker import (
    STATE,
    STATE_SECONDS,
    SYNC_SECONDS,
    SYNC_TIME_SHARE,
    Stamps,
    copy_changes,
    file_stamps,
)
from pix2pix.training import run_folder
from pix2pix.utils.files import copy_folder
from pix2pix.utils.workspace import workspace

log = logging.getLogger(__name__)
STORAGE_HINT = (
    "The workspace takes whole files only, as a mounted bucket does, so runs train on this "
    "machine's own disk; they are copied to the workspace as they go, what a run resumes from "
    f"every {STATE_SECONDS / 60:.0f} minutes."
)


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
        self.known: dict[str, Stamps] = {}  # run -> what of it is kept
        self.saved: dict[str, float] = {}  # run -> monotonic time when its state was copied

    def bring_back(self) -> None:
        """Copy runs that are only in the bucket; one that cannot be copied is logged."""
        for folder in sorted(self.bucket_copy.glob("[!.]*/")):
            run = self.local / folder.name
            try:
                if not run.exists():
                    copy_folder(folder, run)
                    self.known[run.name] = file_stamps(run)
            except OSError:
                log.exception("%s cannot be brought back", run.name)

    def work(self) -> None:
        """Look again and again, for as long as the process lives."""
        while True:
            start = time.monotonic()
            self.look()
            time.sleep(max(SYNC_SECONDS, (time.monotonic() - start) / SYNC_TIME_SHARE))

    def look(self) -> None:
        """Copy what has changed; what fails is logged, and tried again by the next look."""
        for name in list(self.known):
            if self.local.is_dir() and not (self.local / name).exists():  # the run was deleted
                shutil.rmtree(self.bucket_copy / name, ignore_errors=True)
                del self.known[name]
        for status in run_folder.list_runs(self.local):
            name = status.name
            known = self.known.setdefault(name, file_stamps(self.bucket_copy / name))
            before = self.saved.get(name)
            late = before is None or time.monotonic() - before > STATE_SECONDS
            try:
                with_state = late or not status.is_active
                copy_changes(status.folder, self.bucket_copy / name, known, with_state=with_state)
                if late and STATE in known:
                    self.saved[name] = time.monotonic()
            except OSError:
                log.exception("%s cannot be copied to the workspace", name)
