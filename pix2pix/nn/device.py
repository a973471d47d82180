"""Pick the device and the precision by what the hardware can do; what it cannot, in a sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from pix2pix.errors import UserError
from pix2pix.utils.machine import usable_cores


def on_zero_gpu() -> bool:
    """Return whether this is a Space with a GPU that is lent to single calls
    (`pix2pix.ui.zero_gpu`)."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def pick_device(name: str = "auto") -> torch.device:
    """Pick CUDA, else Apple's MPS, else the CPU; or the named one. Raises UserError if it is
    absent."""
    if name == "auto":
        if torch.cuda.is_available() and not on_zero_gpu():  # CUDA is promised there, but not here
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(f"{device.type} is not supported")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"The device '{name}' is not available here: use cpu or auto.") from error
    if device.type == "cuda":  # one name for one GPU, by which runs wait for it
        return torch.device("cuda", device.index or 0)
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is computed by the hardware, not emulated.

    On CPUs only AMX counts: AVX2 machines run bfloat16 slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def keep_to_usable_cores() -> None:
    """Let torch start no more threads than there are cores for this process."""
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: Python's, a GPU's or PyTorch's on the CPU, which has no
    exception of its own for it, and neither has Apple's MPS."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    messages = "DefaultCPUAllocator", "MPS backend out of memory"
    return isinstance(error, RuntimeError) and any(message in str(error) for message in messages)


@contextlib.contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn running out of memory into a UserError that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        owner, other = ("", "") if device.type == "cpu" else (" of the GPU", ", or the device cpu")
        raise UserError(f"The memory{owner} ran out: choose a smaller picture{other}.") from error


@contextlib.contextmanager
def compiler_errors() -> Iterator[None]:
    """Turn what torch.compile raises into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise UserError(
                "The networks could not be compiled on this machine: set compile to false."
            ) from error
        raise
