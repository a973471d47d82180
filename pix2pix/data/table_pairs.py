"""Take the pictures of a table into two folders, from which a dataset is built as from any.

Their bytes stay as they are. `pairs.jsonl` beside the folders notes every row that is done, so
that a transfer that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pix2pix.data.records import SPLITS, Inputs, Origin, Refusal
from pix2pix.data.report import DATASET_JSON
from pix2pix.data.table_rows import Row, TablePart, read_rows
from pix2pix.data.tables import Table, choose_columns, example_pairs, local_table
from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.files import hold_lock, write_errors, write_json
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import is_windows_device, plain_stem, printable

MAX_ROWS, MAX_BYTES = 1_000_000, 20 * 10**9  # that are taken of one table
NOTES = "pairs.jsonl"
_MAGIC = (  # how files begin, and the suffix that says so
    (b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"RIFF", ".webp"), (b"GIF8", ".gif"),
    (b"II", ".tif"), (b"MM", ".tif"), (b"BM", ".bmp"), (b"P", ".ppm"),
)  # fmt: skip


def extract_pairs(
    table: Table,
    into: Path,
    wanted: tuple[str, ...] = (),
    *,
    limit: int = 0,
    subset: str = "",
    derive: str = "",
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Inputs:
    """Write the pictures of the columns below `into` and return them as inputs of a plan: two
    folders called like the columns, with a folder for each split that the table names; or, of one
    column, a dataset of A|B pictures, or with `derive` the photos that sources are made from.

    `limit` is the most pairs of each split, 0 for all. Called again with the same, it goes on where
    it ended. `on_progress` hears thousandths. Raises UserError and Cancelled, which both keep what
    has arrived.
    """
    if limit < 0:
        raise UserError("The most pairs of a split is a whole number, 0 for all.")
    columns = choose_columns(table, wanted)
    if len(columns) == 1 or derive:  # whether it holds what it should has to be looked at
        columns, _ = example_pairs(table, wanted, derive)
    origin = Origin(table.address, columns, subset, limit)
    busy = f"{printable(table.address)} is being fetched by somebody else: wait until it is done."
    with hold_lock(_lock_file(into), busy):
        with write_errors(into):
            transfer = _Transfer(table, into, origin)
        transfer.check_room()
        transfer.run(should_stop, on_progress)
    if not transfer.pairs:
        raise UserError(f"{printable(table.address)} holds no pair of pictures: choose others.")
    origin = replace(origin, refused=tuple(transfer.refused))
    source, target = [*transfer.folders, None][:2]
    return Inputs(source, target, "stem" if target else "auto", derive=derive, origin=origin)


def _lock_file(into: Path) -> Path:
    """Name the lock by which one process, and one visitor, writes a transfer's folder at a time."""
    name = hashlib.sha256(str(into.absolute()).encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"pix2pix-table-{name}.lock"


def transfer_name(table: Table, columns: tuple[str, ...], limit: int, derive: str) -> str:
    """Name the folder of a transfer that may go on later: equal for equal ones."""
    what = json.dumps([table.address, [p.name for p in table.parts], columns, limit, derive])
    return f".table-{hashlib.sha256(what.encode()).hexdigest()[:24]}"


@contextmanager
def table_inputs(
    source: Path, near: Path, columns: tuple[str, ...] = (), *, subset: str = "", **options: Any
) -> Iterator[Inputs | None]:
    """Give the inputs that `extract_pairs` makes of a table on this disk, in a temporary folder in
    `near`; None where `source` holds none. `options` are those of `extract_pairs`."""
    table = local_table(source, subset)
    if table is None:
        yield None
        return
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=near) as folder:
        yield extract_pairs(table, Path(folder) / "pairs", columns, subset=subset, **options)


