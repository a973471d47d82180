"""How much memory is free, which errors mean that it ran out, how many cores there are, and what a
device is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pix2pix.nn.device import keep_to_usable_cores, out_of_memory, pick_device
from pix2pix.utils.machine import free_memory, usable_cores


def cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def mps() -> None:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 17 GB, max allowed: 18 GB).")


@pytest.mark.parametrize(
    ("work", "memory"),
    [
        (lambda: torch.empty(2**60), True),
        (lambda: np.empty(2**60, np.uint8), True),
        (cuda, True),
        (mps, True),
        (lambda: torch.ones(2) @ torch.ones(3), False),
        (lambda: torch.empty(-1), False),
        (lambda: np.ones(2) @ np.ones(3), False),
    ],
)
def test_what_ran_out_of_memory_is_told_from_other_errors(
    work: Callable[[], Any], memory: bool
) -> None:
    with pytest.raises(Exception) as raised:
        work()
    assert out_of_memory(raised.value) is memory


def test_one_gpu_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.empty", lambda *_, **options: None)
    assert {str(pick_device(name)) for name in ("auto", "cuda", "cuda:0")} == {"cuda:0"}
    assert str(pick_device("cuda:1")) == "cuda:1" and str(pick_device("cpu")) == "cpu"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"max": "1000", "current": "400", "stat": "anon 100\ninactive_file 250\n"}, 850),
        ({"max": "1000", "current": "400", "stat": "anon 100\n"}, 600),
        ({"max": "max", "current": "400", "stat": "inactive_file 250\n"}, 10**6),
        ({}, 10**6),
    ],
)
def test_a_container_has_what_its_limit_leaves(
    files: dict[str, str], free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr("pix2pix.utils.machine.CGROUP", tmp_path)
    machine = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr("pix2pix.utils.machine.psutil", machine)
    assert free_memory(torch.device("cpu")) == free


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", 32), ("", 32)],
)
def test_threads_are_as_many_as_the_cores_of_the_container(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr("pix2pix.utils.machine.CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(32), raising=False)
    assert usable_cores() == cores
    usual = torch.get_num_threads()
    try:
        for asked in (8, 1):  # fewer than there are cores stay fewer
            torch.set_num_threads(asked)
            keep_to_usable_cores()
            assert torch.get_num_threads() == min(asked, cores)
    finally:
        torch.set_num_threads(usual)
