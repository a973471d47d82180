"""Detect what a folder of pictures is: a dataset, two folders that could become one, or photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pix2pix.data.records import SPLITS
from pix2pix.data.tables import SPLIT_WORDS
from pix2pix.errors import UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.filenames import printable

_MAX_WRAPPERS = 3  # folders around what is looked for


@dataclass(frozen=True)
class FolderLayout:
    """What a folder holds: a "dataset" at `root`, a "pair" of folders or trees `source` and
    `target` inside it, or "photos" right in it."""

    kind: str
    root: Path
    source: Path | None = None
    target: Path | None = None


def is_dataset(folder: Path) -> bool:
    """Return whether any split holds pictures. Whether they are good ones is not looked at."""
    for split in SPLITS:
        sides = folder / f"{split}A", folder / f"{split}B"
        if _has_pictures(folder / split) or all(map(_has_pictures, sides)):
            return True
    return False


def detect_layout(folder: Path) -> FolderLayout:
    """Detect what an unpacked archive or a folder holds, through up to three wrapper folders.

    Of two folders the alphabetically first is the source: A before B, input before output, source
    before target. A UserError says what was expected.
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
        f"{printable(folder.name)} holds neither a dataset nor pairs: give it train/, val/ and "
        "test/ of A|B pictures, or two folders of pictures such as photos/ and sketches/."
    )


def subfolders(folder: Path) -> list[Path]:
    """List the visible folders right inside; none where the folder cannot be read."""
    try:
        return [f for f in folder.iterdir() if f.is_dir() and not f.name.startswith((".", "__MAC"))]
    except OSError:
        return []


def _has_pictures(folder: Path) -> bool:
    try:
        return any(
            f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".") and f.is_file()
            for f in folder.iterdir()
        )
    except OSError:
        return False


def _is_side(folder: Path) -> bool:
    """Return whether it may be one half of a dataset: pictures in it, or in splits inside it."""
    splits = {f"{split}{side}" for split in SPLITS for side in ("", "A", "B")}
    inner = (folder, *(folder / split for split in SPLITS))
    return folder.name not in splits and any(map(_has_pictures, inner))


def _is_part_of_tree(folder: Path) -> bool:
    """Return whether its name is that of a split, or of a zoom or column of map tiles."""
    name = folder.name.casefold()
    return name.isdecimal() or bool({name, name[:-1]} & SPLIT_WORDS.keys())


def _pictures_below(folder: Path, depth: int = _MAX_WRAPPERS) -> bool:
    if _has_pictures(folder):
        return True
    return depth > 0 and any(_pictures_below(child, depth - 1) for child in subfolders(folder))
