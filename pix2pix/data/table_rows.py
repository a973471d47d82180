"""Read the rows of a table's pictures, a few at a time: memory stays bounded. No torch.

Also looks at a table before it is taken: its columns and three examples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from typing import Any

from PIL import Image

from pix2pix.data.archive_readers import LIMITS
from pix2pix.data.tables import (
    Table,
    TablePart,
    choose_columns,
    image_columns,
    import_pyarrow,
    open_arrow,
    propose_columns,
    tar_groups,
)
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import is_ab_pair
from pix2pix.imaging.decode import open_picture
from pix2pix.utils.text import printable

# Bytes of one column that Parquet reads at once. Of the Hub each is a request, and a picture less
# than a tenth of a second is waited for.
_BUFFER = 4 * 2**20
_LARGE_BLOCK = 32 * 2**20  # bytes of a column's dictionary from which columns are read in turn
_BATCH = 16 * 2**20  # bytes of rows that are decoded together
_MAX_BATCH = 32  # rows, which one entry of a dictionary may fill
EXAMPLES = 3


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
        reader = open_arrow(pyarrow, stream)
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

    for number, (key, pictures) in enumerate(tar_groups(part, report)):
        if number >= start:
            contents = tuple(pictures.get(column) for column in columns)
            yield Row(number, key, contents, min(1.0, place / max(1, part.size)))


def count_rows(table: Table) -> dict[str, int]:
    """Count the rows of each split, as the files' ends say; {} where only reading all would."""
    if any(part.kind != "parquet" for part in table.parts):
        return {}
    pyarrow, counts = import_pyarrow(), dict.fromkeys(table.splits(), 0)
    for part in table.parts:
        with part.open() as stream:
            counts[part.split] += pyarrow.parquet.read_metadata(stream).num_rows
    return counts


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
    return TableLook(columns, chosen, examples, count_rows(table))


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
