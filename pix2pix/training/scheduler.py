"""Queue runs: one trains on a device at a time, in the order of their start. No torch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pix2pix.errors import Cancelled
from pix2pix.training.run_folder import Status, is_remote, list_runs, read_status
from pix2pix.utils.progress import ShouldStop

POLL_SECONDS = 0.5  # seconds between two looks at the queue
# What the time of a step depends on, besides the device.
PACE_SETTINGS = (
    "generator", "size", "ngf", "norm", "upsample", "blocks", "discriminator", "ndf", "layers",
    "lambda_features", "batch_size", "gradient_accumulation_steps", "ema", "diffaugment",
    "precision", "channels_last", "compile",
)  # fmt: skip


def count_ahead(run: Path) -> int:
    """Count the runs before this one on its device, the one that trains included."""
    mine = read_status(run)
    device = mine.config.get("device", "")
    others = [s for s in list_runs(run.parent) if s.is_active and s.folder != run]
    return sum(s.config.get("device", "") == device and _is_earlier(s, mine) for s in others)


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
            raise Cancelled()
        if not _is_behind_others(run):
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                break
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _is_behind_others(run: Path) -> bool:
    mine = read_status(run)
    device = mine.config.get("device", "")
    return any(
        s.state == "queued" and s.config.get("device", "") == device and _is_earlier(s, mine)
        for s in list_runs(run.parent)
        if s.folder != run
    )


def _is_earlier(one: Status, other: Status) -> bool:
    return (one.started, one.name) < (other.started, other.name)
