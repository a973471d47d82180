"""Where a person's datasets, runs and published models live."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED_MODELS = ROOT / "checkpoints"


def workspace() -> Path:
    """The folder named by ``PIX2PIX_WORKSPACE``, else ``workspace/`` beside the program."""
    return Path(os.environ.get("PIX2PIX_WORKSPACE") or ROOT / "workspace")


def fetched_models() -> Path:
    """Where models of the Hub lie that visitors use. It is nobody's workspace."""
    return Path(tempfile.gettempdir()) / "pix2pix-studio-models"


def model_folders() -> list[Path]:
    """Folders whose children are models; where names clash the person's own come first."""
    return [workspace() / "models", SHIPPED_MODELS]
