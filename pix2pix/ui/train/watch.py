"""Read run folders for the page, once for everybody who looks, and put them into words."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import Checkpoint, best_checkpoint, list_checkpoints
from pix2pix.training.diagnostics import diagnose
from pix2pix.training.metrics_log import Curves, read_jsonl
from pix2pix.training.run_folder import RESUMABLE, Status
from pix2pix.ui.train.launch import find_run
from pix2pix.utils.files import is_number
from pix2pix.utils.text import format_duration, format_memory

STATE_TEXTS = {
    "queued": "Waiting",
    "starting": "Starting",
    "running": "Running",
    "stopping": "Stopping after this step",
    "paused": "Paused",
    "stopped": "Stopped",
    "finished": "Finished",
    "interrupted": "Interrupted",
    "failed": "Failed",
}
STATE_SENTENCES = {
    "starting": "The networks and the first pairs are being loaded.",
    "paused": "It goes on from here when you resume it.",
    "stopped": "It goes on from here when you resume it.",
}
MEASURES = ("l1", "psnr", "ssim", "perceptual")  # of the validation pairs
MAX_WATCHED = 8  # runs whose curves are kept in memory, about a MB each
MAX_ROWS = 400  # of a validation curve
MAX_LISTED = 100  # runs on the page
CURVES_EVERY = 3.0  # seconds between two new curves, which look no different any sooner
FORCE_AFTER = 15.0  # seconds of "stopping" after which force is offered
SLOT = 0.5  # seconds from one page's look to another's: each costs some 4 ms of a core
MAX_WAIT = 10.0  # seconds that any page waits for its next look
READ_FOR = 0.3  # seconds at most that one look reads a long file


class RunWatcher:
    """Answers any number of pages; a run's files are read at most once in `every` seconds.

    What is shown comes in parts, JSON text that is made once for all pages. A page says by their
    checksums which it has and gets the others.
    """

    def __init__(self, every: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self.every, self.now = every, now
        self.lock = threading.Lock()
        self.watched: OrderedDict[Path, _WatchedRun] = OrderedDict()
        self.list = "[]"
        self.listed_at, self.favourite = -float("inf"), ""
        self.free_at = -float("inf")  # when the next slot is that no page has taken

    def look(self, name: str, seen: dict[str, int]) -> dict[str, Any]:
        """Answer {"run": name of the run that is shown, "parts": {part: JSON}, "versions":
        {part: checksum}, "wait": seconds until the page should look again}, longer the more pages
        there are.

        Without a `name` it is the run that trains, or whose turn is next, else the newest. Raises a
        UserError where there is no run of that name.
        """
        with self.lock:
            self._list()
            name = name or self.favourite
            parts, wait = {"runs": self.list}, self._slot()
            if name:
                run = find_run(name)
                if run not in self.watched:
                    self.watched[run] = _WatchedRun(run)
                    while len(self.watched) > MAX_WATCHED:
                        self.watched.popitem(last=False)
                self.watched.move_to_end(run)
                self.watched[run].refresh(self.now(), self.every)
                parts |= self.watched[run].parts
        versions = {part: zlib.crc32(text.encode()) for part, text in parts.items()}
        newer = {part: text for part, text in parts.items() if versions[part] != seen.get(part)}
        return {"run": name, "parts": newer, "versions": versions, "wait": wait}

    def _slot(self) -> float:
        """Take the next free slot; seconds until then. All pages together look so often at most."""
        now = self.now()
        self.free_at = min(max(self.free_at, now) + SLOT, now + MAX_WAIT)
        return self.free_at - now

    def hurry(self) -> None:
        """Let the next look read anew: something was done to a run."""
        with self.lock:
            self.listed_at = -float("inf")
            for run in self.watched.values():
                run.read_at = -float("inf")

    def _list(self) -> None:
        if self.now() - self.listed_at < self.every:
            return
        self.listed_at = self.now()
        runs = run_folder.list_runs()
        active = [status.name for status in runs if status.is_active]
        self.favourite = next(iter([*active[-1:], *(status.name for status in runs)]), "")
        self.list = json.dumps([run_list_item(status) for status in runs[:MAX_LISTED]])


class _WatchedRun:
    """One run as it was when its files were last read."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.parts: dict[str, str] = {}
        self.curves = Curves(run / "metrics.jsonl")
        self.read_at = self.drawn_at = -float("inf")
        self.drawn: tuple[int, int] | None = None  # what the curves on the page end with
        self.times: tuple[int, ...] = ()
        self.validation: list[dict[str, Any]] = []

    def refresh(self, now: float, every: float) -> None:
        if now - self.read_at < every:
            return
        self.read_at = now
        status = run_folder.read_status(self.run)
        self._read_losses(now, status)
        self._read_checkpoints(status)
        last = self.curves.recent[-1] if self.curves.recent else {}
        state = state_line(
            status, run_control.count_ahead(self.run) if status.state == "queued" else 0, last
        )
        state["force"] = status.state == "stopping" and self._stopping_seconds() > FORCE_AFTER
        state["has_model"] = (self.run / "model" / "config.json").exists()
        self._put("status", state)
        self._put("about", describe_settings(status))

    def _put(self, part: str, value: Any) -> None:
        self.parts[part] = json.dumps(value)

    def _read_losses(self, now: float, status: run_folder.Status) -> None:
        until = time.monotonic() + READ_FOR
        waits = self.curves.update()
        while waits and time.monotonic() < until:
            waits = self.curves.update()
        recent = self.curves.recent
        end = len(recent), recent[-1]["step"] if recent else 0
        if end == self.drawn or now - self.drawn_at < CURVES_EVERY:
            return
        self.drawn, self.drawn_at = end, now
        columns = self.curves.columns()
        self._put("curves", {k: v for k, v in columns.items() if k[-4:] not in ("_min", "_max")})
        self._judge(status)

    def _judge(self, status: run_folder.Status) -> None:
        diagnosis = diagnose(self.curves.recent, self.validation, status.config, status.steps)
        self._put("health", vars(diagnosis))

    def _read_checkpoints(self, status: run_folder.Status) -> None:
        files = (self.run / part for part in ("samples", "checkpoints", "validation.jsonl"))
        times = tuple(f.stat().st_mtime_ns if f.exists() else 0 for f in files)
        if times == self.times:
            return
        self.times = times
        rows = self.validation = read_jsonl(self.run / "validation.jsonl")
        favourite = best_checkpoint(self.run)
        self._put(
            "checkpoints", [checkpoint_item(one, favourite) for one in list_checkpoints(self.run)]
        )
        thinned = rows[:: -(-len(rows) // MAX_ROWS)] if rows else []
        names = ("step", "train_l1", *MEASURES)
        self._put("validation", {n: [finite_number(row.get(n)) for row in thinned] for n in names})
        if self.curves.recent:
            self._judge(status)

    def _stopping_seconds(self) -> float:
        try:
            return time.time() - (self.run / "stop").stat().st_mtime
        except OSError:
            return 0.0


def checkpoint_item(checkpoint: Checkpoint, favourite: Checkpoint | None) -> dict[str, Any]:
    """Return a checkpoint as the page gets it."""
    figures = {name: finite_number(checkpoint.metrics.get(name)) for name in (*MEASURES, "epoch")}
    return {
        "step": checkpoint.step, "sample": checkpoint.sample is not None,
        "model": checkpoint.model is not None,
        "best": favourite is not None and favourite.step == checkpoint.step,
        **{name: value for name, value in figures.items() if value is not None},
    }  # fmt: skip


def finite_number(value: Any) -> float | None:
    """Return a finite number to 5 digits, else None: JSON has no other."""
    return float(f"{value:.5g}") if is_number(value) and abs(value) < 1e300 else None


# ----------------------------------------------------------------------------------- in words


def state_line(status: Status, ahead: int, last: dict[str, Any]) -> dict[str, Any]:
    """Describe a run for the page's head; `last` is its last line of losses."""
    step = max(status.step, int(last.get("step", 0)))
    steps = status.steps or int(status.config.get("steps") or 0)
    epoch = max(status.epoch, int(last.get("epoch", 0)))
    word = STATE_TEXTS.get(status.state, status.state)
    if status.state == "queued" and ahead:
        word = f"Waiting behind {ahead} {'run' if ahead == 1 else 'runs'}"
    seconds_left = status.seconds_left
    return {
        "name": status.name,
        "state": status.state,
        "word": word,
        "sentence": status.sentence or state_sentence(status, step),
        "share": min(1.0, step / steps) if steps else (1.0 if status.state == "finished" else 0.0),
        "active": status.is_active,
        "resumable": status.state in RESUMABLE,
        "facts": run_facts(status, step, steps, epoch, seconds_left),
    }


def state_sentence(status: Status, step: int) -> str:
    """Describe a state of which the run itself says nothing."""
    first = status.config.get("sample_every_steps")
    if status.state == "running" and isinstance(first, int) and step < first:
        return f"The first pictures come by step {first:,}."
    return STATE_SENTENCES.get(status.state, "")


def run_facts(
    status: Status, step: int, steps: int, epoch: int, seconds_left: float | None
) -> list[tuple[str, str]]:
    """List (what, value) for the figures under the progress bar, without what is not known."""
    facts = [("Step", f"{step:,} of {steps:,}" if steps else f"{step:,}")]
    epochs = status.config.get("epochs")
    by_epochs = isinstance(epochs, int) and not status.config.get("steps")
    done = status.state == "finished" and by_epochs
    now = epochs if done else epoch + 1
    facts.append(("Epoch", f"{now:,} of {epochs:,}" if by_epochs else f"{now:,}"))
    if status.seconds_per_step:
        facts.append(("Speed", format_pace(status.seconds_per_step)))
    if seconds_left is not None:
        facts.append(("Time left", format_duration(seconds_left)))
    if status.memory_mib:
        facts.append(("Memory", format_memory(status.memory_mib)))
    return facts


def run_list_item(status: Status) -> dict[str, Any]:
    """Describe a run in the list of all."""
    steps = status.steps or int(status.config.get("steps") or 0)
    done = min(1.0, status.step / steps) if steps else 0.0
    word = STATE_TEXTS.get(status.state, status.state)
    return {
        "name": status.name,
        "state": status.state,
        "word": f"{word}, {done:.0%}" if done and status.state != "finished" else word,
        "data": Path(str(status.config.get("data", ""))).name,
        "started": status.started,
    }


def describe_settings(status: Status) -> list[tuple[str, str]]:
    """List what the run was started with, as (what, value)."""
    config = status.config
    values = [(key, config.get(key)) for key in config if key not in ("data", "start_from")]
    first = [("dataset", Path(str(config.get("data", ""))).name)]
    if config.get("start_from"):
        start = Path(str(config["start_from"]))
        first.append(("start from", start.parent.name if start.name == "model" else start.name))
    settings_text = (
        (name, ("yes" if value else "no") if isinstance(value, bool) else str(value))
        for name, value in values
    )
    return first + [(name, value) for name, value in settings_text if value != ""]


def format_pace(seconds: float) -> str:
    """Format a speed: 0.63 s a step, 25 steps a second."""
    return f"{seconds:.2g} s a step" if seconds >= 0.1 else f"{1 / seconds:.0f} steps a second"
