"""Turn what a person gave in step 1 into folders that can be planned from."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pix2pix.data.archives import unpack
from pix2pix.data.csv_pairs import read_table
from pix2pix.data.layout import detect_layout, find_inputs
from pix2pix.data.npz import read_npz
from pix2pix.data.records import Inputs, Origin, Refusal
from pix2pix.data.sources import take_frames
from pix2pix.data.table_pairs import extract_pairs
from pix2pix.data.tables import KINDS, Table, TableLook, local_table, look_at
from pix2pix.errors import UserError
from pix2pix.hub.datasets import look_at_hub, pull_dataset, pull_pairs
from pix2pix.imaging.video import is_video
from pix2pix.ui.dataset.draw import drawn_inputs
from pix2pix.ui.events import results_folder
from pix2pix.utils.files import remove_old
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import printable
from pix2pix.utils.workspace import workspace

# Of what reads or writes whole datasets, so many at once: for an event of Gradio's.
CONCURRENCY = {"concurrency_id": "datasets", "concurrency_limit": 2}
KEPT_TRANSFERS = 24 * 3600  # seconds


class TempDir:
    """A temporary folder that is deleted when nobody holds this object any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="check-", dir=results_folder()))
        self.delete = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


@dataclass(frozen=True)
class UploadedInputs:
    """One of: uploaded `source` (and `target`) files, an `archive`, a Hub `repo`, or paths in the
    workspace. `derive` makes the source from the picture; `table` is an uploaded CSV. `columns`
    and `limit` (the most pairs of a split, 0 for all) are of tables of pictures; `subset` is the
    folder of one of several. Of videos among the photos `every` so many frames are taken. `drawn`
    is the value of the board that pairs are drawn on."""

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
    reading: Mapping[str, Any] = field(default_factory=dict)  # how files are read: see `Inputs`
    columns: tuple[str, ...] = ()
    limit: int = 0
    subset: str = ""
    every: int = 0
    drawn: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("repo", "source_path", "target_path", "subset"):
            object.__setattr__(self, name, getattr(self, name).strip())


def gather_inputs(
    uploads: UploadedInputs, folder: Path, should_stop: ShouldStop, on_progress: Progress
) -> Inputs:
    """Return the folders to plan from; what is unpacked, linked or fetched goes into `folder`.

    Uploaded files are never changed. Raises UserError for what cannot be used, and Cancelled.
    """
    inputs = _gather(uploads, folder, should_stop, on_progress)
    return replace(inputs, **uploads.reading)


def _gather(
    uploads: UploadedInputs, folder: Path, should_stop: ShouldStop, on_progress: Progress
) -> Inputs:
    table = read_table(Path(uploads.table) if uploads.table else None)
    match = "csv" if table and uploads.match == "auto" else uploads.match
    if match == "csv" and not table:
        raise UserError("Choose the CSV with the pairs first: it is asked for in step 1.")
    if uploads.derive and (uploads.target or uploads.target_path):
        raise UserError("Give target pictures, or what the source is made of, but not both.")
    if uploads.archive and uploads.repo:
        raise UserError("Give an archive or a dataset of the Hub, but not both: clear one of them.")
    options = {"should_stop": should_stop, "on_progress": on_progress}
    find = functools.partial(find_photos, match=match, table=table, derive=uploads.derive)
    if uploads.drawn is not None:
        return drawn_inputs(uploads.drawn)
    if uploads.source or uploads.target:
        return _uploads(uploads, folder, match, table, options)
    if inputs := _of_table(uploads, folder, options):
        return inputs
    if uploads.repo:
        pulled = pull_dataset(uploads.repo, folder / "hub", token=uploads.token or None, **options)
        archives = pulled["archives"]
        if len(archives) > 1:
            raise UserError(
                f"{pulled['repo_id']} holds {len(archives)} archives: download the one you mean, "
                "and upload it here."
            )
        if archives:
            return _unpack(archives[0], folder, find, options)
        return find(folder / "hub", title=pulled["repo_id"])
    if uploads.archive:
        return _unpack(Path(uploads.archive), folder, find, options)
    if uploads.target_path and uploads.source_path:
        sides = uploads.source_path, uploads.target_path
        return Inputs(*(resolve_inside(workspace(), side) for side in sides), match, table)
    if uploads.target_path:
        raise UserError("Give the folder of the source pictures too.")
    if uploads.source_path:
        return find(resolve_inside(workspace(), uploads.source_path))
    raise UserError("Choose the pictures first: give the folders in step 1.")


