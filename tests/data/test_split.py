"""Who trains and who judges: what looks alike or belongs together never parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageChops

from pix2pix.data.records import FileInfo, PlannedPair
from pix2pix.data.split import assign_splits, groups_of, near_duplicates
from tests.support.drawn_pairs import drawn_pair

SHARES = (0.8, 0.1, 0.1)


def small(number: int, right: int = 0) -> np.ndarray:
    """A drawn picture at 64 x 64, moved by `right` of 256 pixels."""
    picture = ImageChops.offset(drawn_pair(number, 256, 256)[1], right, 0)
    return np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC))


def planned(
    number: int, name: str = "", look: np.ndarray | None = None, **more: str
) -> PlannedPair:
    seen = FileInfo((256, 256), str(number), 8, 3, "PNG", small(number) if look is None else look)
    name = name or f"{number}.png"
    return PlannedPair(name, f"t{name}", source_look=seen, target_look=seen, **more)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 11, 99])
def test_shares_become_whole_numbers(count: int) -> None:
    pairs = [planned(i) for i in range(count)]
    splits, warnings = assign_splits(pairs, SHARES, SHARES, seed=0)
    got = [splits.count(s) for s in ("train", "val", "test")]
    wanted = {1: [1, 0, 0], 2: [1, 1, 0], 3: [1, 1, 1], 5: [3, 1, 1], 10: [8, 1, 1], 11: [9, 1, 1]}
    assert got == wanted.get(count, [79, 10, 10]) and not warnings


def test_the_seed_decides_who() -> None:
    pairs = [planned(i) for i in range(40)]
    first, again, other = (assign_splits(pairs, SHARES, SHARES, s)[0] for s in (1, 1, 2))
    assert first == again and first != other


def test_frames_of_a_video_are_near_duplicates_and_strangers_are_not() -> None:
    frames = [small(1, right) for right in (0, 1, 2)]
    strangers = [small(number) for number in range(2, 40)]
    assert near_duplicates(frames + strangers) == [(0, 1), (0, 2), (1, 2)]


def test_flat_pictures_group_nobody() -> None:
    flat = np.full((64, 64, 3), 200, np.uint8)
    assert near_duplicates([flat, flat]) == []


def test_what_looks_alike_stays_together() -> None:
    pairs = [planned(i, look=small(i // 4, i % 4)) for i in range(120)]
    splits, _ = assign_splits(pairs, SHARES, SHARES, seed=3)
    for scene in range(30):
        assert len(set(splits[4 * scene : 4 * scene + 4])) == 1
    assert {splits.count(s) for s in ("val", "test")} == {12}


def test_names_and_groups_stay_together() -> None:
    pairs = [planned(i, f"t{i % 10}-{i}.png") for i in range(50)]
    splits, _ = assign_splits(pairs, SHARES, SHARES, 0, together=r"^t(\d)")
    assert all(len(set(splits[i::10])) == 1 for i in range(10))
    assert splits.count("val") == 5
    pairs = [planned(i, group="ab"[i % 2]) for i in range(6)]
    assert groups_of(pairs) == [0, 1, 0, 1, 0, 1]


def test_pairs_that_share_a_file_stay_together() -> None:
    pairs = [planned(1), planned(2), planned(3)]
    pairs[2] = replace(pairs[2], source="9.png", target="t1.png")
    assert groups_of(pairs) == [0, 1, 0]


def test_one_large_group_is_said() -> None:
    pairs = [planned(i, look=small(1, i % 2)) for i in range(30)]
    splits, warnings = assign_splits(pairs, SHARES, SHARES, 0)
    assert set(splits) == {"train"}
    assert "30 in the largest group" in warnings[0]


def test_given_splits_count_unless_shares_are_asked_for() -> None:
    pairs = [planned(i, split="test" if i else "val") for i in range(10)]
    assert assign_splits(pairs, None, SHARES, 0)[0] == ["val"] + ["test"] * 9
    assert assign_splits(pairs, SHARES, SHARES, 0)[0].count("train") == 8
