"""Names of two folders become pairs: by every rule, never by luck."""

from __future__ import annotations

import csv
import random
import unicodedata
from pathlib import Path

import pytest

from pix2pix.data.matching import match_names
from pix2pix.data.records import Pair
from pix2pix.errors import UserError

CUHK = Path(__file__).resolve().parents[3] / "shared" / "data" / "face-sketch" / "cuhk"
needs_cuhk = pytest.mark.skipif(not CUHK.is_dir(), reason="the CUHK face sketches are not here")


def pairs(source: list[str], target: list[str], rule: str = "auto", table: str = "") -> dict:
    return {p.source: p.target for p in match_names(source, target, rule, table).pairs}


def refused(source: list[str], target: list[str], rule: str = "auto", table: str = "") -> dict:
    return {(r.side, r.file): r.kind for r in match_names(source, target, rule, table).refused}


def numbered(pattern: str, count: int = 12) -> list[str]:
    return [pattern.format(i) for i in range(count)]


@pytest.mark.parametrize(
    ("source", "target", "rule"),
    [
        ("{}.jpg", "{}.png", "stem"),
        ("Scene{}.JPG", "scene{}.png", "stem"),
        ("city/{:03}.png", "city/{:03}.png", "stem"),
        ("{}.jpg", "{}_mask.png", "affix"),
        ("photo_{:03}.jpg", "label_{:03}.png", "affix"),
        ("{}A.png", "{}B.png", "affix"),
        ("night ({}).png", "day ({}).png", "affix"),
        ("IMG_{}.jpg", "img_{:04}.jpg", "name"),
        ("s{0}-{0:04}-v2.jpg", "S-{0}_{0:04}.png", "name"),
        ("{}.photo.tif", "label {:02}.tif", "name"),
    ],
)
def test_a_rule_is_found_that_pairs_all(source: str, target: str, rule: str) -> None:
    a, b = numbered(source), numbered(target)
    expected = dict(zip(a, b))
    random.Random(0).shuffle(a)
    random.Random(1).shuffle(b)
    matching = match_names(a, b)
    assert {p.source: p.target for p in matching.pairs} == expected
    assert (matching.rule, matching.refused) == (rule, ())


def test_the_affix_rule_says_what_it_removes() -> None:
    said = match_names(numbered("{}_photo.jpg"), numbered("map-{}.png")).explanation
    assert '"_photo" from the sources' in said and '"map-" from the targets' in said


def test_city_folders_with_long_suffixes() -> None:
    a = ["aachen/aachen_019_leftImg8bit.png", "ulm/ulm_019_leftImg8bit.png"]
    b = ["aachen/aachen_019_gtFine_color.png", "ulm/ulm_019_gtFine_color.png"]
    assert pairs(a, b) == dict(zip(a, b))


def test_two_targets_for_each_source_are_refused_not_guessed() -> None:
    a = numbered("x-{}.jpg")
    b = numbered("x1-{}.jpg") + numbered("x2-{}.jpg")
    assert pairs(a, b) == {}
    assert set(refused(a, b).values()) == {"ambiguous"}
    assert len(refused(a, b)) == 36


def test_equal_stems_in_one_folder_are_refused_not_guessed() -> None:
    a, b = ["a.jpg", "a.png", "b.jpg"], ["a.jpg", "b.png"]
    assert pairs(a, b) == {"b.jpg": "b.png"}
    assert refused(a, b) == dict.fromkeys(
        [("source", "a.jpg"), ("source", "a.png"), ("target", "a.jpg")], "ambiguous"
    )


def test_numbers_that_overlap_by_half_pair_only_that_half() -> None:
    a, b = numbered("{}.jpg", 100), [f"{i + 50}.jpg" for i in range(100)]
    assert pairs(a, b) == {f"{i}.jpg": f"{i}.jpg" for i in range(50, 100)}


