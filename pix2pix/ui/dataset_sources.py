"""Step 1 of a dataset: what a person gave becomes folders that can be planned from."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pix2pix.archives import unpack
from pix2pix.datasets import read_npz
from pix2pix.errors import UserError
from pix2pix.folders import find_folders
from pix2pix.hub import pull_dataset
from pix2pix.names import printable
from pix2pix.plan import Inputs
from pix2pix.workspace import workspace

Progress = Callable[[int, int], None]
MAX_TABLE = 50_000_000  # bytes of a CSV


@dataclass(frozen=True)
class Given:
    """One of: uploaded `source` (and `target`) files, an `archive`, a Hub `repo`, or paths in the
    workspace. `derive` makes the source from the picture; `table` is an uploaded CSV."""

    source: Sequence[str] = ()
    target: Sequence[str] = ()
    archive: str = ""
    repo: str = ""
    token: str = ""
    source_path: str = ""
    target_path: str = ""
    derive: str = ""
    table: str = ""
    match: str = "auto"


def gather(
    given: Given, folder: Path, should_stop: Callable[[], bool], on_progress: Progress
) -> Inputs:
    """The folders to plan from; what has to be unpacked, linked or fetched goes into `folder`.

    Uploaded files are never changed. Raises UserError for what cannot be used, and Stopped.
    """
    table = read_table(given.table)
    match = "csv" if table and given.match == "auto" else given.match
    if match == "csv" and not table:
        raise UserError("Choose the CSV with the pairs first: it is asked for in step 1.")
    if given.derive and (given.target or given.target_path.strip()):
        raise UserError("Give target pictures, or what the source is made of, but not both.")
    if given.archive and given.repo.strip():
        raise UserError("Give an archive or a dataset of the Hub, but not both: clear one of them.")
    asked = {"should_stop": should_stop, "on_progress": on_progress}
    if given.source or given.target:
        return _uploads(given, folder, match, table)
    if given.repo.strip():
        pulled = pull_dataset(given.repo, folder / "hub", token=given.token or None, **asked)
        found, archives = folder / "hub", pulled["archives"]
        if len(archives) > 1:
            raise UserError(
                f"{pulled['repo_id']} holds {len(archives)} archives: download the one you mean, "
                "and upload it here."
            )
        if archives:
            found = _opened(archives[0], folder, asked)
    elif given.archive:
        found = _opened(Path(given.archive), folder, asked)
    elif given.source_path.strip() or given.target_path.strip():
        return _in_workspace(given, match, table)
    else:
        raise UserError("Choose the pictures first: give the folders in step 1.")
    return _found(found, match, table, given.derive)


def read_table(file: str) -> str:
    """The text of an uploaded CSV, empty where there is none."""
    if not file:
        return ""
    path = Path(file)
    try:
        if path.stat().st_size > MAX_TABLE:
            raise UserError(f"{printable(path.name)} is too large for a table of pairs.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{printable(path.name)} cannot be read: save the CSV as UTF-8 text."
        ) from error


def inside(root: Path, text: str) -> Path:
    """The folder that `text` names in `root`; a UserError where it, or anything linked from in
    it, lies elsewhere."""
    named = f"'{printable(text.strip())}'"
    home = root.resolve()
    try:
        folder = (home / text.strip()).resolve()
        is_folder = folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # a name that no disk can hold, a circle of links
        folder, is_folder = home, False
    if not folder.is_relative_to(home):
        raise UserError(f"{named} lies outside the workspace: move the folder into it.")
    if not is_folder:
        raise UserError(f"{named} is no folder in the workspace: check its spelling.")
    for place, folders, files in os.walk(folder):
        for path in (Path(place) / name for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise UserError(
                    f"'{printable(path.name)}' in {named} is a link that leads outside the "
                    "workspace: replace it by the file itself."
                )
    return folder


def link_files(files: Sequence[str], folder: Path) -> Path:
    """A new folder of the uploaded files by their own names: hard links, or copies where the disk
    has none. An upload keeps no subfolders, so that equal names cannot be told apart."""
    counts = Counter(Path(file).name.casefold() for file in files)
    double = next((Path(f).name for f in files if counts[Path(f).name.casefold()] > 1), None)
    if double:
        raise UserError(
            f"Several files are called '{printable(double)}', and an upload forgets their "
            "subfolders: upload the folder as a ZIP instead."
        )
    folder.mkdir(parents=True)
    for file in files:
        new = folder / Path(file).name
        try:
            os.link(file, new)
        except OSError:
            shutil.copyfile(file, new)
    return folder


def _uploads(given: Given, folder: Path, match: str, table: str) -> Inputs:
    sides = ("source", given.source, "target"), ("target", given.target, "source")
    for side, files, other in sides:
        if not files and not given.derive:
            raise UserError(f"Choose the {side} pictures too: there are only {other} pictures yet.")
    try:
        source = link_files(given.source, folder / "source")
        if given.derive:
            return Inputs(source, derive=given.derive)
        return Inputs(source, link_files(given.target, folder / "target"), match, table)
    except OSError as error:
        raise UserError("The upload could not be kept: make room on the disk, please.") from error


def _opened(archive: Path, folder: Path, asked: dict) -> Path:
    if archive.suffix.lower() == ".npz":
        return read_npz(archive, folder / "pairs", **asked)
    unpack(archive, folder / "unpacked", **asked)
    return folder / "unpacked"


def _in_workspace(given: Given, match: str, table: str) -> Inputs:
    if not given.source_path.strip():
        raise UserError("Give the folder of the source pictures too.")
    source = inside(workspace(), given.source_path)
    if given.target_path.strip():
        return Inputs(source, inside(workspace(), given.target_path), match, table)
    return _found(source, match, table, given.derive)


def _found(folder: Path, match: str, table: str, derive: str) -> Inputs:
    found = find_folders(folder)
    if derive:
        return Inputs(found.root, derive=derive)
    if found.kind == "pair":
        return Inputs(found.source, found.target, match, table)
    if found.kind == "photos":
        raise UserError(
            "There is one folder of photos and no second one: say below it what the source "
            "pictures shall be made of."
        )
    return Inputs(found.root)
