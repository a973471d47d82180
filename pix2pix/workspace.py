"""Where a person's datasets, runs and published models live."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED_MODELS = ROOT / "checkpoints"


def workspace() -> Path:
    """The folder named by ``PIX2PIX_WORKSPACE``, else ``workspace/`` beside the program."""
    return Path(os.environ.get("PIX2PIX_WORKSPACE") or ROOT / "workspace")


def model_folders() -> list[Path]:
    """Folders whose children are models; where names clash the person's own come first."""
    return [workspace() / "models", SHIPPED_MODELS]