def test_names_without_anything_in_common_are_all_refused() -> None:
    assert pairs(["cat.jpg", "dog.jpg"], ["1.jpg", "2.jpg"]) == {}
    assert pairs(["cat1.jpg", "dog.jpg"], ["tree1.jpg", "moss.jpg"]) == {}
    assert pairs([], []) == {}


def test_every_name_ends_in_one_pair_or_one_refusal() -> None:
    rng = random.Random(3)
    for _ in range(200):
        names = [f"{rng.choice('ab')}{rng.randrange(4)}-{rng.randrange(3)}" for _ in range(14)]
        a = sorted({f"{n}.jpg" for n in names[:7]})
        b = sorted({f"{n}{rng.choice(['', '_x'])}.png" for n in names[4:]})
        matching = match_names(a, b)
        for side, files in (("source", a), ("target", b)):
            seen = [getattr(p, side) for p in matching.pairs]
            seen += [r.file for r in matching.refused if r.side == side]
            assert sorted(seen) == files


def test_the_result_does_not_depend_on_the_order_of_the_names() -> None:
    a = [*numbered("a{}-1.png", 30), "odd.png"]
    b = [*numbered("A{}_1_map.png", 28), "other.png"]
    first = match_names(a, b)
    for seed in range(5):
        random.Random(seed).shuffle(a)
        random.Random(seed + 9).shuffle(b)
        assert match_names(a, b) == first


# -------------------------------------------------------------------------------- order and CSV


def test_sorted_order_is_the_order_of_people_and_says_so() -> None:
    matching = match_names(["10.png", "9.png"], ["b.png", "a.png"], "order")
    assert matching.pairs == (Pair("9.png", "a.png"), Pair("10.png", "b.png"))
    assert "look at every pair" in matching.explanation


def test_sorted_order_needs_equal_numbers() -> None:
    with pytest.raises(UserError, match="2 source and 1 target"):
        match_names(["a.png", "b.png"], ["c.png"], "order")


@pytest.mark.parametrize(
    "table",
    [
        "a.png,x.jpg\nb.png,y.jpg\n",
        "source,target\na.png,x.jpg\nb.png,y.jpg\n",
        "target;source\nx.jpg;a.png\ny.jpg;b.png\n",
        "\ufeffpicture\tdrawing\nA.PNG\tX\nb\ty.jpg\n",
        "drawing,photo\nx,a\ny,b\n",
        "sep=;\nsource;target\na.png;x.jpg\nb.png;y.jpg\n",
        "source,target\n./a.png,./x.jpg\nfolder/b.png,C:\\data\\y.jpg\n",
        ",source_image,target_image\n0,a.png,x.jpg\n1,b.png,y.jpg\n",
        "file,size,mask\n/mnt/set/a.png,12,x.jpg\n/mnt/set/b.png,13,y.jpg\n",
    ],
)
def test_a_csv_is_read_with_and_without_header_either_way_round(table: str) -> None:
    expected = {"a.png": "x.jpg", "b.png": "y.jpg"}
    assert pairs(["a.png", "b.png"], ["x.jpg", "y.jpg"], "csv", table) == expected


def test_a_csv_says_splits_and_groups() -> None:
    table = "group,source,split,target\nr1,a,Validation,x\nr2,b,,y\n"
    found = match_names(["a.png", "b.png"], ["x.jpg", "y.jpg"], "csv", table).pairs
    assert found == (Pair("a.png", "x.jpg", "val", "r1"), Pair("b.png", "y.jpg", "", "r2"))


@pytest.mark.parametrize(
    ("head", "number"), [("", 2), ("source,target\n", 3), ("sep=,\nsource,target\n\n\n", 5)]
)
def test_a_row_is_called_by_its_number_in_a_spreadsheet(head: str, number: int) -> None:
    table = head + "a.png,x.jpg\ngone.png,y.jpg\n"
    matching = match_names(["a.png"], ["x.jpg", "y.jpg"], "csv", table)
    reasons = {refusal.file: refusal.reason for refusal in matching.refused}
    assert f"names it in row {number}, but" in reasons["gone.png"]


