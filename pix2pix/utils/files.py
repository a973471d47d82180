"""Write files and folders atomically: a reader sees the old content or the new, never a half."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pix2pix.errors import UserError
from pix2pix.utils.text import printable

LONGEST_NAME = 230  # bytes; a disk takes 255, and tempfile appends some
RETRY_PAUSES = [0.02] * 50 if os.name == "nt" else []  # seconds
_STALE = 24 * 3600  # seconds after which a temporary folder belongs to a process that was killed


@contextlib.contextmanager
def write_errors(path: Path, sentence: str = "") -> Iterator[None]:
    """Turn an OSError of this place, such as a full disk's, into a UserError: one that says why,
    or the `sentence`."""
    try:
        yield
    except OSError as error:
        raise UserError(sentence or f"{path} cannot be written: {error.strerror}.") from error


def save_errors(run: Path) -> contextlib.AbstractContextManager[None]:
    """Turn an OSError of a run's folder, on a full or read-only disk, into a UserError."""
    return write_errors(
        run,
        f"{run.name} could not be saved: check that the disk has space and that the run's "
        "folder can be written to, then resume; the last saved state is whole.",
    )


def saving(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turn an OSError of a file or folder that is being saved into a UserError."""
    advice = "check that its folder can be written to and has free space"
    return write_errors(path, f"{printable(path.name)} could not be saved: {advice}.")


def deleting(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turn an OSError of a folder that is being deleted into a UserError."""
    advice = "check that the workspace can be written to"
    return write_errors(path, f"'{printable(path.name)}' could not be deleted: {advice}.")


@contextlib.contextmanager
def hold_lock(file: Path, message: str) -> Iterator[None]:
    """Let one process at a time do what it guards; raises UserError(message) for a second one."""
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(message) from None
    try:
        yield
    finally:
        lock.release()


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` with a temporary file beside ``path``, then put it in place.

    Whatever ``write`` raises leaves the old file as it was and removes the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_temporary_prefix(path), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)  # mkstemp makes it private
        _replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _temporary_prefix(path: Path) -> str:
    """Return ``.name.``, cut where the name and what is appended would be too long for a disk."""
    return f".{os.fsencode(path.name)[:LONGEST_NAME].decode(errors='ignore')}."


def _replace(new: Path, old: Path) -> None:
    """Replace a file; on Windows one that somebody reads right now can be replaced a moment
    later."""
    for pause in RETRY_PAUSES:
        with contextlib.suppress(PermissionError):
            os.replace(new, old)
            return
        time.sleep(pause)
    os.replace(new, old)


@contextlib.contextmanager
def atomic_folder(into: Path) -> Iterator[Path]:
    """Give a temporary folder beside `into`, which takes its name when the block ends well.

    Whatever the block raises leaves nothing behind. A UserError where `into` exists or the disk
    refuses. A killed process leaves a hidden folder, which a later call beside it removes.
    """
    if os.path.lexists(into):
        raise UserError(f"{printable(into.name)} exists already: choose another name.")
    temporary = None
    try:
        with saving(into):
            into.parent.mkdir(parents=True, exist_ok=True)
            remove_old(into.parent.glob(".unfinished-*"), _STALE)
            temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=into.parent))
            yield temporary
            temporary.chmod(0o755)  # mkdtemp makes it private
            os.rename(temporary, into)
    finally:
        if temporary:  # after the rename there is nothing at this path
            shutil.rmtree(temporary, ignore_errors=True)


def copy_folder(
    folder: Path, out: Path, change: Callable[[Path], None] = lambda copy: None
) -> None:
    """Copy a folder so that ``out`` is there whole or not at all; ``change`` may edit the copy.

    Hidden files, such as one that is being written, stay behind. What was at ``out`` is replaced.
    Raises OSError.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_temporary_prefix(out), dir=out.parent) as place:
        copy = Path(place) / out.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".*"))
        change(copy)
        if out.exists():
            os.replace(out, Path(place) / "old")
        os.replace(copy, out)


def remove_folder(folder: Path) -> None:
    """Remove a folder: at once for all who look, then file by file. Raises UserError where the
    disk refuses."""
    hidden = {"prefix": ".unfinished-", "dir": folder.parent, "ignore_cleanup_errors": True}
    with deleting(folder), tempfile.TemporaryDirectory(**hidden) as place:
        os.replace(folder, Path(place) / folder.name)


def write_json(path: Path, data: Any) -> None:
    """Write an object as indented JSON, atomically."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda f: f.write_text(text, encoding="utf-8"))


def unused_name(folder: Path, base: str) -> str:
    """Return `base`, with a number behind it where the folder holds something of that name."""
    number, name = 1, base
    while (folder / name).exists():
        number += 1
        name = f"{base[:58]}-{number}"
    return name


def remove_old(folders: Iterable[Path], seconds: float) -> None:
    """Delete the folders that were last changed so long ago; others may be deleting them too."""
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > seconds:
                shutil.rmtree(folder, ignore_errors=True)


def read_json_object(file: Path) -> dict[str, Any]:
    """Read the object in a JSON file, empty where there is none."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def is_number(value: Any) -> bool:
    """Return whether a value from JSON is a number, infinite and NaN included."""
    return type(value) in (int, float)


def is_finite(value: Any) -> bool:
    """Return whether it is a number that a float can hold: JSON has whole numbers of any length."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:
        return False


def to_number(value: Any) -> float:
    """Return the value, 0 where it is not a finite number."""
    return value if is_number(value) and is_finite(value) else 0
