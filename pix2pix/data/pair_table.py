"""Read pairs from a CSV: source, target, and optionally split and group."""

from __future__ import annotations

import csv
import io
from collections import Counter

from pix2pix.data.name_edits import name_stem
from pix2pix.data.records import SPLITS, Match, Matching, Refusal
from pix2pix.errors import UserError


def _by_table(source: list[str], target: list[str], table: str) -> Matching:
    rows = _read_rows(table)
    if not rows or len(rows[0]) < 2:
        raise UserError("The CSV needs two columns, source and target: one row for each pair.")
    files_a, files_b = _lookup(source), _lookup(target)
    header = [cell.strip().casefold() for cell in rows[0]]
    if header[0] in files_a or header[0] in files_b:
        header = ["source", "target"]
    else:
        rows = rows[1:]
    extra = {name: header.index(name) for name in ("split", "group") if name in header}
    first, second = _picture_columns(header, extra)
    if sum(row[first].casefold() in files_b for row in rows) > len(rows) / 2:
        first, second = second, first  # the columns stand the other way round
    pairs, refused = [], []
    for number, row in enumerate(rows, 1):
        row = [cell.strip() for cell in row] + [""] * len(header)
        a, b = files_a.get(row[first].casefold()), files_b.get(row[second].casefold())
        values = {name: row[column] for name, column in extra.items()}
        split = values.get("split", "").casefold()
        if a is None or b is None:
            missing = row[first] if a is None else row[second]
            reason = f"the CSV names it in row {number}, but the folder does not hold it"
            refused.append(Refusal(missing or "(empty)", "csv", "missing", reason))
        elif split and split not in SPLITS:
            reason = f"row {number} of the CSV puts it into '{split}': use train, val or test"
            refused.append(Refusal(a, "csv", "split", reason))
        else:
            pairs.append(Match(a, b, split, values.get("group", "")))
    listed = {p.source for p in pairs}, {p.target for p in pairs}
    for side, files, known in (("source", source, listed[0]), ("target", target, listed[1])):
        odd = [f for f in files if f not in known and not any(r.file == f for r in refused)]
        refused += [Refusal(f, side, "unmatched", "the CSV does not name it") for f in odd]
    return Matching("csv", "the pairs that the CSV names", tuple(pairs), tuple(refused))


def _read_rows(table: str) -> list[list[str]]:
    text = table.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise UserError("The CSV cannot be read: save it as plain UTF-8 text.") from error
    return [row for row in rows if len(row) >= 2]


def _lookup(names: list[str]) -> dict[str, str]:
    """Map names as a table may write them to the files: with or without suffix, in any case.
    Where two names differ by their suffix only, the full name counts."""
    stems = Counter(name_stem(name) for name in names)
    by_stem = {name_stem(name): name for name in names if stems[name_stem(name)] == 1}
    return {**by_stem, **{name.casefold(): name for name in names}}


def _picture_columns(header: list[str], extra: dict[str, int]) -> tuple[int, int]:
    if {"source", "target"} <= set(header):
        return header.index("source"), header.index("target")
    free = [column for column in range(len(header)) if column not in extra.values()]
    if len(free) < 2:
        raise UserError("The CSV needs two columns, source and target: one row for each pair.")
    return free[0], free[1]