class _Transfer:
    """A table on its way into two folders, or one of A|B pictures: the rows that are done, their
    names by split, and how far each part is. Every row that is done is a line of `NOTES`."""

    def __init__(self, table: Table, into: Path, origin: Origin) -> None:
        self.table, self.into, self.columns, self.limit = table, into, origin.columns, origin.limit
        self.names: dict[str, set[str]] = {split: set() for split in (*SPLITS, "")}
        self.next_rows: dict[int, int] = {}  # part -> first row that is not done
        self.rows: dict[str, int] = dict.fromkeys((*SPLITS, ""), 0)  # that are done, by split
        self.counts = dict(self.rows)  # those of them that are pairs
        self.refused: list[Refusal] = []
        self.pairs = self.bytes = 0
        head = {"table": origin.table, "columns": [*origin.columns], "limit": origin.limit}
        lines = _read_lines(into / NOTES)
        if not lines or lines[0] != head:
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir(parents=True)
            lines = [head]
        for line in lines[1:]:
            self._count(**line)
        # Written anew, because its last line may be cut short.
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (into / NOTES).write_text(text, encoding="utf-8")
        names = [_folder_name(c) for c in self.columns] if len(self.columns) == 2 else ["pairs"]
        if len(names) == 2 and names[0].casefold() == names[1].casefold():
            names[1] += "-2"
        self.folders = [into / name for name in names]
        for folder in self.folders:
            for split in table.splits():
                (folder / split).mkdir(parents=True, exist_ok=True)

    def _count(self, part: int, row: int, split: str, name: str, size: int, reason: str) -> None:
        self.next_rows[part] = row + 1
        self.bytes += size
        self.rows[split] += 1
        if reason:
            self.refused.append(Refusal(name, "pair", "missing picture", reason))
        else:
            self.names[split].add(name.casefold())
            self.counts[split] += 1
            self.pairs += 1

    def check_room(self) -> None:
        """Raise UserError where the disk cannot hold what is still to come."""
        missing = sum(part.size for part in self.table.parts) - self.bytes
        free = shutil.disk_usage(self.into).free
        if missing > free and not self.limit:
            sizes = f"{missing / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
            raise UserError(
                f"{printable(self.table.address)} is {sizes}: make room, or take the first pairs "
                "by a limit."
            )

    def run(self, should_stop: ShouldStop, on_progress: Progress) -> None:
        """Take the rows that are not done. `on_progress` hears thousandths."""
        total, before = max(1, sum(part.size for part in self.table.parts)), 0
        with (self.into / NOTES).open("a", encoding="utf-8") as notes:
            for number, part in enumerate(self.table.parts):
                start = self.next_rows.get(number, 0)
                full = self._is_full(part.split)
                for row in () if full else read_rows(part, self.columns, start):
                    if should_stop():
                        raise Cancelled
                    line = {"part": number, "row": row.number, "split": part.split}
                    with write_errors(self.into):
                        line |= self._take(part, row)
                        notes.write(json.dumps(line) + "\n")
                        notes.flush()
                    self._count(**line)
                    share = max((before + part.size * row.share) / total, self._limit_share())
                    on_progress(min(999, int(1000 * share)), 1000)
                    if self._is_full(part.split):
                        break
                before += part.size
        on_progress(1000, 1000)

    def _is_full(self, split: str) -> bool:
        return bool(self.limit) and self.counts[split] >= self.limit

    def _limit_share(self) -> float:
        """Return how much of the pairs up to the limit is done."""
        splits = self.table.splits()
        done = sum(self.counts[split] for split in splits)
        return done / len(splits) / self.limit if self.limit else 0.0

    def _take(self, part: TablePart, row: Row) -> dict[str, Any]:
        """Write the pictures of a row; returns its name and their bytes, or why there are none."""
        name = self._unused_name(part, row)
        missing = [c for c, data in zip(self.columns, row.contents) if data is None]
        if missing:
            reason = f"row {row.number} of {printable(part.name)} has no picture"
            return {"name": name, "size": 0, "reason": f"{reason} in {printable(missing[0])}"}
        size = sum(map(len, row.contents))
        if self.bytes + size > MAX_BYTES or self.pairs >= MAX_ROWS:
            raise UserError(
                f"{printable(self.table.address)} holds more than {MAX_BYTES / 1e9:g} GB or "
                f"{MAX_ROWS:,} pairs: take the first thousands by a limit."
            )
        for folder, data in zip(self.folders, row.contents):
            (folder / part.split / f"{name}{_suffix(data)}").write_bytes(data)
        return {"name": name, "size": size, "reason": ""}

    def _unused_name(self, part: TablePart, row: Row) -> str:
        """Name a pair after its picture, where that is a name of its own, else by its number."""
        number = f"{self.rows[part.split]:06}"
        stem = PurePosixPath(row.name.replace("\\", "/")).stem
        if part.kind == "tar":
            stem = row.name.replace("/", "_")
        name = plain_stem(stem)
        if not name or is_windows_device(name):
            name = number
        while name.casefold() in self.names[part.split]:
            name += f"-{number}"
        return name


def _read_lines(notes: Path) -> list[dict[str, Any]]:
    lines = []
    with suppress(OSError, ValueError):  # the last one, of a process that was killed
        for line in notes.read_text(encoding="utf-8").splitlines():
            lines.append(json.loads(line))
    return lines


def _folder_name(column: str) -> str:
    name = re.sub(r"[^\w -]+", "_", column).strip("_ ")[:60] or "pictures"
    return f"{name}_" if is_windows_device(name) else name


def _suffix(data: bytes) -> str:
    return next((suffix for magic, suffix in _MAGIC if data.startswith(magic)), ".png")


def dataset_folder(inputs: Inputs) -> Path:
    """Make the folders of `extract_pairs` one dataset, without writing a picture again: trainA,
    trainB and so on (or A|B pictures in train ...), and `dataset.json` with the columns' names.
    Pairs of no split are all train. Returns its folder; the inputs are no longer there."""
    root = inputs.source.parent / "dataset"
    (root.parent / NOTES).unlink()  # a transfer of which parts are moved must not go on
    root.mkdir()
    sides = [(inputs.source, "A"), (inputs.target, "B")] if inputs.target else [(inputs.source, "")]
    for folder, side in sides:
        for split in [s for s in SPLITS if (folder / s).is_dir()] or [""]:
            os.rename(folder / split, root / f"{split or 'train'}{side}")
    origin = inputs.origin
    assert origin is not None
    about = {
        "rule": "table",
        "inputs": {"origin": {"table": origin.table, "columns": [*origin.columns],
            "subset": origin.subset, "limit": origin.limit}},
        "refused": [{"file": r.file, "side": r.side, "kind": r.kind, "reason": r.reason}
            for r in origin.refused],
    }  # fmt: skip
    names = dict(zip(("source_name", "target_name"), map(printable, origin.columns)))
    write_json(root / DATASET_JSON, {**about, **(names if inputs.target else {})})
    return root
