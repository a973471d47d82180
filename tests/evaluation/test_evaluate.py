"""Models measured on datasets: the pictures are the translator's, the figures the pairs'."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.evaluation import metrics
from pix2pix.evaluation.evaluate import Evaluation, comparison_picture, evaluate, markdown_table
from pix2pix.imaging.grids import GAP
from pix2pix.models.folder import load_model
from pix2pix.models.translator import Translator
from pix2pix.utils.files import write_json
from tests.support.drawn_pairs import COLOURS, draw_dataset, drawn_pair
from tests.support.fork_server import ForkServer
from tests.support.models_and_servers import (
    Constants,
    Recorder,
    load_script,
    noise,
    save_tiny_model,
    tiny_config,
    translator,
)

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "evaluate.py"
SIDE = 64  # of the tiny models, so that nothing is scaled
PALETTE = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS]


def write_strips(folder: Path, count: int = 4, split: str = "val") -> Path:
    """A dataset of drawn label maps (A) and photos (B)."""
    return draw_dataset(folder, **{split: count})


def write_folders(folder: Path, *sides: list[Image.Image]) -> Path:
    """A dataset of two folders with these pictures."""
    for name, pictures in zip(("valA", "valB"), sides):
        (folder / name).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            picture.save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_strips(tmp_path_factory.mktemp("data") / "blocks")


@pytest.fixture
def blind(monkeypatch) -> None:
    """Without the ImageNet network, whose figures other tests look at: they take longest."""
    monkeypatch.setattr(metrics, "features", lambda pictures, network, device: None)


# ------------------------------------------------------------------------------------- the engine


def test_the_figures_are_those_of_what_the_translator_makes_of_each_source(data):
    model = translator()
    found = evaluate(model, data)
    compared = metrics.Comparison()
    for number in range(4):
        source, target = drawn_pair(number, SIDE, SIDE)
        sides = [np.asarray(p).transpose(2, 0, 1)[None] for p in (model.translate(source), target)]
        compared.add(*(torch.tensor(side) / 127.5 - 1 for side in sides))
    assert found.measures.pop("judge") == metrics.JUDGE
    assert found.measures == pytest.approx(compared.result(), rel=1e-4)
    assert found.measures["images"] == 4 and not found.refused
    for number, triple in enumerate(found.samples):
        source, target = drawn_pair(number, SIDE, SIDE)
        expected = source, model.translate(source), target
        assert [np.array(p).tolist() for p in triple] == [np.array(p).tolist() for p in expected]


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize(
    ("model", "told", "source"),
    [("AtoB", "", 0), ("BtoA", "", 1), ("AtoB", "BtoA", 1)],
    ids=["as trained", "trained the other way", "told otherwise"],
)
def test_the_source_is_the_side_that_the_model_was_trained_on(model, told, source, data, blind):
    recorder = Recorder()
    found = evaluate(translator(recorder, direction=model), data, direction=told)
    seen = (recorder.seen[0][0].permute(1, 2, 0) + 1) * 127.5
    np.testing.assert_allclose(seen, np.asarray(drawn_pair(0, SIDE, SIDE)[source]), atol=1)
    a, b = (np.asarray(p, float) for p in drawn_pair(0, SIDE, SIDE))
    first = evaluate(translator(Recorder()), data, limit=1).measures["l1"]
    assert first == pytest.approx(np.abs(a - b).mean() / 255, rel=1e-5)
    assert found.measures["images"] == 4


@pytest.mark.parametrize(
    ("model", "told", "shapes"),
    [
        ("whole", "", [(64, 64)]),
        ("tiles", "", [(64, 64)] * 3),
        ("tiles", "whole", [(64, 64)]),
    ],
)
def test_larger_sources_are_scaled_or_cut_as_the_translate_tab_does(
    model, told, shapes, tmp_path, blind
):
    data = write_folders(tmp_path, [noise(150, 64)], [noise(150, 64, seed=1)])
    recorder = Recorder()
    found = evaluate(translator(recorder, fit=model), data, fit=told)
    assert [tuple(seen.shape[2:]) for seen in recorder.seen] == shapes
    assert {picture.size for picture in found.samples[0]} == {(SIDE, SIDE)}


@pytest.mark.usefixtures("float32")
def test_photos_without_sources_are_measured_from_their_grey(tmp_path, blind):
    (tmp_path / "val").mkdir()
    photo = noise(SIDE, SIDE)
    photo.save(tmp_path / "val" / "photo.png")
    network = {"source_channels": 1, "target_channels": 3}

    class Painter(Recorder):
        def forward(self, source: torch.Tensor) -> torch.Tensor:
            return super().forward(source).expand(-1, 3, -1, -1)

    for trained, told in (({"preset": "colorize"}, ""), ({"derive": "grey"}, ""), ({}, "grey")):
        recorder = Painter()
        found = evaluate(translator(recorder, network, training=trained), tmp_path, derive=told)
        grey = np.asarray(photo.convert("L"), float)
        np.testing.assert_allclose((recorder.seen[0][0, 0] + 1) * 127.5, grey, atol=1e-3)
        expected = np.abs(np.asarray(photo, float) - grey[..., None]).mean() / 255
        assert found.measures["l1"] == pytest.approx(expected, rel=1e-3)


def test_a_broken_pair_is_left_out_and_named_and_the_rest_is_measured(tmp_path, blind):
    data = write_strips(tmp_path / "blocks")
    (data / "val" / "01.png").write_bytes(b"no picture")
    noise(65, 30).save(data / "val" / "odd.png")
    found = evaluate(translator(Recorder()), data)
    assert found.measures["images"] == 3 == len(found.samples)
    assert [r["file"] for r in found.refused] == ["01.png", "odd.png"]
    assert all(r["reason"].endswith(".") for r in found.refused)
    for good in ("00", "02", "03"):
        (data / "val" / f"{good}.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"No pair in val/ of blocks can be used: 00.png"):
        evaluate(translator(Recorder()), data)
    with pytest.raises(UserError, match=r"no pairs in test/"):
        evaluate(translator(Recorder()), data, "test")


def test_some_pairs_stand_for_all_and_some_of_them_are_shown(tmp_path, blind):
    data = write_strips(tmp_path / "blocks", 9)
    recorder, said = Recorder(), []
    found = evaluate(
        translator(recorder), data, limit=5, show=2, on_progress=lambda *n: said.append(n)
    )
    assert found.measures["images"] == len(recorder.seen) == 5
    assert said == [(done, 5) for done in range(6)]
    shown = [np.asarray(source).tolist() for source, _, _ in found.samples]
    assert shown == [np.asarray(drawn_pair(n, SIDE, SIDE)[0]).tolist() for n in (0, 8)]


def test_where_the_pair_to_show_is_broken_the_next_is_shown(tmp_path, blind):
    data = write_strips(tmp_path / "blocks", 6)
    for broken in ("00", "01", "03"):
        (data / "val" / f"{broken}.png").write_bytes(b"no picture")
    for show, numbers in ((1, [2]), (3, [2, 4, 5])):
        found = evaluate(translator(Recorder()), data, show=show)
        shown = [np.asarray(source).tolist() for source, _, _ in found.samples]
        assert shown == [np.asarray(drawn_pair(n, SIDE, SIDE)[0]).tolist() for n in numbers]
        assert comparison_picture({"one": found}).width == show * (SIDE + GAP) - GAP


def test_it_stops_between_two_pairs(data, blind):
    recorder = Recorder()
    with pytest.raises(Cancelled):
        evaluate(translator(recorder), data, should_stop=lambda: len(recorder.seen) == 2)
    assert len(recorder.seen) == 2


# -------------------------------------------------------------------------------------- label maps


def labels(count: int = 3) -> list[Image.Image]:
    return [drawn_pair(number, SIDE, SIDE)[0] for number in range(count)]


def test_label_maps_are_measured_by_class(tmp_path, blind):
    maps = labels(metrics.BATCH + 1)
    same = write_folders(tmp_path / "same", maps, maps)
    perfect = evaluate(translator(Recorder()), same).measures
    assert perfect["accuracy"] == perfect["mean_iou"] == 1
    stored = np.stack([np.asarray(label) for label in maps]).reshape(-1, 3)
    shares = {name: (stored == colour).all(1).mean() for name, colour in zip(PALETTE, COLOURS)}
    found = {c["color"]: c["share"] for c in perfect["classes"]}
    assert found == pytest.approx({name: share for name, share in shares.items() if share})
    assert [c["iou"] for c in perfect["classes"]] == [1] * len(found)


def test_painting_the_commonest_colour_alone_has_its_share_as_accuracy(tmp_path, blind):
    data = write_folders(tmp_path / "same", labels(), labels())
    black = Constants(-1.0, -1.0, -1.0)  # nearest to the first colour, and not it
    found = evaluate(translator(black), data).measures
    assert found["accuracy"] == found["commonest"] == found["classes"][0]["share"]
    assert found["classes"][0]["color"] == PALETTE[0]
    assert [c["iou"] for c in found["classes"][1:]] == [0] * (len(found["classes"]) - 1)


def test_scaling_mixes_no_colours_of_label_maps(tmp_path, blind):
    maps = [drawn_pair(number, 96, 96)[0] for number in range(2)]
    found = evaluate(translator(Recorder()), write_folders(tmp_path / "same", maps, maps))
    for source, _, target in found.samples:
        assert {colour for _, colour in target.getcolors()} <= set(COLOURS)
        assert source.getcolors(64) != target.getcolors(64)  # of a model that takes photos
    named = translator(Recorder(), source_kind="labels")
    for source, _, target in evaluate(named, tmp_path / "same").samples:
        assert source.getcolors() == target.getcolors()


@pytest.mark.parametrize(
    ("direction", "said", "measured"),
    [
        ("BtoA", None, True),  # a few colours, exactly
        ("AtoB", None, False),  # photos
        ("BtoA", [False, False], False),
        ("AtoB", [True, False], False),
        ("BtoA", [True, False], True),
        ("BtoA", "yes", True),  # nonsense says nothing
    ],
)
def test_label_maps_are_known_by_their_colours_and_by_what_dataset_json_says(
    direction, said, measured, tmp_path, blind
):
    data = write_strips(tmp_path / "blocks")
    if said:
        write_json(data / "dataset.json", {"label_maps": said})
    found = evaluate(translator(Recorder()), data, direction=direction).measures
    assert ("accuracy" in found) is measured


def test_a_palette_makes_label_maps_of_jpegs(tmp_path, blind):
    (tmp_path / "val").mkdir()
    for number, label in enumerate(labels()):
        strip = Image.new("RGB", (2 * SIDE, SIDE))
        strip.paste(label, (0, 0))
        strip.paste(label, (SIDE, 0))
        strip.save(tmp_path / "val" / f"{number}.jpg", quality=95)
    assert "accuracy" not in evaluate(translator(Recorder()), tmp_path).measures
    found = evaluate(translator(Recorder()), tmp_path, palette=PALETTE).measures
    assert found["accuracy"] > 0.999 and len(found["classes"]) == len(PALETTE)
    for wrong in (["red", "blue"], ["#ff0000"], ["#ff0000", "#FF0000"], ["#ff", "#00"]):
        with pytest.raises(UserError, match="is no palette"):
            evaluate(translator(Recorder()), tmp_path, palette=wrong)


# ------------------------------------------------------------------------------ table and picture


def test_the_table_has_a_row_for_each_model_and_no_empty_column():
    results = {
        "a|b": {"images": 3, "l1": 0.12345, "psnr": 20.0, "kid": None, "accuracy": 0.5},
        "c": {"images": 3, "l1": 0.2, "psnr": None, "kid": None},
    }
    assert markdown_table(results) == (
        "| model | images | l1 | psnr | accuracy |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| a\\|b | 3 | 0.1235 | 20.00 | 0.5000 |\n"
        "| c | 3 | 0.2000 | - | - |\n"
    )


def flat(*colours: str, side: int = 8) -> tuple[Image.Image, ...]:
    return tuple(Image.new("RGB", (side, side), colour) for colour in colours)


def colours_down(picture: Image.Image, x: int) -> list[tuple[int, ...]]:
    """The colours that a column of pixels passes through, white and the captions' grey left out."""
    column = [picture.getpixel((x, y)) for y in range(picture.height)]
    runs = [c for i, c in enumerate(column) if c != (255, 255, 255) and c != column[i - 1]]
    return [c for c in runs if len(set(c)) > 1]


