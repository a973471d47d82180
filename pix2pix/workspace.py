"""Where a person's datasets, runs and published models live."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED_MODELS = ROOT / "checkpoints"
LITTLE = 10**9  # bytes


def workspace() -> Path:
    """The folder named by ``PIX2PIX_WORKSPACE``, else ``workspace/`` beside the program."""
    return Path(os.environ.get("PIX2PIX_WORKSPACE") or ROOT / "workspace")


def fetched_models() -> Path:
    """Where models of the Hub lie that visitors use. It is nobody's workspace."""
    return Path(tempfile.gettempdir()) / "pix2pix-studio-models"


def model_folders() -> list[Path]:
    """Folders whose children are models; where names clash the person's own come first."""
    return [workspace() / "models", SHIPPED_MODELS]


def probe() -> str:
    """A sentence where what is made here cannot be saved, will not last or hardly fits; else ''."""
    place = workspace().absolute()
    while not place.exists() and place != place.parent:  # as much of it as there is
        place = place.parent
    try:
        with tempfile.TemporaryFile(prefix=".probe.", dir=place):
            disk = shutil.disk_usage(place)
            own = place.stat().st_dev == ROOT.stat().st_dev
    except OSError:
        return (
            "The workspace cannot be written, so nothing can be saved here: mount a bucket or set "
            "PIX2PIX_WORKSPACE to a folder that can be written."
        )
    if own and os.environ.get("SPACE_ID"):  # a bucket or /data is another device
        return (
            "This Space forgets what it made when it restarts: mount a bucket and set "
            "PIX2PIX_WORKSPACE to it, or download what is to be kept."
        )
    if disk.total and disk.free < LITTLE:  # of a bucket there may be no figures
        return (
            f"The disk is nearly full, {disk.free / 10**6:.0f} MB are left: delete datasets or "
            "runs that are no longer needed."
        )
    return ""
