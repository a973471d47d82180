"""The plan: every file is in a pair or refused with its reason, and nothing is written."""

from __future__ import annotations

import contextlib
import csv
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from pix2pix.data.build import build
from pix2pix.data.layout import find_inputs
from pix2pix.data.pair_doubts import alignment, dataset_doubts, edges
from pix2pix.data.plan import make_plan
from pix2pix.data.reading import THUMBNAIL_SIDE
from pix2pix.data.rebuild import rebuild
from pix2pix.data.records import Inputs, Recipe
from pix2pix.data.report import describe_doubts, side_words
from pix2pix.errors import Cancelled, UserError
from tests.support.drawn_pairs import draw_folders, drawn_pair
from tests.support.icc_profiles import gamma, icc

CUHK = Path(__file__).resolve().parents[3] / "shared" / "data" / "face-sketch" / "cuhk"
needs_cuhk = pytest.mark.skipif(not CUHK.is_dir(), reason="the CUHK face sketches are not here")


def kinds(found: tuple) -> dict[str, str]:
    return {refusal.file: refusal.kind for refusal in found}


def test_all_pairs_of_two_folders(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 12)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    seen = []
    plan = make_plan(
        Inputs(source, target), on_progress=lambda done, total: seen.append((done, total))
    )
    assert (len(plan.pairs), plan.refused, plan.rule) == (12, (), "affix")
    assert plan.examples == [(f"a-{i:03}.png", f"B2-{i:03}-x.jpg") for i in (0, 6, 11)]
    assert seen == [(i, 24) for i in range(1, 25)]
    assert plan.label_maps == (True, False)
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before


def test_folders_that_names_made_source_and_target_are_named(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path / "train", 2)
    said = "The sources are from labels, the targets from photos."
    assert said == side_words(Inputs(source, target)) == side_words(Inputs(tmp_path))
    for unsaid in (Inputs(source, derive="grey"), Inputs(Path("x/source"), Path("y/target"))):
        assert not side_words(unsaid)
    assert "targets from B" in side_words(Inputs(Path("A"), Path("B")))
    source.rename(tmp_path / "trainA")
    target.rename(tmp_path / "trainB")
    assert not side_words(Inputs(tmp_path))


