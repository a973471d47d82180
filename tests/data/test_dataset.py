"""Datasets of every layout are found, described, imported, and come back whole from an .npz."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.archive_readers import ArchiveLimits
from pix2pix.data.archives import pack_zip
from pix2pix.data.dataset import (
    PairFile,
    dataset_info,
    find_pairs,
    folder_ranges,
    list_datasets,
    locate_dataset,
    open_pair,
)
from pix2pix.data.importing import import_dataset
from pix2pix.data.layout import detect_layout, is_dataset
from pix2pix.data.npz import read_npz, write_npz
from pix2pix.data.report import read_dataset_json
from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.text import safe_name


def picture(seed: int, width: int = 16, height: int = 16) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def save(path: Path, image: Image.Image | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture(len(path.name))).save(path)
    return path


@pytest.fixture
def strips(tmp_path: Path) -> Path:
    """Three pairs to train and two to test, 16 x 12 each half, under `here/strips`."""
    folder = tmp_path / "here" / "strips"
    for split, count in (("train", 3), ("test", 2)):
        for i in range(count):
            save(folder / split / f"{i}.png", picture(i + 10 * count, 32, 12))
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        f.relative_to(folder).as_posix(): f.read_bytes() if f.is_file() else None
        for f in folder.rglob("*")
    }


def pixels(file: PairFile) -> list[bytes]:
    return [side.convert("RGB").tobytes() for side in open_pair(file)]


# ------------------------------------------------------------------------------ finding, describing


def test_a_strip_is_cut_in_the_middle_and_two_files_are_taken_as_they_are(tmp_path: Path) -> None:
    strip = picture(0, 20, 8)
    a, b = open_pair(PairFile("0", save(tmp_path / "0.png", strip)))
    assert a.tobytes() == strip.crop((0, 0, 10, 8)).tobytes()
    assert b.tobytes() == strip.crop((10, 0, 20, 8)).tobytes()
    odd = save(tmp_path / "odd.png", picture(1, 15, 8))
    a, b = open_pair(PairFile("0", tmp_path / "0.png", odd))
    assert (a.size, b.size) == ((20, 8), (15, 8))
    for bad in (odd, save(tmp_path / "thin.png", picture(1, 1, 8))):
        with pytest.raises(UserError, match=f"{bad.name} is .* wide and cannot be cut"):
            open_pair(PairFile("odd", bad))


def test_the_layouts_of_others_are_read_and_imported(tmp_path: Path) -> None:
    label, photo = picture(1, 8, 8), picture(2, 8, 8)
    for name, (a, b) in {
        "hd": ("{}_label", "{}_img"), "turbo": ("{}_A", "{}_B"), "inside": ("{}/images", "{}/masks")
    }.items():  # fmt: skip
        for split in ("train", "validation"):
            save(tmp_path / name / a.format(split) / "caf\u00e9.png", label)
            save(tmp_path / name / b.format(split) / "cafe\u0301.bmp", photo)
        made = import_dataset(tmp_path / name, tmp_path / "root", name)
        for folder in (tmp_path / name, made):
            assert [find_pairs(folder, s) for s in ("val", "test")][1] == []
            for split in ("train", "val"):
                (pair,) = find_pairs(folder, split)
                assert pixels(pair) == [label.tobytes(), photo.tobytes()]


def test_equal_stems_are_ambiguous_in_training_and_left_out_by_name_in_importing(
    tmp_path: Path,
) -> None:
    for side in "AB":
        for name in ("0.png", "0.jpg", "1.png"):
            save(tmp_path / "a" / f"train{side}" / name)
    with pytest.raises(UserError, match="'0' is there several times"):
        find_pairs(tmp_path / "a", "train")
    made = import_dataset(tmp_path / "a", tmp_path / "root", "a")
    assert [pair.name for pair in find_pairs(made, "train")] == ["1"]
    refused = {r["file"] for r in read_dataset_json(made)["refused"]}
    assert refused == {f"train{side}/0.{end}" for side in "AB" for end in ("png", "jpg")}


def test_the_dataset_of_a_moved_workspace_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path / "new"))
    old, new = (tmp_path / w / "datasets" / "faces" for w in ("old", "new"))
    outside = tmp_path / "data" / "faces"
    with pytest.raises(UserError, match="'faces' is neither in the workspace nor where it was"):
        locate_dataset(old)
    save(old / "train" / "0.png")
    assert locate_dataset(old) == old
    save(new / "train" / "0.png")
    assert locate_dataset(old) == old, "another of its name is no copy"
    assert locate_dataset(outside) == new
    for place in (old, new):
        (place / "dataset.json").write_text('{"title": "Faces"}')
    assert locate_dataset(old) == new
    (new / "dataset.json").write_text('{"title": "Houses"}')
    assert locate_dataset(old) == old
    save(outside / "train" / "0.png")
    assert locate_dataset(outside) == outside, "a run goes on with the dataset that it began with"


def test_a_folder_of_datasets_is_listed_by_name_whatever_else_is_in_it(
    tmp_path: Path, strips: Path
) -> None:
    root = strips.parent
    shutil.copytree(strips, root / "Another")
    shutil.copytree(strips, root / ".unfinished-x")
    for side in "AB":
        save(root / "folders" / f"val{side}" / "x.png")
    save(root / "one-side" / "trainA" / "x.png")
    save(root / "loose.png")
    (root / "empty" / "train").mkdir(parents=True)
    (root / "train-is-a-file").mkdir()
    (root / "train-is-a-file" / "train").write_text("x")
    assert list(list_datasets(root).items()) == [
        (name, root / name) for name in ("Another", "folders", "strips")
    ]
    assert list_datasets(root / "missing") == list_datasets(root / "loose.png") == {}
    assert is_dataset(strips) and not is_dataset(root)


def test_a_description_counts_and_measures(strips: Path, tmp_path: Path) -> None:
    said = dataset_info(strips)
    assert said.counts == {"train": 3, "val": 0, "test": 2} and said.total == 5
    assert (said.layout, said.size, said.name, said.title) == ("strips", (16, 12)) + ("strips",) * 2
    assert (said.source_name, said.target_name) == ("A", "B")
    names = {"title": "Façades", "source_name": "labels", "target_name": "photo"}
    (strips / "dataset.json").write_text(json.dumps(names), encoding="utf-8")
    said = dataset_info(strips)
    assert (said.title, said.source_name, said.target_name) == ("Façades", "labels", "photo")

    save(tmp_path / "two" / "trainA" / "x.png", picture(0, 7, 9))
    with pytest.raises(UserError, match="trainA and trainB") as caught:
        save(tmp_path / "two" / "trainB" / "y.png")
        dataset_info(tmp_path / "two")
    assert "'x' is in one only" in str(caught.value)
    shutil.move(tmp_path / "two" / "trainB" / "y.png", tmp_path / "two" / "trainB" / "x.png")
    said = dataset_info(tmp_path / "two")
    assert (said.layout, said.size, said.total) == ("folders", (7, 9), 1)


JUNK: dict[str, bytes] = {
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "deep": b"[" * 200_000,
    "endless number": b'{"title": 1' + b"0" * 10_000 + b"}",
    "wrong types": b'{"title": 3, "source_name": null, "target_name": ["B"], "refused": 7}',
    "blank": b'{"title": "  ", "source_name": ""}',
    "nearly too deep": b'{"title": ' + b"[" * 900 + b"]" * 900 + b"}",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_in_dataset_json_is_as_if_it_were_not_there(
    tmp_path: Path, strips: Path, junk: bytes
) -> None:
    (strips / "dataset.json").write_bytes(junk)
    said = dataset_info(strips)
    assert (said.title, said.source_name, said.target_name) == ("strips", "A", "B")
    made = import_dataset(strips, tmp_path / "root", "copy")
    assert dataset_info(made).total == read_dataset_json(made)["counts"]["pairs"] == 5


def test_what_cannot_be_printed_is_not_shown(tmp_path: Path, strips: Path) -> None:
    (strips / "dataset.json").write_text(
        json.dumps({"title": "a\nb\ud800\u202ec", "source_name": "x" * 999})
    )
    said = dataset_info(strips)
    assert said.title == "a?b??c" and len(said.source_name) == 120
    assert dataset_info(import_dataset(strips, tmp_path / "root", "copy")).total == 5


def test_a_damaged_first_picture_has_no_size(strips: Path) -> None:
    (strips / "train" / "0.png").write_bytes(b"no picture")
    assert dataset_info(strips).size is None and dataset_info(strips).total == 5


FOLDERS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "dataset": (["train/0.png"], ("dataset", "")),
    "dataset with more": (["train/0.png", "val/0.png", "preview.png"], ("dataset", "")),
    "dataset in wrappers": (["a/b/c/trainA/0.png", "a/b/c/trainB/0.png"], ("dataset", "a/b/c")),
    "wrapper beside others": (["x/train/0.png", "doc/a.txt", "__MACOSX/x.png"], ("dataset", "x")),
    "two folders": (["photos/0.jpg", "sketches/0.png"], ("pair", "", "photos", "sketches")),
    "A and B": (["B/0.png", "A/0.png"], ("pair", "", "A", "B")),
    "input, output": (["x/output/0.png", "x/input/0.png"], ("pair", "x", "input", "output")),
    "target, source": (["target/0.png", "Source/0.png"], ("pair", "", "Source", "target")),
    "pair of splits": (
        ["A/train/0.png", "A/val/1.png", "B/train/0.png"], ("pair", "", "A", "B"),
    ),
    "pair and a preview": (["a/0.png", "b/0.png", "look.png"], ("pair", "", "a", "b")),
    "train_A, train_B": (["train_A/0.png", "train_B/0.png", "test_A/1.png"], ("dataset", "")),
    "pix2pixHD": (["s/train_img/0.png", "s/train_label/0.png"], ("dataset", "s")),
    "sides in splits": (["train/images/0.png", "train/masks/0.png"], ("dataset", "")),
    "splits in sides": (["img/Valid/0.png", "masks/valid/0.png"], ("pair", "", "img", "masks")),
    "two trees of tiles": (
        ["sat/14/82/5.png", "map/14/82/5.png", "map/14/83/5.png"], ("pair", "", "map", "sat"),
    ),
    "photos": (["0.png", "1.jpg"], ("photos", "")),
    "photos in a wrapper": (["x/y/0.png", "readme.md"], ("photos", "x/y")),
    "photos beside one folder": (["0.png", "x/1.png"], ("photos", "")),
}  # fmt: skip
NOTHING = {
    "empty": [],
    "three folders": ["a/0.png", "b/0.png", "c/0.png"],
    "no pictures": ["a/0.txt"],
    "too deep": ["a/b/c/d/e/0.png"],
    "one tree of tiles": ["14/82/5.png", "15/164/10.png"],
    "trees of two splits": ["training/a/1.png", "testing/a/2.png"],
    "hidden": [".a/0.png", "__MACOSX/0.png"],
    "two splits of one side": ["trainA/0.png", "testA/0.png"],
}


def lay_out(root: Path, files: list[str]) -> Path:
    root.mkdir()
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"only names are looked at")
    return root


@pytest.mark.parametrize(("files", "wanted"), FOLDERS.values(), ids=FOLDERS)
def test_what_a_folder_holds_is_told(
    tmp_path: Path, files: list[str], wanted: tuple[str, ...]
) -> None:
    root = lay_out(tmp_path / "x", files)
    found = detect_layout(root)
    kind, inner, *sides = wanted
    assert (found.kind, found.root) == (kind, root / inner)
    assert [found.source, found.target] == ([root / inner / s for s in sides] or [None, None])


@pytest.mark.parametrize("files", NOTHING.values(), ids=NOTHING)
def test_a_folder_of_something_else_is_a_sentence(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(UserError, match="neither a dataset nor pairs"):
        detect_layout(lay_out(tmp_path / "x", files))


# --------------------------------------------------------------------------------------- importing


def packed(folder: Path, file: Path) -> Path:
    if file.suffix == ".zip":
        pack_zip(folder.parent, file)  # with the folder around it
    else:
        with tarfile.open(file, "w:gz") as made:
            made.add(folder, folder.name)
    return file


@pytest.mark.parametrize("kind", ["folder", "zip", "tgz"])
def test_a_dataset_is_imported_as_it_is(tmp_path: Path, strips: Path, kind: str) -> None:
    (strips / "LICENSE.txt").write_text("free")
    before = tree(strips.parent)
    thing = strips if kind == "folder" else packed(strips, tmp_path / f"a.{kind}")
    heard: list[tuple[int, int]] = []
    root = tmp_path / "root"
    made = import_dataset(thing, root, " My set-1.0 ", on_progress=lambda *now: heard.append(now))
    assert made == root / "My set-1.0" and [*root.iterdir()] == [made]
    after = tree(made)
    info = json.loads(after.pop("dataset.json"))
    assert {f"strips/{k}": v for k, v in after.items()} == {
        k: v for k, v in before.items() if k != "strips"
    }
    assert info == {
        "format_version": 1, "title": "My set-1.0", "source_name": "A", "target_name": "B",
        "rule": "as found", "counts": {"pairs": 5, "train": 3, "val": 0, "test": 2}, "refused": [],
    }  # fmt: skip
    assert tree(strips.parent) == before
    assert heard == sorted(heard) and heard[-1][0] == heard[-1][1]


def test_two_folder_datasets_are_imported_and_keep_what_is_said_of_them(tmp_path: Path) -> None:
    for name in ("x", "y"):
        save(tmp_path / "a" / "trainA" / f"{name}.png")
        save(tmp_path / "a" / "trainB" / f"{name}.jpg")
    (tmp_path / "a" / "trainB" / "y.jpg").write_bytes(b"\xff\xd8\xff broken")
    said = {"source_name": "map", "extra": [1], "refused": [{"file": "old"}], "counts": "many"}
    (tmp_path / "a" / "dataset.json").write_text(json.dumps(said))
    made = import_dataset(tmp_path / "a", tmp_path / "root", "a")
    assert {f.relative_to(made).as_posix() for f in made.rglob("*.*")} == {
        "trainA/x.png", "trainB/x.jpg", "dataset.json",
    }  # fmt: skip
    info = read_dataset_json(made)
    assert (info["source_name"], info["target_name"], info["extra"]) == ("map", "B", [1])
    assert info["counts"] == {"pairs": 1, "train": 1, "val": 0, "test": 0}
    assert info["refused"][0] == {"file": "old"}
    assert info["refused"][1]["file"] == "trainA/y.png"
    assert "y.jpg is no image" in info["refused"][1]["reason"]


def test_pictures_that_cannot_be_used_are_left_out_with_their_reasons(
    tmp_path: Path, strips: Path
) -> None:
    save(strips / "train" / "odd.png", picture(0, 31, 12))
    whole = (strips / "test" / "1.png").read_bytes()
    (strips / "test" / "1.png").write_bytes(whole[: len(whole) // 2])
    made = import_dataset(packed(strips, tmp_path / "a.zip"), tmp_path / "root", "a")
    info = read_dataset_json(made)
    assert info["counts"] == {"pairs": 4, "train": 3, "val": 0, "test": 1}
    reasons = {refused["file"]: refused["reason"] for refused in info["refused"]}
    assert reasons.keys() == {"train/odd.png", "test/1.png"}
    assert "31 pixels wide" in reasons["train/odd.png"] and "damaged" in reasons["test/1.png"]
    assert dataset_info(made).total == 4 and not (made / "train" / "odd.png").exists()


def test_what_cannot_be_imported_leaves_nothing(tmp_path: Path, strips: Path) -> None:
    root = tmp_path / "root"
    import_dataset(strips, root, "Taken")
    pairs = tmp_path / "pairs"
    save(pairs / "a" / "0.png")
    save(pairs / "b" / "0.png")
    bad = tmp_path / "bad"
    save(bad / "train" / "0.png", picture(0, 5, 5))
    (tmp_path / "text.npz").write_text("no archive")
    before = tree(root)
    for thing, name, word in (
        (strips, "TAKEN", "already"),
        (strips, "../up", "is no name"),
        (pairs, "new", "no A|B pairs yet"),
        (bad, "new", "No pair of 1 can be used: 0.png is 5 pixels wide"),
        (packed(pairs, tmp_path / "pairs.tgz"), "new", "pairs.tgz holds pictures that are no"),
        (tmp_path / "missing.zip", "new", "missing.zip cannot be read"),
        (tmp_path / "text.npz", "new", "text.npz is damaged"),
    ):
        with pytest.raises(UserError) as caught:
            import_dataset(thing, root, name)
        assert word in str(caught.value)
        assert tree(root) == before


@pytest.mark.parametrize("kind", ["folder", "zip", "npz"])
def test_an_import_stopped_at_any_moment_leaves_nothing(
    tmp_path: Path, strips: Path, kind: str
) -> None:
    thing = strips
    if kind == "zip":
        thing = packed(strips, tmp_path / "a.zip")
    elif kind == "npz":
        write_npz(strips, thing := tmp_path / "a.npz", size=16)
    root = tmp_path / "root"
    for patience in range(200):
        left = iter(range(patience))
        try:
            import_dataset(thing, root, "a", should_stop=lambda left=left: next(left, None) is None)
        except Cancelled:
            assert not root.exists() or not list(root.iterdir())
        else:
            assert patience >= 5
            return
    pytest.fail("it never ended")


GOOD_NAMES = ["a", "Façades 2", "maps-256.v2", "x" * 64, "0", "日本"]
BAD_NAMES = ["", " ", ".", "..", "a/b", "a\\b", "../a", "/a", "a.", ".a", "-a", "x" * 65, "a\0"]
BAD_NAMES += ["con", "Aux.v1", "a:b", "a\nb", "a?", "C:", "日" * 64 + "本", "a\u202eb", "~"]


def test_names_are_good_on_every_system_or_refused() -> None:
    assert [safe_name(name) for name in GOOD_NAMES] == GOOD_NAMES
    assert safe_name(" e\u0301te\u0301 ") == "été"
    for name in BAD_NAMES:
        with pytest.raises(UserError, match="is no name that every disk"):
            safe_name(name)


# --------------------------------------------------------------------------------------------- npz


def test_an_npz_is_what_numpy_reads_and_comes_back_pixel_for_pixel(
    tmp_path: Path, strips: Path
) -> None:
    for i in range(3):
        save(strips / "train" / f"{i}.png", picture(i, 512, 256))
    for i in range(2):
        save(strips / "test" / f"{i}.png", picture(9 + i, 512, 256).convert("L"))
    heard: list[tuple[int, int]] = []
    file = tmp_path / "a.npz"
    assert write_npz(strips, file, on_progress=lambda *now: heard.append(now)) == 5
    assert heard == [(i, 10) for i in range(1, 11)]
    files = find_pairs(strips, "train") + find_pairs(strips, "test")
    with np.load(file, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["arr_0", "arr_1"]
        for side in (0, 1):
            array = arrays[f"arr_{side}"]
            assert array.dtype == np.uint8 and array.shape == (5, 256, 256, 3)
            assert [row.tobytes() for row in array] == [pixels(f)[side] for f in files]
    with zipfile.ZipFile(file) as entries:
        assert {info.compress_type for info in entries.infolist()} == {zipfile.ZIP_DEFLATED}
    again = find_pairs(import_dataset(file, tmp_path / "root", "again"), "train")
    assert [f.name for f in again] == [f"0000{i}" for i in range(5)]
    assert [pixels(f) for f in again] == [pixels(f) for f in files]

    first = file.read_bytes()
    assert write_npz(strips, file) == 5 and file.read_bytes() == first
    assert write_npz(strips, file, split="test") == 2
    with np.load(file) as arrays:
        assert arrays["arr_1"].shape == (2, 256, 256, 3)


def test_other_sizes_are_scaled_and_label_maps_keep_their_colours(
    tmp_path: Path, strips: Path
) -> None:
    colours = np.array([[0, 255], [90, 30]], np.uint8).repeat(5, 0).repeat(16, 1)
    for i in range(3):
        save(strips / "train" / f"{i}.png", Image.fromarray(colours).convert("RGB"))

    def values(labels: Any) -> list[int]:
        (strips / "dataset.json").write_text(json.dumps({"label_maps": labels}))
        write_npz(strips, tmp_path / "a.npz", size=23, split="train")
        with np.load(tmp_path / "a.npz") as arrays:
            return [len(np.unique(arrays[f"arr_{side}"])) for side in (0, 1)]

    mixed = values([False, False])
    assert min(mixed) > 2 and values("junk") == values([1, 1]) == mixed
    assert values([True, False]) == [2, mixed[1]] and values([True, True]) == [2, 2]


def test_an_unreadable_pair_leaves_the_old_npz(tmp_path: Path, strips: Path) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(b"old")
    (strips / "test" / "1.png").write_bytes(b"no picture")
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"1\.png is no image"):
        write_npz(strips, file)
    with pytest.raises(UserError, match="no pairs there"):
        write_npz(strips, file, split="val")
    with pytest.raises(Cancelled):
        write_npz(strips, file, should_stop=lambda: True)
    assert tree(tmp_path) == before


SHAPE = (4, 6, 8, 3)
GREY = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
FORMS = {  # what an array holds, as 0 to 255
    "uint8": (lambda v: v, (6, 8, 3)),
    "0 to 255": (lambda v: v.astype(np.float32), (6, 8, 3)),
    "0 to 1": (lambda v: v / 255.0, (6, 8, 3)),
    "-1 to 1": (lambda v: (v / 127.5 - 1).astype(np.float32), (6, 8, 3)),
    "half precision": (lambda v: (v / 255.0).astype(np.float16), (6, 8, 3)),
    "big-endian": (lambda v: (v / 127.5 - 1).astype(">f8"), (6, 8, 3)),
    "one channel": (lambda v: v[..., :1], (6, 8)),
    "no channel": (lambda v: v[..., 0] / 255.0, (6, 8)),
}


@pytest.mark.parametrize(("form", "shape"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("store", [np.savez, np.savez_compressed])
def test_arrays_of_every_kind_are_read(tmp_path: Path, store: Any, form: Any, shape: Any) -> None:
    store(tmp_path / "a.npz", form(GREY), form(GREY[::-1]))
    made = read_npz(tmp_path / "a.npz", tmp_path / "made")
    assert read_dataset_json(made)["counts"] == {"pairs": 4, "train": 4, "val": 0, "test": 0}
    for i, file in enumerate(find_pairs(made, "train")):
        for side, values in zip(open_pair(file), (GREY[i], GREY[3 - i])):
            array = np.asarray(side)
            assert array.shape == shape
            assert np.array_equal(array, values[..., 0] if array.ndim == 2 else values)


@pytest.mark.parametrize("dtype", ["int16", "float32", "uint32"])
def test_arrays_of_other_numbers_have_one_range_each(tmp_path: Path, dtype: str) -> None:
    depth = (GREY[..., 0].astype(np.int64) * 30 + 400).astype(dtype)
    np.savez(tmp_path / "a.npz", GREY, depth)
    made = read_npz(tmp_path / "a.npz", tmp_path / "made")
    low, high = int(depth.min()), int(depth.max())
    assert read_dataset_json(made)["ranges"] == {"source": [0, 255], "target": [low, high]}
    for values, file in zip(depth, find_pairs(made, "train")):
        expected = (values.astype(float) - low) / (high - low) * 255
        seen = np.asarray(open_pair(file)[1])[..., 0]
        assert np.abs(seen - expected).max() <= 0.51
    side = folder_ranges(made)["target"]
    assert (side.low, side.high, side.numbers, side.channels) == (low, high, dtype, 1)


def bad_arrays() -> dict[str, tuple[tuple[Any, ...], str]]:
    nan = np.full(SHAPE, 0.5)
    nan[1, 2, 3, 0] = np.nan
    return {
        "one array": ((GREY,), "needs arr_0 and arr_1"),
        "other counts": ((GREY, GREY[:2]), "as many pictures of one size"),
        "other sizes": ((GREY, GREY[:, :2]), "as many pictures of one size"),
        "objects": ((np.array([{}, []], object), GREY), "save uint8 or floats"),
        "complex": ((GREY.astype(complex), GREY), "save uint8 or floats"),
        "channels first": ((GREY.transpose(0, 3, 1, 2),) * 2, "another shape"),
        "columns": ((np.asfortranarray(GREY),) * 2, "another shape"),
        "one picture": ((GREY[0, 0], GREY), "another shape"),
        "none": ((GREY[:0], GREY[:0]), "another shape"),
        "large": ((np.zeros((1, 4097, 4097), np.uint8),) * 2, "pixels"),
        "NaN": ((nan, GREY), "from nan to nan"),
        "infinite": ((np.full(SHAPE, np.inf), GREY), "inf"),
    }


@pytest.mark.parametrize("name", bad_arrays())
def test_other_arrays_are_refused(tmp_path: Path, name: str) -> None:
    arrays, word = bad_arrays()[name]
    np.savez(tmp_path / "a.npz", *arrays)
    with pytest.raises(UserError) as caught:
        read_npz(tmp_path / "a.npz", tmp_path / "made")
    assert word in str(caught.value) and str(caught.value).startswith("a.npz")
    assert [f.name for f in tmp_path.iterdir()] == ["a.npz"]


def npy(shape: str, descr: str = "|u1", body: bytes = b"", version: bytes = b"\1\0") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(head).to_bytes(2, "little") + head + body


HEADS = {
    "no pickle is opened": npy("(2,)", "|O", b"cos\nsystem\n(S'touch made'\ntR."),
    "a bomb": npy("(9000000, 256, 256, 3)", body=bytes(10)),
    "more numbers than bytes": npy("(2, 6, 8, 3)", body=bytes(10)),
    "more bytes than numbers": npy("(1, 6, 8, 3)", body=bytes(1000)),
    "a huge picture": npy("(1, 100000, 100000, 3)"),
    "negative": npy("(-1, 6, 8, 3)"),
    "not a tuple": npy("'train'"),
    "an endless head": b"\x93NUMPY\2\0\xff\xff\xff\xff" + b"{" * 100_000,
    "a head of the future": npy("(1, 1, 1, 3)", version=b"\x09\0"),
    "code": npy("__import__('os').mkdir('made')"),
    "nothing": b"",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_that_lie_are_refused(
    tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("arr_0.npy", head)
        made.writestr("arr_1.npy", head)
    with pytest.raises(UserError, match=r"^a\.npz .*\.$"):
        read_npz(Path("a.npz"), Path("made"))
    assert os.listdir() == ["a.npz"]


def test_an_endless_head_takes_no_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("arr_0.npy", b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            read_npz(tmp_path / "a.npz", tmp_path / "made")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", GREY, GREY)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.rindex(GREY[-1].tobytes())] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_npz(tmp_path / "a.npz", tmp_path / "made")


def test_the_limits_of_archives_hold_for_arrays(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", *[np.zeros((40, 256, 256, 3), np.uint8)] * 2)
    limits = ArchiveLimits(ratio_from=10**6)
    with pytest.raises(UserError, match="200 times its size"):
        read_npz(tmp_path / "a.npz", tmp_path / "made", limits=limits)
    buffer = io.BytesIO((tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(buffer, "a") as made:
        for i in range(20):
            made.writestr(f"{i}.npy", b"")
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="more than 21 entries"):
        read_npz(tmp_path / "a.npz", tmp_path / "made", limits=ArchiveLimits(entries=21))
    assert not (tmp_path / "made").exists()
