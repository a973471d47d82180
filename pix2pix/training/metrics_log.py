"""Read `metrics.jsonl` on as it grows, as curves that stay light. No torch."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pix2pix.utils.files import is_number

_MARK = 64  # bytes before the place of reading by which a file is known again


@dataclass
class _Bucket:
    """Neighbouring rows as one point: of each loss its sum, count, minimum and maximum."""

    first: int
    last: int
    epoch: int = 0
    rows: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)

    def add(self, other: _Bucket) -> None:
        self.last, self.epoch, self.rows = other.last, other.epoch, self.rows + other.rows
        for name, (total, count, low, high) in other.losses.items():
            mine = self.losses.setdefault(name, [0.0, 0, math.inf, -math.inf])
            mine[:] = [mine[0] + total, mine[1] + count, min(mine[2], low), max(mine[3], high)]


class Curves:
    """The curves of a `metrics.jsonl`, read on as it grows, in memory that does not.

    A curve has at most `points` buckets of equally many rows; when they are full, neighbours
    merge. A half-written line waits for its end, a broken one is skipped, and a file that was
    cut or replaced is read anew. Steps that a resumed run repeats take the place of the old ones.
    """

    def __init__(self, file: Path, points: int = 400, recent: int = 2000) -> None:
        if points < 2:
            raise ValueError("curves need 2 points or more")
        self.file, self.points = file, points
        self.recent: deque[dict[str, Any]] = deque(maxlen=recent)  # the last rows, whole
        self._clear()

    def update(self, limit: int = 4_000_000) -> bool:
        """Read what was written since, `limit` bytes (30,000 steps) at most; whether more waits.

        A file that is not there has empty curves.
        """
        try:
            with self.file.open("rb") as stream:
                if not self._goes_on(stream):
                    self._clear()
                    self._identity = os.fstat(stream.fileno()).st_ino
                    stream.seek(0)
                chunk = stream.read(limit)
        except OSError:
            self._clear()
            return False
        end = chunk.rfind(b"\n") + 1
        for line in chunk[:end].split(b"\n"):
            row = _row(line)
            if row and isinstance(row.get("step"), int):
                self._add(row)
        self._offset += end
        self._mark = (self._mark + chunk[:end])[-_MARK:]
        return end > 0 and len(chunk) == limit

    def columns(self) -> dict[str, list]:
        """`step` (the last of each bucket), `epoch`, and for each loss its mean with `_min` and
        `_max`, to 5 digits; None where a bucket has no finite value."""
        buckets = self._buckets
        names = dict.fromkeys(name for bucket in buckets for name in bucket.losses)
        columns = {"step": [b.last for b in buckets], "epoch": [b.epoch for b in buckets]}
        for name in names:
            parts = [bucket.losses.get(name) for bucket in buckets]
            columns[name] = [_round(part[0] / part[1]) if part else None for part in parts]
            columns[f"{name}_min"] = [_round(part[2]) if part else None for part in parts]
            columns[f"{name}_max"] = [_round(part[3]) if part else None for part in parts]
        return columns

    def _clear(self) -> None:
        self._buckets: list[_Bucket] = []
        self._width = 1  # rows of a full bucket
        self._offset, self._mark, self._identity = 0, b"", 0
        self.recent.clear()

    def _goes_on(self, stream: BinaryIO) -> bool:
        """Return whether the file still holds what was read from it; leaves it where reading
        goes on."""
        stream.seek(self._offset - len(self._mark))
        same = os.fstat(stream.fileno()).st_ino == self._identity
        return same and stream.read(len(self._mark)) == self._mark

    def _add(self, row: dict[str, Any]) -> None:
        step = row["step"]
        while self.recent and self.recent[-1]["step"] >= step:
            self.recent.pop()
        while self._buckets and self._buckets[-1].first >= step:
            self._buckets.pop()
        self.recent.append(row)
        one = _Bucket(step, step, row.get("epoch", 0), 1)
        for name, value in row.items():
            if name not in ("step", "epoch") and is_number(value) and math.isfinite(value):
                one.losses[name] = [value, 1, value, value]
        if len(self._buckets) == self.points and self._buckets[-1].rows >= self._width:
            for bucket, neighbour in zip(self._buckets[::2], self._buckets[1::2]):
                bucket.add(neighbour)
            self._buckets, self._width = self._buckets[::2], 2 * self._width
        if self._buckets and self._buckets[-1].rows < self._width:
            self._buckets[-1].add(one)
        else:
            self._buckets.append(one)


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a JSON Lines file that hold an object; empty without a file."""
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    return [row for row in map(_row, lines) if row]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _round(value: float) -> float:
    return float(f"{value:.5g}")
