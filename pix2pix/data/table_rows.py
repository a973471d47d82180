"""Read one file of a table of pictures: its columns, and its rows a few at a time, so that memory
stays bounded. No torch.

A file is Parquet, Arrow as `datasets` saves it, or a tar in WebDataset's form (`KEY.source.png` and
`KEY.target.png` one after the other). What reads the first two is pyarrow, which is imported when
such a file is opened.
"""

from __future__ import annotations

import gzip
import json
import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from pix2pix.data.archive_readers import LIMITS, tar_entries
from pix2pix.errors import UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.text import printable

_PEEKED_KEYS = 20  # of a tar, for the names of its columns
_PEEKED_BYTES = 100 * 10**6
_MAX_PICTURE = 500_000_000  # bytes of one picture in a tar
# What a damaged tar raises; what the network raises is said by whoever reads from there.
_DAMAGE = (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
# Bytes of one column that Parquet reads at once. Of the Hub each is a request, and a picture less
# than a tenth of a second is waited for.
_BUFFER = 4 * 2**20
_LARGE_BLOCK = 32 * 2**20  # bytes of a column's dictionary from which columns are read in turn
_BATCH = 16 * 2**20  # bytes of rows that are decoded together
_MAX_BATCH = 32  # rows, which one entry of a dictionary may fill


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
class Row:
    """One row: its `number` in its part, the name of its picture (maybe empty), the bytes of its
    pictures by column (None where it has none), and how far in its part it is, from 0 to 1."""

    number: int
    name: str
    contents: tuple[bytes | None, ...]
    share: float


def read_rows(part: TablePart, columns: tuple[str, ...], start: int = 0) -> Iterator[Row]:
    """Yield the rows of a part from the number `start` on; earlier ones cost little, but those of a
    tar are read again.

    Raises UserError where the part is damaged or lacks a column, and what its stream raises.
    """
    if part.kind == "tar":
        yield from _tar_rows(part, columns, start)
        return
    pyarrow = import_pyarrow()
    try:
        reader = _parquet_batches if part.kind == "parquet" else _arrow_batches
        for number, batch, share in reader(pyarrow, part, columns, start):
            if missing := [name for name in columns if name not in batch.schema.names]:
                raise UserError(
                    f"{printable(part.name)} has no column {printable(missing[0])}: its files "
                    "differ, so take one of them alone."
                )
            for index in range(max(0, start - number), batch.num_rows):
                cells = [_cell(batch.column(name)[index].as_py()) for name in columns]
                name = next((name for _, name in cells if name), "")
                yield Row(number + index, name, tuple(data for data, _ in cells), share)
    except pyarrow.ArrowException as error:
        raise UserError(
            f"{printable(part.name)} is damaged or cut short: download it again."
        ) from error


def _cell(value: Any) -> tuple[bytes | None, str]:
    if isinstance(value, dict):  # as `datasets` keeps pictures
        return value.get("bytes") or None, value.get("path") or ""
    return value or None, ""


def _parquet_batches(
    pyarrow: Any, part: TablePart, columns: tuple[str, ...], start: int
) -> Iterator[tuple[int, Any, float]]:
    """Yield (number of the first row, batch, share of the part that is read with it)."""
    number = 0
    with part.open() as stream:
        # Without buffers of its own, a group of rows would be read as a whole: gigabytes maybe.
        file = pyarrow.parquet.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
        total = max(1, file.metadata.num_rows)
        for group in range(file.metadata.num_row_groups):
            head = file.metadata.row_group(group)
            LIMITS.judge(head.total_byte_size, part.size, LIMITS.bytes, part.name)
            if number + head.num_rows <= start:  # nothing of it is fetched
                number += head.num_rows
                continue
            each = max(1, head.total_byte_size // max(1, head.num_rows))
            size = min(_MAX_BATCH, max(1, _BATCH // each))
            in_turn = len(columns) == 2 and _is_one_block(head, columns)
            read = _column_by_column if in_turn else _together
            for batch in read(pyarrow, file, group, columns, size):
                yield number, batch, (number + batch.num_rows) / total
                number += batch.num_rows


def _is_one_block(group: Any, columns: Sequence[str]) -> bool:
    """Return whether the pictures of both columns stand in large dictionaries, as pyarrow writes up
    to a thousand rows: whoever wants one row has to read all."""
    parts = [group.column(n) for n in range(group.num_columns)]
    parts = [part for part in parts if part.path_in_schema.partition(".")[0] in columns]
    blocks = [p.data_page_offset - p.dictionary_page_offset for p in parts if p.has_dictionary_page]
    large = sum(size > _LARGE_BLOCK for size in blocks) == 2
    return large and sum(blocks) > 0.9 * sum(part.total_compressed_size for part in parts)


def _together(
    pyarrow: Any, file: Any, group: int, columns: Sequence[str], size: int
) -> Iterator[Any]:
    """Yield the batches of a group of rows."""
    return file.iter_batches(size, [group], [*columns], use_threads=False)


def _column_by_column(
    pyarrow: Any, file: Any, group: int, columns: Sequence[str], size: int
) -> Iterator[Any]:
    """Yield the batches of a large group of two columns, of which the first waits on disk: pyarrow
    holds up to a thousand pictures of each column that it reads."""
    pool = pyarrow.default_memory_pool()
    with tempfile.TemporaryFile() as waiting:
        writer = None
        for batch in _together(pyarrow, file, group, columns[:1], size):
            writer = writer or pyarrow.ipc.new_stream(waiting, batch.schema)
            writer.write_batch(batch)
        if writer is None:
            return
        writer.close()
        pool.release_unused()
        waiting.seek(0)
        with pyarrow.ipc.open_stream(waiting) as first:
            for a, b in zip(first, _together(pyarrow, file, group, columns[1:], size), strict=True):
                yield pyarrow.RecordBatch.from_arrays([*a.columns, *b.columns], [*columns])
    pool.release_unused()


def _arrow_batches(
    pyarrow: Any, part: TablePart, columns: tuple[str, ...], start: int
) -> Iterator[tuple[int, Any, float]]:
    number = 0
    with part.open() as stream:
        if isinstance(stream, BufferedReader):  # of a file here no batch has to be in memory
            stream = pyarrow.memory_map(stream.name)
        reader = _open_arrow(pyarrow, stream)
        batches = (
            (reader.get_batch(i) for i in range(reader.num_record_batches))
            if hasattr(reader, "get_batch")
            else iter(reader)
        )
        for batch in batches:
            yield number, batch, stream.tell() / max(1, part.size)
            number += batch.num_rows


def _tar_rows(part: TablePart, columns: tuple[str, ...], start: int) -> Iterator[Row]:
    place = 0

    def report(at: int) -> None:
        nonlocal place
        place = at

    for number, (key, pictures) in enumerate(_tar_groups(part, report)):
        if number >= start:
            contents = tuple(pictures.get(column) for column in columns)
            yield Row(number, key, contents, min(1.0, place / max(1, part.size)))


def count_rows(part: TablePart) -> int:
    """Count the rows of a Parquet file, as its end says."""
    with part.open() as stream:
        return import_pyarrow().parquet.read_metadata(stream).num_rows


# ------------------------------------------------------------------------------- Parquet and Arrow


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


def _open_arrow(pyarrow: Any, stream: BinaryIO) -> Any:
    """Open an Arrow file in either of its forms; `datasets` writes streams."""
    magic = stream.read(6)
    stream.seek(0)
    return pyarrow.ipc.open_file(stream) if magic == b"ARROW1" else pyarrow.ipc.open_stream(stream)


def part_columns(part: TablePart) -> list[str]:
    """List the columns of a file that hold pictures, in its order. Raises UserError for no table.

    In Parquet and Arrow they are columns of bytes, or of {bytes, path} as `datasets` keeps
    pictures; what the file itself declares to be something else, such as sound, is none.
    """
    if part.kind == "tar":
        return _tar_columns(part)
    pyarrow = import_pyarrow()
    try:
        with part.open() as stream:
            if part.kind == "parquet":
                schema = pyarrow.parquet.read_schema(stream)
            else:
                schema = _open_arrow(pyarrow, stream).schema
    except pyarrow.ArrowException as error:
        raise UserError(
            f"{printable(part.name)} is no table that can be read: download it again."
        ) from error
    types = pyarrow.types
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
        stored = inner.get("bytes", pyarrow.null())
        if kind == "Image" and (types.is_binary(stored) or types.is_large_binary(stored)):
            columns.append(field.name)
    return columns


# -------------------------------------------------------------------------------------- WebDataset


def _tar_groups(
    part: TablePart, report: Callable[[int], None] = lambda at: None
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, {column: bytes}) of a tar in WebDataset's form: entries of one key follow each
    other, and the key ends at the first dot. Other files than pictures are not read. Raises
    UserError for a damaged tar or one that holds too much."""

    def judge(total: int) -> None:
        LIMITS.judge(total, part.size, LIMITS.bytes, part.name)

    name, key, columns = printable(part.name), "", {}
    try:
        with part.open() as stream:
            for entry, content in tar_entries(stream, name, judge, report):
                if entry.size > _MAX_PICTURE:
                    raise UserError(f"{name} holds a file of {entry.size:,} bytes: leave it out.")
                suffix = PurePosixPath(entry.name).suffix.lower()
                if entry.is_folder or suffix not in IMAGE_SUFFIXES:
                    continue
                # The key of a/1.source.png is a/1, and its column is source.
                folder, slash, base = entry.name.removeprefix("./").rpartition("/")
                stem, _, rest = base.partition(".")
                own = f"{folder}{slash}{stem}"
                if own != key and columns:
                    yield key, columns
                    columns = {}
                key = own
                columns.setdefault(rest.rpartition(".")[0], b"".join(content))
    except UserError:
        raise
    except _DAMAGE as error:
        raise UserError(f"{name} is damaged or cut short: download or pack it again.") from error
    if columns:
        yield key, columns


def _tar_columns(part: TablePart) -> list[str]:
    """List the columns of a tar's first keys; none where most keys have one file only, as in an
    archive of pictures whose names have dots."""
    found: dict[str, None] = {}
    sizes = []

    def stop_late(at: int) -> None:
        if at > _PEEKED_BYTES:
            raise UserError("This was enough to see what it is.")

    with suppress(UserError):  # or it is damaged, which whoever unpacks it says
        for _, columns in islice(_tar_groups(part, stop_late), _PEEKED_KEYS):
            found |= dict.fromkeys(columns)
            sizes.append(len(columns))
    return list(found) if sum(size > 1 for size in sizes) * 2 > len(sizes) else []