def test_what_is_wrong_with_files_is_listed_by_name_and_kind(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 14)
    (source / "a-000.png").unlink()
    (target / "B2-001-x.jpg").unlink()
    whole = (target / "B2-002-x.jpg").read_bytes()
    (target / "B2-002-x.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "a-003.png").write_bytes(b"")
    (target / "B2-004-x.jpg").rename(target / "nonsense.jpg")
    shutil.copy(source / "a-005.png", source / "other.png")
    shutil.copy(target / "B2-006-x.jpg", target / "B2-006-x.jpeg")
    plan = make_plan(Inputs(source, target))
    assert kinds(plan.refused) == {
        "B2-000-x.jpg": "unmatched",
        "a-001.png": "unmatched",
        "B2-002-x.jpg": "unreadable",
        "a-003.png": "unreadable",
        "nonsense.jpg": "unmatched",
        "a-004.png": "unmatched",
        "other.png": "duplicate",
        "B2-006-x.jpeg": "duplicate",
    }
    assert len(plan.refused) == 8
    reasons = {refusal.file: refusal.reason for refusal in plan.refused}
    assert "a-002.png is left out with it" in reasons["B2-002-x.jpg"]
    assert reasons["other.png"] == "is the same picture as a-005.png"
    assert {p.source for p in plan.pairs} == {f"a-{i:03}.png" for i in range(5, 14)}
    assert plan.counts() == {"pairs": 9, "unmatched": 4, "unreadable": 2, "duplicate": 2}


def test_the_same_pair_twice_counts_once(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 4, "{}.png", "{}.jpg")
    shutil.copy(source / "1.png", source / "9.png")
    shutil.copy(target / "1.jpg", target / "9.jpg")
    plan = make_plan(Inputs(source, target))
    assert kinds(plan.refused) == {"9.png": "duplicate"}
    assert len(plan.pairs) == 4


def test_jpegs_overwritten_in_the_middle_are_found(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 6, size=(256, 256))
    file = target / "B2-002-x.jpg"
    content = file.read_bytes()
    for seed in range(50):
        middle = len(content) // 2
        garbage = np.random.default_rng(seed).bytes(1024)
        file.write_bytes(content[:middle] + garbage + content[middle + 1024 :])
        with contextlib.suppress(OSError):
            Image.open(file).load()
            break  # the decoder says nothing
    else:
        pytest.fail("the decoder refused every kind of damage")
    assert kinds(make_plan(Inputs(source, target)).refused) == {"B2-002-x.jpg": "unreadable"}


def test_a_pair_moved_against_each_other_is_doubted(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 12, size=(128, 128))
    _, photo = drawn_pair(5, 128, 128)
    moved = Image.new("RGB", photo.size, (20, 80, 160))
    moved.paste(photo, (12, 0))
    moved.save(target / "B2-005-x.jpg")
    plan = make_plan(Inputs(source, target))
    assert kinds(plan.doubts) == {"a-005.png": "misaligned"}
    assert "-12, +0 pixels" in plan.doubts[0].reason
    assert len(plan.pairs) == 12


def test_the_score_is_a_correlation_of_edges() -> None:
    small = np.asarray(drawn_pair(3, THUMBNAIL_SIDE, THUMBNAIL_SIDE)[0])
    shifted = np.roll(small, (3, -5), axis=(0, 1))
    score, best, move = alignment(edges(small), edges(small))
    assert score == pytest.approx(1.0, abs=1e-4) and best == score and move == (0, 0)
    a, b = edges(small), edges(shifted)
    assert alignment(a, b)[0] == pytest.approx(float((a * b).mean()), abs=1e-5)
    assert alignment(a, b)[2] == (3, -5)


def test_a_picture_without_edges_has_no_score() -> None:
    flat = np.full((THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), 90, np.uint8)
    assert (
        alignment(edges(flat), edges(np.asarray(drawn_pair(1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)[0])))[
            0
        ]
        == 0.0
    )


def test_another_aspect_is_doubted(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3)
    photo = Image.open(target / "B2-001-x.jpg").resize((96, 64))
    photo.save(target / "B2-001-x.jpg")
    doubts = [d for d in make_plan(Inputs(source, target)).doubts if d.kind == "aspect"]
    assert [d.file for d in doubts] == ["a-001.png"]
    assert "96 x 96, its target 96 x 64" in doubts[0].reason


def test_label_maps_in_jpeg_are_doubted_once(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 8, source="a-{:03}.jpg")
    plan = make_plan(Inputs(source, target))
    assert [(d.kind, d.side) for d in plan.doubts] == [("jpeg", "source")]
    assert "7 more source pictures" in plan.doubts[0].reason


def test_an_upright_phone_photo_fits_its_label_map(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 2, size=(96, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter to the right
    photo = Image.open(target / "B2-000-x.jpg").transpose(Image.Transpose.ROTATE_90)
    photo.save(target / "B2-000-x.jpg", exif=exif)
    plan = make_plan(Inputs(source, target))
    assert plan.pairs[0].target_look.size == (96, 64)
    assert not plan.doubts


def test_splits_come_from_folders_and_tables(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 4, "train/{}.png", "train/{}.jpg")
    for side in (source, target):
        (side / "Validation").mkdir()
        for file in (side / "train").glob("3.*"):
            file.rename(side / "Validation" / file.name)
    plan = make_plan(Inputs(source, target))
    assert [p.split for p in plan.pairs] == ["train", "train", "train", "val"]
    table = "source,target,split\ntrain/0,train/0,test\n"
    plan = make_plan(Inputs(source, target, "csv", table))
    assert [(p.source, p.split) for p in plan.pairs] == [("train/0.png", "test")]


def test_a_dataset_of_strips_is_planned_as_it_is(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        label, photo = drawn_pair(len(split), 64, 64)
        strip = Image.new("RGB", (128, 64))
        strip.paste(label, (0, 0))
        strip.paste(photo, (64, 0))
        strip.save(tmp_path / split / "1.png")
    plan = make_plan(Inputs(tmp_path))
    assert [(p.source, p.split, p.half) for p in plan.pairs] == [
        ("train/1.png", "train", True),
        ("val/1.png", "val", True),
    ]
    assert plan.pairs[0].source_look.size == (64, 64)
    assert plan.pairs[0].score > 0.5
    assert plan.label_maps == (True, False)


def test_one_folder_with_a_derivation(tmp_path: Path) -> None:
    _, photos = draw_folders(tmp_path, 3)
    (photos / "broken.jpg").write_bytes(b"no picture")
    plan = make_plan(Inputs(photos, derive="grey"))
    assert [p.source for p in plan.pairs] == [f"B2-{i:03}-x.jpg" for i in range(3)]
    assert kinds(plan.refused) == {"broken.jpg": "unreadable"}


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("labels", "labels", "two folders"),
        (".", "labels", "two folders"),
        ("labels", "empty", "'empty' holds no pictures"),
        ("labels", "nowhere", "'nowhere' is not a folder"),
        ("labels", "pairs.npz", "is an archive: unpack it first, or open it in the app"),
    ],
)
def test_folders_that_cannot_work(tmp_path: Path, source: str, target: str, sentence: str) -> None:
    draw_folders(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "pairs.npz").touch()
    with pytest.raises(UserError, match=sentence):
        make_plan(Inputs(tmp_path / source, tmp_path / target))


def scene(seed: int, width: int = 96, height: int = 96) -> Image.Image:
    """A smooth picture of 256 levels, of its own brightness, that ends nowhere in plain white."""
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 6, height))
    waves = [np.sin(x * (1 + seed % 3) + y + seed + c) + np.cos(y * 2 - x + c) for c in range(3)]
    pixels = 128 + 50 * np.stack(waves, axis=2) + 20 * (seed % 2)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def two_sides(folder: Path, make: Callable[[int], Image.Image], count: int = 8) -> Inputs:
    for side in ("a", "b"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        scene(number).save(folder / "a" / f"{number}.png")
        make(number).save(folder / "b" / f"{number}.png")
    return Inputs(folder / "a", folder / "b")


def mask(number: int, low: int = 0, high: int = 255) -> Image.Image:
    pixels = np.full((96, 96), low, np.uint8)
    pixels[10 + number : 60, 20 : 50 + number] = high
    return Image.fromarray(pixels)


def with_alpha(number: int, colour: Image.Image, opacity: Image.Image) -> Image.Image:
    return Image.merge("RGBA", (*colour.convert("RGB").split(), opacity))


def in_red(numbers: Image.Image) -> Image.Image:
    nothing = Image.new("L", numbers.size)
    return Image.merge("RGB", (numbers, nothing, nothing))


def instances(number: int) -> Image.Image:
    """Numbers of 16 bits, as Cityscapes has them: 24001 is the second person."""
    rng, pixels = np.random.default_rng(number), np.full((96, 96), 7, np.uint16)
    for instance in (*range(24000, 24060), *range(26000, 26060)):
        row, column = rng.integers(0, 84, 2)
        pixels[row : row + 12, column : column + 12] = instance
    return Image.fromarray(pixels)


def washed_out(number: int, ground: bool = False) -> Image.Image:
    """A grey photo that got twice its light; or a thing of soft tones on a white ground."""
    grey = np.asarray(scene(number + 50).convert("L"), np.int32)
    pixels = np.minimum(255, 2 * grey)
    if ground:
        y, x = np.mgrid[:96, :96]
        away = np.hypot(x - 44 - number, y - 48) / 40
        pixels = np.where(away < 1, 255 - (1 - away) * grey, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def ink(number: int) -> Image.Image:
    """Broad strokes to all edges, as in a piece of a larger drawing."""
    big = Image.new("L", (384, 384), 255)
    draw = ImageDraw.Draw(big)
    for at in range(0, 500, 70 + number):
        draw.line((at, -10, at - 150, 400), 0, 14)
        draw.ellipse((at - 60, at, at + 60, at + 90), outline=0, width=9)
    return big.resize((96, 96), Image.Resampling.LANCZOS)


WHITE = Image.new("RGB", (96, 96), "white")
SIDES: dict[str, tuple[Callable[[int], Image.Image], set[str]]] = {
    "photos": (lambda n: scene(n + 50), set()),
    "masks of black and white": (mask, set()),
    "grey label maps": (lambda n: Image.fromarray(np.asarray(mask(n, 60, 180))), set()),
    "cut out on nothing": (lambda n: with_alpha(n, Image.new("RGB", (96, 96)), mask(n)), set()),
    "class numbers": (lambda n: mask(n, 0, 1 + n % 5), {"class-numbers"}),
    "class numbers with void": (lambda n: mask(n, 1 + n % 3, 255), {"class-numbers"}),
    "dark photos": (lambda n: scene(n).point(lambda v: v // 20), {"no-contrast"}),
    "all white": (lambda n: WHITE, {"no-contrast"}),
    "colours hidden": (lambda n: with_alpha(n, scene(n), mask(n, 0, 0)), {"alpha"}),
    "mask in alpha": (lambda n: with_alpha(n, WHITE, mask(n)), {"alpha"}),
    "one picture again and again": (lambda n: scene(0), {"double"}),
    "the source again": (lambda n: scene(n), {"double"}),
    "class numbers in red": (lambda n: in_red(mask(n, 0, 1 + n % 5)), {"class-numbers"}),
    "numbers of instances": (lambda n: instances(n), {"class-numbers"}),
    "smooth depth": (lambda n: scene(n + 50).convert("L").resize((300, 300)), set()),
    "overexposed": (lambda n: scene(n + 50).point(lambda v: min(255, 2 * v)), {"no-contrast"}),
    "overexposed greys": (washed_out, {"no-contrast"}),
    "things on white": (lambda n: washed_out(n, ground=True), set()),
    "ink on white": (ink, set()),
    "a quarter of the levels": (
        lambda n: scene(n + 50).point(lambda v: 20 + v // 5), {"narrow-range"}),
    "colours made faint": (
        lambda n: with_alpha(n, scene(n + 50), Image.new("L", (96, 96), 128)), {"alpha"}),
}  # fmt: skip


@pytest.mark.parametrize(("make", "wanted"), SIDES.values(), ids=SIDES)
def test_a_side_that_a_network_cannot_learn_from_is_doubted(
    tmp_path: Path, make: Callable[[int], Image.Image], wanted: set[str]
) -> None:
    doubts = make_plan(two_sides(tmp_path, make)).doubts
    found = [d for d in doubts if d.kind not in ("misaligned", "aspect")]
    assert {d.kind for d in found} == wanted
    assert all(len(d.files) >= 4 and d.file in d.files for d in found)


def test_what_settles_a_doubt_about_a_side_is_what_is_built(tmp_path: Path) -> None:
    cases = {
        "mask": (lambda n: with_alpha(n, scene(n + 9), mask(n)), lambda n: mask(n)),
        "ignore": (lambda n: with_alpha(n, scene(n + 9), mask(n, 0, 0)), lambda n: scene(n + 9)),
    }
    for alpha, (make, seen) in cases.items():
        inputs = replace(two_sides(tmp_path / alpha, make), alpha=("white", alpha))
        plan = make_plan(inputs)
        assert not [d for d in plan.doubts if d.kind == "alpha"]
        build(plan, Recipe(size=0), tmp_path / f"{alpha}-out")
        made = next((tmp_path / f"{alpha}-out").rglob("3.png"))
        assert np.array_equal(np.asarray(Image.open(made))[:, 96:], seen(3).convert("RGB"))
    inputs = replace(two_sides(tmp_path / "c", lambda n: mask(n, 1, 3)), classes=("", "colours"))
    plan = make_plan(inputs)
    assert plan.label_maps[1] and not [d for d in plan.doubts if d.side == "target"]
    info = build(plan, Recipe(size=0), tmp_path / "c-out")
    palette = {label["number"]: label["color"] for label in info["palette"]}
    assert palette == {1: "#800000", 3: "#808000"}  # as PASCAL VOC has them
    made = np.asarray(Image.open(next((tmp_path / "c-out").rglob("3.png"))))[:, 96:]
    assert {f"#{bytes(c).hex()}" for c in made.reshape(-1, 3)} == set(palette.values())


def test_a_range_settles_what_is_too_dark(tmp_path: Path) -> None:
    inputs = two_sides(tmp_path, lambda n: scene(n + 50).convert("L").point(lambda v: v // 6))
    (doubt,) = [d for d in make_plan(inputs).doubts if d.side == "target"]
    assert doubt.kind == "narrow-range" and not make_plan(inputs).label_maps[1]
    ends = doubt.reason.rpartition("range to ")[2]
    plan = make_plan(inputs, target_range=ends)
    assert not [d for d in plan.doubts if d.side == "target"]
    build(plan, Recipe(size=0, target_range=ends), tmp_path / "out")
    made = np.asarray(Image.open(next((tmp_path / "out").rglob("3.png"))))[:, 96:, 0]
    low, high = map(float, ends.split(","))
    dark = np.asarray(scene(53).convert("L")) // 6
    expected = np.clip((dark - low) / (high - low), 0, 1) * 255
    assert np.abs(made - expected).max() <= 0.51


def test_class_numbers_of_sixteen_bits_get_colours_of_their_own(tmp_path: Path) -> None:
    inputs = replace(two_sides(tmp_path, instances), classes=("", "colours"))
    plan = make_plan(inputs)
    assert plan.label_maps[1] and not [d for d in plan.doubts if d.side == "target"]
    info = build(plan, Recipe(size=0), tmp_path / "out")
    colours = {label["number"]: label["color"] for label in info["palette"]}
    assert len(set(colours.values())) == len(colours) > 64
    made = np.asarray(Image.open(next((tmp_path / "out").rglob("3.png"))))[:, 96:]
    numbers = np.asarray(instances(3))
    assert all(f"#{bytes(made[y, x]).hex()}" == colours[numbers[y, x]] for y, x in np.ndindex(9, 9))


def test_label_maps_whose_colours_a_profile_moves_are_doubted(tmp_path: Path) -> None:
    profile = icc(gamma(1.8), grey=False)
    inputs = two_sides(tmp_path, lambda n: mask(n, 60, 180).convert("RGB"))
    for number in (2, 5):
        file = tmp_path / "b" / f"{number}.png"
        Image.open(file).save(file, icc_profile=profile)
    (doubt,) = [d for d in make_plan(inputs).doubts if d.kind == "profiles"]
    assert (doubt.side, doubt.files) == ("target", ("2.png", "5.png"))
    for number in range(8):  # photos may have what they like
        file = tmp_path / "b" / f"{number}.png"
        scene(number + 50).save(file, icc_profile=profile if number % 2 else None)
    assert not [d for d in make_plan(inputs).doubts if d.side == "target"]


def strip_of(number: int, how: str) -> Image.Image:
    scenes = scene(number), scene(number + 40), scene(7)
    pictures = [np.asarray(picture.resize((128, 128))) for picture in scenes]
    pictures[1] = 255 - pictures[1] // 2
    if how == "stacked":
        return Image.fromarray(np.concatenate(pictures[:2]))
    if how == "gap":
        pictures.insert(1, np.zeros((128, 3, 3), np.uint8))
    count = 2 if how == "halves" else 3
    return Image.fromarray(np.concatenate(pictures[:count], axis=1))


@pytest.mark.parametrize("how", ["halves", "stacked", "gap", "first-third", "single"])
def test_strips_are_seen_and_cut_as_they_are(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "set"
    (folder / "train").mkdir(parents=True)
    for number in range(6):
        strip = scene(number, 256, 128) if how == "single" else strip_of(number, how)
        strip.save(folder / "train" / f"{number}.png")
    plan = make_plan(Inputs(folder))
    doubts = [d for d in plan.doubts if d.kind == "no-seam"]
    assert len(doubts) == (how != "halves")
    assert [d.kind for d in dataset_doubts(folder)] == ["no-seam"] * (how != "halves")
    if how in ("halves", "single"):
        return
    assert f"strips={how}" in doubts[0].fixes
    plan = make_plan(Inputs(folder, strips=how))
    assert not [d for d in plan.doubts if d.kind == "no-seam"] and len(plan.pairs) == 6
    build(plan, Recipe(size=0), tmp_path / "out")
    made = np.asarray(Image.open(next((tmp_path / "out").rglob("2.png"))))
    strip = np.asarray(strip_of(2, how))
    b = strip[128:] if how == "stacked" else strip[:, -128:]
    assert np.array_equal(made, np.concatenate([strip[:128, :128], b], axis=1))
    again = rebuild(tmp_path / "out" / "dataset.json", tmp_path / "again")
    assert [p["files"] for p in again["pairs"]] == [
        p["files"] for p in json.loads((tmp_path / "out" / "dataset.json").read_text())["pairs"]
    ]


def test_every_page_can_be_a_pair_and_pages_of_a_file_stay_together(tmp_path: Path) -> None:
    for side, offset in (("a", 0), ("b", 30)):
        (tmp_path / side).mkdir()
        for number in range(3):
            pages = [scene(10 * number + page + offset).convert("L") for page in range(4)]
            stack = tmp_path / side / f"v{number}.tif"
            pages[0].save(stack, save_all=True, append_images=pages[1:])
    inputs = Inputs(tmp_path / "a", tmp_path / "b")
    doubts = [d for d in make_plan(inputs).doubts if d.kind == "pages"]
    assert [(d.side, len(d.files)) for d in doubts] == [("source", 3), ("target", 3)]
    assert "of 12 pages" in doubts[0].reason and doubts[0].fixes == ("pages=all",)
    plan = make_plan(replace(inputs, pages="all"))
    assert len(plan.pairs) == 12 and not [d for d in plan.doubts if d.kind == "pages"]
    info = build(plan, Recipe(size=0, keep=True, split=(0.7, 0.3, 0.0)), tmp_path / "out")
    splits = {(pair["source"][:2], pair["split"]) for pair in info["pairs"]}
    assert len(splits) == 3
    made = next((tmp_path / "out").rglob("v1_3*.png"))
    expected = [np.asarray(scene(12 + offset).convert("L")) for offset in (0, 30)]
    assert np.array_equal(np.asarray(Image.open(made)), np.concatenate(expected, axis=1))


def test_pages_keep_their_numbers_and_smaller_copies_are_none(tmp_path: Path) -> None:
    nodata = [(42113, "s", 0, "-1", True)]
    for side, offset in (("a", 0), ("b", 400)):
        (tmp_path / side).mkdir()
        for number in range(2):
            first = 100.0 * number + offset + np.arange(64 * 64).reshape(64, 64) / 50
            first[:4] = -1
            with tifffile.TiffWriter(tmp_path / side / f"{number}.tif") as file:
                for page in range(3):
                    pixels = (first + page * (first >= 0)).astype(np.float16)
                    file.write(pixels, metadata=None, extratags=nodata)
                file.write(first[::2, ::2].astype(np.float16), subfiletype=1, metadata=None)
    inputs = Inputs(tmp_path / "a", tmp_path / "b")
    doubts = [d for d in make_plan(inputs).doubts if d.kind == "pages"]
    assert "of 6 pages in 2 files" in doubts[0].reason
    plan = make_plan(replace(inputs, pages="all"))
    low, high = plan.ranges["target"].low, plan.ranges["target"].high
    assert len(plan.pairs) == 6 and 400 < low < 410 and 580 < high < 590
    build(plan, Recipe(size=0), tmp_path / "out")
    made = np.asarray(Image.open(next((tmp_path / "out").rglob("1_3*.png"))))[:, 64:, 0]
    page = tifffile.imread(tmp_path / "b" / "1.tif", key=2).astype(float)
    expected = np.clip((page - low) / (high - low), 0, 1) * 255
    assert (made[:4] == 0).all() and np.abs(made - expected).max() <= 0.51


def test_a_link_that_leads_back_to_itself_hides_no_picture(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3)
    for folder in (tmp_path, source):
        (folder / "circle").symlink_to("circle")
        (folder / "circle.png").symlink_to("circle.png")
    found = find_inputs(tmp_path, None, "auto", "", "")
    assert (found.source, found.target) == (source, target)
    plan = make_plan(found)
    assert len(plan.pairs) == 3
    links = [file for d in plan.doubts if d.kind == "links" for file in d.files]
    assert links == ["circle", "circle.png"]


def test_every_file_is_accounted_for_by_name(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    (tmp_path / "elsewhere").mkdir()
    for folder, end in ((source, "png"), (target, "jpg")):
        (folder / "loop").symlink_to(folder)
        (tmp_path / "elsewhere" / end).mkdir()
        shutil.copy(folder / f"2.{end}", tmp_path / "elsewhere" / end / f"9.{end}")
        (folder / f"2.{end}").unlink()
        (folder / "more").symlink_to(tmp_path / "elsewhere" / end)
    (source / "IMG.CR2").write_bytes(b"raw")
    (source / "1.png").rename(source / "1.psd")
    (source / "notes.txt").write_text("x")
    (source / "link").write_text("../elsewhere")
    plan = make_plan(Inputs(source, target))
    assert {p.source for p in plan.pairs} == {"0.png", "more/9.png"}
    assert [(r.file, r.kind) for r in plan.refused] == [("1.jpg", "unmatched")]
    assert "its partner 1.psd cannot be read" in plan.refused[0].reason
    assert [(o.file, o.side) for o in plan.others] == [("notes.txt", "source")]
    found = {(d.kind, d.side): set(d.files) for d in plan.doubts}
    assert found["links", "source"] == {"loop", "link"} and found["links", "target"] == {"loop"}
    unread = [d for d in plan.doubts if d.kind == "unreadable-kind"]
    assert [(d.side, d.files) for d in unread] == [("source", ("1.psd",)), ("source", ("IMG.CR2",))]
    described = {(d["kind"], d["side"]): d for d in describe_doubts(plan.doubts)}
    assert described["unreadable-kind", "source"]["files"] == ["1.psd", "IMG.CR2"]
    assert "paint program" in described["unreadable-kind", "source"]["sentence"]


def test_volumes_rasters_and_clouds_are_named(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3)
    wanted = {
        "brain.nii.gz": "medical volume",
        "N51E007.hgt": "gdal",
        "scan.PLY": "cloud of points",
    }
    for name in (*wanted, "table.csv.gz"):
        (target / name).write_bytes(b"?")
    plan = make_plan(Inputs(source, target))
    doubts = {d.file: d.reason for d in plan.doubts if d.kind == "unreadable-kind"}
    assert doubts.keys() == wanted.keys()
    assert all(words in doubts[name] for name, words in wanted.items())
    assert [other.file for other in plan.others] == ["table.csv.gz"]


def test_frames_of_a_png_are_pages(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3, "{}.png", "{}.jpg")
    frames = [scene(90 + number) for number in range(3)]
    frames[0].save(source / "1.png", save_all=True, append_images=frames[1:])
    (doubt,) = [d for d in make_plan(Inputs(source, target)).doubts if d.kind == "pages"]
    assert doubt.files == ("1.png",) and "of 3 pages in 1 files" in doubt.reason


def test_planning_can_be_stopped(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 3)
    with pytest.raises(Cancelled):
        make_plan(Inputs(source, target), should_stop=lambda: True)


@needs_cuhk
@pytest.mark.parametrize("seed", range(4))
def test_the_report_on_damaged_cuhk_folders_lists_exactly_the_damage(
    tmp_path: Path, seed: int
) -> None:
    """5 files removed, 3 corrupted, 2 renamed to nonsense, 1 duplicated, at random."""
    rng = random.Random(seed)
    rows = list(csv.DictReader((CUHK / "split.csv").read_text().splitlines()))
    rng.shuffle(rows)
    folders = {"photo": tmp_path / "photos", "sketch": tmp_path / "sketches"}
    for folder in folders.values():
        shutil.copytree(CUHK / folder.name, folder)
    expected = Counter()
    for number, row in enumerate(rows[:11]):
        side = rng.choice(["photo", "sketch"])
        other = "sketch" if side == "photo" else "photo"
        file = folders[side] / row[side]
        if number < 5:
            file.unlink()
            expected[row[other], "unmatched"] += 1
        elif number < 8:
            damage = rng.choice(["cut", "text", "empty"])
            content = file.read_bytes()
            parts = {"cut": content[: len(content) * 2 // 3], "text": b"<html>", "empty": b""}
            file.write_bytes(parts[damage])
            expected[row[side], "unreadable"] += 1
        elif number < 10:
            file.rename(folders[side] / f"nonsense{number}.jpg")
            expected[f"nonsense{number}.jpg", "unmatched"] += 1
            expected[row[other], "unmatched"] += 1
        else:
            name = rng.choice(["a.jpg", f"{file.stem} copy.jpg", f"{file.stem}.jpeg"])
            shutil.copy(file, folders[side] / name)
            expected[name, "duplicate"] += 1
    plan = make_plan(Inputs(folders["photo"], folders["sketch"]))
    assert Counter((r.file, r.kind) for r in plan.refused) == expected
    assert {(p.source, p.target) for p in plan.pairs} == {
        (row["photo"], row["sketch"]) for row in rows[10:]
    }