RED, GREEN, BLUE, LIME = (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 255, 0)


def test_the_picture_of_a_model_has_rows_of_source_generated_and_target():
    shown = [flat("red", "green", "blue"), flat("blue", "red", "green")]
    picture = comparison_picture({"one": Evaluation({}, shown)})
    assert picture.size == (2 * 8 + GAP, 3 * 8 + 2 * GAP)
    assert colours_down(picture, 4) == [RED, GREEN, BLUE]
    assert colours_down(picture, 8 + GAP + 4) == [BLUE, RED, GREEN]


def test_several_models_on_the_same_pairs_share_the_rows_of_sources_and_targets():
    three = {
        "one": Evaluation({}, [flat("red", "green", "blue")] * 20),
        "two": Evaluation({}, [flat("red", "lime", "blue")] * 20),
        "turned": Evaluation({}, [flat("blue", "green", "red", side=16)] * 20),
    }
    same = dict(list(three.items())[:2])
    x = comparison_picture(same).width - 4  # beside the captions
    assert colours_down(comparison_picture(same), x) == [RED, GREEN, LIME, BLUE]
    picture = comparison_picture(three)  # the smaller models' pictures are scaled
    assert picture.width == 20 * (16 + GAP) - GAP
    expected = [RED, GREEN, LIME, BLUE, BLUE, GREEN, RED]
    assert colours_down(picture, picture.width - 8) == expected


