"""Find tables of pictures, and which of their columns make pairs. No torch.

A table is a Parquet file or a folder of them, a folder that `datasets` saved (Arrow files), or tar
files in WebDataset's form (`KEY.source.png` and `KEY.target.png` one after the other). Its files
lie on this disk or on the Hub, which is why a part knows how to open itself. What reads Parquet and
Arrow is pyarrow, which is imported when the first such file is opened.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pix2pix.data.archive_readers import LIMITS, Entry, Step, tar_entries
from pix2pix.data.layout import SPLIT_WORDS
from pix2pix.data.records import SPLITS
from pix2pix.errors import UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.text import natural_key, printable

KINDS = {".parquet": "parquet", ".arrow": "arrow", ".tar": "tar"}
_PLAIN_FOLDERS = {"data", "parquet"}  # say nothing of what is in them
_PEEKED_KEYS = 20  # of a tar, for the names of its columns
# What a damaged tar raises; what the network raises is said by whoever reads from there.
_DAMAGE = (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_PEEKED_BYTES = 100 * 10**6
_MAX_PICTURE = 500_000_000  # bytes of one picture in a tar
# Names that say which side a column is, the surest first: source, target.
_NAMES = (
    ("source", "target"), ("imagea", "imageb"), ("a", "b"), ("src", "tgt"), ("input", "output"),
    ("inputimage", "outputimage"), ("inputimage", "editedimage"), ("sourceimage", "targetimage"),
    ("originalimage", "editedimage"), ("conditioningimage", "image"), ("condition", "image"),
    ("sketch", "photo"), ("sketch", "image"), ("edges", "image"), ("lr", "hr"), ("label", "image"),
    ("input", "target"), ("x", "y"),
)  # fmt: skip


@dataclass(frozen=True)
class TablePart:
    """One file of a table, `name` below it; `split` is empty where nothing names one. `open`
    gives a new stream of its `size` bytes that can be read and sought."""

    name: str
    kind: str  # parquet, arrow or tar
    split: str
    size: int
    open: Callable[[], BinaryIO]


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
    if kind == "tar" and not _tar_columns(table.parts[0]):
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
    part = table.parts[0]
    columns = _tar_columns(part) if part.kind == "tar" else _schema_columns(read_schema(part))
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


def import_pyarrow() -> Any:
    """Return pyarrow; a UserError says how to get it."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "Tables of pictures are read by pyarrow, which is not installed: pip install pyarrow."
        ) from error
    return pyarrow


def open_arrow(pyarrow: Any, stream: BinaryIO) -> Any:
    """Open an Arrow file in either of its forms; `datasets` writes streams."""
    magic = stream.read(6)
    stream.seek(0)
    return pyarrow.ipc.open_file(stream) if magic == b"ARROW1" else pyarrow.ipc.open_stream(stream)


def read_schema(part: TablePart) -> Any:
    """Return the pyarrow Schema of a Parquet or Arrow file. Raises UserError for what is none."""
    pyarrow = import_pyarrow()
    try:
        with part.open() as stream:
            if part.kind == "parquet":
                return pyarrow.parquet.read_schema(stream)
            return open_arrow(pyarrow, stream).schema
    except pyarrow.ArrowException as error:
        raise UserError(
            f"{printable(part.name)} is no table that can be read: download it again."
        ) from error


def _schema_columns(schema: Any) -> list[str]:
    """List columns of bytes, or of {bytes, path} as `datasets` keeps pictures; what the file
    itself declares to be something else, such as sound, is none."""
    from pyarrow import types

    def is_bytes(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    try:
        declared = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        declared = {}
    columns = []
    for field in schema:
        feature = declared.get(field.name) if isinstance(declared, dict) else None
        kind = feature.get("_type", "Image") if isinstance(feature, dict) else "Image"
        struct = types.is_struct(field.type)
        inner = {f.name: f.type for f in field.type} if struct else {"bytes": field.type}
        if kind == "Image" and "bytes" in inner and is_bytes(inner["bytes"]):
            columns.append(field.name)
    return columns


# -------------------------------------------------------------------------------------- WebDataset


def tar_groups(
    part: TablePart, report: Callable[[int], None] = lambda at: None
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, {column: bytes}) of a tar in WebDataset's form: entries of one key follow each
    other, and the key ends at the first dot. Other files than pictures are not read. Raises
    UserError for a damaged tar or one that holds too much."""
    key, columns = "", {}
    try:
        with part.open() as stream:
            for entry, content in _tar_pictures(part, stream, report):
                own, column = split_entry(entry.name)
                if own != key and columns:
                    yield key, columns
                    columns = {}
                key = own
                columns.setdefault(column, b"".join(content))
    except UserError:
        raise
    except _DAMAGE as error:
        raise UserError(
            f"{printable(part.name)} is damaged or cut short: download or pack it again."
        ) from error
    if columns:
        yield key, columns


def split_entry(name: str) -> tuple[str, str]:
    """Split an entry into its key and its column: a/1.source.png is (a/1, source)."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    key, _, rest = base.partition(".")
    return f"{folder}{slash}{key}", rest.rpartition(".")[0]


def _tar_pictures(
    part: TablePart, stream: BinaryIO, report: Callable[[int], None]
) -> Iterator[Step]:
    def judge(total: int) -> None:
        LIMITS.judge(total, part.size, LIMITS.bytes, part.name)

    name = printable(part.name)
    for entry, content in tar_entries(stream, name, judge, report):
        if entry.size > _MAX_PICTURE:
            raise UserError(f"{name} holds a file of {entry.size:,} bytes: leave it out.")
        if not entry.is_folder and _is_column(entry):
            yield entry, content


def _is_column(entry: Entry) -> bool:
    return PurePosixPath(entry.name).suffix.lower() in IMAGE_SUFFIXES


def _tar_columns(part: TablePart) -> list[str]:
    """List the columns of a tar's first keys; none where most keys have one file only, as in an
    archive of pictures whose names have dots."""
    found: dict[str, None] = {}
    sizes = []

    def stop_late(at: int) -> None:
        if at > _PEEKED_BYTES:
            raise UserError("This was enough to see what it is.")

    with suppress(UserError):  # or it is damaged, which whoever unpacks it says
        for _, columns in islice(tar_groups(part, stop_late), _PEEKED_KEYS):
            found |= dict.fromkeys(columns)
            sizes.append(len(columns))
    return list(found) if sum(size > 1 for size in sizes) * 2 > len(sizes) else []
