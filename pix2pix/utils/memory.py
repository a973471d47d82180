"""Measure the memory that is free to a run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup")  # what Linux tells of this container


def free_memory(device: torch.device) -> int:
    """Return the bytes that a run could take: of the GPU, or of the machine and its container,
    where copies of files that give way to a program count as free."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # the container has no limit of its own
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(stat.get("inactive_file", 0)))
    return free


def local_processes() -> int:
    """Count the processes that train together and share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
