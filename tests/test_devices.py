"""Which errors mean that memory ran out, and what a device is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pix2pix.devices import out_of_memory, pick_device


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
