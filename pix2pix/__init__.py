"""Paired image-to-image translation (pix2pix, Isola et al. 2017, arXiv 1611.07004).

    from pix2pix import Translator, TrainConfig, train, build_dataset, evaluate

Each name is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # to type checkers it is true, and importing typing takes its time
if TYPE_CHECKING:
    from pix2pix.config import TrainConfig
    from pix2pix.data.build import build_dataset
    from pix2pix.data.loader import PairDataset
    from pix2pix.errors import Cancelled, UserError
    from pix2pix.evaluation.evaluate import evaluate
    from pix2pix.models.translator import Translator
    from pix2pix.training.train import Run, train

__all__ = [
    "Cancelled",
    "PairDataset",
    "Run",
    "TrainConfig",
    "Translator",
    "UserError",
    "build_dataset",
    "evaluate",
    "train",
]

_HOMES = {
    "PairDataset": "pix2pix.data.loader",
    "Run": "pix2pix.training.train",
    "Cancelled": "pix2pix.errors",
    "TrainConfig": "pix2pix.config",
    "Translator": "pix2pix.models.translator",
    "UserError": "pix2pix.errors",
    "build_dataset": "pix2pix.data.build",
    "evaluate": "pix2pix.evaluation.evaluate",
    "train": "pix2pix.training.train",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pix2pix' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
