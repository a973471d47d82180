"""What the Translate tab does with strips, with 16 bits and with the choice of the norm."""

from __future__ import annotations

import io
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.models.folder import list_models
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.limits import Limits
from pix2pix.ui.model_view import card_words
from pix2pix.ui.page import build_page
from pix2pix.ui.translate import batch as tiles
from tests.imaging.test_picture import tiff
from tests.models.test_map_tiles import write_geotiff
from tests.support.clips import house_frames, write_clip
from tests.support.drawn_pairs import drawn_strip
from tests.support.models_and_servers import noise, save_tiny_model, tiny_config, translator
from tests.support.page_server import handler, launched
from tests.ui.test_photo import take_away, wait_for_width

GREY = np.arange(150 * 200, dtype=np.uint16).reshape(150, 200) * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models, and a strip, a 16-bit picture and one of five bands."""
    folder = tmp_path_factory.mktemp("tab")
    network = {"source_channels": 1, "target_channels": 1}
    save_tiny_model(folder / "models" / "depth", tiny_config(network))
    save_tiny_model(folder / "models" / "plain", tiny_config({"norm": "instance"}))
    save_tiny_model(folder / "models" / "views", tiny_config(norm_mode="stored"))
    save_tiny_model(folder / "models" / "tinted", tiny_config({"tint": True}))
    drawn_strip(1, 128).save(folder / "pair.png")
    Image.fromarray(GREY).save(folder / "grey16.png")
    (folder / "bands.tif").write_bytes(tiff(5))
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> TranslatorCache:
    return TranslatorCache(lambda: [folder / "models"], "cpu")


@pytest.fixture(scope="module")
def opened(folder: Path, models: TranslatorCache) -> Iterator[tuple[gr.Blocks, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setenv("PIX2PIX_WORKSPACE", str(folder))
        page = build_page(models)
        yield page, launched(page, themed=True)
        page.close()


@pytest.fixture(scope="module")
def client(opened: tuple[gr.Blocks, str]) -> Client:
    return Client(opened[1], verbose=False)


def batch(
    page: gr.Blocks, files: list[Path], model: str, norm: str = "", tint: str = ""
) -> tuple[Any, str, str]:
    visitor = SimpleNamespace(session_hash="s")
    names = [str(file) for file in files]
    run = handler(page, "translate_batch")
    return run(names, model, "", "", norm, tint, visitor, lambda *a, **k: None)


@pytest.mark.parametrize(
    ("title", "names", "words"),
    [
        ("Face sketch", ("sketch", "photo"), ("Face sketch", "sketch to photo")),
        ("Map to satellite", ("map", "satellite"), ("Map", "to satellite")),
        ("Grey photo to colour", ("grey", "Colour"), ("Grey photo", "to colour")),
        ("Back to the roots", ("map", "satellite"), ("Back to the roots", "map to satellite")),
        ("", ("a", "b"), ("mine", "a to b")),
    ],
)
def test_a_card_says_the_direction_once(
    title: str, names: tuple[str, str], words: tuple[str, str]
) -> None:
    config = tiny_config(title=title, source_name=names[0], target_name=names[1])
    assert card_words("mine", config) == words


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 1024])
def test_seven_models_are_one_row(opened: Any, browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_default_timeout(60_000)
    page.goto(opened[1])
    page.wait_for_selector("#models .card")
    tops = page.evaluate("""() => {
        const cards = document.querySelector('#models .cards');
        const words = cards.querySelector('.words');
        words.children[0].textContent = 'Face sketch';
        words.children[1].textContent = 'labels to facade';
        while (cards.children.length < 7) cards.append(cards.firstElementChild.cloneNode(true));
        return [...cards.children].map((card) => card.offsetTop);
    }""")
    assert len(tops) == 7 and len(set(tops)) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_16_bits_come_back_through_the_api(client: Client, folder: Path, models: Any) -> None:
    file = folder / "grey16.png"
    answer = client.predict(image=handle_file(file), model="depth", api_name="/translate")
    made, right = Image.open(answer), models.get("depth").translate(Image.open(file))
    assert made.mode == right.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(made), np.asarray(right))


def test_a_zip_holds_16_bits_and_strips_are_said(opened: Any, folder: Path, models: Any) -> None:
    files = [folder / name for name in ("pair.png", "grey16.png", "bands.tif")]
    pictures, packed, said = batch(opened[0], files, "depth")
    right = np.asarray(models.get("depth").translate(Image.open(files[1])))
    with zipfile.ZipFile(packed) as zipped:
        made = Image.open(io.BytesIO(zipped.read("grey16.png")))
    np.testing.assert_array_equal(np.asarray(made), right)
    assert len(pictures) == 2
    lines = said.split("\n\n")
    assert lines[0] == "2 of 3 translated." and len(lines) == 3
    assert lines[1].startswith("pair.png looks like a pair")
    assert lines[2].startswith("bands.tif has 5 channels and a picture has 1, 3 or 4")


def test_the_norm_is_the_models_own_unless_told(
    client: Client, opened: Any, folder: Path, models: Any
) -> None:
    source, one = folder / "pair.png", models.get("views")
    made = {}
    for norm in ("", "batch", "stored"):
        asked = {"image": handle_file(source), "model": "views", **({"norm": norm} if norm else {})}
        made[norm] = Image.open(client.predict(**asked, api_name="/translate")).tobytes()
        assert made[norm] == one.translate(Image.open(source), norm=norm).tobytes()
        pictures, *_ = batch(opened[0], [source], "views", norm)
        assert Image.open(pictures[0][0]).tobytes() == made[norm]
    assert made[""] == made["stored"] != made["batch"]


def test_a_tint_is_followed_by_photos_and_tiles(
    client: Client, opened: Any, folder: Path, models: Any
) -> None:
    source, one = folder / "pair.png", models.get("tinted")
    asked = {"image": handle_file(source), "model": "tinted"}
    made = {}
    for tint in ("", "#e03010", "navy"):
        made[tint] = Image.open(client.predict(**asked, tint=tint, api_name="/translate")).tobytes()
        assert made[tint] == one.translate(Image.open(source), tint=tint).tobytes()
        pictures, *_ = batch(opened[0], [source], "tinted", tint=tint)
        assert Image.open(pictures[0][0]).tobytes() == made[tint]
    assert len(set(made.values())) == 3
    for model, tint, words in (("tinted", "rainbow", "rainbow"), ("views", "navy", "no tint")):
        with pytest.raises(AppError, match=words):
            client.predict(image=asked["image"], model=model, tint=tint, api_name="/translate")


def test_a_file_that_is_no_picture_is_refused_in_the_words_of_the_engine(
    client: Client, folder: Path
) -> None:
    image = handle_file(folder / "bands.tif")
    with pytest.raises(AppError, match=r"bands\.tif has 5 channels and a picture has 1, 3 or 4"):
        client.predict(image=image, model="views", api_name="/translate")


@pytest.mark.browser
def test_a_strip_is_said_and_cut_by_a_person_and_the_norm_is_offered_where_there_is_one(
    opened: Any, visit: Callable[..., Any], folder: Path, models: Any
) -> None:
    page = visit(opened[1], 390, 844)

    def choose(name: str) -> None:
        page.locator(f'.card[data-name="{name}"]').click()
        page.wait_for_selector(f'.card[data-name="{name}"][aria-pressed="true"]')

    def upload(name: str) -> None:
        page.locator("#photo input[type=file]").first.set_input_files(folder / name)

    choose("views")
    page.locator("#photo").wait_for(state="visible")
    upload("pair.png")
    page.locator("#right-half").wait_for(state="visible")
    wait_for_width(page, 256)  # translated as it is, until a person cuts it
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#right-half").click()
    page.locator("#strip").wait_for(state="hidden")
    wait_for_width(page, 128)

    page.locator("button.label-wrap", has_text="More").locator("visible=true").first.click()
    norm = page.get_by_text("Normalised by").locator("visible=true")
    norm.wait_for()
    assert page.get_by_text("This model's own: training averages.").is_visible()
    choose("plain")
    norm.wait_for(state="hidden")
    choose("depth")
    norm.wait_for()
    assert page.get_by_text("This model's own: the picture itself.").is_visible()
    tint = page.get_by_label("Tint").locator("visible=true")
    assert not tint.count()
    choose("tinted")
    tint.fill("navy")
    choose("depth")
    tint.wait_for(state="hidden")  # and what was typed is no tint of this model

    take_away(page)
    upload("grey16.png")
    wait_for_width(page, 200)
    with page.expect_download() as download:
        page.locator("#compared a[download], #compared button[aria-label=Download]").first.click()
    made = np.asarray(Image.open(download.value.path()))
    right = np.asarray(models.get("depth").translate(Image.fromarray(GREY)))
    np.testing.assert_array_equal(made, right)


@pytest.mark.browser
def test_a_tiff_says_why_it_is_not_seen_and_modes_need_no_server(
    opened: Any, visit: Callable[..., Any], folder: Path
) -> None:
    page = visit(opened[1], 1000, 900)
    page.locator(".modes label", has_text="Photo").click()
    photo = page.locator("#photo")
    photo.locator("input[type=file]").first.set_input_files(folder / "bands.tif")
    photo.locator("[data-unseen]").wait_for()
    page.get_by_text("bands.tif has 5 channels").first.wait_for()
    page.context.set_offline(True)
    page.locator(".modes label", has_text="Tiles").click()
    page.locator("#tiles").wait_for(state="visible")
    assert photo.is_hidden()


def test_a_model_is_exported_as_a_web_page(opened: tuple[gr.Blocks, str]) -> None:
    export = handler(opened[0], "export")
    with zipfile.ZipFile(export("plain").value["path"]) as packed:
        names = set(packed.namelist())
    assert {"plain/index.html", "plain/models/plain/model.safetensors"} <= names
    with pytest.raises(UserError, match="choose one"):
        export("../plain")


def test_a_zip_comes_back_as_the_same_tree(tmp_path: Path, monkeypatch: Any) -> None:
    """With its map tiles and world files; more than the limit is refused."""
    monkeypatch.setattr(tiles, "results_folder", lambda: tmp_path)
    with zipfile.ZipFile(tmp_path / "city.zip", "w") as packed:
        for name in ("a/b/one.png", "6/3/4.png", "6/3/5.png", "6/4/4.png", "6/4/5.png"):
            buffer = io.BytesIO()
            noise(64, 64).save(buffer, "PNG")
            packed.writestr(name, buffer.getvalue())
        packed.writestr("a/b/one.pgw", "1")
        packed.writestr("notes.doc", "1")
    noise(64, 64).save(tmp_path / "two.png")
    files = [str(tmp_path / "city.zip"), str(tmp_path / "two.png")]
    options = {"seed": None, "fit": "", "norm": "", "should_stop": lambda: False}
    painter, out = translator(fit="tiles"), tmp_path / "out"
    out.mkdir()

    def run(limit: int) -> tuple[list[Path], list[str]]:
        progress = lambda *a, **k: None  # noqa: E731
        return tiles.translate_files(painter, files, out, Limits(files=limit), options, progress)

    with pytest.raises(UserError, match="6 pictures, and at most 5"):
        run(5)
    done, message = run(6)
    assert message == ["6 of 6 translated."]
    with zipfile.ZipFile(tiles.pack(out, done)) as packed:
        names = {*packed.namelist()}
    pictures = {"a/b/one.png", "a/b/one.pgw", *(f"6/{x}/{y}.png" for x in (3, 4) for y in (4, 5))}
    assert names == {"two.png", *(f"city/{name}" for name in pictures)}


def test_a_zip_holds_numbers_and_the_gallery_shows_them(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tiles, "results_folder", lambda: tmp_path)
    kind = {"type": "float32", "channels": 1, "stored": False, "kept": False}
    network = {"source_channels": 3, "target_channels": 1}
    painter = translator(
        network=network, fit="tiles", numbers={"target": kind}, ranges={"target": [0, 30]}
    )
    noise(64, 64).save(tmp_path / "field.png")
    options = {"seed": None, "fit": "", "norm": "", "should_stop": lambda: False}
    out, files = tmp_path / "out", [str(tmp_path / "field.png")]
    out.mkdir()
    done, _ = tiles.translate_files(painter, files, out, Limits(), options, lambda *a, **k: None)
    ((shown, name),) = tiles.gallery_pictures(done, out)
    numbers = painter.translate(Image.open(files[0]))
    look = np.asarray(Image.open(shown), int) - np.asarray(painter.look(numbers), int)
    assert name == "field.tif" and np.abs(look).max() <= 1
    with zipfile.ZipFile(tiles.pack(out, done)) as packed:
        assert packed.namelist() == ["field.tif"]
        held = np.asarray(Image.open(io.BytesIO(packed.read("field.tif"))))
    np.testing.assert_allclose(held, np.asarray(numbers), atol=1e-4)


def test_the_gallery_shows_a_geotiff_and_the_zip_holds_it(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("rasterio")
    monkeypatch.setattr(tiles, "LOOK_SIDE", 100)
    monkeypatch.setattr(tiles, "results_folder", lambda: tmp_path)
    write_geotiff(tmp_path / "field.tif", nodata=0)  # 200 x 150, with a hole
    noise(64, 64).save(tmp_path / "field.png")
    with zipfile.ZipFile(tmp_path / "city.zip", "w") as packed:
        for name in ("field.tif", "field.png"):
            packed.write(tmp_path / name, name)
    options = {"seed": None, "fit": "", "norm": "", "should_stop": lambda: False}
    given = [str(tmp_path / "city.zip")], Limits(), options, lambda *a, **k: None
    shown, packed, said = tiles.batch_results(translator(fit="tiles"), *given)
    assert said == "2 of 2 translated."
    looks = {name: Image.open(file) for file, name in shown}
    with zipfile.ZipFile(packed) as held:
        assert {*held.namelist()} == {*looks} == {"field.tif", "field.png"}
        whole = np.asarray(Image.open(io.BytesIO(held.read("field.tif"))))
    look = np.asarray(looks["field.tif"], int)
    assert look.shape == (75, 100, 3) and looks["field.png"].size == (64, 64)
    assert not look[:20, :25].any() and whole[40:, 50:].any()
    near = np.abs(look - whole.reshape(75, 2, 100, 2, 3).mean((1, 3)))[20:, 25:]
    assert near.mean() < 8


def test_a_batch_that_was_stopped_counts_the_tiles_that_there_are(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tiles, "results_folder", lambda: tmp_path)
    with zipfile.ZipFile(tmp_path / "city.zip", "w") as packed:
        for place in ("6/3/4", "6/3/5", "6/4/4", "6/4/5", "6/20/20", "6/21/20"):
            buffer = io.BytesIO()
            noise(64, 64).save(buffer, "PNG")
            packed.writestr(f"{place}.png", buffer.getvalue())
    stop = lambda: any(tmp_path.glob("*/6/*/*.png"))  # noqa: E731
    options = {"seed": None, "fit": "", "norm": "", "should_stop": stop}
    given = [str(tmp_path / "city.zip")], Limits(), options, lambda *a, **k: None
    shown, _, said = tiles.batch_results(translator(fit="tiles"), *given)
    assert said == f"{len(shown)} of 6 translated. Stopped; what was done is kept."
    assert 0 < len(shown) < 6


@pytest.mark.browser
def test_a_stop_before_anything_came_out_is_no_error(
    opened: Any, visit: Callable[..., Any], folder: Path, monkeypatch: Any
) -> None:
    begun = threading.Event()

    def slow(*args: Any, should_stop: Callable[[], bool], **options: Any) -> None:
        begun.set()
        while not should_stop():
            time.sleep(0.05)
        raise Cancelled

    monkeypatch.setattr(tiles, "run_job", slow)
    page = visit(opened[1])
    page.get_by_text("Tiles", exact=True).first.click()
    page.locator("#tiles input[type=file]").first.set_input_files(folder / "grey16.png")
    page.locator("#tiles tr.file").wait_for()
    page.locator("#translate-all").click()
    assert begun.wait(60)
    page.locator("#stop").click()
    page.locator("#said").get_by_text("Stopped: nothing was translated.").wait_for()
    assert not page.locator(".toast-body.error").count()


def test_a_clip_among_the_files_has_its_limit_progress_and_stop(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tiles, "results_folder", lambda: tmp_path)
    write_clip(tmp_path / "walk.mp4", house_frames(1))
    noise(64, 64).save(tmp_path / "one.png")
    files, painter = [str(tmp_path / "walk.mp4"), str(tmp_path / "one.png")], translator()
    heard: list[str] = []

    def run(out: str, limit: int, stop: Callable[[], bool]) -> tuple[list[Path], list[str]]:
        (tmp_path / out).mkdir()
        options = {"seed": None, "fit": "", "norm": "", "should_stop": stop}
        show = lambda share, desc: heard.append(desc)  # noqa: E731
        limits = Limits(frames=limit)
        return tiles.translate_files(painter, files, tmp_path / out, limits, options, show)

    done, message = run("all", 24, lambda: False)
    assert message == ["2 of 2 translated."] and "walk.mp4, frame 7 of 24" in heard
    shown = {name for _, name in tiles.gallery_pictures(done, tmp_path / "all")}
    assert shown == {"walk.mp4", "one.png"}
    with zipfile.ZipFile(tiles.pack(tmp_path / "all", done)) as packed:
        assert {*packed.namelist()} == shown
    done, message = run("few", 23, lambda: False)
    assert [file.name for file in done] == ["one.png"] and "more than the 23 frames" in message[1]
    heard.clear()
    done, message = run("stopped", 24, lambda: "walk.mp4, frame 9 of 24" in heard)
    assert not done and message == ["Stopped: nothing was translated."]
    assert not [*(tmp_path / "stopped").iterdir()]


@pytest.mark.browser
def test_a_clip_is_translated_and_played_in_the_page(
    opened: Any, visit: Callable[..., Any], folder: Path
) -> None:
    write_clip(folder / "walk.mp4", house_frames(2))
    page = visit(opened[1])
    page.locator('.card[data-name="views"]').click()
    page.get_by_text("Tiles", exact=True).first.click()
    page.locator("#tiles input[type=file]").first.set_input_files(folder / "walk.mp4")
    page.locator("#tiles").get_by_text("walk").first.wait_for()
    page.locator("#translate-all").click()
    page.get_by_text("1 of 1 translated.").wait_for()
    page.locator("#translated video").first.click()
    page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('#translated video')];"
        " for (const video of all) { video.muted = true; video.play().catch(() => 0); }"
        " return all.some((video) => video.currentTime > 0.3 && video.videoWidth === 96); }"
    )


def test_the_last_model_is_deleted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path))
    for name in ("first", "last"):
        save_tiny_model(tmp_path / "models" / name)
    page = build_page(TranslatorCache(lambda: [tmp_path / "models"], "cpu"))
    delete = handler(page, "delete")
    chosen = delete("first", "Draw", {})[2]
    assert chosen == "last" and list_models([tmp_path / "models"]) == {
        "last": tmp_path / "models/last"
    }
    closed, *shown = delete("last", "Draw", {})
    assert closed.open is False and {"models": []} in shown
    assert [*(tmp_path / "models").iterdir()] == []
    with pytest.raises(UserError, match="Only models that are kept here can be deleted"):
        delete("last", "Draw", {})
