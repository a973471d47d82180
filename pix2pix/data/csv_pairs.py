"""Read pairs from a CSV: source, target, and optionally split and group."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter, defaultdict
from pathlib import Path

from pix2pix.data.layout import split_name
from pix2pix.data.records import Matching, Pair, Refusal
from pix2pix.errors import UserError
from pix2pix.utils.text import fold_name, name_stem, printable

MAX_TABLE = 50_000_000  # bytes of a CSV
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_TWO_COLUMNS = "The CSV needs two columns, source and target: one row for each pair."


def read_table(file: Path | None) -> str:
    """Read the text of a CSV in UTF-8 or UTF-16, as spreadsheets save it; empty where there is no
    file. Raises UserError where it cannot be read."""
    if not file:
        return ""
    name = printable(file.name)
    try:
        if file.stat().st_size > MAX_TABLE:
            raise UserError(f"{name} is too large for a table of pairs.")
        content = file.read_bytes()
        encoding = next((e for bom, e in _BOMS.items() if content.startswith(bom)), "utf-8")
        return content.decode(encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name} cannot be read: save the CSV as UTF-8 text.") from error


def match_table(source: list[str], target: list[str], table: str) -> Matching:
    """Pair names by the rows of a CSV. Names are found as they stand, without their suffix, and
    with other folders before them where the rest is there once only. Raises UserError for a table
    without two columns."""
    numbered = _read_rows(table)
    numbers, rows = [number for number, _ in numbered], [row for _, row in numbered]
    if not rows:
        raise UserError(_TWO_COLUMNS)
    files_a, files_b = _Names(source), _Names(target)
    header = [cell.strip().casefold() for cell in rows[0]]
    if any(files_a.find(cell) or files_b.find(cell) for cell in rows[0]):
        header = [""] * len(header)
    else:
        numbers, rows = numbers[1:], rows[1:]
    extra = {name: header.index(name) for name in ("split", "group") if name in header}
    first, second = _picture_columns(header, extra, rows, files_a, files_b)
    pairs, refused = [], []
    for number, row in zip(numbers, rows):
        row = [cell.strip() for cell in row] + [""] * len(header)
        a, b = files_a.find(row[first]), files_b.find(row[second])
        values = {name: row[column] for name, column in extra.items()}
        split = split_name(values.get("split", ""))
        if a is None or b is None:
            names, missing = (files_a, row[first]) if a is None else (files_b, row[second])
            reason = f"the CSV names it in row {number}, but the folder {names.why_not(missing)}"
            refused.append(Refusal(missing or "(empty)", "csv", "missing", reason))
        elif values.get("split") and not split:
            reason = (
                f"row {number} of the CSV puts it into '{values['split']}': use train, val or test"
            )
            refused.append(Refusal(a, "csv", "split", reason))
        else:
            pairs.append(Pair(a, b, split, values.get("group", "")))
    listed = {p.source for p in pairs}, {p.target for p in pairs}
    for side, files, known in (("source", source, listed[0]), ("target", target, listed[1])):
        odd = [f for f in files if f not in known and not any(r.file == f for r in refused)]
        refused += [Refusal(f, side, "unmatched", "the CSV does not name it") for f in odd]
    return Matching("csv", "the pairs that the CSV names", tuple(pairs), tuple(refused))


class _Names:
    """The files of one side as a table may write them: with or without suffix, in any case and
    Unicode form, with \\ or / between folders, and with other folders before them."""

    def __init__(self, names: list[str]) -> None:
        self.whole = {fold_name(name): name for name in names}
        stems = Counter(name_stem(name) for name in names)
        self.stems = {name_stem(name): name for name in names if stems[name_stem(name)] == 1}
        self.by_base: dict[str, set[str]] = defaultdict(set)
        for name in names:
            base = fold_name(name.rpartition("/")[2])
            for key in (base, name_stem(base)):
                self.by_base[key].add(name)

    def find(self, cell: str) -> str | None:
        """Return the file that a cell names, None where none or several could be meant."""
        key = _as_path(cell)
        found = self.whole.get(key) or self.stems.get(key)
        while found is None and "/" in key:  # folders before it that are not ours
            key = key.partition("/")[2]
            found = self.whole.get(key) or self.stems.get(key)
        options = self.by_base.get(key, ())
        return found or (next(iter(options)) if len(options) == 1 else None)

    def why_not(self, cell: str) -> str:
        options = sorted(self.by_base.get(_as_path(cell).rpartition("/")[2], ()))
        several = f"holds several of that name, {' and '.join(options[:2])}"
        return several if len(options) > 1 else "does not hold it"


def _as_path(cell: str) -> str:
    path = re.sub(r"^[A-Za-z]:", "", cell.strip().replace("\\", "/"))
    return fold_name("/".join(part for part in path.split("/") if part not in ("", ".")))


def _read_rows(table: str) -> list[tuple[int, list[str]]]:
    """Return the rows of two columns or more, with their numbers in a spreadsheet."""
    text = table.removeprefix("\ufeff")
    first, _, rest = text.partition("\n")
    separator = re.fullmatch(r"\s*\"?sep=(.)\"?\s*", first)  # a spreadsheet's own first line
    if separator:
        text, first = rest, rest.partition("\n")[0]
    delimiter = separator[1] if separator else max(",;\t", key=first.count)
    try:
        rows = list(enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1))
    except csv.Error as error:
        raise UserError("The CSV cannot be read: save it as plain UTF-8 text.") from error
    return [(number, row) for number, row in rows if len(row) >= 2]


def _picture_columns(
    header: list[str], extra: dict[str, int], rows: list[list[str]], a: _Names, b: _Names
) -> tuple[int, int]:
    """Return the columns of source and target: those of that name, else the two that name the
    most files, the first of each side's; either way round."""
    free = [column for column in range(len(header)) if column not in extra.values()]
    if len(free) < 2:
        raise UserError(_TWO_COLUMNS)
    some = rows[:: max(1, len(rows) // 200)]
    hits = [
        [sum(len(row) > c and names.find(row[c]) is not None for row in some) for c in free]
        for names in (a, b)
    ]
    first, second = free[0], free[1]
    if {"source", "target"} <= set(header):
        first, second = header.index("source"), header.index("target")
    elif max(hits[0]) and max(hits[1]):
        ways = [(i, j) for i in range(len(free)) for j in range(len(free)) if i != j]
        best = max(ways, key=lambda way: (hits[0][way[0]] + hits[1][way[1]], way[0] < way[1]))
        return free[best[0]], free[best[1]]
    turned = hits[1][free.index(first)] > len(some) / 2
    return (second, first) if turned else (first, second)
