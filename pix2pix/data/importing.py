"""Import datasets: archives, .npz files and folders of others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pix2pix.data.archive_readers import LIMITS, ArchiveLimits
from pix2pix.data.archives import unpack
from pix2pix.data.dataset import list_pairs, open_pair
from pix2pix.data.layout import detect_layout, subfolders
from pix2pix.data.npz import read_npz
from pix2pix.data.records import SPLITS
from pix2pix.data.report import describe_import, read_dataset_json
from pix2pix.errors import UserError
from pix2pix.utils.files import atomic_folder
from pix2pix.utils.progress import Progress, ShouldStop, each, part_of
from pix2pix.utils.text import printable, safe_name


def import_dataset(
    thing: Path,
    root: Path,
    name: str,
    *,
    limits: ArchiveLimits = LIMITS,
    move: bool = False,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Make `root`/`name` of an archive, an .npz file or a folder that holds a dataset.

    Files are copied as they are, or with `move` taken out of the folder. Pairs that cannot be read
    or cut are left out and named in `dataset.json` under "refused". `on_progress` hears
    thousandths. A UserError, for names that are taken or unsafe too, Cancelled or any other failure
    leaves nothing behind.
    """
    name = safe_name(name)
    if name.casefold() in {child.name.casefold() for child in subfolders(root)}:
        raise UserError(f"There is a dataset '{name}' already: choose another name.")
    options = {"should_stop": should_stop}
    if thing.suffix.lower() == ".npz" and thing.is_file():
        return read_npz(thing, root / name, limits=limits, on_progress=on_progress, **options)
    with atomic_folder(root / name) as folder:
        if thing.is_dir():
            put = os.replace if move else shutil.copyfile
            _import_pairs(_find_dataset(thing), folder, name, put, on_progress, should_stop)
        else:
            unpacked = folder / ".unpacked"
            first, second = part_of(on_progress, 0, 500), part_of(on_progress, 500, 1000)
            left_out: list[dict[str, str]] = []
            unpack(
                thing, unpacked, limits=limits, on_progress=first, **options,
                on_left_out=lambda file, why: left_out.append({"file": file, "reason": why}),
            )  # fmt: skip
            inner = _find_dataset(unpacked, printable(thing.name))
            _import_pairs(inner, folder, name, os.replace, second, should_stop, left_out)
            shutil.rmtree(unpacked)
    return root / name


def _find_dataset(folder: Path, name: str = "") -> Path:
    layout = detect_layout(folder, name)
    if layout.kind != "dataset":
        raise UserError(
            f"{name or printable(folder.name)} holds pictures that are no A|B pairs yet: unpack it "
            "and build a dataset from its folders in the Dataset tab."
        )
    return layout.root


def _import_pairs(
    root: Path,
    folder: Path,
    title: str,
    put: Callable[[Path, Path], Any],
    on_progress: Progress,
    should_stop: ShouldStop,
    left_out: Sequence[dict[str, str]] = (),
) -> None:
    """Bring every pair of the dataset `root` that can be opened, and what is written about it;
    `left_out` was refused before."""
    listed = {split: list_pairs(root, split) for split in SPLITS}
    pairs = [(split, pair) for split, (found, _) in listed.items() for pair in found]
    counts = dict.fromkeys(SPLITS, 0)
    refused = [{"file": r.file, "reason": r.reason} for _, odd in listed.values() for r in odd]
    refused = [*left_out, *refused]
    if not pairs and refused:
        raise UserError(f"No file has a partner: {refused[0]['file']}: {refused[0]['reason']}.")
    for split, pair in each(pairs, should_stop, on_progress):
        try:
            open_pair(pair)
        except UserError as error:
            name = pair.a.relative_to(root).as_posix()
            refused.append({"file": name, "reason": str(error)})
            continue
        for path in filter(None, (pair.a, pair.b)):
            new = folder / path.relative_to(root)
            new.parent.mkdir(parents=True, exist_ok=True)
            put(path, new)
        counts[split] += 1
    if not any(counts.values()):
        raise UserError(f"No pair of {len(pairs)} can be used: {refused[0]['reason']}")
    for path in list(root.iterdir()):  # a licence and the like
        if path.suffix.lower() in (".md", ".txt", ".csv") and path.is_file():
            put(path, folder / path.name)
    describe_import(folder, read_dataset_json(root), title, counts, refused)