def look(uploads: UploadedInputs) -> TableLook:
    """Look at the table that was given. Raises UserError where it is none."""
    if uploads.repo:
        options = {"subset": uploads.subset, "token": uploads.token or None}
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
    chosen = {"limit": uploads.limit, "derive": uploads.derive, "subset": uploads.subset, **options}
    if uploads.repo:
        kept = workspace() / ".transfers"
        remove_old(kept.glob(".table-*"), KEPT_TRANSFERS)
        token = uploads.token or None
        return pull_pairs(uploads.repo, kept, uploads.columns, token=token, **chosen)
    table = _local_table(uploads)
    return extract_pairs(table, folder / "table", uploads.columns, **chosen) if table else None


def _local_table(uploads: UploadedInputs) -> Table | None:
    if uploads.archive:
        return local_table(Path(uploads.archive), uploads.subset)
    if uploads.source_path and not uploads.target_path:
        return local_table(resolve_inside(workspace(), uploads.source_path), uploads.subset)
    return None


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
    if link := _link_outside(folder, home):
        raise UserError(
            f"'{printable(link.name)}' in {quoted} is a link that leads outside the workspace: "
            "replace it by the file itself."
        )
    return folder


def _link_outside(folder: Path, home: Path) -> Path | None:
    """Find a link in a folder, or in one that is linked from it, that leads out of `home`."""
    waiting, seen = [folder], set()
    while waiting:
        for place, folders, files in os.walk(waiting.pop()):
            for path in (Path(place) / name for name in (*folders, *files)):
                if not path.is_symlink():
                    continue
                real = Path(os.path.realpath(path))  # which takes a circle of links as well
                if not real.is_relative_to(home):
                    return path
                if real.is_dir() and real not in seen:  # it is followed, so look behind it
                    seen.add(real)
                    waiting.append(real)
    return None


def is_system_file(name: str) -> bool:
    """Return whether a file is hidden or one that Windows puts into folders by itself."""
    return name.startswith(".") or name.casefold() in ("thumbs.db", "desktop.ini")


def link_files(files: Sequence[str], folder: Path) -> Path:
    """Make a folder of the uploaded files by their own names: hard links, or copies where the
    disk has none. An upload keeps no subfolders, so equal names cannot be told apart; what systems
    leave in every folder is none of the pictures."""
    files = [file for file in files if not is_system_file(Path(file).name)]
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


def _uploads(
    uploads: UploadedInputs, folder: Path, match: str, table: str, options: dict
) -> Inputs:
    sides = ("source", uploads.source, "target"), ("target", uploads.target, "source")
    for side, files, other in sides:
        if not files and not uploads.derive:
            raise UserError(f"Choose the {side} pictures too: there are only {other} pictures yet.")
    try:
        if uploads.derive:
            return _photos(uploads, folder / "source", options)
        source = link_files(uploads.source, folder / "source")
        return Inputs(source, link_files(uploads.target, folder / "target"), match, table)
    except OSError as error:
        raise UserError("The upload could not be kept: make room on the disk, please.") from error


def _photos(uploads: UploadedInputs, folder: Path, options: dict) -> Inputs:
    """Take photos, and the frames of videos among them."""
    clips = [Path(file) for file in uploads.source if is_video(Path(file))]
    link_files([file for file in uploads.source if Path(file) not in clips], folder)
    taken = [take_frames(clip, folder, uploads.every, **options) for clip in clips]
    origin = None
    if clips:
        names = ", ".join(printable(clip.name) for clip in clips)
        origin = Origin(names, (), every=taken[0][0])
    words = "; ".join(words for _, words in taken)
    return Inputs(folder, derive=uploads.derive, origin=origin, taken=words)


def _unpack(
    archive: Path, folder: Path, find: Callable[..., Inputs], options: dict[str, Any]
) -> Inputs:
    """Unpack an archive and find the pairs in it; what it holds that cannot be used is named."""
    if archive.suffix.lower() == ".npz":
        pairs = read_npz(archive, folder / "pairs", **options)
        return find(pairs, title=archive.name)
    left_out: list[Refusal] = []

    def leave_out(name: str, reason: str) -> None:
        left_out.append(Refusal(name, "archive", "left out", reason))

    unpack(archive, folder / "unpacked", on_left_out=leave_out, **options)
    inputs = find(folder / "unpacked", title=archive.name)
    return replace(inputs, left_out=tuple(left_out))


def find_photos(folder: Path, match: str, table: str, derive: str, title: str = "") -> Inputs:
    """Return what a folder holds, or the photos in it that sources are derived from.

    Raises UserError where there are photos alone and nothing says what sources are made of.
    """
    layout = detect_layout(folder, title)
    if derive:
        return Inputs(layout.root, derive=derive, title=title)
    if layout.kind == "photos":
        raise UserError(
            "There is one folder of photos and no second one: say below it what the source "
            "pictures shall be made of."
        )
    return find_inputs(folder, None, match, table, "", title)
