"""Pick the device and the precision by what the hardware can do, and meet the processes that train
on other devices, as ``torchrun`` starts them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pix2pix.errors import UserError


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


# ------------------------------------------------------------------------------- several processes


@dataclass(frozen=True)
class ProcessGroup:
    """One process among those that train together, which number ``world``: the one of rank 0
    writes, the others only compute. Alone, all of it does nothing."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this process is the one that writes."""
        return self.rank == 0

    def shared(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that ``backward`` averages its gradients over all processes.

        Running statistics of norms stay each process's own: the first one's are saved.
        """
        if self.world == 1:
            return network
        return DistributedDataParallel(network, broadcast_buffers=False)

    def any(self, *flags: bool) -> list[bool]:
        """Return of each flag whether any process has raised it; all of them ask at the same
        step."""
        if self.world == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32, device=self.device)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Average each value over the processes."""
        if self.world == 1:
            return values
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(values, (total / self.world).tolist()))

    def gather(self, own: Tensor) -> list[Tensor]:
        """Return the tensor of every process, all of one shape, on the CPU, in the order of their
        ranks."""
        if self.world == 1:
            return [own]
        own = own.to(self.device)
        all_of_them = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(all_of_them, own)
        return [one.cpu() for one in all_of_them]


def join_group(device: torch.device) -> ProcessGroup:
    """Meet the other processes of ``torchrun`` (NCCL on GPUs, else gloo), or stay alone.

    On a machine with several GPUs each process takes the one of its local rank.
    """
    if not is_shared():
        return ProcessGroup(device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return ProcessGroup(device, dist.get_rank(), dist.get_world_size())


def is_shared() -> bool:
    """Return whether other processes of ``torchrun`` train along."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Return whether this process is the one that writes, before the others are met."""
    return os.environ.get("RANK", "0") == "0"
