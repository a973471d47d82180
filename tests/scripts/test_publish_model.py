"""Runs become shipped models by one command; their examples are drawn by code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pix2pix.imaging.example_houses import draw_shapes
from pix2pix.models.folder import WEIGHTS, read_config
from pix2pix.models.translator import Translator
from scripts.examples.scenes import EXAMPLE_SOURCES, draw_landscape
from tests.support.models_and_servers import load_script, save_tiny_model, tiny_config

LABELS = (
    "background", "wall", "window", "sill", "cornice",
    "molding", "blind", "balcony", "door", "shop",
)  # fmt: skip
PALETTE = {name: f"#{20 * number:02x}8040" for number, name in enumerate(LABELS)}


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """scripts/publish_model.py's main, in this process, on a run with a card."""
    script = load_script("publish_model")
    (tmp_path / "card.md").write_text("# A card\n")

    def main(run: Path, *more: str) -> int:
        words = [str(run), "--out", str(tmp_path / "out"), "--title", "Mine"]
        words += ["--card", str(tmp_path / "card.md"), *more]
        monkeypatch.setattr(sys, "argv", ["publish_model.py", *words])
        return script.main()

    return main


def labels_run(folder: Path, palette: dict[str, str]) -> Path:
    paints = [{"name": name, "color": color} for name, color in palette.items()]
    save_tiny_model(folder / "model", tiny_config(source_kind="labels", palette=paints))
    return folder


def test_a_run_is_published_with_its_own_card_and_examples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = labels_run(tmp_path / "run", PALETTE) / "model"
    own = {"README.md": b"# Of the run\n", "examples.json": b"[]\n", "thumbnail.png": b"a picture"}
    for name, content in own.items():
        (model / name).write_bytes(content)
    words = [str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--title", "Mine"]
    monkeypatch.setattr(sys, "argv", ["publish_model.py", *words])
    assert load_script("publish_model").main() == 0
    own["README.md"] = b"# Mine\n"
    assert {name: (tmp_path / "out" / name).read_bytes() for name in own} == own


def test_a_model_that_is_there_is_not_written_over(
    publish: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = labels_run(tmp_path / "run", PALETTE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("# Another\n")
    assert publish(run) == 1
    assert "out exists already: choose another name" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["README.md"]
    assert (tmp_path / "out" / "README.md").read_text() == "# Another\n"


def test_scenes_become_examples_of_the_pad_and_the_cards_picture(
    publish: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert publish(labels_run(tmp_path / "run", PALETTE), "--examples", "facades") == 0
    out = tmp_path / "out"
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == {"model": str(out), "bytes": (out / "model.safetensors").stat().st_size}
    assert read_config(out).title == "Mine" and (out / "README.md").read_text() == "# A card\n"
    examples = json.loads((out / "examples.json").read_text())
    first = examples[0]["strokes"][0]
    assert first["kind"] == "shape" and first["color"] == PALETTE["background"]
    source = draw_shapes(EXAMPLE_SOURCES["facades"](1), PALETTE, 64)
    made = Translator.load(out, "cpu").translate(source)
    with Image.open(out / "results.jpg") as sheet:
        pixels = np.asarray(sheet, float)
    assert np.abs(pixels[:64, :64] - np.asarray(source)).mean() < 8
    assert np.abs(pixels[72:, :64] - np.asarray(made)).mean() < 8
    with Image.open(out / "thumbnail.png") as thumbnail:
        assert np.array_equal(thumbnail, made.resize((128, 128))), "the pad shows it as the guide's"


def test_drawn_sources_become_photos_through_another_model(
    publish: Callable[..., int], tmp_path: Path
) -> None:
    other = labels_run(tmp_path / "other", PALETTE) / "model"
    save_tiny_model(tmp_path / "run" / "model", seed=1)
    assert publish(tmp_path / "run", "--examples", "facades", "--through", str(other)) == 0
    assert not (tmp_path / "out" / "examples.json").exists()
    with Image.open(tmp_path / "out" / "samples" / "Facade 1.jpg") as sample:
        pixels = np.asarray(sample, float)
    drawn = draw_shapes(EXAMPLE_SOURCES["facades"](1), PALETTE, 64)
    through = np.asarray(Translator.load(other, "cpu").translate(drawn), float)
    assert np.abs(pixels - through).mean() < 8 < np.abs(pixels - np.asarray(drawn)).mean()


def test_a_model_that_a_run_kept_is_published_by_its_folder(
    publish: Callable[..., int], tmp_path: Path
) -> None:
    kept = save_tiny_model(tmp_path / "run" / "checkpoints" / "step-0000007")
    assert publish(kept) == 0
    published, weights = load_file(tmp_path / "out" / WEIGHTS), load_file(kept / WEIGHTS)
    assert published.keys() == weights.keys()
    assert all(np.allclose(published[k], weights[k], atol=1e-3) for k in weights)


def test_a_palette_that_lacks_a_label_is_refused(
    publish: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = labels_run(tmp_path / "run", {"background": "#000000"})
    assert publish(run, "--examples", "facades") == 1
    assert "The model's palette has no balcony, cornice" in capsys.readouterr().err


@pytest.mark.parametrize("kind", EXAMPLE_SOURCES)
def test_scenes_hold_their_labels_colours_alone(kind: str) -> None:
    for seed in range(1, 7):
        shapes = EXAMPLE_SOURCES[kind](seed)
        names = sorted({shape.label for shape in shapes})
        palette = {name: f"#0000{10 * number:02x}" for number, name in enumerate(names)}
        colours = {colour for _, colour in draw_shapes(shapes, palette, 128).getcolors()}
        assert len(colours) > 2
        assert colours <= {tuple(bytes.fromhex(colour[1:])) for colour in palette.values()}


def test_a_landscape_is_grey_and_has_contrast() -> None:
    one, other = (np.asarray(draw_landscape(seed, 128), float) for seed in (1, 2))
    assert one.shape == (128, 128) and one.std() > 20 and abs(one - other).mean() > 10
