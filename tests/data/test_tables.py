"""Tables of pictures: Parquet, Arrow and WebDataset give what two folders give."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pix2pix.data import table_rows
from pix2pix.data.build import build
from pix2pix.data.plan import make_plan
from pix2pix.data.records import Inputs, Recipe
from pix2pix.data.table_pairs import extract_pairs, table_inputs
from pix2pix.data.table_rows import read_rows
from pix2pix.data.tables import (
    choose_columns,
    example_pairs,
    image_columns,
    local_table,
    look_at,
    propose_columns,
    split_of,
    subset_of,
)
from pix2pix.errors import Cancelled, UserError
from pix2pix.hub import datasets as hub_datasets
from pix2pix.hub.dataset_repo import write_tables
from pix2pix.hub.datasets import look_at_hub, pull_pairs
from tests.support.drawn_pairs import drawn_pair
from tests.support.fake_hub import READER

ROOT = Path(__file__).resolve().parents[2]
Pair = tuple[str, str, bytes, bytes]  # split, name, source, target
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def drawn(count: int) -> list[Pair]:
    """Pairs of two splits, one file a JPEG and one in mode P."""
    pairs = []
    for number in range(count):
        source, target = (side.resize((48, 48)) for side in drawn_pair(number))
        kind = "JPEG" if number == 3 else "PNG"
        source = source.convert("P") if number == 5 else source
        split = "val" if number % 5 == 4 else "train"
        pairs.append((split, f"house_{number:03}", encoded(source), encoded(target, kind)))
    return pairs


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return drawn(100)


def parquet(
    pairs: list[Pair], columns: tuple[str, str] = ("source", "target"), plain: bool = False
) -> bytes:
    rows = [
        {
            "id": number,
            columns[0]: {"bytes": source, "path": f"{name}.png"},
            columns[1]: {"bytes": target, "path": None},
        }
        for number, (_, name, source, target) in enumerate(pairs)
    ]
    fields = [("id", pa.int64()), *((name, PICTURE) for name in columns)]
    file = io.BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema(fields))
    pq.write_table(table, file, row_group_size=16, use_dictionary=not plain)
    return file.getvalue()


def of_split(pairs: list[Pair], split: str) -> list[Pair]:
    return [pair for pair in pairs if pair[0] == split]


def write_tar(file: Path, pairs: list[Pair]) -> Path:
    with tarfile.open(file, "w") as tar:
        for _, name, source, target in pairs:
            for end, data in (("json", b"{}"), ("source.png", source), ("target.png", target)):
                info = tarfile.TarInfo(f"{name}.{end}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return file


def write_folders(root: Path, pairs: list[Pair]) -> Inputs:
    for split, name, *sides in pairs:
        for side, data in zip(("source", "target"), sides):
            suffix = ".jpg" if data[:2] == b"\xff\xd8" else ".png"
            (root / side / split).mkdir(parents=True, exist_ok=True)
            (root / side / split / f"{name}{suffix}").write_bytes(data)
    return Inputs(root / "source", root / "target", "stem")


def built(inputs: Inputs, out: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures of the dataset, and what its dataset.json says but for the origin."""
    build(make_plan(inputs), Recipe(size=48), out)
    files = {f.relative_to(out).as_posix(): f.read_bytes() for f in out.rglob("*.png")}
    said = json.loads((out / "dataset.json").read_text())
    del said["inputs"]
    return files, said


# --------------------------------------------------------------------------------- the same dataset


