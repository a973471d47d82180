"""Import and export datasets: archives, .npz files and folders of others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.data.archive_readers import LIMITS, ArchiveLimits
from pix2pix.data.archives import unpack
from pix2pix.data.compose import side_by_side
from pix2pix.data.dataset import find_pairs, folder_ranges, list_pairs, open_pair
from pix2pix.data.layout import detect_layout, subfolders
from pix2pix.data.npz import CONVENTIONS, read_pairs, write_pairs
from pix2pix.data.ranges import SideRange
from pix2pix.data.records import SIDES, SPLITS
from pix2pix.data.report import DATASET_JSON, read_dataset_json, read_facts
from pix2pix.errors import UserError
from pix2pix.imaging.picture import resize
from pix2pix.utils.files import atomic_folder, write_json
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


def read_npz(
    file: Path,
    into: Path,
    *,
    limits: ArchiveLimits = LIMITS,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Make the new dataset `into` of `arr_0` and `arr_1` (see `npz.read_pairs`), all in train/ as
    A|B strips in PNG, grey where both arrays are; `dataset.json` has the ranges of numbers that are
    no pictures' own. UserError or Cancelled leave nothing behind."""
    with atomic_folder(into) as folder:
        (folder / "train").mkdir()
        pairs = read_pairs(file, limits=limits, should_stop=should_stop)
        count, known = 0, {"strips": "halves"}
        for count, (source, target, ranges, total) in enumerate(pairs, 1):
            mode = "L" if source.mode == target.mode == "L" else "RGB"
            strip = side_by_side(source.convert(mode), target.convert(mode))
            strip.save(folder / "train" / f"{count - 1:05}.png")
            known |= _describe_ranges(ranges)
            on_progress(count, total)
        _write_dataset_json(folder, known, into.name, {"train": count}, [])
    return into


def _describe_ranges(ranges: list[SideRange]) -> dict[str, Any]:
    """Say in the words of `dataset.json` what is black and white, unless it is as in pictures."""
    plain = [(r.low, r.high) in CONVENTIONS for r in ranges]
    if all(plain):
        return {}
    sides = {
        side: SideRange(channels=r.channels) if is_plain else r
        for side, r, is_plain in zip(SIDES, ranges, plain)
    }
    return {
        "ranges": {side: [r.low, r.high] for side, r in sides.items()},
        "numbers": {s: {"type": r.numbers, "channels": r.channels} for s, r in sides.items()},
    }


def write_npz(
    folder: Path,
    file: Path,
    *,
    size: int = 256,
    split: str | None = None,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Write the pairs of one split, or of all in the order train, val, test, as `arr_0` (A) and
    `arr_1` (B), uint8 N x `size` x `size` x 3; returns N.

    Other sizes are scaled, label maps that `dataset.json` names without mixing colours. A
    UserError for an unreadable pair or a dataset without pairs leaves an old file as it was.
    """
    files = [pair for part in ([split] if split else SPLITS) for pair in find_pairs(folder, part)]
    if not files:
        raise UserError(f"{printable(folder.name)} holds no pairs there: choose another dataset.")
    facts = read_facts(folder)
    labels, ranges = facts.label_maps, folder_ranges(folder, facts)

    def pictures(side: int) -> Iterator[Image.Image]:
        exact = bool(labels) and labels[side] is True

        def told(done: int, total: int) -> None:
            on_progress(side * total + done, 2 * total)

        for pair in each(files, should_stop, told):  # twice: the arrays follow each other
            picture = open_pair(pair, ranges=ranges)[side].convert("RGB")
            yield resize(picture, (size, size), labels=exact)

    write_pairs(file, len(files), size, pictures)
    return len(files)


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
    _write_dataset_json(folder, read_dataset_json(root), title, counts, refused)


def _write_dataset_json(
    folder: Path,
    written: dict[str, Any],
    title: str,
    counts: dict[str, int],
    refused: list[dict[str, str]],
) -> None:
    """Write `dataset.json`: what its author wrote, with the counts and refusals that hold here."""
    known = {"format_version": 1, "title": title, "source_name": "A", "target_name": "B"}
    known |= {"rule": "as found"}
    before = written.get("refused")
    here = {
        "counts": {"pairs": sum(counts.values()), **dict.fromkeys(SPLITS, 0), **counts},
        "refused": [*(before if isinstance(before, list) else []), *refused],
    }
    try:
        write_json(folder / DATASET_JSON, {**known, **written, **here})
    except (RecursionError, UnicodeError):  # what can be read cannot always be written
        write_json(folder / DATASET_JSON, {**known, **here, "refused": refused})
