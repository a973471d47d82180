"""One meaning of numbers a side: found over all files, chosen, stored, trained on, written back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from pix2pix.config import TrainConfig
from pix2pix.data.build import build, build_dataset
from pix2pix.data.dataset import folder_ranges
from pix2pix.data.loader import PairDataset
from pix2pix.data.plan import make_plan
from pix2pix.data.ranges import find_range, measure_values, parse_range
from pix2pix.data.reading import as_meant
from pix2pix.data.rebuild import rebuild
from pix2pix.data.records import Inputs, Recipe
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import evaluate
from pix2pix.imaging.decode import open_picture
from pix2pix.models.folder import read_config
from pix2pix.models.translator import Translator
from pix2pix.training.loop import run_loop
from tests.support.models_and_servers import load_script, save_tiny_model, tiny_config

SIDE = 64
NODATA = [(42113, "s", 0, "-9999", True)]


def scenes(folder: Path, numbers: list[np.ndarray], photo: bool = True, **options: object) -> tuple:
    """Pairs of a photo (or grey) and a TIFF of these numbers."""
    rng = np.random.default_rng(0)
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    for number, values in enumerate(numbers):
        shape = (SIDE, SIDE, 3) if photo else (SIDE, SIDE)
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "a" / f"{number}.png")
        tifffile.imwrite(folder / "b" / f"{number}.tif", values, metadata=None, **options)
    return folder / "a", folder / "b"


def ramps(ends: list[tuple[float, float]], dtype: str = "float32") -> list[np.ndarray]:
    return [np.linspace(*e, SIDE * SIDE).reshape(SIDE, SIDE).astype(dtype) for e in ends]


def plan_and_build(folders: tuple[Path, Path], out: Path, **recipe: object) -> tuple:
    plan = make_plan(Inputs(*folders))
    return plan, build(plan, Recipe(size=0, split=(1, 0, 0), **recipe), out)


def kinds(plan: object, side: str = "target") -> list[str]:
    return [d.kind for d in plan.doubts if d.side == side]


def right_half(out: Path, name: str) -> np.ndarray:
    strip = np.asarray(Image.open(out / "train" / f"{name}.png"))
    half = strip[:, SIDE:]
    return half[..., 0] if half.ndim == 3 else half


def test_depth_in_metres_has_one_range_for_all_scenes(tmp_path):
    numbers = ramps([(0.2, 0.9), (1.0, 4.0), (2.0, 9.0)])
    plan, made = plan_and_build(scenes(tmp_path, numbers), tmp_path / "out")
    low, high = made["ranges"]["target"]
    assert (low, high) == (pytest.approx(0.2), 9.0) and made["ranges"]["source"] == [0.0, 255.0]
    assert made["numbers"]["target"]["type"] == "float32"
    for number, values in enumerate(numbers):
        expected = (values - low) / (high - low) * 255
        assert np.abs(right_half(tmp_path / "out", str(number)) - expected).max() <= 0.51
    assert not plan.label_maps[1] and sum(plan.ranges["target"].histogram) > 0
    assert kinds(plan) == []
    rebuild(tmp_path / "out" / "dataset.json", tmp_path / "again")
    assert np.array_equal(right_half(tmp_path / "again", "1"), right_half(tmp_path / "out", "1"))


def test_one_extreme_is_doubted_and_percentiles_or_a_choice_settle_it(tmp_path):
    numbers = ramps([(-1024, -4)] * 6, "int32")
    for values in numbers[::2]:
        values[0, 0] = 20_000
    folders = scenes(tmp_path, numbers)
    plan, made = plan_and_build(folders, tmp_path / "out")
    assert made["ranges"]["target"] == [-1024, 20_000]
    (doubt,) = [d for d in plan.doubts if d.kind == "outlier"]
    assert doubt.fixes == ("target-range=-1024,-4", "target-range=percentiles")
    assert doubt.files == ("0.tif", "2.tif", "4.tif") and "3 of 6 files hold 20000" in doubt.reason
    robust = build_dataset(*folders, tmp_path / "robust", target_range="percentiles")
    low, high = robust["ranges"]["target"]
    assert -1025 < low < -1000 and -30 < high < 0
    assert not [d for d in robust["doubts"] if d["kind"] == "outlier"]
    _, chosen = plan_and_build(folders, tmp_path / "chosen", target_range="-1024,-4")
    assert chosen["ranges"]["target"] == [-1024, -4]
    assert not [d for d in chosen["doubts"] if d["kind"] == "outlier"]  # settled since the plan
    expected = (numbers[1] + 1024.0) / 1020 * 255
    assert np.abs(right_half(tmp_path / "chosen", "1") - expected).max() <= 0.51
    outside = make_plan(Inputs(*folders), target_range="-500,-4")
    words = [doubt.reason for doubt in outside.doubts]
    assert any("6 of 6 files lie partly outside -500 to -4" in reason for reason in words)


def test_nodata_by_its_tag_or_by_being_far_from_all_else(tmp_path):
    numbers = ramps([(100, 300), (200, 500)])
    for values in numbers:
        values[:6] = -9999
    (tmp_path / "tagged").mkdir()
    folders = scenes(tmp_path / "tagged", numbers, extratags=NODATA)
    plan, made = plan_and_build(folders, tmp_path / "out")
    assert made["ranges"]["target"][1] == 500 and made["ranges"]["target"][0] > 100
    assert kinds(plan) == [] and (right_half(tmp_path / "out", "0")[:6] == 0).all()
    (tmp_path / "bare").mkdir()
    bare = make_plan(Inputs(*scenes(tmp_path / "bare", [v.astype(np.int16) for v in numbers])))
    (doubt,) = [doubt for doubt in bare.doubts if doubt.kind == "nodata"]
    assert "2 of 2 files hold -9999" in doubt.reason


def with_hole(value: float, *ends: tuple[float, float], dtype: str = "uint16") -> list[np.ndarray]:
    numbers = ramps(list(ends), dtype)
    for values in numbers:
        values[10:20, 10:30] = value
    return numbers


STEPS = [np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 3 * 16]  # a sensor of 12 bits in 16
HOLES: dict[str, tuple[list[np.ndarray], dict[str, str]]] = {
    "depth of 0": (with_hole(0, (500, 3000), (700, 4900)), {"nodata": "hold 0,"}),
    "metres of 0": (with_hole(0, (0.6, 3), (1, 9), dtype="float32"), {"nodata": "hold 0,"}),
    "65535 near": (with_hole(65535, (3000, 30000), (9000, 48000)), {"nodata": "hold 65535,"}),
    "padding": (with_hole(-2000, (-1000, 0), (0, 1600), dtype="int16"), {"nodata": "hold -2000,"}),
    "clipped": ([np.clip(v, 0, 65535) for v in ramps([(-9000, 70000)] * 2, "int32")], {}),
    "steps from 0": ([values.astype(np.uint16) for values in STEPS * 2], {}),
    "other unit": (
        ramps([(500, 9000), *[(0.5, 9 - n / 10) for n in range(5)]]),
        {"outlier": "another unit", "no-contrast": "fewer than 20"},
    ),
}


@pytest.mark.parametrize(("numbers", "wanted"), HOLES.values(), ids=HOLES)
def test_a_number_that_many_pixels_have_and_none_comes_near_is_doubted(tmp_path, numbers, wanted):
    plan = make_plan(Inputs(*scenes(tmp_path, numbers)))
    found = {d.kind: d.reason for d in plan.doubts if d.side == "target"}
    assert found.keys() == wanted.keys()
    assert all(words in found[kind] for kind, words in wanted.items())


def test_numbers_of_several_scales_are_doubted(tmp_path):
    def metadata(scale: float) -> list[tuple]:
        item = f'<Item name="SCALE" sample="0" role="scale">{scale}</Item>'
        return [(42112, "s", 0, f"<GDALMetadata>{item}</GDALMetadata>", True)]

    numbers = ramps([(0, 3000), (10, 2900), (20, 2800)], "uint16")
    folders = scenes(tmp_path, numbers, extratags=metadata(0.1))
    assert kinds(make_plan(Inputs(*folders))) == []
    tifffile.imwrite(folders[1] / "1.tif", numbers[1] * 10, metadata=None, extratags=metadata(0.01))
    (doubt,) = [d for d in make_plan(Inputs(*folders)).doubts if d.side == "target"]
    assert doubt.kind == "narrow-range" and "scale 0.01 and scale 0.1" in doubt.reason


def test_a_range_is_taken_back(tmp_path):
    plan = make_plan(Inputs(*scenes(tmp_path, ramps([(0, 4), (1, 9)]))), target_range="0,5")
    assert plan.ranges["target"].high == 5
    assert build(plan, Recipe(size=0), tmp_path / "out")["ranges"]["target"] == [0, 9]


def test_the_halves_of_deep_strips_have_a_range_each(tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    both = [np.hstack(ramps([(0, 4080 - n), (900 + n, 1000)], "uint16")) for n in range(4)]
    for number, strip in enumerate(both):
        Image.fromarray(strip).save(tmp_path / "set" / "train" / f"{number}.png")
    known = folder_ranges(tmp_path / "set")
    plan = make_plan(Inputs(tmp_path / "set"))
    for found in (known, plan.ranges):
        ends = [(found[side].low, found[side].high) for side in ("source", "target")]
        assert ends == [(0, 4080), (900, 1000)]
    assert kinds(plan) == []
    build(plan, Recipe(size=0), tmp_path / "out")
    made = np.asarray(Image.open(next((tmp_path / "out").rglob("2.png"))))[:, SIDE:]
    expected = (both[2][:, SIDE:] - 900.0) / 100 * 255
    assert np.abs(made[..., 0] - expected).max() <= 0.51


def test_sixteen_bits_are_no_label_maps_by_their_8_bit_look(tmp_path):
    numbers = ramps([(0, 4080), (16, 4000)], "uint16")
    plan, made = plan_and_build(scenes(tmp_path, numbers), tmp_path / "out")
    assert plan.label_maps == (False, False) and made["ranges"]["target"] == [0, 4080]
    assert right_half(tmp_path / "out", "0").max() == 255
    few = [np.round(values / 1000).astype(np.uint16) for values in numbers]
    (tmp_path / "labels").mkdir()
    assert make_plan(Inputs(*scenes(tmp_path / "labels", few))).label_maps == (False, True)


def test_keep_keeps_or_says_that_it_cannot(tmp_path):
    numbers = ramps([(7, 4080), (100, 4000)], "uint16")
    (tmp_path / "grey").mkdir()
    folders = scenes(tmp_path / "grey", numbers, photo=False)
    _, made = plan_and_build(folders, tmp_path / "out", keep=True)
    assert np.array_equal(right_half(tmp_path / "out", "1"), numbers[1])
    assert not made["warnings"] and made["numbers"]["target"]["kept"]
    pairs = PairDataset(tmp_path / "out", "train", TrainConfig(size=64, jitter=0))
    target = pairs.plain(0)[1].numpy()
    assert abs(target.min() + 1) < 0.01 and abs(target.max() - 1) < 0.01
    (tmp_path / "colour").mkdir()
    _, said = plan_and_build(scenes(tmp_path / "colour", numbers), tmp_path / "c", keep=True)
    assert "The target pictures are cut to 8 bits" in said["warnings"][-1]


def test_mixed_types_are_doubted(tmp_path):
    folders = scenes(tmp_path, ramps([(0, 60_000)] * 2, "uint16"))
    Image.new("L", (SIDE, SIDE), 7).save(folders[1] / "0.tif")
    assert kinds(make_plan(Inputs(*folders))) == ["narrow-range"]


def test_what_a_range_may_be():
    assert parse_range("") == parse_range(None) == parse_range(()) == ""
    assert parse_range(" Percentiles ") == "percentiles"
    assert parse_range("-1, 4080") == parse_range((-1, 4080)) == (-1.0, 4080.0)
    for wrong in ("5", "9,1", "1,1", "nan,2", "a,b", "1,2,3", (1,), 7):
        with pytest.raises(UserError, match="two numbers"):
            parse_range(wrong)
    empty = measure_values(open_picture_of(np.full((4, 4), np.nan, np.float32)))
    assert empty.count == 0 and find_range([empty, None], 1).is_plain
    flat = find_range([measure_values(open_picture_of(np.full((4, 4), 3, np.float32)))], 1)
    assert (flat.low, flat.high) == (3, 4)


def open_picture_of(values: np.ndarray) -> object:
    from pix2pix.imaging.picture import as_picture

    return as_picture(Image.fromarray(values))


# ---------------------------------------------------------------------------- beyond the dataset


def test_a_depth_model_is_trained_evaluated_and_gives_metres(tmp_path, monkeypatch):
    numbers = ramps([(0.2, 0.9), (1.0, 4.0), (2.0, 9.0)])
    plan_and_build(scenes(tmp_path, numbers), tmp_path / "out")
    config = TrainConfig(size=64, ngf=4, ndf=4, layers=1, steps=1, jitter=0)
    run_loop(tmp_path / "run", tmp_path / "out", config, device=torch.device("cpu"))
    model = read_config(tmp_path / "run" / "model")
    assert model.ranges["target"] == [pytest.approx(0.2), 9.0]
    assert model.numbers["target"] == {"type": "float32", "channels": 1}
    assert model.generator.target_channels == 1
    run = json.loads((tmp_path / "run" / "config.json").read_text())
    assert run["ranges"] == model.ranges
    translator = Translator.load(tmp_path / "run" / "model", "cpu")
    made = translator(tmp_path / "a" / "0.png")
    assert made.mode == "F" and np.asarray(made).min() >= 0.19 and np.asarray(made).max() <= 9.01
    measures = evaluate(translator, tmp_path / "out", "train").measures
    assert measures["l1_units"] == pytest.approx(measures["l1"] * 8.8)
    words = ["translate.py", tmp_path / "a" / "0.png", "--model", tmp_path / "run" / "model"]
    words += ["--out", tmp_path / "depth", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", list(map(str, words)))
    assert load_script("translate").main() == 0
    written = tifffile.imread(tmp_path / "depth" / "0.tif")
    assert written.dtype == np.float32 and np.abs(written - np.asarray(made)).max() < 1e-3


def test_a_model_sees_its_own_range_in_any_picture_and_dataset(tmp_path):
    ranges = {"source": [0.0, 4080.0], "target": [0.0, 255.0]}
    numbers = {
        "source": {"type": "uint16", "channels": 1},
        "target": {"type": "uint8", "channels": 3},
    }
    config = tiny_config({"source_channels": 1}, ranges=ranges, numbers=numbers, fit="whole")
    translator = Translator.load(save_tiny_model(tmp_path / "m", config), "cpu")
    depth = ramps([(0, 4080)], "uint16")[0]
    deep = Image.fromarray(depth)
    shallow = Image.fromarray(np.rint(depth / 16).astype(np.uint8))
    seen, expected = (np.asarray(translator.translate(p)).astype(int) for p in (deep, shallow))
    assert np.abs(seen - expected).mean() < 3  # 4080 is 255
    with pytest.warns(UserWarning, match="lies outside the model's range"):
        translator(Image.fromarray(depth * 4))
    # A folder of another range, that nobody built: the model still sees its own.
    for side in "AB":
        (tmp_path / "data" / f"train{side}").mkdir(parents=True)
    for number, values in enumerate(ramps([(0, 8000), (0, 4000)], "uint16")):
        tifffile.imwrite(tmp_path / "data" / "trainA" / f"{number}.tif", values)
        Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "data" / "trainB" / f"{number}.png")
    assert folder_ranges(tmp_path / "data")["source"].high == 8000
    source = evaluate(translator, tmp_path / "data", "train", show=2).samples[1][0]
    assert abs(int(np.asarray(source).max()) - 250) <= 2  # 4000 of 4080


def test_wrong_ranges_in_a_config_are_refused():
    for ranges in ({"source": [1, 1]}, {"side": [0, 1]}, {"source": "0,1"}, {"target": [0]}):
        with pytest.raises(UserError, match="ranges must hold"):
            tiny_config(ranges=ranges)
    with pytest.raises(UserError, match="numbers must name"):
        tiny_config(numbers={"source": {"type": "text", "channels": 1}})


def test_transparency_of_deep_colours_is_a_mask_of_8_bits_or_left_out(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint16)
    pixels[..., :3] = np.arange(32, dtype=np.uint16)[None, :, None] * 100
    pixels[16:, :, 3] = 65535
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    picture = open_picture(tmp_path / "a.tif")
    mask = as_meant(Inputs(tmp_path, alpha=("mask", "white")), "source", picture)
    assert not mask.is_deep and np.array_equal(mask.values()[0], pixels[..., 3] // 257)
    colours = as_meant(Inputs(tmp_path, alpha=("ignore", "white")), "source", picture)
    assert np.array_equal(colours.values(), pixels[..., :3].transpose(2, 0, 1))
    seen = np.asarray(colours.with_range(0, 3100).to_pil())
    assert seen.shape == (32, 32, 3) and (seen[:, 31] == 255).all()
