"""Building: the right pixels in the right split, all or nothing, and the same bytes again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.build import build, build_dataset
from pix2pix.data.plan import make_plan
from pix2pix.data.rebuild import rebuild
from pix2pix.data.records import Inputs, Recipe
from pix2pix.data.sources import derive_source
from pix2pix.errors import Cancelled, UserError
from tests.support.drawn_pairs import draw_folders, drawn_pair

ROOT = Path(__file__).resolve().parents[2]
ALL = (1.0, 0.0, 0.0)


def built(source: Path, target: Path | None, out: Path, derive: str = "", **recipe: object) -> dict:
    plan = make_plan(Inputs(source, target, derive=derive))
    return build(plan, Recipe(**{"size": 64, "split": ALL, **recipe}), out)


def halves(file: Path) -> tuple[np.ndarray, np.ndarray]:
    strip = np.asarray(Image.open(file))
    middle = strip.shape[1] // 2
    return strip[:, :middle], strip[:, middle:]


def tree(folder: Path) -> dict[str, str]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def only(folder: Path) -> Path:
    (file,) = (folder / "train").iterdir()
    return file


def a_pair(folder: Path, source: Image.Image, target: Image.Image, suffix: str = "png") -> tuple:
    for name, image in (("a", source), ("b", target)):
        (folder / name).mkdir()
        image.save(folder / name / f"1.{suffix}")
    return folder / "a", folder / "b"


# ---------------------------------------------------------------------------------------- pixels


def test_label_maps_keep_their_colours_and_photos_are_antialiased(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    made = built(source, target, tmp_path / "out")
    assert made["label_maps"] == [True, False]
    for number in range(3):
        label, photo = halves(tmp_path / "out" / "train" / f"{number}.png")
        a, b = Image.open(source / f"{number}.png"), Image.open(target / f"{number}.jpg")
        np.testing.assert_array_equal(
            label, np.asarray(a.resize((64, 64), Image.Resampling.NEAREST))
        )
        np.testing.assert_array_equal(
            photo, np.asarray(b.resize((64, 64), Image.Resampling.BICUBIC))
        )


def test_fits(tmp_path: Path) -> None:
    _, photo = drawn_pair(1, 200, 100)
    source, target = a_pair(tmp_path, photo, photo)
    expected = {
        "stretch": photo.resize((64, 64), Image.Resampling.BICUBIC),
        "crop": photo.crop((50, 0, 150, 100)).resize((64, 64), Image.Resampling.BICUBIC),
        "pad": Image.new("RGB", (64, 64), "white"),
    }
    expected["pad"].paste(photo.resize((64, 32), Image.Resampling.BICUBIC), (0, 16))
    for fit, picture in expected.items():
        built(source, target, tmp_path / fit, fit=fit)
        for half in halves(only(tmp_path / fit)):
            np.testing.assert_array_equal(half, np.asarray(picture))


def test_without_a_size_pictures_stay_as_they_are(tmp_path: Path) -> None:
    label, photo = drawn_pair(1, 90, 50)
    built(*a_pair(tmp_path, label, photo), tmp_path / "out", size=0)
    a, b = halves(only(tmp_path / "out"))
    np.testing.assert_array_equal(a, np.asarray(label))
    np.testing.assert_array_equal(b, np.asarray(photo))


def test_tiles_cover_a_mosaic_and_stay_in_one_split(tmp_path: Path) -> None:
    for number in range(4):
        for name, image in zip("ab", drawn_pair(number, 150, 128)):
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / f"m{number}.png")
    plan = make_plan(Inputs(tmp_path / "a", tmp_path / "b"))
    made = build(plan, Recipe(size=64, fit="tiles", split=(0.5, 0.25, 0.25)), tmp_path / "out")
    assert made["counts"] == {"pairs": 24, "train": 12, "val": 6, "test": 6}
    for pair in made["pairs"]:
        mosaics = [np.asarray(Image.open(tmp_path / s / pair["source"])) for s in "ab"]
        covered = np.zeros(mosaics[0].shape[:2], bool)
        names = [f"r{row:02}c{column:02}" for row in range(2) for column in range(3)]
        assert [f["file"].rpartition("-")[2] for f in pair["files"]] == [f"{n}.png" for n in names]
        for file, (top, left) in zip(pair["files"], [(r, c) for r in (0, 64) for c in (0, 43, 86)]):
            assert file["file"].startswith(pair["split"] + "/")
            for half, mosaic in zip(halves(tmp_path / "out" / file["file"]), mosaics):
                np.testing.assert_array_equal(half, mosaic[top : top + 64, left : left + 64])
            covered[top : top + 64, left : left + 64] = True
        assert covered.all()


def test_a_mosaic_smaller_than_a_tile_is_refused_and_the_rest_is_built(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    for file in (source / "1.png", target / "1.jpg"):
        Image.open(file).resize((50, 50)).save(file)
    made = built(source, target, tmp_path / "out", fit="tiles")
    assert [r["file"] for r in made["refused"]] == ["1.png"]
    assert "smaller than a tile of 64" in made["refused"][0]["reason"]
    assert made["counts"]["pairs"] == 8


def test_sixteen_bits_and_grey_are_kept_when_asked(tmp_path: Path) -> None:
    depth = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    grey = Image.fromarray((depth >> 8).astype(np.uint8))
    folders = a_pair(tmp_path, Image.fromarray(depth), grey)
    built(*folders, tmp_path / "kept", keep=True)
    a, b = halves(only(tmp_path / "kept"))
    np.testing.assert_array_equal(a, depth)
    np.testing.assert_array_equal(b, np.asarray(grey).astype(np.uint16) * 257)
    built(*folders, tmp_path / "plain")
    assert Image.open(only(tmp_path / "plain")).mode == "RGB"


def test_alpha_is_kept_when_asked_and_white_when_not(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    folders = a_pair(tmp_path, clear, drawn_pair(1, 64, 64)[1])
    built(*folders, tmp_path / "kept", keep=True, labels="none")
    a, b = halves(only(tmp_path / "kept"))
    assert (a == (255, 0, 0, 0)).all() and (b[..., 3] == 255).all()
    built(*folders, tmp_path / "plain", labels="none")
    assert (halves(only(tmp_path / "plain"))[0] == 255).all()


def test_the_source_is_derived_at_the_final_size(tmp_path: Path) -> None:
    _, photos = draw_folders(tmp_path, 2, target="{}.jpg")
    for how in ("grey", "lines", "small", "holes"):
        built(photos, None, tmp_path / how, derive=how)
        a, b = halves(tmp_path / how / "train" / "0.png")
        photo = Image.open(photos / "0.jpg").resize((64, 64), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(b, np.asarray(photo))
        np.testing.assert_array_equal(a, np.asarray(derive_source(photo, how, "0").convert("RGB")))


def test_strips_are_split_anew_without_changing_a_pixel(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 8)
    built(source, target, tmp_path / "first")
    built(tmp_path / "first", None, tmp_path / "second", split=(0.5, 0.25, 0.25))
    first = {f.name: f.read_bytes() for f in (tmp_path / "first").rglob("*.png")}
    second = {f.name: f.read_bytes() for f in (tmp_path / "second").rglob("*.png")}
    assert first == second
    assert len(list((tmp_path / "second" / "val").iterdir())) == 2


def test_strips_in_one_folder_are_split_by_chance_and_others_stay_in_their_splits(
    tmp_path: Path,
) -> None:
    built(*draw_folders(tmp_path, 10), tmp_path / "first", split=(1.0, 0.0, 0.0))
    counts = {}
    for name, folder in {"flat": tmp_path / "first" / "train", "split": tmp_path / "first"}.items():
        counts[name] = built(folder, None, tmp_path / name, split=None)["counts"]
    assert counts["flat"] == {"pairs": 10, "train": 8, "val": 1, "test": 1}
    assert counts["split"] == {"pairs": 10, "train": 10, "val": 0, "test": 0}


@pytest.mark.parametrize(
    ("name", "value"),
    [("strips", "gaps"), ("pages", "every"), ("target_alpha", "x"), ("source_classes", "colors")],
)
def test_a_misspelt_word_for_how_files_are_read_is_refused(
    name: str, value: str, tmp_path: Path
) -> None:
    source, target = draw_folders(tmp_path, 1)
    with pytest.raises(UserError, match=f"{name.replace('_', '-')}={value}.*check its spelling"):
        build_dataset(source, target, tmp_path / "out", **{name: value})
    assert not (tmp_path / "out").exists()


def test_jpeg_is_for_pictures_and_not_for_label_maps(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 2)
    with pytest.raises(UserError, match="sources are label maps"):
        built(source, target, tmp_path / "out", format="jpg")
    built(source, target, tmp_path / "out", format="jpg", labels="none")
    assert {f.suffix for f in (tmp_path / "out" / "train").iterdir()} == {".jpg"}


def test_names_never_collide(tmp_path: Path) -> None:
    names = ["x/1.png", "x_1.png", "X_1-2.png", "y 1.png", "y_1.png"]
    for number, name in enumerate(names):
        for side, image in zip("ab", drawn_pair(number, 64, 64)):
            (tmp_path / side / name).parent.mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / side / name)
    made = built(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    files = [f["file"] for p in made["pairs"] for f in p["files"]]
    assert len({f.casefold() for f in files}) == 5
    assert sorted(files) == sorted(f"train/{f.name}" for f in (tmp_path / "out/train").iterdir())


def test_doubtful_pairs_are_left_out_when_asked(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    Image.open(target / "1.jpg").resize((96, 60)).save(target / "1.jpg")
    made = built(source, target, tmp_path / "out", leave_out=("aspect",))
    assert made["counts"]["pairs"] == 2
    assert [(r["file"], r["kind"]) for r in made["refused"]] == [("1.png", "aspect")]


def test_of_a_source_in_two_pairs_the_doubtful_one_is_left_out(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.png")
    Image.open(target / "0.png").resize((96, 60)).save(target / "flat.png")
    rows = ["0.png,0.png", "0.png,flat.png", "1.png,1.png", "2.png,2.png"]
    plan = make_plan(Inputs(source, target, match="csv", table="\n".join(rows)))
    made = build(plan, Recipe(size=64, split=ALL, leave_out=("aspect",)), tmp_path / "out")
    assert [(p["source"], p["target"]) for p in made["pairs"]] == [
        (f"{n}.png", f"{n}.png") for n in range(3)
    ]
    assert [(r["file"], r["target"]) for r in made["refused"]] == [("0.png", "flat.png")]


def test_long_names_of_any_script_fit_the_disk(tmp_path: Path) -> None:
    for side, image in zip("ab", drawn_pair(0, 64, 64)):
        (tmp_path / side / ("図" * 80)).mkdir(parents=True)
        image.save(tmp_path / side / ("図" * 80) / f"{'面' * 80}.png")
    made = built(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert made["counts"]["pairs"] == 1 and len([*(tmp_path / "out").rglob("*.png")]) == 1


# -------------------------------------------------------------------------------- all or nothing


def test_a_rebuild_from_the_description_is_equal_byte_for_byte(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 12)
    (source / "alone.png").write_bytes(b"broken")
    plan = make_plan(Inputs(source, target))
    build(plan, Recipe(size=48, fit="crop", seed=4, together="0$"), tmp_path / "one")
    rebuild(tmp_path / "one" / "dataset.json", tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    said = json.loads((tmp_path / "one" / "dataset.json").read_text())
    for pair in said["pairs"]:
        for file in pair["files"]:
            assert tree(tmp_path / "one")[file["file"]] == file["sha256"]


def test_a_rebuild_refuses_changed_originals(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    built(source, target, tmp_path / "one")
    drawn_pair(77)[0].save(source / "1.png")
    with pytest.raises(UserError, match=r"1\.png is not the file that was planned"):
        rebuild(tmp_path / "one" / "dataset.json", tmp_path / "two")
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"split": "../x"},
        {"source": "../../secret.png"},
        {"name": "../x"},
        {"target": "/etc/passwd"},
    ],
)
def test_a_description_from_a_stranger_cannot_leave_its_folders(
    tmp_path: Path, change: dict
) -> None:
    source, target = draw_folders(tmp_path, 1, "{}.png", "{}.jpg")
    built(source, target, tmp_path / "one")
    file = tmp_path / "one" / "dataset.json"
    said = json.loads(file.read_text())
    said["pairs"][0].update(change)
    file.write_text(json.dumps(said))
    with pytest.raises(UserError, match="outside its folders"):
        rebuild(file, tmp_path / "two")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pairs": [{}], "counts": 1}', "\x00"])
def test_a_file_that_describes_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UserError, match="does not describe a dataset"):
        rebuild(tmp_path / "dataset.json", tmp_path / "out")


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="'out' is there already"):
        built(source, target, tmp_path / "out")
    for inside in (source / "out", tmp_path):
        with pytest.raises(UserError):
            built(source, target, inside)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["labels", "out", "photos"]


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 9)
    plan, progress = make_plan(Inputs(source, target)), []
    with pytest.raises(Cancelled):
        build(
            plan, Recipe(size=64), tmp_path / "out",
            should_stop=lambda: len(progress) >= 3,
            on_progress=lambda done, total: progress.append((done, total)),
        )  # fmt: skip
    assert progress == [(1, 9), (2, 9), (3, 9)]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["labels", "photos"]


def test_a_file_changed_after_the_plan_is_refused(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    plan = make_plan(Inputs(source, target))
    drawn_pair(50)[0].save(source / "1.png")
    (target / "2.jpg").unlink()
    made = build(plan, Recipe(size=64, split=ALL), tmp_path / "out")
    reasons = {r["file"]: r["reason"] for r in made["refused"]}
    assert "not the file that was planned" in reasons["1.png"] and "is gone" in reasons["2.png"]
    assert made["counts"]["pairs"] == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"size": 5}, "size is 5"),
        ({"fit": "squeeze"}, "fit is 'squeeze'"),
        ({"format": "gif"}, "format is 'gif'"),
        ({"split": (0.5, 0.2, 0.2)}, "add up to 1"),
        ({"split": (1.5, -0.5, 0.0)}, "add up to 1"),
        ({"quality": 0}, "quality is 0"),
        ({"together": "("}, "no regular expression"),
        ({"leave_out": ("ugly",)}, "'ugly' is no doubt"),
        ({"size": 0, "fit": "tiles"}, "Tiles need a size"),
    ],
)
def test_recipes_that_make_no_sense(wrong: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Recipe(**wrong)


def there(folder: Path) -> int:
    """How many pictures lie anywhere in a folder whose own folders come and go."""
    return sum(name.endswith(".png") for _, _, names in os.walk(folder) for name in names)


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is of POSIX systems")
def test_after_kill_9_the_folder_is_absent_or_complete(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 90, size=(256, 256))
    out = tmp_path / "datasets" / "faces"
    script = str(ROOT / "scripts" / "build_dataset.py")
    command = [sys.executable, script, "--source", str(source), "--target", str(target)]
    command += ["--size", "256", "--out", str(out)]
    killed = 0
    for wanted in (1, 10, 30, 55):  # pictures there when it is killed
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and there(out.parent) < wanted:
            time.sleep(0.002)  # the next look at the condition
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists() or len(list(out.rglob("*.png"))) == 90
        if out.exists():
            break
        killed += 1
        for left in out.parent.glob(".unfinished-*"):
            os.utime(left, (0, 0))  # as old as a forgotten one
    assert killed >= 2
    if not out.exists():
        subprocess.run(command, check=True, capture_output=True)
    assert [f.name for f in out.parent.iterdir()] == ["faces"]
    assert len(list(out.rglob("*.png"))) == 90


# ------------------------------------------------------------------------------------ the script


def run_script(*arguments: object) -> tuple[int, dict, str]:
    script = str(ROOT / "scripts" / "build_dataset.py")
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


def test_the_script_ends_with_what_it_did(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 10)
    options = ("--source", source, "--target", target, "--out", tmp_path / "out", "--size", 64)
    code, said, told = run_script(*options)
    assert (code, said) == (
        0,
        {
            "pairs": 10,
            "train": 8,
            "val": 1,
            "test": 1,
            "rule": "affix",
            "refused": [],
            "ranges": {"source": [0.0, 255.0], "target": [0.0, 255.0]},
            "doubts": [],
        },
    )
    assert "a-005.png  ->  B2-005-x.jpg" in told
    out = tmp_path / "out"
    assert told.splitlines()[-1] == f"{out} holds 10 pairs: 8 train, 1 val, 1 test."


def test_the_script_exits_with_1_when_something_was_refused(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 4)
    (source / "stray.png").write_bytes(b"not a picture")
    options = ("--source", source, "--target", target, "--out", tmp_path / "out", "--size", 64)
    code, said, _ = run_script(*options)
    assert code == 1 and said["pairs"] == 4
    assert [r["file"] for r in said["refused"]] == ["stray.png"]
    assert run_script(*options)[0] == 1  # the folder is there already


def test_the_script_says_how_shares_are_written(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 2)
    code, _, told = run_script("--source", source, "--target", target, "--plan", "--split", "most")
    words = "The shares of train, val and test are three numbers that add up to 1, as 0.8,0.1,0.1."
    assert (code, told.splitlines()) == (1, [words])


def test_the_script_plans_and_rebuilds(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 4)
    _, said, told = run_script("--source", tmp_path, "--plan")
    assert said["pairs"] == 4 and said["train"] == 2
    assert "Nothing is written: it would be 4 pairs: 2 train" in told
    assert "The sources are from labels, the targets from photos." in told
    run_script("--source", source, "--target", target, "--out", tmp_path / "one", "--size", 64)
    code, _, _ = run_script("--rebuild", tmp_path / "one/dataset.json", "--out", tmp_path / "two")
    assert code == 0 and tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize(
    "wrong", [[], ["--source", "x"], ["--source", "x", "--out", "y", "--fit", "z"]]
)
def test_wrong_arguments_exit_with_2(wrong: list[str]) -> None:
    assert run_script(*wrong)[0] == 2
