"""Hold plans between "check" and "build": a bounded number, one a visitor."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path

from pix2pix.data.records import Plan
from pix2pix.errors import UserError
from pix2pix.ui.long_work import CancelSwitches, results_folder

# Of checks and builds, so many at once: for an event of Gradio's.
CONCURRENCY = {"concurrency_id": "datasets", "concurrency_limit": 2}
MAX_CHECKS = 16
MAX_PAIRS = 40_000  # in all checks together: the small pictures of a pair take 25 KB


class TempDir:
    """A temporary folder that is deleted when nobody holds this object any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="check-", dir=results_folder()))
        self.delete = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


class CheckedPlan:
    """A plan, and the folder that its files lie in."""

    def __init__(self, plan: Plan, temp_dir: TempDir) -> None:
        self.plan, self.temp_dir = plan, temp_dir


class PlanCache:
    """The visitors' latest checks, and the switches that stop what they have running.

    The oldest check goes first when there are too many; whoever works with it still has it.
    """

    def __init__(self, max_checks: int = MAX_CHECKS, max_pairs: int = MAX_PAIRS) -> None:
        self.max_checks, self.max_pairs = max_checks, max_pairs
        self.checks: OrderedDict[str, CheckedPlan] = OrderedDict()
        self.running = CancelSwitches()
        self.lock = threading.Lock()

    def put(self, session: str, check: CheckedPlan) -> None:
        """Keep a visitor's check in the place of their last one."""
        with self.lock:
            self.checks.pop(session, None)
            self.checks[session] = check
            while len(self.checks) > 1 and self._too_many():
                self.checks.popitem(last=False)

    def _too_many(self) -> bool:
        pairs = sum(len(check.plan.pairs) for check in self.checks.values())
        return len(self.checks) > self.max_checks or pairs > self.max_pairs

    def get(self, session: str) -> CheckedPlan:
        """Return the visitor's check; raises UserError where there is none or it had to make
        room."""
        with self.lock:
            if session not in self.checks:
                raise UserError("Check the pairs first: the last check is no longer there.")
            return self.checks[session]

    def leave(self, session: str) -> bool:
        """Drop the check of a visitor who left or chose other folders, and return whether there was
        one; a build goes on."""
        self.running.stop(session, "check")
        with self.lock:
            return self.checks.pop(session, None) is not None
