"""Turn what a person gave in step 1 into folders that can be planned from."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pix2pix.data.archives import unpack
from pix2pix.data.layout import detect_layout
from pix2pix.data.records import Inputs
from pix2pix.data.table_look import TableLook, look_at
from pix2pix.data.table_pairs import extract_pairs
from pix2pix.data.tables import KINDS, Table, local_table
from pix2pix.data.transfer import read_npz
from pix2pix.errors import UserError
from pix2pix.hub.datasets import pull_dataset
from pix2pix.hub.tables import look_at_hub, pull_pairs
from pix2pix.utils.filenames import printable
from pix2pix.utils.files import remove_old
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.workspace import workspace

MAX_TABLE = 50_000_000  # bytes of a CSV
KEPT_TRANSFERS = 24 * 3600  # seconds


@dataclass(frozen=True)
class UploadedInputs:
    """One of: uploaded `source` (and `target`) files, an `archive`, a Hub `repo`, or paths in the
    workspace. `derive` makes the source from the picture; `table` is an uploaded CSV. `columns`
    and `limit` (the most pairs of a split, 0 for all) are of tables of pictures; `subset` is the
    folder of one of several."""

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
    columns: tuple[str, ...] = ()
    limit: int = 0
    subset: str = ""


def gather_inputs(
    uploads: UploadedInputs, folder: Path, should_stop: ShouldStop, on_progress: Progress
) -> Inputs:
    """Return the folders to plan from; what is unpacked, linked or fetched goes into `folder`.

    Uploaded files are never changed. Raises UserError for what cannot be used, and Cancelled.
    """
    table = read_table(uploads.table)
    match = "csv" if table and uploads.match == "auto" else uploads.match
    if match == "csv" and not table:
        raise UserError("Choose the CSV with the pairs first: it is asked for in step 1.")
    if uploads.derive and (uploads.target or uploads.target_path.strip()):
        raise UserError("Give target pictures, or what the source is made of, but not both.")
    if uploads.archive and uploads.repo.strip():
        raise UserError("Give an archive or a dataset of the Hub, but not both: clear one of them.")
    options = {"should_stop": should_stop, "on_progress": on_progress}
    if uploads.source or uploads.target:
        return _uploads(uploads, folder, match, table)
    if inputs := _of_table(uploads, folder, options):
        return inputs
    if uploads.repo.strip():
        pulled = pull_dataset(uploads.repo, folder / "hub", token=uploads.token or None, **options)
        hub_folder, archives = folder / "hub", pulled["archives"]
        if len(archives) > 1:
            raise UserError(
                f"{pulled['repo_id']} holds {len(archives)} archives: download the one you mean, "
                "and upload it here."
            )
        if archives:
            hub_folder = _unpack(archives[0], folder, options)
    elif uploads.archive:
        hub_folder = _unpack(Path(uploads.archive), folder, options)
    elif uploads.source_path.strip() or uploads.target_path.strip():
        return _in_workspace(uploads, match, table)
    else:
        raise UserError("Choose the pictures first: give the folders in step 1.")
    return _detect_inputs(hub_folder, match, table, uploads.derive)


def look(uploads: UploadedInputs) -> TableLook:
    """Look at the table that was given. Raises UserError where it is none."""
    if uploads.repo.strip():
        options = {"subset": uploads.subset.strip(), "token": uploads.token or None}
        found = look_at_hub(uploads.repo, uploads.columns, **options)
    else:
        table = _local_table(uploads)
        found = look_at(table, uploads.columns, uploads.derive) if table else None
    if found is None:
        raise UserError("That is no table of pictures, and needs no columns: check the pairs.")
    return found


def _of_table(uploads: UploadedInputs, folder: Path, options: dict) -> Inputs | None:
    """Take the pairs of a table, where one was given. What comes from the Hub is kept for a day,
    so that a transfer that was stopped goes on."""
    chosen = {"limit": uploads.limit, "derive": uploads.derive, **options}
    chosen["subset"] = uploads.subset.strip()
    if uploads.repo.strip():
        kept = workspace() / ".transfers"
        remove_old(kept.glob(".table-*"), KEPT_TRANSFERS)
        token = uploads.token or None
        return pull_pairs(uploads.repo, kept, uploads.columns, token=token, **chosen)
    table = _local_table(uploads)
    return extract_pairs(table, folder / "table", uploads.columns, **chosen) if table else None


def _local_table(uploads: UploadedInputs) -> Table | None:
    if uploads.archive:
        return local_table(Path(uploads.archive), uploads.subset.strip())
    if uploads.source_path.strip() and not uploads.target_path.strip():
        return local_table(resolve_inside(workspace(), uploads.source_path), uploads.subset.strip())
    return None


def read_table(file: str) -> str:
    """Read the text of an uploaded CSV, empty where there is none."""
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


def resolve_inside(root: Path, text: str) -> Path:
    """Return the folder, or the table's file, that `text` names in `root`; raises UserError where
    it, or anything linked from in it, lies elsewhere."""
    quoted = f"'{printable(text.strip())}'"
    home = root.resolve()
    try:
        folder = (home / text.strip()).resolve()
        is_folder = folder.is_dir() or (folder.is_file() and folder.suffix.lower() in KINDS)
    except (OSError, ValueError, RuntimeError):  # a name that no disk can hold, a circle of links
        folder, is_folder = home, False
    if not folder.is_relative_to(home):
        raise UserError(f"{quoted} lies outside the workspace: move the folder into it.")
    if not is_folder:
        raise UserError(f"{quoted} is no folder in the workspace: check its spelling.")
    for place, folders, files in os.walk(folder):
        for path in (Path(place) / name for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise UserError(
                    f"'{printable(path.name)}' in {quoted} is a link that leads outside the "
                    "workspace: replace it by the file itself."
                )
    return folder


def link_files(files: Sequence[str], folder: Path) -> Path:
    """Make a folder of the uploaded files by their own names: hard links, or copies where the
    disk has none. An upload keeps no subfolders, so equal names cannot be told apart."""
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


def _uploads(uploads: UploadedInputs, folder: Path, match: str, table: str) -> Inputs:
    sides = ("source", uploads.source, "target"), ("target", uploads.target, "source")
    for side, files, other in sides:
        if not files and not uploads.derive:
            raise UserError(f"Choose the {side} pictures too: there are only {other} pictures yet.")
    try:
        source = link_files(uploads.source, folder / "source")
        if uploads.derive:
            return Inputs(source, derive=uploads.derive)
        return Inputs(source, link_files(uploads.target, folder / "target"), match, table)
    except OSError as error:
        raise UserError("The upload could not be kept: make room on the disk, please.") from error


def _unpack(archive: Path, folder: Path, options: dict) -> Path:
    if archive.suffix.lower() == ".npz":
        return read_npz(archive, folder / "pairs", **options)
    unpack(archive, folder / "unpacked", **options)
    return folder / "unpacked"


def _in_workspace(uploads: UploadedInputs, match: str, table: str) -> Inputs:
    if not uploads.source_path.strip():
        raise UserError("Give the folder of the source pictures too.")
    source = resolve_inside(workspace(), uploads.source_path)
    if uploads.target_path.strip():
        return Inputs(source, resolve_inside(workspace(), uploads.target_path), match, table)
    return _detect_inputs(source, match, table, uploads.derive)


def _detect_inputs(folder: Path, match: str, table: str, derive: str) -> Inputs:
    layout = detect_layout(folder)
    if derive:
        return Inputs(layout.root, derive=derive)
    if layout.kind == "pair":
        return Inputs(layout.source, layout.target, match, table)
    if layout.kind == "photos":
        raise UserError(
            "There is one folder of photos and no second one: say below it what the source "
            "pictures shall be made of."
        )
    return Inputs(layout.root)
