"""What this machine, or the container on it, has for us: free memory and cores."""

from __future__ import annotations

import contextlib
import math
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


def usable_cores() -> int:
    """Count the cores that this process may use. A container that was given two of the machine's
    32 sees all of them, and 32 threads on two cores mostly wait for each other."""
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # the container has no limit of its own
        quota, period = map(int, (CGROUP / "cpu.max").read_text().split())
        cores = min(cores, math.ceil(quota / period))
    return cores


def local_processes() -> int:
    """Count the processes that train together and share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
