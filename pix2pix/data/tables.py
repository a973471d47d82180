"""Find tables of pictures, and which of their columns make pairs. No torch.

A table is a Parquet file or a folder of them, a folder that `datasets` saved, or tars (see
`table_rows`). Its files lie on this disk or on the Hub, which is why a part knows how to open
itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image

from pix2pix.data.layout import SPLIT_WORDS
from pix2pix.data.records import SPLITS
from pix2pix.data.table_rows import Row, TablePart, count_rows, part_columns, read_rows
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import is_ab_pair
from pix2pix.imaging.decode import IMAGE_SUFFIXES, open_picture
from pix2pix.utils.text import natural_key, printable

KINDS = {".parquet": "parquet", ".arrow": "arrow", ".tar": "tar"}
EXAMPLES = 3
_PLAIN_FOLDERS = {"data", "parquet"}  # say nothing of what is in them
# Names that say which side a column is, the surest first: source, target.
_NAMES = (
    ("source", "target"), ("imagea", "imageb"), ("a", "b"), ("src", "tgt"), ("input", "output"),
    ("inputimage", "outputimage"), ("inputimage", "editedimage"), ("sourceimage", "targetimage"),
    ("originalimage", "editedimage"), ("conditioningimage", "image"), ("condition", "image"),
    ("sketch", "photo"), ("sketch", "image"), ("edges", "image"), ("lr", "hr"), ("label", "image"),
    ("input", "target"), ("x", "y"),
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Files of one table; `address` is what people call it."""

    address: str
    parts: tuple[TablePart, ...]

    def splits(self) -> list[str]:
        """List the splits that its files name, in order; [""] where none does."""
        named = {part.split for part in self.parts}
        return [split for split in (*SPLITS, "") if split in named]


def local_table(path: Path, subset: str = "") -> Table | None:
    """Return the table in a file or below a folder; None where there is none, or pictures too.

    Raises UserError where there are several and `subset` names none of them.
    """
    if path.is_file():
        sizes = {path.name: path.stat().st_size} if path.suffix.lower() in KINDS else {}
        root = path.parent
    else:
        sizes, root = _files_below(path), path
    return make_table(path.name, sizes, lambda name: lambda: open(root / name, "rb"), subset)


def _files_below(folder: Path) -> dict[str, int]:
    """Return the table files below a folder with their bytes; none where it holds pictures."""
    sizes: dict[str, int] = {}
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            suffix = Path(name).suffix.lower()
            if suffix in IMAGE_SUFFIXES and not name.startswith("."):
                return {}
            if suffix in KINDS:
                path = Path(place) / name
                sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return sizes


def make_table(
    address: str,
    sizes: dict[str, int],
    opener: Callable[[str], Callable[[], BinaryIO]],
    subset: str = "",
) -> Table | None:
    """Make a table of the files among `sizes` (name -> bytes) that belong to one: Parquet, else
    Arrow, else tars of pictures in columns; None where there are none."""
    names = [n for n in sorted(sizes, key=natural_key) if not _is_hidden(n)]
    by_kind = {kind: [n for n in names if n.lower().endswith(s)] for s, kind in KINDS.items()}
    kind, of_kind = next(((k, n) for k, n in by_kind.items() if n), ("", []))
    if not of_kind:
        return None
    of_kind = _one_subset(address, of_kind, subset)
    found = [TablePart(n, kind, split_of(n), sizes[n], opener(n)) for n in of_kind]
    if any(part.split for part in found):  # files of no split belong to training, as on the Hub
        found = [TablePart(p.name, p.kind, p.split or "train", p.size, p.open) for p in found]
    table = Table(address, tuple(found))
    if kind == "tar" and not part_columns(table.parts[0]):
        return None  # an archive of something else
    return table


def _is_hidden(name: str) -> bool:
    """Return whether it is no part of a table, as the caches that `datasets` leaves."""
    parts = PurePosixPath(name).parts
    return any(part.startswith((".", "__MACOSX")) for part in parts) or parts[-1].startswith(
        "cache-"
    )


def _one_subset(address: str, names: list[str], subset: str) -> list[str]:
    subsets: dict[str, list[str]] = {}
    for name in names:
        subsets.setdefault(subset_of(name), []).append(name)
    if subset in subsets:
        return subsets[subset]
    if len(subsets) == 1 and not subset:
        return names
    known = ", ".join(f"'{printable(name)}'" for name in subsets)
    raise UserError(f"{printable(address)} holds several tables: choose one of {known}.")


def subset_of(name: str) -> str:
    """Return the folders of a table's file that name no split, which tell tables apart."""
    folders = PurePosixPath(name).parts[:-1]
    return "/".join(f for f in folders if f.lower() not in _PLAIN_FOLDERS and not split_of(f))