# ------------------------------------------------------------------------------------- the command


def run(
    forks: ForkServer | None, *arguments: object, code: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The command as a fork, or with other `code` before it as a new process."""
    words = [sys.executable, *(code or (SCRIPT,)), *map(str, arguments), "--device", "cpu"]
    new = functools.partial(subprocess.run, capture_output=True, text=True, timeout=300)
    done = (forks.run if forks else new)(words)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def last_line(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def epochs(tmp_path_factory) -> Path:
    """A run's folder with two checkpoints."""
    run = tmp_path_factory.mktemp("runs") / "faces"
    write_json(run / "config.json", {"preset": "maps"})
    for step in (1, 2):
        folder = run / "checkpoints" / f"step-{step:07d}"
        save_tiny_model(folder, tiny_config(direction="BtoA"), seed=step)
    return run


def test_one_model_ends_with_its_figures_and_writes_the_files_asked_for(
    data, epochs, tmp_path, forks
):
    folder = epochs / "checkpoints" / "step-0000001"
    files = {n: tmp_path / "out" / n for n in ("r.json", "r.md", "rows.png")}
    done = run(
        forks,
        *("--model", folder, "--data", data, "--json", files["r.json"]),
        *("--markdown", files["r.md"], "--picture", files["rows.png"], "--show", 3),
    )
    assert done.returncode == 0, done.stderr
    found = last_line(done)
    measures = {"images", "l1", "psnr", "ssim", "accuracy", "mean_iou"}
    names = measures | {"perceptual", "perceptual_halves", "kid", "kid_halves"}
    assert names <= found.keys() and found["images"] == 4
    assert found["judge"] == "efficientnet-lite2"
    expected = evaluate(Translator(*load_model(folder), "cpu"), data).measures
    for name in measures:
        assert found[name] == pytest.approx(expected[name], rel=1e-3)
    assert json.loads(files["r.json"].read_text()) == found
    assert files["r.md"].read_text() == markdown_table({"faces step-0000001": found})
    assert files["r.md"].read_text() in done.stderr
    said = "From B (B) to A (A): faces step-0000001; --direction turns them round."
    assert said in done.stderr
    assert Image.open(files["rows.png"]).size == (3 * (SIDE + GAP) - GAP,) * 2
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(files)


def test_a_runs_folder_stands_for_its_epochs_and_a_broken_pair_is_told_once(
    epochs, tmp_path, forks
):
    data = write_strips(tmp_path / "blocks", 3)
    (data / "val" / "01.png").write_bytes(b"no picture")
    own = save_tiny_model(tmp_path / "own")
    done = run(forks, "--model", epochs, own, "--data", data, "--picture", tmp_path / "rows.png")
    assert done.returncode == 1
    found = last_line(done)["models"]
    assert list(found) == ["faces step-0000001", "faces step-0000002", "own"]
    assert len({result["l1"] for result in found.values()}) == 3
    assert all(f"| {name} | 2 |" in done.stderr for name in found)
    assert sum("01.png" in line for line in done.stderr.splitlines()) == 1
    assert Image.open(tmp_path / "rows.png").height > 7 * SIDE


def test_without_the_packages_a_sentence_names_them(data, epochs, tmp_path):
    hide = (
        "import runpy, sys; sys.modules['efficientnet_lite_pytorch'] = None; "
        f"sys.argv[0] = {str(SCRIPT)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    model = epochs / "checkpoints" / "step-0000002"
    picture = "--picture", tmp_path / "p.png"
    done = run(None, "--model", model, "--data", data, *picture, code=("-c", hide))
    assert done.returncode == 0
    assert all(last_line(done)[name] is None for name in ("perceptual", "kid", "judge"))
    assert metrics.INSTALL_HINT in done.stderr.splitlines()
    assert "perceptual" not in done.stderr.splitlines()[0]


@pytest.fixture
def command(monkeypatch, capsys, blind) -> Callable[..., tuple[int, str, list[str]]]:
    """The command in this process: its exit code, its output and the lines of its errors."""
    script = load_script("evaluate")

    def call(*arguments: object) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments), "--device", "cpu"])
        try:
            code = script.main()
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err.splitlines()

    return call


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"--model": "nobody"}, "no model 'nobody'"),
        ({"--model": "{0}/blocks"}, "no model in 'blocks'"),
        ({"--data": "{0}/nothing"}, "nothing holds no pairs in val/"),
        ({"--split": "test"}, "no pairs in test/"),
        ({"--palette": "red,green"}, "is no palette"),
    ],
)
def test_what_cannot_work_is_one_sentence(changed, words, command, epochs, tmp_path):
    write_strips(tmp_path / "blocks", 1)
    given = {"--data": "{0}/blocks", "--model": epochs, "--picture": "{0}/p.png", **changed}
    code, out, errors = command(*(str(w).format(tmp_path) for pair in given.items() for w in pair))
    assert code == 1 and out == ""
    assert len(errors) == 1 and words in errors[0]
    assert not (tmp_path / "p.png").exists()


