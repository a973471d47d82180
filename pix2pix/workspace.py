"""Where a person's datasets, runs and published models live."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

import pix2pix

IMPORT_ROOT = Path(pix2pix.__file__).resolve().parent.parent  # the folder that holds the package
# The checkout; for an installed package, which has none, the folder that Python was started in.
ROOT = IMPORT_ROOT if (IMPORT_ROOT / "requirements.txt").is_file() else Path.cwd()
# What a process of ours needs in its environment to find the package too.
IMPORT_PATH = {"PYTHONPATH": str(IMPORT_ROOT)} if ROOT == IMPORT_ROOT else {}
SHIPPED_MODELS = ROOT / "checkpoints"
LITTLE = 10**9  # bytes


def workspace() -> Path:
    """The folder named by ``PIX2PIX_WORKSPACE``, else ``workspace/`` in the checkout, or where an
    installed program was started."""
    return Path(os.environ.get("PIX2PIX_WORKSPACE") or own_workspace())


def own_workspace() -> Path:
    """The one on the program's own disk."""
    return ROOT / "workspace"


def fetched_models() -> Path:
    """Where models of the Hub lie that visitors use. It is nobody's workspace."""
    return Path(tempfile.gettempdir()) / "pix2pix-studio-models"


def model_folders() -> list[Path]:
    """Folders whose children are models; where names clash the person's own come first."""
    return [workspace() / "models", SHIPPED_MODELS]


def probe() -> str:
    """A sentence where what is made here cannot be saved, will not last or hardly fits; else ''."""
    place = _there()
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


def _there() -> Path:
    """As much of the workspace's path as there is."""
    place = workspace().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def takes_lines() -> bool:
    """Whether files in the workspace can be added to and locked, which in a mounted bucket they
    cannot; True where none can be written at all, which `probe` tells."""
    try:
        return _takes_lines(_there())
    except OSError:
        return True


@functools.lru_cache
def _takes_lines(folder: Path) -> bool:
    options = {"prefix": ".probe.", "dir": folder, "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(**options) as at:
        file = Path(at) / "lines"
        file.write_bytes(b"1")
        try:
            with FileLock(f"{file}.lock", timeout=0), file.open("ab") as more:
                more.write(b"2")
            return file.read_bytes() == b"12"
        except (OSError, NotImplementedError, Timeout):
            return False
