"""The pairs that training reads: found, cut, augmented, and served in an order of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.config import TrainConfig, train_config
from pix2pix.data.build import build
from pix2pix.data.dataset import find_pairs
from pix2pix.data.loader import PairDataset, augment, batches, epoch_order
from pix2pix.data.plan import make_plan
from pix2pix.data.records import Inputs, Recipe
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import evaluate
from pix2pix.utils.files import write_json
from tests.support.drawn_pairs import COLOURS, draw_dataset, drawn_pair
from tests.support.models_and_servers import translator

SMALL = TrainConfig(size=64, jitter=6)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("data") / "pairs", train=5, val=2)


KINDS = {
    "crop": {"jitter": 20},
    "shrink": {"jitter": 20, "jitter_kind": "shrink"},
    "warp": {"warp": 1.0},
    "mirror": {"jitter": 0, "mirror": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_source_and_target_move_together(kind: str, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    half = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(np.concatenate([half, half], axis=1)).save(tmp_path / "train" / "0.png")
    config = TrainConfig(**{"size": 64, "mirror": False, **KINDS[kind]})
    dataset = PairDataset(tmp_path, "train", config)
    seen = []
    for epoch in range(8):
        source, target = dataset.augmented(0, epoch)
        assert source.shape == (3, 64, 64) and source.abs().max() <= 1
        assert torch.equal(source, target)
        again = dataset.augmented(0, epoch)[0]
        assert torch.equal(source, again)  # by (seed, epoch, index) alone
        seen.append(source)
    moved = sum(not torch.equal(seen[0], other) for other in seen[1:])
    assert moved == 0 if kind == "shrink" else moved >= 2


def test_mirror_and_crop_are_what_they_say() -> None:
    both = torch.arange(70 * 70.0).reshape(1, 70, 70)
    config = TrainConfig(size=64, jitter=6, mirror=True)
    corners, mirrored = set(), 0
    for seed in range(60):
        out = augment(both, config, torch.Generator().manual_seed(seed))
        flipped = out[0, 0, 0] > out[0, 0, 1]
        plain = out.flip(-1) if flipped else out
        top, left = divmod(int(plain[0, 0, 0]), 70)
        assert torch.equal(plain, both[:, top : top + 64, left : left + 64])
        corners.add((top, left))
        mirrored += bool(flipped)
    assert {t for t, _ in corners} == {left for _, left in corners} == set(range(7))
    assert 15 < mirrored < 45


@pytest.mark.parametrize(("processes", "kept"), [(1, 4), (2, 2)])
def test_decoded_pictures_take_a_quarter_of_the_containers_memory(
    processes: int, kept: int, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes that train on this machine together."""
    one = 2 * 3 * 70 * 70  # bytes of a pair at size + jitter
    monkeypatch.setattr("pix2pix.data.loader.free_memory", lambda device: 4 * 4 * one)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    dataset = PairDataset(pairs, "train", SMALL)
    for index in range(5):
        dataset.decoded(index)
    assert len(dataset.cache) == kept


def paint(path: Path, color: tuple[int, int, int], width: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, 64), color).save(path)


def test_two_folder_layout_and_direction(tmp_path: Path) -> None:
    for name in ("x", "y"):
        paint(tmp_path / "trainA" / f"{name}.png", (255, 0, 0))
        paint(tmp_path / "trainB" / f"{name}.bmp", (0, 0, 255))
    assert [pair.name for pair in find_pairs(tmp_path, "train")] == ["x", "y"]
    for direction, first in (("AtoB", 0), ("BtoA", 2)):
        config = TrainConfig(size=64, direction=direction)
        source, target = PairDataset(tmp_path, "train", config).plain(0)
        assert source[:, 0, 0].argmax() == first and target[:, 0, 0].argmax() == 2 - first
    paint(tmp_path / "trainA" / "z.png", (0, 0, 0))
    with pytest.raises(UserError, match="'z' is in one only"):
        PairDataset(tmp_path, "train", TrainConfig(size=64))


def test_strips_are_cut_in_the_middle(tmp_path: Path) -> None:
    strip = Image.new("RGB", (128, 64), (255, 0, 0))
    strip.paste((0, 255, 0), (64, 0, 128, 64))
    (tmp_path / "train").mkdir()
    strip.save(tmp_path / "train" / "0.png")
    source, target = PairDataset(tmp_path, "train", TrainConfig(size=64)).plain(0)
    assert (source[0] == 1).all() and (source[1:] == -1).all()
    assert (target[1] == 1).all() and (target[[0, 2]] == -1).all()