def test_figures_are_not_lost_where_a_file_cannot_be_saved(command, data, epochs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    files = "--picture", tmp_path / "file" / "p.png", "--markdown", tmp_path
    code, out, errors = command("--model", epochs, "--data", data, *files)
    assert code == 1 and len(json.loads(out)["models"]) == 2
    unsaved = [line for line in errors if "could not be saved" in line]
    assert len(unsaved) == 2 and "p.png" in unsaved[0] and str(tmp_path) in unsaved[1]


@pytest.mark.parametrize(
    ("images", "kid", "noisy"), [(49, 300.0, True), (50, 300.0, False), (49, None, False)]
)
def test_kid_of_few_pictures_is_said_to_be_noise(
    images, kid, noisy, epochs, tmp_path, monkeypatch, capsys
):
    script = load_script("evaluate")
    measures = {"images": images, "perceptual": 1.0, "kid": kid}
    found = Evaluation(measures, [flat("red", "green", "blue")])
    monkeypatch.setattr(script, "evaluate", lambda *words, **settings: found)
    words = ["--model", epochs, "--data", tmp_path, "--picture", tmp_path / "p.png"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words), "--device", "cpu"])
    assert script.main() == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "noise" in line] == [metrics.NOISY_KID] * noisy


@pytest.mark.parametrize(
    ("arguments", "word"),
    [([], "--model"), (["--model", "m"], "--data"), (["--limit", "0"], "--limit")],
)
def test_wrong_arguments_exit_2_and_name_the_argument(arguments, word, command):
    code, out, errors = command(*arguments)
    assert code == 2 and out == "" and word in errors[-1]
