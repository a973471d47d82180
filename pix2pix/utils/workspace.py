"""Find the folders where a person's datasets, runs and published models live."""

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
LOW_DISK_BYTES = 10**9  # bytes


def workspace() -> Path:
    """Return the folder named by ``PIX2PIX_WORKSPACE``, else ``workspace/`` in the checkout, or
    where an installed program was started."""
    return Path(os.environ.get("PIX2PIX_WORKSPACE") or local_workspace())


def local_workspace() -> Path:
    """Return the workspace on the program's own disk."""
    return ROOT / "workspace"


def hub_model_cache() -> Path:
    """Return where models of the Hub lie that visitors use. It is nobody's workspace."""
    return Path(tempfile.gettempdir()) / "pix2pix-studio-models"


def model_folders() -> list[Path]:
    """List the folders whose children are models; where names clash the person's own come first."""
    return [workspace() / "models", SHIPPED_MODELS]


def storage_warning() -> str:
    """Say why results cannot be saved, will not last or hardly fit here; empty where all is
    well."""
    place = _existing_part()
    try:
        with tempfile.TemporaryFile(prefix=".probe.", dir=place):
            disk = shutil.disk_usage(place)
            is_local_disk = place.stat().st_dev == ROOT.stat().st_dev
    except OSError:
        return (
            "The workspace cannot be written, so nothing can be saved here: mount a bucket or set "
            "PIX2PIX_WORKSPACE to a folder that can be written."
        )
    if is_local_disk and os.environ.get("SPACE_ID"):  # a bucket or /data is another device
        return (
            "This Space forgets what it made when it restarts: mount a bucket and set "
            "PIX2PIX_WORKSPACE to it, or download what is to be kept."
        )
    if disk.total and disk.free < LOW_DISK_BYTES:  # of a bucket there may be no figures
        return (
            f"The disk is nearly full, {disk.free / 10**6:.0f} MB are left: delete datasets or "
            "runs that are no longer needed."
        )
    return ""


def _existing_part() -> Path:
    """Return as much of the workspace's path as exists."""
    place = workspace().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def supports_append() -> bool:
    """Return whether files in the workspace can be added to and locked, which in a mounted
    bucket they cannot; True where none can be written at all, which `storage_warning` says."""
    try:
        return _try_append(_existing_part())
    except OSError:
        return True


@functools.lru_cache
def _try_append(folder: Path) -> bool:
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
