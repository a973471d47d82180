"""Save and restore the state that a run is resumed from; no pickled code is read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.nn.device import out_of_memory
from pix2pix.training.checkpoints import parse_step
from pix2pix.training.distributed import ProcessGroup
from pix2pix.training.trainer import Trainer
from pix2pix.utils.files import write_atomically

STATE_FILE, STATE_FORMAT = "state.pt", 1


def save_state(run: Path, state: dict[str, Any]) -> None:
    """Save the state. Raises OSError where it cannot be written; the one before is then still
    there."""

    def write(file: Path) -> None:
        try:
            torch.save({"format": STATE_FORMAT, **state}, file)
        except RuntimeError as error:  # so torch says that the disk is full
            raise OSError(str(error)) from error

    write_atomically(run / STATE_FILE, write)


def load_state(run: Path) -> dict[str, Any]:
    """Load tensors, numbers and text only; raises UserError where there is no usable state."""
    try:
        state = torch.load(run / STATE_FILE, map_location="cpu", weights_only=True)
    except (RuntimeError, MemoryError, pickle.UnpicklingError, EOFError, OSError) as error:
        if out_of_memory(error):
            raise UserError(
                f"There was not enough memory to read {run.name}/{STATE_FILE}, which is kept: "
                "end other programs, then resume."
            ) from error
        raise UserError(f"{run.name}/{STATE_FILE} cannot be read: start the run anew.") from error
    if not isinstance(state, dict) or state.get("format") != STATE_FORMAT:
        raise UserError(f"{run.name}/{STATE_FILE} is of another version: start the run anew.")
    return state


def clear_leftovers(run: Path) -> None:
    """Forget what an earlier process left that was killed before it saved its first state."""
    leftovers = [run / "metrics.jsonl", run / "validation.jsonl", *run.glob("samples/step-*.png")]
    for file in leftovers:
        file.unlink(missing_ok=True)


def restore_state(run: Path, trainer: Trainer, ranks: ProcessGroup) -> int:
    """Go back to the saved state, its losses included, and return its step.

    Raises UserError where other than as many processes train now: batch norm, dropout and the
    pairs that an epoch leaves out would be others.
    """
    state = load_state(run)
    if (before := len(state["random"])) != ranks.world:
        launch = f"torchrun --nproc-per-node {before} --" if before > 1 else "python"
        raise UserError(
            f"{run.name} was trained by {before} process{'es' * (before > 1)}: resume it with as "
            f"many, in a terminal by `{launch} scripts/train.py --resume --run` and its folder."
        )
    trainer.load_state_dict(state["trainer"])
    set_random_state(state["random"][ranks.rank], trainer.device)
    if ranks.is_first:
        for name in ("metrics.jsonl", "validation.jsonl"):
            truncate_log(run / name, state["step"])
        for file in run.glob("samples/step-*.png"):  # of steps that will be run again
            if parse_step(file) > state["step"]:
                file.unlink()
    return state["step"]


def random_state(device: torch.device) -> Tensor:
    """Return the states of the generators that training draws from as one row of bytes, uint8:
    the CPU's, then the GPU's."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return torch.cat(states)


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Set the states of `random_state`; on another kind of device than before, the CPU's alone."""
    cpu_size, of_a_gpu = len(torch.get_rng_state()), len(state) == len(random_state(device))
    torch.set_rng_state(state[:cpu_size])
    if device.type == "cuda" and of_a_gpu:
        torch.cuda.set_rng_state(state[cpu_size:], device)
    elif device.type == "mps" and of_a_gpu:
        torch.mps.set_rng_state(state[cpu_size:])


def truncate_log(file: Path, step: int) -> None:
    """Drop the lines of later steps, which will be run again, and a half-written last one."""
    if not file.exists():
        return
    lines_left = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                later = json.loads(line)["step"] > step
            except (ValueError, KeyError, TypeError):
                break
            if later or not line.endswith("\n"):
                break
            lines_left.append(line)
    write_atomically(
        file, lambda partial: partial.write_text("".join(lines_left), encoding="utf-8")
    )
