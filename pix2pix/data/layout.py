"""Detect what a folder of pictures is: a dataset, two folders that could become one, or photos.

The one place that knows how folders are named: splits (`train`, `valid` ...) and the sides in them.
A split is a folder of A|B pictures (`train/`), two folders of one name (`trainA/ trainB/`,
`train_A/ train_B/`, `train_label/ train_img/`) or a folder of two (`train/images/ train/masks/`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pix2pix.data.records import SPLITS, Inputs
from pix2pix.errors import UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.text import printable

ARCHIVES = {".zip", ".npz", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"}
_MAX_WRAPPERS = 3  # folders around what is looked for
_SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_SPLIT_NAMES |= {name: name for name in SPLITS}
# Words that name a split in a table's files, and in folders that are no two sides.
SPLIT_WORDS = _SPLIT_NAMES | {"dev": "val", "eval": "test"}
_SPLIT_FOLDER = re.compile(rf"({'|'.join(sorted(_SPLIT_NAMES, key=len, reverse=True))})(.*)")
# The source first, where it is not the first in the alphabet: pix2pixHD goes from label to image.
_SIDE_ORDER = {frozenset(("label", "img")): ("label", "img")}


@dataclass(frozen=True)
class FolderLayout:
    """What a folder holds: a "dataset" at `root`, a "pair" of folders or trees `source` and
    `target` inside it, or "photos" right in it."""

    kind: str
    root: Path
    source: Path | None = None
    target: Path | None = None


@dataclass(frozen=True)
class SplitFolders:
    """Where the pairs of a split lie: A|B pictures in `a`, or A in `a` and B in `b`."""

    a: Path
    b: Path | None = None
    names: tuple[str, str] = ("A", "B")  # what the folders call the sides


def split_name(text: str) -> str:
    """Return the split that a word names: train, val or test in any of their spellings, else
    nothing."""
    return _SPLIT_NAMES.get(text.strip().casefold(), "")


def find_splits(folder: Path) -> dict[str, SplitFolders]:
    """Find the splits of a dataset that hold pictures. Whether they are good ones is not looked
    at."""
    found: dict[str, dict[str, Path]] = {}
    for child in subfolders(folder):
        split, side = parse_split(child.name)
        if split:
            found.setdefault(split, {}).setdefault(side, child)
    splits = {split: _split_folders(sides) for split, sides in found.items()}
    splits = {split: place for split in SPLITS if (place := splits.get(split))}
    # test_photos/ and test_sketches/ without any train are two folders, not a dataset.
    own_names = all(place.b and place.names != ("A", "B") for place in splits.values())
    return {} if own_names and "train" not in splits else splits


def parse_split(name: str) -> tuple[str, str]:
    """Split a folder's name in its split and its side: `trainA` -> train, a; empty where it names
    none."""
    match = _SPLIT_FOLDER.fullmatch(name.casefold())
    if not match or not re.fullmatch(r"|[ab]|[ _-]\w+", match[2]):
        return "", ""
    return _SPLIT_NAMES[match[1]], match[2].strip(" _-")


def _split_folders(sides: dict[str, Path]) -> SplitFolders | None:
    whole = sides.get("")
    inside = dict(sides)
    inside.pop("", None)
    pair = _two_sides({side: path for side, path in inside.items() if _has_pictures(path)})
    if pair:
        return pair
    if whole is None:
        return None
    if _has_pictures(whole):
        return SplitFolders(whole)
    return _two_sides({c.name.casefold(): c for c in subfolders(whole) if _has_pictures(c)})


def _two_sides(sides: dict[str, Path]) -> SplitFolders | None:
    """Say which of a split's folders are A and B: `label` and `img` or A and B among any number,
    else the two that there are, in the order of the alphabet."""
    for known in (("a", "b"), *_SIDE_ORDER.values()):
        if set(known) <= sides.keys():
            break
    else:
        if len(sides) != 2:
            return None
        known = tuple(sorted(sides))
    names = ("A", "B") if known == ("a", "b") else known
    return SplitFolders(sides[known[0]], sides[known[1]], names)


def is_dataset(folder: Path) -> bool:
    """Return whether any split holds pictures. Whether they are good ones is not looked at."""
    return bool(find_splits(folder))


def detect_layout(folder: Path, name: str = "") -> FolderLayout:
    """Detect what an unpacked archive or a folder holds, through up to three wrapper folders.

    Of two folders the alphabetically first is the source: A before B, input before output, source
    before target. A UserError, which calls the folder `name`, says what was expected.
    """
    root = folder
    for _ in range(_MAX_WRAPPERS + 1):
        if is_dataset(root):
            return FolderLayout("dataset", root)
        inside = subfolders(root)
        sides = [child for child in inside if _is_side(child)]
        if len(sides) == 2:
            source, target = sorted(sides, key=lambda side: side.name.casefold())
            return FolderLayout("pair", root, source, target)
        if _has_pictures(root):
            return FolderLayout("photos", root)
        inner = [child for child in inside if _pictures_below(child)]
        if len(inner) == 2 and not any(map(_is_part_of_tree, inner)):
            source, target = sorted(inner, key=lambda side: side.name.casefold())
            return FolderLayout("pair", root, source, target)
        if len(inner) != 1:
            break
        root = inner[0]
    raise UserError(
        f"{printable(name or folder.name)} holds neither a dataset nor pairs: give it train/, val/ "
        "and test/ of A|B pictures, or two folders of pictures such as photos/ and sketches/."
    )


def find_inputs(
    source: Path, target: Path | None, match: str, table: str, derive: str, title: str = ""
) -> Inputs:
    """Return where pairs come from: the two folders, or what the one folder holds.

    Raises UserError where one folder holds photos alone and nothing says what sources are made of.
    """
    if target or derive:
        return Inputs(source, target, match, table, derive, title=title)
    check_folder(source)
    layout = detect_layout(source, title)
    if layout.kind == "pair":
        return Inputs(layout.source, layout.target, match, table, title=title)
    return Inputs(layout.root, match=match, table=table, title=title)


def check_folder(folder: Path) -> None:
    """Raise UserError where there is no such folder; of an archive say who takes it as it is."""
    if folder.is_dir():
        return
    if folder.is_file() and folder.suffix.lower() in ARCHIVES:
        raise UserError(
            f"'{folder.name}' is an archive: unpack it first, or open it in the app's Dataset tab."
        )
    raise UserError(f"'{folder.name}' is not a folder that can be read: choose another.")


def subfolders(folder: Path) -> list[Path]:
    """List the visible folders right inside; none where the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if is_folder(e) and is_visible(e.name)]
    except OSError:
        return []