def split_of(name: str) -> str:
    """Return the split that a file's path names, the file's own name before its folders'."""
    for part in reversed(PurePosixPath(name).parts):
        words = re.split(r"[^a-z]+", part.lower())
        if found := next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), ""):
            return found
    return ""


# ---------------------------------------------------------------------------------------- columns


def image_columns(table: Table) -> list[str]:
    """List the columns that hold pictures, in the table's order. Raises UserError for none."""
    columns = part_columns(table.parts[0])
    if not columns:
        raise UserError(
            f"{printable(table.address)} has no column of pictures: choose a table of two columns "
            "of images, or of one with A and B side by side."
        )
    return columns


def propose_columns(columns: list[str]) -> tuple[str, ...]:
    """Return (source, target) by their names, else the only two there are, or the only one, which
    then holds A|B pictures; () where a person has to choose."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in columns}
    for source, target in _NAMES:
        if source in plain and target in plain:
            return plain[source], plain[target]
    return tuple(columns) if len(columns) <= 2 else ()


def choose_columns(table: Table, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Check the columns that a person wants, or propose them; a UserError names all there are."""
    columns = image_columns(table)
    chosen = wanted or propose_columns(columns)
    known = ", ".join(map(printable, columns))
    if not chosen:
        raise UserError(
            f"{printable(table.address)} has the columns {known}: say which is the source and "
            "which the target."
        )
    if len(chosen) > 2 or len(set(chosen)) < len(chosen) or set(chosen) - set(columns):
        raise UserError(
            f"'{printable(','.join(chosen))}' are no columns of {printable(table.address)}: choose "
            f"one or two of {known}."
        )
    return chosen


# ------------------------------------------------------------------------------ before it is taken


@dataclass(frozen=True)
class TableLook:
    """What a table holds: all columns of pictures, those that are taken (none where a person has
    to choose), the first rows' pictures of these, and the rows by split ({} where only reading all
    would tell)."""

    columns: list[str]
    chosen: tuple[str, ...]
    examples: list[tuple[Image.Image, ...]]
    counts: dict[str, int]

    def describe(self) -> list[str]:
        """Describe it in lines for a terminal."""
        counts = ", ".join(f"{rows:,} {split or 'rows'}" for split, rows in self.counts.items())
        taken = f"taken: {' -> '.join(self.chosen)}{f' ({counts})' if counts else ''}"
        sizes = ["  ->  ".join(f"{p.width} x {p.height}" for p in row) for row in self.examples]
        lines = [f"columns of pictures: {', '.join(self.columns)}", taken]
        return lines + [f"    {size}" for size in sizes]


def look_at(table: Table, wanted: tuple[str, ...] = (), derive: str = "") -> TableLook:
    """Look at a table before it is taken. Raises UserError where it is none."""
    columns = image_columns(table)
    chosen, examples = (), []
    if wanted or propose_columns(columns):
        chosen, examples = example_pairs(table, wanted, derive)
    counts: dict[str, int] = {}
    if all(part.kind == "parquet" for part in table.parts):
        counts = dict.fromkeys(table.splits(), 0)
        for part in table.parts:
            counts[part.split] += count_rows(part)
    return TableLook(columns, chosen, examples, counts)


def example_pairs(
    table: Table, wanted: tuple[str, ...] = (), derive: str = ""
) -> tuple[tuple[str, ...], list[tuple[Image.Image, ...]]]:
    """Return the columns and the pictures of the first three rows that have all.

    Raises UserError where one is no picture, and where nobody asked for the only column and its
    pictures do not look like A|B pairs. With `derive` one column of photos is looked for.
    """
    columns = choose_columns(table, wanted)
    columns = columns[-1:] if derive else columns  # the target
    pictures = [
        [open_picture(data, f"Column {name}") for data, name in zip(row.contents, columns)]
        for row in _complete_rows(table, columns)
    ]
    if not pictures:
        raise UserError(
            f"The first rows of {printable(table.address)} have no pictures in "
            f"{printable(' and '.join(columns))}: choose other columns."
        )
    if len(columns) == 1 and not (wanted or derive or any(is_ab_pair(p[0]) for p in pictures)):
        raise UserError(
            f"{printable(table.address)} has one column of pictures, {printable(columns[0])}, "
            "which do not look like A and B side by side: name that column if they are, or say "
            "what the source shall be made of."
        )
    return columns, [tuple(picture.to_pil(3) for picture in row) for row in pictures]


def _complete_rows(table: Table, columns: tuple[str, ...]) -> list[Row]:
    """Return the first three rows without a gap; three dozen are looked at."""
    rows = (row for part in table.parts for row in read_rows(part, columns))
    first = islice(rows, 12 * EXAMPLES)
    return list(islice((row for row in first if None not in row.contents), EXAMPLES))
