"""Look at a table before it is taken: its columns and three examples. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from PIL import Image

from pix2pix.data.table_rows import Row, count_rows, read_rows
from pix2pix.data.tables import Table, choose_columns, image_columns, propose_columns
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import is_ab_pair
from pix2pix.imaging.decode import open_picture
from pix2pix.utils.text import printable

EXAMPLES = 3


@dataclass(frozen=True)
class TableLook:
    """What a table holds: all columns of pictures, those that are taken (none where a person has
    to choose), the first rows' pictures of these, and the rows by split ({} where only reading all
    would tell)."""

    columns: list[str]
    chosen: tuple[str, ...]
    examples: list[tuple[Image.Image, ...]]
    counts: dict[str, int]


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
