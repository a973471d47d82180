"""Follow runs on Hugging Face Jobs: a thread each, with a token that lives in memory only."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from pix2pix.errors import UserError
from pix2pix.hub.jobs.follow import sync_remote
from pix2pix.hub.jobs.launch import cancel_remote
from pix2pix.training import run_control, run_folder
from pix2pix.utils.text import printable

log = logging.getLogger(__name__)

SHARE = 0.1  # of the time that looking may take
AFTER_ERROR = 30.0  # seconds until a look that failed is tried again


@dataclass
class _FollowedRun:
    token: str
    wake: threading.Event = field(default_factory=threading.Event)


class JobFollowers:
    """Looks at the jobs of runs `every` so many seconds until they are over."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self.followed: dict[Path, _FollowedRun] = {}
        self.lock = threading.Lock()

    def follow(self, run: Path, token: str) -> None:
        """Watch a run from now on with this token."""
        with self.lock:
            if earlier := self.followed.get(run):
                earlier.wake.set()  # it sees that it was replaced
            self.followed[run] = mine = _FollowedRun(token)
        threading.Thread(target=self._follow, args=(run, mine), daemon=True).start()

    def cancel(self, run: Path) -> None:
        """Cancel the job of a run. Raises UserError, also where no token for it is known."""
        known = self.followed.get(run)
        if not known:
            raise UserError(
                f"'{printable(run.name)}' trains on Hugging Face Jobs: give your token there and "
                "press 'Watch', then stop it."
            )
        cancel_remote(run, known.token)
        known.wake.set()

    def _follow(self, run: Path, mine: _FollowedRun) -> None:
        while self.followed.get(run) is mine and run_folder.is_remote(run):
            start = time.monotonic()
            pause = self._look(run, mine.token)
            if pause is None:
                break
            mine.wake.wait(max(pause, (time.monotonic() - start) / SHARE))
            mine.wake.clear()
        with self.lock:
            if self.followed.get(run) is mine:
                del self.followed[run]

    def _look(self, run: Path, token: str) -> float | None:
        """Look at the job; returns the seconds until the next look, None where the run is over."""
        try:
            return self.every if sync_remote(run, token).is_active else None
        except UserError as error:
            sentence = str(error)
        except Exception:
            log.exception("%s cannot be followed", run.name)
            sentence = "Something broke that should not; the server's log says what."
        try:
            run_folder.write_status(run, sentence=sentence, looked=time.time())
        except OSError:
            log.exception("%s cannot be written", run.name)
        return AFTER_ERROR


FOLLOWERS = JobFollowers()


def stop_run(run: Path, word: str) -> None:
    """Ask a run to stop, to be called by `word` then; the job of one that trains elsewhere is
    cancelled. Raises UserError where that cannot be."""
    if run_folder.is_remote(run):
        if word == "paused":
            raise UserError("A run on Jobs cannot pause: stop it, and resume it there later.")
        FOLLOWERS.cancel(run)
    else:
        run_control.request_stop(run, word)
