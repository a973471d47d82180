"""Train in several processes, each on a device of its own, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


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
