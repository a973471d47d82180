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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pix2pix.data.records import SPLITS, Inputs, Origin, Refusal
from pix2pix.data.report import DATASET_JSON
from pix2pix.data.table_rows import Row, read_rows
from pix2pix.data.tables import Table, choose_columns, example_pairs, local_table
from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.files import hold_lock, write_errors, write_json
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import is_windows_device, printable

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
            notes = _Notes(into, origin)
        work = _Extraction(table, into, columns, limit, notes, should_stop, on_progress)
        try:
            work.check_room()
            work.run()
        finally:
            notes.close()
    if not notes.pairs:
        raise UserError(f"{printable(table.address)} holds no pair of pictures: choose others.")
    origin = Origin(table.address, columns, subset, limit, tuple(notes.refused))
    source, target = [*work.folders, None][:2]
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


class _Notes:
    """The rows that are done: their names by split, and how far each part is."""

    def __init__(self, into: Path, origin: Origin) -> None:
        head = {"table": origin.table, "columns": [*origin.columns], "limit": origin.limit}
        self.file = into / NOTES
        self.names: dict[str, set[str]] = {split: set() for split in (*SPLITS, "")}
        self.next_rows: dict[int, int] = {}  # part -> first row that is not done
        self.counts: dict[str, int] = dict.fromkeys((*SPLITS, ""), 0)
        self.refused: list[Refusal] = []
        self.pairs = self.bytes = 0
        lines = self._read()
        if not lines or lines[0] != head:
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir(parents=True)
            lines = [head]
        for line in lines[1:]:
            self._count(**line)
        # Written anew, because its last line may be cut short.
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        self.stream = self.file.open("a", encoding="utf-8")

    def _read(self) -> list[dict[str, Any]]:
        lines = []
        try:
            for line in self.file.read_text(encoding="utf-8").splitlines():
                lines.append(json.loads(line))
        except (OSError, ValueError):  # the last one, of a process that was killed
            pass
        return lines

    def _count(self, part: int, row: int, split: str, name: str, size: int, reason: str) -> None:
        self.next_rows[part] = row + 1
        self.bytes += size
        self.counts[split] += 1
        if reason:
            self.refused.append(Refusal(name, "pair", "missing picture", reason))
        else:
            self.names[split].add(name.casefold())
            self.pairs += 1

    def add(self, **line: Any) -> None:
        self._count(**line)
        self.stream.write(json.dumps(line) + "\n")
        self.stream.flush()

    def close(self) -> None:
        self.stream.close()


@dataclass
class _Extraction:
    """One transfer under way."""

    table: Table
    into: Path
    columns: tuple[str, ...]
    limit: int
    notes: _Notes
    should_stop: ShouldStop
    on_progress: Progress

    @property
    def folders(self) -> list[Path]:
        names = [_folder_name(c) for c in self.columns] if len(self.columns) == 2 else ["pairs"]
        if len(names) == 2 and names[0].casefold() == names[1].casefold():
            names[1] += "-2"
        return [self.into / name for name in names]

    def check_room(self) -> None:
        """Raise UserError where the disk cannot hold what is still to come."""
        missing = sum(part.size for part in self.table.parts) - self.notes.bytes
        free = shutil.disk_usage(self.into).free
        if missing > free and not self.limit:
            sizes = f"{missing / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
            raise UserError(
                f"{printable(self.table.address)} is {sizes}: make room, or take the first pairs "
                "by a limit."
            )

    def run(self) -> None:
        folders, splits = self.folders, self.table.splits()
        for folder in folders:
            for split in splits:
                (folder / split).mkdir(parents=True, exist_ok=True)
        total, before = max(1, sum(part.size for part in self.table.parts)), 0
        for number, part in enumerate(self.table.parts):
            start = self.notes.next_rows.get(number, 0)
            for row in () if self._is_full(part.split) else read_rows(part, self.columns, start):
                if self.should_stop():
                    raise Cancelled
                self._take(number, part.split, row, folders)
                self._tell(before + part.size * row.share, total)
                if self._is_full(part.split):
                    break
            before += part.size
        self.on_progress(1000, 1000)

    def _is_full(self, split: str) -> bool:
        return bool(self.limit) and self.notes.counts[split] >= self.limit

    def _tell(self, place: float, total: int) -> None:
        share = place / total
        if self.limit:
            splits = self.table.splits()
            share = max(share, sum(map(self.notes.counts.get, splits)) / len(splits) / self.limit)
        self.on_progress(min(999, int(1000 * share)), 1000)

    def _take(self, part: int, split: str, row: Row, folders: list[Path]) -> None:
        notes = self.notes
        name = self._unused_name(split, row)
        line = {"part": part, "row": row.number, "split": split, "size": 0, "reason": ""}
        missing = [c for c, data in zip(self.columns, row.contents) if data is None]
        if missing:
            reason = f"row {row.number} of {printable(self.table.parts[part].name)} has no picture"
            notes.add(**{**line, "name": name, "reason": f"{reason} in {printable(missing[0])}"})
            return
        size = sum(map(len, row.contents))
        if notes.bytes + size > MAX_BYTES or notes.pairs >= MAX_ROWS:
            raise UserError(
                f"{printable(self.table.address)} holds more than {MAX_BYTES / 1e9:g} GB or "
                f"{MAX_ROWS:,} pairs: take the first thousands by a limit."
            )
        with write_errors(self.into):
            for folder, data in zip(folders, row.contents):
                (folder / split / f"{name}{_suffix(data)}").write_bytes(data)
            notes.add(**{**line, "name": name, "size": size})

    def _unused_name(self, split: str, row: Row) -> str:
        """Name a pair after its picture, where that is a name of its own, else by its number."""
        number = f"{self.notes.counts[split]:06}"
        stem = PurePosixPath(row.name.replace("\\", "/")).stem
        if self.table.parts[0].kind == "tar":
            stem = row.name.replace("/", "_")
        name = re.sub(r"[^\w.-]+", "_", stem).strip("._")[:120]
        if not name or is_windows_device(name):
            name = number
        return f"{name}-{number}" if name.casefold() in self.notes.names[split] else name


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