def test_grey_is_derived(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "0.png", (255, 0, 0), width=65)  # a photo, not a strip
    dataset = PairDataset(tmp_path, "train", train_config("colorize", {"size": "64"}))
    assert dataset.channels == (1, 3)
    source, target = dataset.plain(0)
    assert source.shape == (1, 64, 64) and target.shape == (3, 64, 64)
    assert source[0, 0, 0] == pytest.approx(2 * 0.299 - 1, abs=0.01)  # luma of red (BT.601)
    assert target[:, 0, 0].tolist() == [1, -1, -1]


def test_strips_of_odd_width_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "odd.png", (1, 2, 3), width=129)
    with pytest.raises(UserError, match=r"odd.png is 129 pixels wide"):
        PairDataset(tmp_path, "train", TrainConfig(size=64))


def test_every_epoch_sees_every_pair_once_in_its_own_order(pairs: Path) -> None:
    dataset = PairDataset(pairs, "train", replace(SMALL, jitter=0, mirror=False))
    plain = [dataset.plain(i)[0] for i in range(5)]
    stream = batches(dataset, 2, seed=0)
    orders = []
    for _ in range(3):
        seen = []
        for size in (2, 2, 1):
            source, _ = next(stream)
            assert len(source) == size
            seen += [i for s in source for i, p in enumerate(plain) if torch.allclose(s, p)]
        assert sorted(seen) == [0, 1, 2, 3, 4]
        orders.append(tuple(seen))
    assert len(set(orders)) > 1
    late = batches(dataset, 2, seed=0, start=4)  # resumed in the middle of epoch 1
    stream = batches(dataset, 2, seed=0)
    for _ in range(4):
        next(stream)
    for _ in range(4):
        assert torch.equal(next(late)[0], next(stream)[0])


# ------------------------------------------------------------------------------- what a file holds


def strip_of(*halves: Image.Image) -> Image.Image:
    strip = Image.new(halves[0].mode, (2 * halves[0].width, halves[0].height))
    for place, half in enumerate(halves):
        strip.paste(half, (place * half.width, 0))
    return strip


