"""The state that a run is resumed from: one file, replaced atomically, read without pickle code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from pix2pix.devices import out_of_memory
from pix2pix.errors import UserError
from pix2pix.files import write_atomically

STATE, STATE_FORMAT = "state.pt", 1


def save_state(run: Path, state: dict[str, Any]) -> None:
    """Raises OSError where it cannot be written; the state of before is then still there."""

    def write(file: Path) -> None:
        try:
            torch.save({"format": STATE_FORMAT, **state}, file)
        except RuntimeError as error:  # so torch says that the disk is full
            raise OSError(str(error)) from error

    write_atomically(run / STATE, write)


def load_state(run: Path) -> dict[str, Any]:
    """Tensors, numbers and text only; raises UserError where there is no usable state."""
    try:
        state = torch.load(run / STATE, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{run.name} has no saved state: start it without --resume.") from error
    except (RuntimeError, MemoryError, pickle.UnpicklingError, EOFError, OSError) as error:
        if out_of_memory(error):
            raise UserError(
                f"There was not enough memory to read {run.name}/{STATE}, which is kept: end other "
                "programs, then resume."
            ) from error
        raise UserError(f"{run.name}/{STATE} cannot be read: start the run anew.") from error
    if state.get("format") != STATE_FORMAT:
        raise UserError(f"{run.name}/{STATE} is of another version: start the run anew.")
    return state
