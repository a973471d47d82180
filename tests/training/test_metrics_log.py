"""Curves of a growing file: equal to a full read, bounded in size and in what an update reads."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from pix2pix.training.metrics_log import Curves, read_jsonl


def thin(file: Path, points: int = 400) -> dict[str, list]:
    """The columns of a whole file, read in one go."""
    curves = Curves(file, points)
    while curves.update():
        pass
    return curves.columns()


def make_rows(count: int, start: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(count * 7 + start)
    names = ("d_real", "d_fake", "g_adversarial", "g_l1")
    steps = range(start, start + count)
    return [{"step": s, "epoch": s // 50, **{n: rng.random() for n in names}} for s in steps]


def text(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(file: Path, rows: list[dict[str, Any]], mode: str = "w") -> None:
    with file.open(mode, encoding="utf-8") as stream:
        stream.write(text(rows))


def assert_told(columns: dict[str, list], rows: list[dict[str, Any]], name: str = "d_real") -> None:
    """Every bucket says what the rows up to its step and after the one before hold."""
    begin = 0
    for place, last in enumerate(columns["step"]):
        inside = [row for row in rows if begin < row["step"] <= last]
        values = [row[name] for row in inside if math.isfinite(row.get(name, math.nan))]
        told = [columns[key][place] for key in (name, f"{name}_min", f"{name}_max")]
        if values:
            expected = [sum(values) / len(values), min(values), max(values)]
            assert told == pytest.approx(expected, rel=1e-4)
        else:
            assert told == [None] * 3
        assert columns["epoch"][place] == inside[-1]["epoch"]
        begin = last
    assert begin == rows[-1]["step"]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 1000, 4097])
@pytest.mark.parametrize("points", [2, 8, 9, 400])
def test_every_bucket_tells_the_rows_that_it_covers(count: int, points: int, tmp_path: Path):
    rows = make_rows(count)
    write(tmp_path / "m.jsonl", rows)
    columns = thin(tmp_path / "m.jsonl", points)
    assert min(count, points // 2) <= len(columns["step"]) <= points
    assert_told(columns, rows)
    assert {len(column) for column in columns.values()} == {len(columns["step"])}


def test_reading_on_in_small_pieces_is_reading_at_once(tmp_path: Path):
    rows = make_rows(3000)
    file, curves = tmp_path / "m.jsonl", Curves(tmp_path / "m.jsonl", 50)
    rng, done, whole = random.Random(1), 0, text(rows).encode()
    while done < len(whole):  # cut anywhere, in the middle of lines and numbers too
        more = rng.randrange(1, 5000)
        with file.open("ab") as stream:
            stream.write(whole[done : done + more])
        done += more
        while curves.update(limit=700):
            pass
    assert curves.columns() == thin(file, 50)
    assert list(curves.recent) == rows[-2000:]


class Counting:
    """A file that counts the bytes that are read from it."""

    def __init__(self, file: Path) -> None:
        self.file, self.bytes = file, 0

    def open(self, mode: str) -> BinaryIO:
        stream, read = self.file.open(mode, buffering=0), self

        class Counted:
            def __enter__(self) -> Counted:
                return self

            def __exit__(self, *_: object) -> None:
                stream.close()

            def read(self, size: int = -1) -> bytes:
                data = stream.read(size)
                read.bytes += len(data)
                return data

            seek, fileno = stream.seek, stream.fileno

        return Counted()


def test_an_update_reads_the_new_lines_only_after_100_000_steps_too(tmp_path: Path):
    write(tmp_path / "m.jsonl", make_rows(100_000))
    file = Counting(tmp_path / "m.jsonl")
    curves = Curves(file, 400)
    waits = 0
    while curves.update():
        waits += 1
    assert waits >= 2  # one update is bounded however much there is
    assert 200 <= len(curves.columns()["step"]) <= 400 and len(curves.recent) == 2000
    for start in range(100_001, 100_301, 3):
        new = make_rows(3, start)
        write(tmp_path / "m.jsonl", new, "a")
        before = file.bytes
        assert not curves.update()
        assert file.bytes - before <= len(text(new)) + 64
        assert curves.columns()["step"][-1] == start + 2


def test_an_update_without_news_changes_nothing(tmp_path: Path):
    write(tmp_path / "m.jsonl", make_rows(100))
    curves = Curves(tmp_path / "m.jsonl")
    assert not curves.update()
    before = curves.columns()
    assert not curves.update()
    assert curves.columns() == before and len(curves.recent) == 100


def test_a_half_written_line_waits_and_a_broken_one_is_skipped(tmp_path: Path):
    file, rows = tmp_path / "m.jsonl", make_rows(6)
    lines = text(rows).splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:30])
    curves = Curves(file)
    curves.update()
    assert curves.columns()["step"] == [1, 2]
    with file.open("a") as stream:  # the process was killed there, and another one goes on
        stream.write(
            lines[3] + "null\n\n[1, 2]\n" + '{"epoch": 3}\n' + '{"step": "9"}\n' + lines[4]
        )
    curves.update()
    assert curves.columns()["step"] == [1, 2, 5]
    assert read_jsonl(file) == [rows[0], rows[1], {"epoch": 3}, {"step": "9"}, rows[4]]


def cut(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("r+b") as stream:
        stream.truncate(len(text(rows)))


def rewrite_in_place(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("r+b") as stream:
        stream.truncate(0)
        stream.write(text(rows).encode())


def replace(file: Path, rows: list[dict[str, Any]]) -> None:
    write(file.with_suffix(".new"), rows)
    file.with_suffix(".new").replace(file)


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (cut, make_rows(300)[:40]),
        (rewrite_in_place, make_rows(500, start=7)),
        (replace, make_rows(300, start=3)),
        (replace, make_rows(20)),
    ],
    ids=["cut", "rewritten longer", "replaced by as many", "replaced by fewer"],
)
def test_a_file_that_was_cut_or_replaced_is_read_anew(change, after, tmp_path: Path):
    file = tmp_path / "m.jsonl"
    write(file, make_rows(300))
    curves = Curves(file, 64)
    curves.update()
    change(file, after)
    curves.update()
    assert curves.columns() == thin(file, 64)
    assert_told(curves.columns(), after)
    assert list(curves.recent) == after


def test_steps_that_a_resumed_run_repeats_take_the_place_of_the_old(tmp_path: Path):
    first, again = make_rows(120), make_rows(100, start=101)
    write(tmp_path / "m.jsonl", first + again)
    columns = thin(tmp_path / "m.jsonl")
    assert columns["step"] == list(range(1, 201))
    assert_told(columns, first[:100] + again)
    coarse = thin(tmp_path / "m.jsonl", 16)
    assert coarse["step"] == sorted(set(coarse["step"])) and coarse["step"][-1] == 200


def test_a_file_that_is_gone_has_no_curves_and_may_come_back(tmp_path: Path):
    file = tmp_path / "m.jsonl"
    curves = Curves(file)
    assert not curves.update() and curves.columns() == {"step": [], "epoch": []}
    write(file, make_rows(5))
    curves.update()
    assert curves.columns()["step"] == [1, 2, 3, 4, 5]
    file.unlink()
    curves.update()
    assert curves.columns()["step"] == [] and not curves.recent
    assert read_jsonl(file) == []


def test_nan_is_in_no_mean_and_a_new_loss_begins_where_it_begins(tmp_path: Path):
    rows = make_rows(64)
    for row in rows[10:20]:
        row["d_real"] = math.nan
    rows[40]["d_real"] = math.inf
    for row in rows[30:]:
        row["g_features"] = row["step"] / 7
    write(tmp_path / "m.jsonl", rows)
    for points in (8, 400):
        columns = thin(tmp_path / "m.jsonl", points)
        assert_told(columns, rows)
        assert_told(columns, rows, "g_features")
        json.loads(json.dumps(columns, allow_nan=False))
    assert columns["d_real"][10:20] == [None] * 10