def test_pairs_are_prepared_on_one_thread_each(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, seen = torch.get_num_threads(), []
    prepare = PairDataset.augmented

    def augmented(*args: int) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(torch.get_num_threads())
        return prepare(*args)

    monkeypatch.setattr(PairDataset, "augmented", augmented)
    torch.set_num_threads(3)
    try:
        next(batches(PairDataset(pairs, "train", SMALL), batch_size=2, seed=0))
        assert set(seen) == {1}
        assert torch.get_num_threads() == 3  # the networks keep theirs, and so do other threads
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(usual)


def test_a_folder_of_plain_photos_is_all_train(tmp_path: Path) -> None:
    for number in range(3):
        drawn_pair(number, 65, 64)[1].save(tmp_path / f"{number}.jpg")
    assert len(find_pairs(tmp_path, "train")) == 3 and find_pairs(tmp_path, "val") == []
    dataset = PairDataset(tmp_path, "train", train_config("colorize", {"size": "64"}))
    assert (len(dataset), dataset.channels) == (3, (1, 3))
    (tmp_path / "val").mkdir()
    drawn_pair(9, 65, 64)[1].save(tmp_path / "val" / "9.png")
    assert find_pairs(tmp_path, "train") == [], "with splits, pictures beside them are none of them"


@pytest.mark.parametrize("kind", ["built", "folders", "strips"])
def test_the_grey_of_a_dataset_of_pairs_is_that_of_its_targets(kind: str, tmp_path: Path) -> None:
    """Whether the Dataset tab built the pairs or they came from somebody else."""
    size = 128 if kind == "strips" else 64
    (_, photo), data = drawn_pair(0, size, size), tmp_path / "data"
    if kind == "strips":
        (data / "train").mkdir(parents=True)
        strip_of(Image.new("RGB", photo.size, "white"), photo).save(data / "train" / "0.png")
    elif kind == "folders":
        for side, picture in (("A", photo.convert("L")), ("B", photo)):
            (data / f"train{side}").mkdir(parents=True)
            picture.save(data / f"train{side}" / "0.png")
    else:
        (tmp_path / "photos").mkdir()
        photo.save(tmp_path / "photos" / "0.png")
        plan = make_plan(Inputs(tmp_path / "photos", derive="grey"))
        build(plan, Recipe(size=64, split=(1.0, 0.0, 0.0)), data)
    dataset = PairDataset(data, "train", train_config("colorize", {"size": str(size)}))
    source, target = dataset.plain(0)
    assert source.shape == (1, size, size)
    assert (((target + 1) * 127.5).round().permute(1, 2, 0).numpy() == np.asarray(photo)).all()
    network = {"source_channels": 1, "size": size}
    model = translator(network=network, training={"derive": "grey"})
    shown = evaluate(model, data, "train").samples[0]
    assert shown[2].tobytes() == photo.tobytes()


def test_channels_are_the_most_that_a_pair_has(tmp_path: Path) -> None:
    for name, mode in (("0", "L"), ("1", "RGB"), ("2", "RGBA")):
        halves = [side.convert(mode) for side in drawn_pair(int(name), 64, 64)]
        (tmp_path / "train").mkdir(exist_ok=True)
        strip_of(*halves).save(tmp_path / "train" / f"{name}.png")
    assert PairDataset(tmp_path, "train", SMALL).channels == (3, 3)
    (tmp_path / "train" / "1.png").unlink()
    (tmp_path / "train" / "2.png").unlink()
    assert PairDataset(tmp_path, "train", SMALL).channels == (1, 1)


def test_transparency_is_for_the_side_that_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    half = Image.new("RGBA", (64, 64), (9, 9, 9, 99))
    strip_of(half, half).save(tmp_path / "train" / "0.png")
    for given, expected in [((4, 0), (4, 3)), ((0, 4), (3, 4)), ((0, 0), (3, 3))]:
        config = TrainConfig(size=64, source_channels=given[0], target_channels=given[1])
        assert PairDataset(tmp_path, "train", config).channels == expected


def test_a_fourth_channel_is_the_opacity(tmp_path: Path) -> None:
    """By choice; otherwise what is transparent is on white."""
    half = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    half.paste((200, 0, 0, 255), (0, 0, 64, 32))
    (tmp_path / "train").mkdir()
    strip_of(half, half).save(tmp_path / "train" / "0.png")
    white, _ = PairDataset(tmp_path, "train", SMALL).plain(0)
    assert white.shape == (3, 64, 64) and (white[:, 40] == 1).all()
    config = replace(SMALL, source_channels=4, target_channels=4)
    for side in PairDataset(tmp_path, "train", config).plain(0):
        assert side.shape == (4, 64, 64)
        assert (side[3, :32] == 1).all() and (side[3, 32:] == -1).all()


@pytest.mark.parametrize("kind", ["photo", "labels", "drawing"])
def test_what_a_warp_shows_past_the_edge(kind: str) -> None:
    """Drawings go on as they end; photos and label maps are mirrored, so that none has stripes."""
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    config = TrainConfig(size=64, jitter=0, mirror=False, warp=1.0, source_kind=kind)
    striped = 0
    for seed in range(8):
        warped = augment(noise, config, torch.Generator().manual_seed(seed))
        edges = warped[:, :, :4], warped[:, :, -4:]
        striped += min(edge.diff(dim=2).abs().mean() for edge in edges) < 0.1
    assert striped >= 2 if kind == "drawing" else striped == 0


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("change", [{"jitter": 30}, {"warp": 1.0}])
def test_colours_of_label_maps_never_mix(direction: str, change: dict, tmp_path: Path) -> None:
    """Sources or targets, whichever `dataset.json` says are label maps."""
    label, photo = drawn_pair(0, 80, 80)
    (tmp_path / "train").mkdir()
    strip_of(label, photo).save(tmp_path / "train" / "0.png")
    write_json(tmp_path / "dataset.json", {"label_maps": [True, False]})
    config = TrainConfig(**{"size": 64, "direction": direction, **change})
    sides = PairDataset(tmp_path, "train", config).augmented(0, 1)
    labels, shaded = sides if direction == "AtoB" else sides[::-1]
    colours = {
        tuple(c) for c in ((labels + 1) * 127.5).round().int().flatten(1).T.tolist()
    }  # fmt: skip
    assert len(colours) > 2 and colours <= set(COLOURS)
    assert len({tuple(c) for c in shaded.flatten(1).T.tolist()}) > 1000


def test_any_seed_gives_an_order() -> None:
    assert sorted(epoch_order(5, 2**62, 3)) == [0, 1, 2, 3, 4]