def test_three_ways_give_the_same_dataset(hub: Any, pairs: list[Pair], tmp_path: Path) -> None:
    expected = built(write_folders(tmp_path / "two", pairs), tmp_path / "a")
    assert len(expected[0]) == 100 and expected[1]["counts"]["val"] == 20
    assert expected[1]["source_name"] == "source" and not expected[1]["refused"]

    names = {"train": "train-00000-of-00001", "val": "validation-00000-of-00001"}
    files = {f"data/{name}.parquet": parquet(of_split(pairs, s)) for s, name in names.items()}
    hub.commit("ann/houses", {**files, "README.md": b"card"})
    pulled = pull_pairs("ann/houses", tmp_path / "pulled")
    assert built(pulled, tmp_path / "b") == expected

    (tmp_path / "tars").mkdir()
    for split in ("train", "val"):
        write_tar(tmp_path / "tars" / f"{split}-000.tar", of_split(pairs, split))
    with table_inputs(tmp_path / "tars", tmp_path) as taken:
        assert built(taken, tmp_path / "c") == expected
    said = json.loads((tmp_path / "c" / "dataset.json").read_text())["inputs"]["origin"]
    columns = {"table": "tars", "columns": ["source", "target"], "subset": ""}
    assert said == {**columns, "limit": 0, "every": 0}


def test_columns_of_large_groups_are_read_in_turn(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet(pairs[:70]))
    (part,) = local_table(tmp_path / "x.parquet").parts
    expected = {start: [*read_rows(part, ("target", "source"), start)] for start in (0, 45)}
    asked: list[list[str]] = []
    together = table_rows._together

    def read(*args: Any) -> Iterator[Any]:
        asked.append([*args[3]])
        return together(*args)

    monkeypatch.setattr(table_rows, "_together", read)
    monkeypatch.setattr(table_rows, "_LARGE_BLOCK", 1000)
    for start, rows in expected.items():
        assert [*read_rows(part, ("target", "source"), start)] == rows
    assert len(expected[0]) == 70 and ["target"] in asked and max(map(len, asked)) == 1
    with pytest.raises(UserError, match="has no column nothing"):
        next(read_rows(part, ("nothing", "source")))
    asked.clear()
    (tmp_path / "x.parquet").write_bytes(parquet(pairs[:70], plain=True))  # row by row
    (part,) = local_table(tmp_path / "x.parquet").parts
    assert [*read_rows(part, ("target", "source"))] == expected[0]
    assert {*map(tuple, asked)} == {("target", "source")}


def test_a_folder_that_datasets_saved_is_read(pairs: list[Pair], tmp_path: Path) -> None:
    expected = built(write_folders(tmp_path / "two", pairs), tmp_path / "a")
    for split, own in (("train", "train"), ("val", "validation")):
        folder = tmp_path / "saved" / own
        folder.mkdir(parents=True)
        table = pq.read_table(io.BytesIO(parquet(of_split(pairs, split))))
        with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table, max_chunksize=30)
        with pa.ipc.new_stream(folder / "cache-12.arrow", table.schema):
            pass
        (folder / "dataset_info.json").write_text("{}")
    with table_inputs(tmp_path / "saved", tmp_path) as taken:
        assert built(taken, tmp_path / "b") == expected


def test_what_is_pushed_is_the_same_pairs(pairs: list[Pair], tmp_path: Path) -> None:
    """Halves of strips, and files of their own as they are, in columns that the Hub shows."""
    few = pairs[:9]
    strips = tmp_path / "strips"
    built(write_folders(tmp_path / "two", few), strips)
    files = write_tables(strips, tmp_path / "tables")
    assert [*files] == ["pairs/train-00000.parquet", "pairs/validation-00000.parquet"]
    schema = pq.read_schema(files["pairs/train-00000.parquet"])
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"source": {"_type": "Image"}, "target": {"_type": "Image"}}
    again, said = built(
        extract_pairs(local_table(tmp_path / "tables"), tmp_path / "x"), tmp_path / "b"
    )
    assert again == {
        f.relative_to(strips).as_posix(): f.read_bytes() for f in strips.rglob("*.png")
    }
    assert said["counts"]["val"] == 1

    for side, suffix in (("A", 2), ("B", 3)):
        (tmp_path / "own" / f"train{side}").mkdir(parents=True)
        (tmp_path / "own" / f"train{side}" / "1.png").write_bytes(few[0][suffix])
    (file,) = write_tables(tmp_path / "own", tmp_path / "own tables").values()
    row = pq.read_table(file).to_pylist()[0]
    assert row == {"source": {"bytes": few[0][2], "path": "1.png"},
        "target": {"bytes": few[0][3], "path": "1.png"}}  # fmt: skip