def test_what_a_csv_gets_wrong_is_listed() -> None:
    table = "source,target,split\na,x,train\ngone,y,train\nb,y,holiday\n"
    found = refused(["a.png", "b.png", "c.png"], ["x.jpg", "y.jpg"], "csv", table)
    assert found == {
        ("csv", "gone"): "missing",
        ("csv", "b.png"): "split",
        ("source", "c.png"): "unmatched",
        ("target", "y.jpg"): "unmatched",
    }


@pytest.mark.parametrize("table", ["", "one\ntwo\n", "split,source\ntrain,a\n"])
def test_a_csv_without_two_columns_is_refused(table: str) -> None:
    with pytest.raises(UserError, match="two columns"):
        match_names(["a.png"], ["x.png"], "csv", table)


def test_a_name_in_several_folders_is_not_guessed() -> None:
    names, table = ["u/a.png", "v/a.png"], "source,target\n/old/a.png,x\n"
    matching = match_names(names, ["x.jpg"], "csv", table)
    assert not matching.pairs
    assert "several of that name, u/a.png and v/a.png" in matching.refused[0].reason
    table = "source,target\n/old/v/a.png,x\n"
    assert pairs(names, ["x.jpg"], "csv", table) == {"v/a.png": "x.jpg"}


@pytest.mark.parametrize("text", ["caf\u00e9", "\ud55c\uad6d", "\u30dd\u30c3", "\u00c5 \u00fc"])
def test_names_are_equal_in_both_unicode_forms(text: str) -> None:
    a, b = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert pairs([f"{a}.png"], [f"{b}.jpg"]) == {f"{a}.png": f"{b}.jpg"}
    assert pairs([f"{a}.png"], [f"{b}.jpg"], "csv", f"source,target\n{b},{a}\n")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UserError, match="'luck' is no rule"):
        match_names(["a.png"], ["a.png"], "luck")


# ---------------------------------------------------------------------------------- real names


def cuhk_truth() -> dict[str, str]:
    rows = csv.DictReader((CUHK / "split.csv").read_text().splitlines())
    return {row["photo"]: row["sketch"] for row in rows}


@needs_cuhk
def test_all_cuhk_pairs_are_found_by_their_names() -> None:
    photos = [f.name for f in (CUHK / "photos").iterdir()]
    sketches = [f.name for f in (CUHK / "sketches").iterdir()]
    matching = match_names(photos, sketches)
    assert matching.rule == "name" and not matching.refused
    assert {p.source: p.target for p in matching.pairs} == cuhk_truth()
    assert len(matching.pairs) == 138


@needs_cuhk
@pytest.mark.parametrize("seed", range(20))
def test_with_files_missing_and_renamed_no_cuhk_pair_is_wrong(seed: int) -> None:
    rng = random.Random(seed)
    truth = list(cuhk_truth().items())
    rng.shuffle(truth)
    a, b = {photo for photo, _ in truth}, {sketch for _, sketch in truth}
    expected = set()
    for photo, sketch in truth[:5]:  # one of the two is gone
        side, gone, left = rng.choice([(a, photo, sketch), (b, sketch, photo)])
        side.remove(gone)
        expected.add(left)
    for number, (photo, sketch) in enumerate(truth[5:7]):  # one has a name that means nothing
        side, old, left = rng.choice([(a, photo, sketch), (b, sketch, photo)])
        new = rng.choice(["nonsense", "IMG_2", "x7y3-", "m-77-z"]) + f"{number}.jpg"
        side.remove(old)
        side.add(new)
        expected |= {new, left}
    matching = match_names(sorted(a), sorted(b))
    assert {r.file for r in matching.refused} == expected
    assert {p.source: p.target for p in matching.pairs} == dict(truth[7:])