def is_folder(entry: os.DirEntry) -> bool:
    """Return whether it is a folder or a link to one; a link that leads back to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_picture_name(name: str) -> bool:
    """Return whether a name ends as a picture's that is read here."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_visible(name: str) -> bool:
    """Return whether a file or folder is neither hidden nor one of macOS's doubles."""
    return not name.startswith((".", "__MAC"))


def _has_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(
                is_picture_name(e.name) and not e.name.startswith(".") and os.path.isfile(e)
                for e in entries
            )
    except OSError:
        return False


def _is_side(folder: Path) -> bool:
    """Return whether it may be one half of a dataset: pictures in it, or in splits inside it."""
    inner = (folder, *(child for child in subfolders(folder) if split_name(child.name)))
    return not _is_split_of_sides(folder) and any(map(_has_pictures, inner))


def _is_split_of_sides(folder: Path) -> bool:
    split, side = parse_split(folder.name)
    return bool(split) and side in ("", "a", "b")


def _is_part_of_tree(folder: Path) -> bool:
    """Return whether its name is that of a split, or of a zoom or column of map tiles."""
    name = folder.name.casefold()
    return name.isdecimal() or name in SPLIT_WORDS or _is_split_of_sides(folder)


def _pictures_below(folder: Path, depth: int = _MAX_WRAPPERS) -> bool:
    if _has_pictures(folder):
        return True
    return depth > 0 and any(_pictures_below(child, depth - 1) for child in subfolders(folder))