# ------------------------------------------------------------------------------- columns and splits


@pytest.mark.parametrize(
    ("columns", "proposed"),
    [
        (["imageB", "imageA"], ("imageA", "imageB")),
        (["image", "conditioning_image"], ("conditioning_image", "image")),
        (["before", "after"], ("before", "after")),
        (["pair"], ("pair",)),
        (["one", "two", "three"], ()),
        (["mask", "Input Image", "edited_image"], ("Input Image", "edited_image")),
    ],
)
def test_columns_are_proposed_by_their_names(columns: list[str], proposed: tuple) -> None:
    assert propose_columns(columns) == proposed


def test_splits_and_subsets_are_read_from_paths() -> None:
    names = ["data/train-00000-of-00002.parquet", "x/validation/0000.parquet", "dev.parquet",
        "latest.parquet", "faces/test-1.parquet", "default/train/0.parquet"]  # fmt: skip
    assert [split_of(name) for name in names] == ["train", "val", "val", "", "test", "train"]
    assert [subset_of(name) for name in names] == ["", "x", "", "", "faces", "default"]


def test_what_is_no_pair_is_said(pairs: list[Pair], tmp_path: Path) -> None:
    """Sound is no picture; photos alone are not cut in two; other columns are named."""
    file = tmp_path / "table.parquet"
    features = {"clip": {"_type": "Audio"}, "photo": {"_type": "Image"}}
    schema = pa.schema(
        [("clip", PICTURE), ("photo", PICTURE), ("text", pa.string())],
        metadata={b"huggingface": json.dumps({"info": {"features": features}}).encode()},
    )
    photo = {"bytes": pairs[0][3], "path": "1.png"}
    pq.write_table(pa.Table.from_pylist([{"photo": photo}], schema), file)
    table = local_table(file)
    assert image_columns(table) == ["photo"]
    with pytest.raises(UserError, match="one column of pictures, photo, which do not look like"):
        extract_pairs(table, tmp_path / "x")
    with pytest.raises(UserError, match="choose one or two of photo"):
        choose_columns(table, ("photo", "text"))
    assert extract_pairs(table, tmp_path / "x", derive="grey").kind == "derived"
    assert extract_pairs(table, tmp_path / "y", ("photo",)).kind == "dataset"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match="no table that can be read"):
        look_at(local_table(file))
    assert local_table(tmp_path / "nothing") is None


def test_several_tables_ask_which(pairs: list[Pair], tmp_path: Path) -> None:
    for subset in ("faces", "cats"):
        (tmp_path / subset).mkdir()
        (tmp_path / subset / "train.parquet").write_bytes(parquet(pairs[:4]))
    with pytest.raises(UserError, match="choose one of 'cats', 'faces'"):
        local_table(tmp_path)
    assert len(local_table(tmp_path, "cats").parts) == 1


def test_a_tar_of_pictures_is_no_table(pairs: list[Pair], tmp_path: Path) -> None:
    """Not even where names have dots. A table that is cut short is said to be."""
    cut = write_tar(tmp_path / "cut.tar", pairs[:30])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cut\.tar is damaged"):
        extract_pairs(local_table(cut), tmp_path / "into")
    file = tmp_path / "archive.tar"
    with tarfile.open(file, "w") as tar:
        for number, pair in enumerate(pairs[:6]):
            info = tarfile.TarInfo(f"side/f-00{number}.{number:02}.png")
            info.size = len(pair[2])
            tar.addfile(info, io.BytesIO(pair[2]))
    assert local_table(file) is None


