"""Colour hints: strokes of the target's own colours, on the thing, the same everywhere and always;
from the folder of photos to the pad."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from pix2pix.config import TrainConfig
from pix2pix.data.loader import PairDataset, hue_turn, recoloured
from pix2pix.data.report import read_facts
from pix2pix.data.sources import derive_source
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import evaluate
from pix2pix.imaging.hints import (
    LOOK,
    MOST,
    THIN,
    Hint,
    colour_hints,
    foreground,
    over_hints,
    paint_hints,
    photo_hints,
)
from pix2pix.imaging.line_art import line_drawing
from pix2pix.model_config import GeneratorConfig, ModelConfig
from pix2pix.models.folder import load_model, read_config
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.nn.extra_inputs import SpreadColours, largest_near
from pix2pix.nn.generators import build_generator, construct_generator
from pix2pix.training.loop import load_initial_weights, run_loop
from pix2pix.training.resolve_config import resolve_config
from pix2pix.training.trainer import Trainer
from pix2pix.ui.model_view import pad_state
from pix2pix.ui.page import build_page
from tests.support.models_and_servers import (
    Recorder,
    load_script,
    save_tiny_model,
    tiny_config,
    translator,
)

CPU = torch.device("cpu")
RED, BLUE = (190, 30, 40), (30, 60, 170)
SMALL = TrainConfig(size=64, ngf=4, ndf=4, jitter=6, precision="float32", colour_hints=1.0)


def thing(side: int = 128, seed: int = 0) -> Image.Image:
    """Something red and blue on white, with a black edge."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(picture)
    left, top = (int(v) for v in rng.integers(side // 10, side // 4, 2))
    right, bottom = (int(v) for v in rng.integers(side * 3 // 4, side * 9 // 10, 2))
    pen.rectangle((left, top, right, bottom), fill=RED, outline="black")
    pen.rectangle((left, (top + bottom) // 2, right, bottom), fill=BLUE, outline="black")
    return picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hints") / "photos"
    folder.mkdir()
    for number in range(6):
        thing(seed=number).save(folder / f"{number}.png")
    return folder


def dataset(photos: Path, out: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """By the script, as anyone makes it."""
    script = load_script("build_dataset")
    words = ["--source", photos, "--derive", how, "--out", out, "--size", 64]
    words += ["--split", "0.7,0.3,0"]
    monkeypatch.setattr("sys.argv", ["build_dataset.py", *map(str, words)])
    assert script.main() == 0
    return out


def small(picture: Image.Image) -> np.ndarray:
    shrunk = picture.resize((LOOK, LOOK), Image.Resampling.BOX)
    return np.asarray(shrunk, np.float32) / 255


# ------------------------------------------------------------------------------------- the strokes


def test_strokes_have_the_colours_of_what_they_lie_on() -> None:
    look = small(thing())
    where = foreground(look)
    assert 0.2 < where.mean() < 0.8 and not where[0].any()
    seen = set()
    for seed in range(60):
        hints = colour_hints(look, random.Random(seed))
        assert 1 <= len(hints) <= MOST
        for hint in hints:
            columns, rows = (np.asarray(hint.points) * LOOK).astype(int).T
            assert where[rows, columns].all(), "a stroke leaves the thing"
            black = paint_hints([replace(hint, color=(0, 0, 0))], (LOOK, LOOK))
            covered = np.asarray(black.convert("L")) < 128
            inside, narrow = where & covered, hint.width == THIN
            assert inside.sum() > (0.3 if narrow else 0.6) * covered.sum(), "it is beside the thing"
            apart = np.abs(look[inside] * 255 - hint.color).max(axis=1)
            assert apart.min() < 45, "no place under the stroke has its colour"
            seen.add(min((RED, BLUE), key=lambda c: np.abs(np.subtract(c, hint.color)).sum()))
    assert seen == {RED, BLUE}


def test_a_stroke_on_one_colour_has_exactly_that_colour() -> None:
    flat = np.full((LOOK, LOOK, 3), 1.0, np.float32)
    flat[16:48, 16:48] = np.float32([0.2, 0.4, 0.6])
    colours = {h.color for seed in range(40) for h in colour_hints(flat, random.Random(seed))}
    assert colours == {(51, 102, 153)}


def test_blank_pictures_have_none_and_full_ones_have_them_everywhere() -> None:
    assert colour_hints(np.ones((LOOK, LOOK, 3), np.float32), random.Random(1)) == []
    busy = np.random.default_rng(0).random((LOOK, LOOK, 3), np.float32)
    assert foreground(busy).all() and colour_hints(busy, random.Random(1))


def test_lines_stay_on_top_and_paper_takes_the_colour() -> None:
    lines = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(lines).line((32, 0, 32, 63), fill=0, width=3)
    hint = Hint(RED, 0.25, ((0.1, 0.5), (0.9, 0.5)))
    made = np.asarray(over_hints(lines, [hint]))
    assert (made[:, 32] == 0).all()
    assert (made[32, [12, 52]] == RED).all() and (made[5, [12, 52]] == 255).all()
    half = np.asarray(over_hints(lines, [hint.within(0.0, 0.25, 1.0, 0.5)]))
    assert (half[32, 12] == RED).all() and (half[26, 12] == 255).all()
    assert hint.to_json() == {
        "kind": "stroke", "tool": "ink", "color": "#be1e28", "width": 0.25,
        "points": [[0.1, 0.5], [0.9, 0.5]],
    }  # fmt: skip


# ----------------------------------------------------------------------------------- the derivation


def test_the_derivation_is_lines_over_the_photos_colours() -> None:
    photo, bare = thing(), 0
    lines = np.asarray(derive_source(photo, "lines", "k").convert("RGB"))
    for key in map(str, range(40)):
        source = np.asarray(derive_source(photo, "lines+colours", key))
        assert source.tobytes() == derive_source(photo, "lines+colours", key).tobytes()
        assert (source <= lines).all(), "nothing makes a line brighter"
        bare += bool((source == lines).all())
    assert 1 <= bare <= 15
    other = derive_source(photo, "lines+colours", "0", seed=1)
    assert other.tobytes() != derive_source(photo, "lines+colours", "0").tobytes()


# -------------------------------------------------------------------------------------- in training


@pytest.fixture
def lines(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return dataset(photos, tmp_path / "lines", "lines", monkeypatch)


def test_training_lays_them_anew_each_epoch_and_the_same_after_a_resume(lines: Path) -> None:
    plain = PairDataset(lines, "train", replace(SMALL, colour_hints=0.0))
    hinted = PairDataset(lines, "train", SMALL)
    assert plain.channels == (3, 3) == hinted.channels
    seen = set()
    for epoch in range(5):
        source, target = hinted.augmented(0, epoch)
        without, same = plain.augmented(0, epoch)
        assert torch.equal(target, same), "the hints moved the pair"
        assert (source <= without + 1e-6).all() and not torch.equal(source, without)
        assert torch.equal(source, hinted.augmented(0, epoch)[0])
        seen.add((source - without).numpy().tobytes())
    assert len(seen) == 5
    some = PairDataset(lines, "train", replace(SMALL, colour_hints=0.5))
    kinds = {torch.equal(some.augmented(1, e)[0], plain.augmented(1, e)[0]) for e in range(20)}
    assert kinds == {True, False}


def test_samples_have_the_same_hints_each_time_and_their_own_colours(lines: Path) -> None:
    bare = PairDataset(lines, "val", replace(SMALL, colour_hints=0))
    first, again = (PairDataset(lines, "val", replace(SMALL, recolour=1.0)) for _ in range(2))
    for index in range(len(bare)):
        source, target = first.plain(index)
        assert all(map(torch.equal, (source, target), again.plain(index)))
        assert torch.equal(target, bare.plain(index)[1])
        assert (source < bare.plain(index)[0] - 0.2).any()


def test_recoloured_targets_keep_black_and_white_and_their_strokes_have_the_new_colours(
    lines: Path,
) -> None:
    picture = torch.full((3, 8, 8), 1.0)
    picture[:, 2:6, 2:6] = torch.tensor([0.4, -0.2, -0.6])[:, None, None]
    picture[:, 4, 4] = -1
    picture[:, 0, 7] = 0.7  # a soft shadow, or a sole
    turned = [recoloured(picture, random.Random(seed)) for seed in range(40)]
    for other in turned:
        assert (other[:, 0, 0] - 1).abs().max() < 1e-4 and (other[:, 4, 4] + 1).abs().max() < 1e-4
        assert other.abs().max() <= 1
        assert other[:, 0, 7].max() - other[:, 0, 7].min() < 0.45
    main = {int(other[:, 3, 3].argmax()) for other in turned}
    assert main == {0, 1, 2}, "not every colour came up"
    matrix = np.array(hue_turn(np.radians(120)))
    np.testing.assert_allclose(matrix @ [1, 0, 0], [0, 1, 0], atol=1e-9)
    data = PairDataset(lines, "train", replace(SMALL, recolour=1.0))
    source, target = data.augmented(0, 3)
    there = source - PairDataset(lines, "train", replace(SMALL, colour_hints=0)).augmented(0, 3)[0]
    y, x = np.unravel_index(int(there.sum(0).argmin()), there.shape[1:])
    inked = ((source[:, y, x] + 1) / 2).numpy()
    near = ((target.permute(1, 2, 0).numpy() + 1) / 2).reshape(-1, 3)
    assert np.abs(near - inked).max(axis=1).min() < 0.2


def test_a_run_with_hints_goes_on_bit_for_bit(lines: Path, tmp_path: Path) -> None:
    config = replace(SMALL, recolour=0.5, steps=6, save_every_steps=2, sample_every_steps=3)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    run_loop(straight, lines, config, device=CPU)
    done: list[int] = []
    run_loop(broken, lines, config, device=CPU, on_progress=lambda p: done.append(p.step),
          should_stop=lambda: len(done) == 3)  # fmt: skip
    torch.manual_seed(9)
    run_loop(broken, lines, config, device=CPU, resume=True)
    ours, theirs = (load_model(run / "model")[0].state_dict() for run in (straight, broken))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    network = read_config(broken / "model").generator
    assert network.hints and network.source_channels == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour_hints": 1.5}, "colour_hints must be from 0"),
        ({"colour_hints": 0.0, "recolour": 0.5}, "recolour needs strokes"),
        ({"source_kind": "labels"}, "colour_hints are for drawings"),
        ({"derive": "grey"}, "colour_hints are for drawings"),
        ({"generator": "small-unet"}, "Hints of colour need the U-Net"),
        ({"source_channels": 1}, "colour_hints need colour: set source_channels to 3"),
        ({"target_channels": 1}, "colour_hints need colour: set target_channels to 3"),
    ],
)
def test_where_there_is_nothing_to_colour_it_is_said(change: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        replace(SMALL, **change)


# ---------------------------------------------------------------------------------- from end to end


def test_photos_become_a_dataset_a_model_and_ink_on_the_pad(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(photos, tmp_path / "coloured", "lines+colours", monkeypatch)
    said = json.loads((data / "dataset.json").read_text())
    assert said["inputs"]["derive"] == "lines+colours" and read_facts(data).has_hints
    with pytest.raises(UserError, match="have strokes of colour already"):
        PairDataset(data, "train", SMALL)
    given = {"size": "64", "ngf": "4", "ndf": "4", "steps": "1", "jitter": "6"}
    config = resolve_config("recommended", given, data)
    assert config.source_kind == "drawing"
    run = tmp_path / "run"
    run_loop(run, data, config, device=CPU)
    state = pad_state("shoes", run / "model")
    assert state["hints"] is True and state["palette"] is None


def test_old_models_have_no_ink_and_new_ones_say_so(tmp_path: Path) -> None:
    old = tiny_config(source_kind="drawing").to_json()
    del old["generator"]["hints"]
    assert ModelConfig.from_json(old).generator.hints is False
    new = tiny_config({"hints": True}, source_kind="drawing")
    assert ModelConfig.from_json(json.loads(json.dumps(new.to_json()))) == new
    configs = new, tiny_config(source_kind="drawing")
    folders = [save_tiny_model(tmp_path / str(i), config) for i, config in enumerate(configs)]
    assert [pad_state("m", folder)["hints"] for folder in folders] == [True, False]


def test_fine_tuning_a_model_that_follows_hints_goes_on_with_them(
    lines: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = save_tiny_model(tmp_path / "m", tiny_config({"hints": True}, source_kind="drawing"))
    assert resolve_config("recommended", {}, lines, begin).colour_hints == 0.8
    bare = resolve_config("recommended", {"colour_hints": "0"}, lines, begin)
    assert (bare.colour_hints, bare.hints) == (0, True)
    coloured = dataset(photos, tmp_path / "coloured", "lines+colours", monkeypatch)
    assert resolve_config("recommended", {}, coloured, begin).colour_hints == 0


@pytest.mark.parametrize(
    "network",
    [{}, {"upsample": "resize", "noise": True}, {"hints": True}, {"hints": True, "noise": True}],
)
def test_fine_tuning_teaches_colours_to_a_model_of_lines(
    lines: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: dict
) -> None:
    """It begins with the pictures that the model makes, and its gradients reach what is new. So
    does a model that has hints, but no gate yet."""
    folder = save_tiny_model(tmp_path / "m", tiny_config(network, source_kind="drawing"))
    coloured = dataset(photos, tmp_path / "coloured", "lines+colours", monkeypatch)
    configs = [
        resolve_config("maps", {"colour_hints": "0.5", "precision": "float32"}, lines, folder),
        resolve_config("maps", {}, coloured, folder),
    ]
    assert all(c.generator_config().hints and c.generator_config().gate for c in configs)
    trainer = Trainer(configs[0], CPU)
    load_initial_weights(trainer, folder)
    before, _ = load_model(folder)
    drawing = torch.where(torch.rand(1, 3, 64, 64) < 0.02, -1.0, 1.0)
    drawing[:, :, 20:40, 10:50] = torch.tensor(RED)[:, None, None] / 127.5 - 1
    with torch.no_grad():
        made = trainer.generator.eval()(drawing), before.eval()(drawing)
    assert torch.allclose(*made, atol=1e-5)
    first, last = trainer.generator.down[0][0], list(trainer.generator.out.parameters())[-1]
    seen, gate = first.weight[:, 3:6].detach().clone(), last[-1].item()
    assert gate == float(network.get("hints", False))
    trainer.generator.train()
    trainer.step(drawing, torch.rand(1, 3, 64, 64))
    assert (first.weight[:, 3:6] != seen).any() and last[-1].item() != gate


def test_a_photo_keeps_its_colours_as_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines with strokes under them, for the model at once or to go on with on the pad."""
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path))
    for name, follows in (("follows", True), ("plain", False)):
        config = tiny_config({"hints": follows}, source_kind="drawing")
        save_tiny_model(tmp_path / "models" / name, config)
    models, file = TranslatorCache(lambda: [tmp_path / "models"], "cpu"), tmp_path / "wide.png"
    photo = Image.new("RGB", (96, 64), "white")
    photo.paste(thing(64), (16, 0))
    photo.save(file)
    page = build_page(models)
    by_name = {f.name: f.fn for f in page.fns.values()}
    drawing = line_drawing(photo)
    for name in ("follows", "plain"):
        for hints in (True, False):
            coloured = hints and name == "follows"
            source = over_hints(drawing, photo_hints(photo)) if coloured else drawing
            made = by_name["translate"](str(file), name, lines="yes", hints=hints)
            assert made.tobytes() == models.get(name).translate(source).tobytes()
            state = by_name["to_pad"](str(file), "yes", "lines", hints, name, {})[0]
            strokes = state["raster"]["strokes"]
            assert len(strokes) == (MOST if coloured else 0)
            for x, y in (point for stroke in strokes for point in stroke["points"]):
                assert 0 < x < 1 and 1 / 6 < y < 5 / 6, "beside the photo on its square"


@pytest.mark.usefixtures("float32")
def test_such_a_model_is_measured_with_hints(lines: Path) -> None:
    seen = {}
    for hints in (False, True):
        recorder = Recorder()
        model = translator(recorder, {"hints": hints}, source_kind="drawing")
        assert evaluate(model, lines, "val").measures.get("hints", False) == hints
        seen[hints] = recorder.seen[0]
        evaluate(model, lines, "val", hints=False)
        assert torch.equal(recorder.seen[len(recorder.seen) // 2], seen[False])
    assert (seen[True] <= seen[False] + 1e-6).all() and not torch.equal(seen[True], seen[False])


# -------------------------------------------------------------------------------- in the network


@pytest.mark.parametrize("reach", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("height, width", [(1, 1), (5, 40), (33, 64)])
def test_the_largest_near_a_pixel_is_that_of_its_window(
    reach: int, height: int, width: int
) -> None:
    x = torch.randn(2, 3, height, width)
    expected = torch.nn.functional.max_pool2d(x, 2 * reach + 1, 1, reach)
    assert torch.equal(largest_near(x, reach), expected)


def test_wide_strokes_spread_over_the_paper_and_lines_do_not() -> None:
    lines = Image.new("L", (128, 128), 255)
    pen = ImageDraw.Draw(lines)
    pen.ellipse((10, 20, 118, 110), outline=0, width=3)
    pen.line((64, 20, 64, 110), fill=0, width=4)

    def spread(*hints: Hint) -> np.ndarray:
        drawing = np.asarray(over_hints(lines, hints), np.float32) / 127.5 - 1
        made = SpreadColours(128)(torch.from_numpy(drawing).permute(2, 0, 1)[None])[0]
        return ((made.permute(1, 2, 0).numpy() + 1) * 127.5).round()

    assert (spread() == 255).all(), "lines alone have no colour"
    red, blue = Hint(RED, 0.07, ((0.3, 0.5), (0.75, 0.5))), Hint(BLUE, 0.07, ((0.3, 0.9),))
    assert np.abs(spread(red) - RED).max() < 4, "one stroke colours all of the paper"
    both = spread(red, blue)
    assert np.abs(both[64, 64] - RED).max() < 4, "a line over a stroke is not its colour"
    assert np.abs(both[120, 38] - BLUE).max() < 30 and np.abs(both[40, 100] - RED).max() < 30
    black = spread(Hint((20, 20, 20), 0.09, ((0.4, 0.5),)))
    assert black.max() < 30, "black is a colour as well"


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_the_network_sees_the_spread_and_begins_at_it(gate: bool, upsample: str) -> None:
    config = GeneratorConfig(size=64, ngf=4, upsample=upsample, hints=True, gate=gate)
    network = build_generator(config).eval()
    state = network.state_dict()
    plain = replace(config, source_channels=6, hints=False, gate=False, target_channels=3 + gate)
    plain = construct_generator(plain).eval()
    plain.load_state_dict(state)
    drawing = over_hints(Image.new("L", (64, 64), 255), [Hint(RED, 0.3, ((0.5, 0.5),))])
    source = torch.from_numpy(np.array(drawing)).permute(2, 0, 1)[None] / 127.5 - 1
    spread = SpreadColours(64)(source)
    with torch.no_grad():
        made = network(source)
        logits = torch.atanh(plain(torch.cat([source, spread], 1)))
    share = logits[:, 3:] if gate else 1
    torch.testing.assert_close(made, torch.tanh(logits[:, :3] + share * torch.atanh(0.9 * spread)))
    red = torch.tensor(RED) / 127.5 - 1
    assert (made.mean((0, 2, 3)) - 0.9 * red).abs().max() < 0.15, "untrained, it has the colour"