def test_without_pyarrow_one_sentence_says_what_to_do(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").write_bytes(parquet(pairs[:2]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        look_at(local_table(tmp_path / "t.parquet"))


# ------------------------------------------------------------------------------------- the transfer


def test_names_are_safe_and_rows_without_pictures_are_refused(
    pairs: list[Pair], tmp_path: Path
) -> None:
    names = ["../../etc/x.png", "a.png", "A.jpg", "con.png", None, "c:\\d\\e f.png", "gap.png"]
    rows = [
        {"source": {"bytes": pair[2], "path": name}, "target": {"bytes": pair[3], "path": None}}
        for name, pair in zip(names, pairs)
    ]
    rows[-1]["target"]["bytes"] = None
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    inputs = extract_pairs(local_table(tmp_path / "t.parquet"), tmp_path / "into")
    found = sorted(file.stem for file in inputs.target.iterdir())
    assert found == ["000003", "000004", "A-000002", "a", "e_f", "x"]
    plan = make_plan(inputs)
    assert len(plan.pairs) == 6
    (refusal,) = plan.refused
    assert refusal.reason == "row 6 of t.parquet has no picture in target"


class Stop:
    """Stops after so many questions."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_stopped_transfer_goes_on_and_fetches_nothing_twice(
    hub: Any, pairs: list[Pair], tmp_path: Path
) -> None:
    content = parquet(pairs)
    hub.commit("ann/houses", {"train.parquet": content})
    heard: list[int] = []
    options = {"on_progress": lambda done, total: heard.append(done)}
    with pytest.raises(Cancelled):  # a stop is also asked for while files are listed
        pull_pairs("ann/houses", tmp_path, should_stop=Stop(60), **options)
    (notes,) = tmp_path.rglob("pairs.jsonl")
    done = len(notes.read_text().splitlines()) - 1
    assert 48 <= done <= 60
    with notes.open("a") as file:
        file.write('{"part": 0, "ro')  # a process that was killed while it wrote
    hub.ranges = 0
    inputs = pull_pairs("ann/houses", tmp_path, **options)
    assert hub.ranges < 0.85 * len(content)  # with two looks at the file's end of 64 KB each
    assert heard == sorted(heard) and heard[-1] == 1000
    files = {file.stem: file.read_bytes() for file in inputs.source.rglob("*.*")}
    assert files == {name: source for _, name, source, _ in pairs}


def test_a_limit_takes_the_first_and_fetches_little(
    hub: Any, pairs: list[Pair], tmp_path: Path
) -> None:
    content = parquet(pairs)
    hub.commit("ann/houses", {"train.parquet": content, "test.parquet": parquet(pairs[:5])})
    inputs = pull_pairs("ann/houses", tmp_path, limit=10)
    assert len([*inputs.source.glob("train/*")]) == 10 and len([*inputs.target.glob("test/*")]) == 5
    assert {f.stem for f in inputs.source.glob("train/*")} == {name for _, name, *_ in pairs[:10]}
    assert hub.ranges < 0.6 * len(content)


def test_a_look_shows_columns_rows_and_three_examples(
    hub: Any, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit("ann/houses", {"train.parquet": parquet(pairs, ("imageB", "imageA"))}, private=True)
    look = look_at_hub("ann/houses", token=READER)
    assert look.columns == ["imageB", "imageA"] and look.chosen == ("imageA", "imageB")
    assert look.counts == {"train": 100} and len(look.examples) == 3
    expected = Image.open(io.BytesIO(pairs[0][2])).convert("RGB")
    assert look.examples[0][1].tobytes() == expected.tobytes()
    swapped = look_at_hub("ann/houses", ("imageB", "imageA"), token=READER)
    assert swapped.examples[0] == look.examples[0][::-1]
    with pytest.raises(UserError, match="token"):
        look_at_hub("ann/houses")
    reading = hub_datasets.hub_table("ann/houses", token=READER)
    hub.forbidden = "train.parquet"
    with pytest.raises(Exception) as caught, hub_datasets.hub_errors("ann/houses", "read", READER):
        example_pairs(reading)
    assert isinstance(caught.value, UserError) and READER not in str(caught.value)


def test_pictures_in_splits_are_taken_before_tables(hub: Any, pairs: list[Pair]) -> None:
    files = {"pairs/train-00000.parquet": parquet(pairs[:4])}
    hub.commit("ann/ours", {**files, "train/1.png": pairs[0][2]})
    assert hub_datasets.hub_table("ann/ours") is None
    hub.commit("ann/theirs", {**files, "docs/preview.png": b"p"})
    assert hub_datasets.hub_table("ann/theirs") is not None


def test_webdataset_on_the_hub_is_streamed(hub: Any, pairs: list[Pair], tmp_path: Path) -> None:
    content = write_tar(tmp_path / "x.tar", pairs[:6]).read_bytes()
    hub.commit("ann/tars", {"train-0.tar": content, "train-1.tar": content})
    taken = pull_pairs("ann/tars", tmp_path, limit=4)
    files = {file.stem: file.read_bytes() for file in taken.target.rglob("*.*")}
    assert files == {name: target for _, name, _, target in pairs[:4]}


def test_a_limit_counts_pairs_not_rows(tmp_path: Path) -> None:
    rows = [(s, n, None if i < 2 else a, b) for i, (s, n, a, b) in enumerate(drawn(8))]
    (tmp_path / "t.parquet").write_bytes(parquet(rows))
    inputs = extract_pairs(local_table(tmp_path / "t.parquet"), tmp_path / "into", limit=3)
    assert sum(file.suffix == ".png" for file in inputs.source.rglob("*")) == 3


def test_rows_of_one_name_are_pairs_of_their_own(tmp_path: Path) -> None:
    names = ("a-000002", "a", "a", "b")
    rows = [(s, name, a, b) for name, (s, _, a, b) in zip(names, drawn(4))]
    (tmp_path / "t.parquet").write_bytes(parquet(rows))
    inputs = extract_pairs(local_table(tmp_path / "t.parquet"), tmp_path / "into")
    kept = {file.read_bytes() for file in inputs.source.rglob("*") if file.is_file()}
    assert kept == {source for _, _, source, _ in rows}


# ----------------------------------------------------------------------------------------- commands


@pytest.fixture()
def run(hub: Any, tmp_path: Path) -> Iterator[Any]:
    def call(script: str, *args: object) -> tuple[dict[str, Any], str]:
        command = [sys.executable, str(ROOT / "scripts" / script), *map(str, args)]
        own = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **own}
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    return call


def test_the_commands_take_tables(run: Any, hub: Any, pairs: list[Pair], tmp_path: Path) -> None:
    file = tmp_path / "houses.parquet"
    file.write_bytes(parquet(pairs[:12], ("b", "a")))
    options = ["--source", file, "--limit", 10, "--size", 48]
    made, told = run("build_dataset.py", *options, "--columns", "b,a", "--out", tmp_path / "d")
    assert made["pairs"] == 10 and "taken: b -> a (12 rows)" in told
    again = tmp_path / "again"
    run("build_dataset.py", "--rebuild", tmp_path / "d" / "dataset.json", "--source", file,
        "--out", again)  # fmt: skip
    for picture in (tmp_path / "d").rglob("*.png"):
        copy = again / picture.relative_to(tmp_path / "d")
        assert copy.read_bytes() == picture.read_bytes()

    hub.commit("huggan/facades", {"data/train-00000-of-00001.parquet": file.read_bytes()})
    out = tmp_path / "facades"
    fetched, _ = run("download_dataset.py", "hub:huggan/facades", "--out", out, "--columns", "b,a")
    assert (fetched["pairs"], fetched["train"], fetched["columns"]) == (12, 12, ["b", "a"])
    assert (out / "trainA" / "house_000.png").read_bytes() == pairs[0][2]  # not encoded anew
    assert (out / "trainB" / "house_003.jpg").read_bytes() == pairs[3][3]
    assert not [*tmp_path.glob(".table-*")]
