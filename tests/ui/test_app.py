"""The real app in a process of its own, used as people use it: by API, by mouse, by file."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.example_houses import Shape, box, draw_shapes
from pix2pix.imaging.picture import save_png
from pix2pix.imaging.strokes import draw_strokes
from pix2pix.ui import server
from pix2pix.ui.auth import Roles
from scripts.examples.faces import example_faces
from tests.support.fork_server import ForkServer
from tests.support.models_and_servers import (
    connected,
    free_port,
    noise,
    save_tiny_model,
    tiny_config,
    traces,
    until,
)

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "checkpoints" / "face-sketch"
PAD = "document.querySelector('.pad').parentElement.pad"


PALETTE = {"sky": "#88bbee", "wall": "#a05020"}
HOUSE = [box("sky", 0, 0, 1, 1), Shape("wall", ((0.2, 0.9), (0.2, 0.4), (0.5, 0.1), (0.8, 0.9)))]
HOSTILE = "Blocks <img src=x onerror=hit=1>${window.hit=1}{{value}}\\x24`"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[str]:
    """``python app.py`` on a free port; its workspace holds a tiny label-map model, "blocks"."""
    port, folder = free_port(), tmp_path_factory.mktemp("app")
    palette = [{"name": name, "color": color} for name, color in PALETTE.items()]
    labels = tiny_config(title=HOSTILE, source_kind="labels", palette=palette)
    blocks = save_tiny_model(folder / "workspace" / "models" / "blocks", labels)
    example = {"name": "A house", "strokes": [shape.to_json(PALETTE) for shape in HOUSE]}
    (blocks / "examples.json").write_text(json.dumps([example]))
    views = save_tiny_model(folder / "workspace" / "models" / "views", tiny_config(title="Views"))
    save_png(noise(80, 60), views / "samples" / "A view.png")
    environment = {**os.environ, "PIX2PIX_WORKSPACE": str(folder / "workspace")}
    environment["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
    log, address = folder / "log", f"http://127.0.0.1:{port}"
    process = psutil.Process(forks.start(command, env=environment, out=str(log)))

    def answers() -> bool:
        assert process.is_running(), log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return True
        except OSError:
            return False

    try:
        until(answers, 120)
        yield address
    finally:
        process.terminate()
        process.wait(30)
    assert not traces(log.read_text())


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return connected(url)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("drawing") / "face.png"
    draw_strokes(example_faces()["Long hair"], 256).save(file)
    return file


@pytest.mark.parametrize(
    ("options", "place", "everybody"),
    [((), ("0.0.0.0", 7999), False), (("--host=::1", "--port=8001"), ("::1", 8001), True)],
    ids=["the environment", "options go first"],
)
def test_gradios_own_variables_say_where_to_listen(
    options: tuple[str, ...], place: tuple[str, int], everybody: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen = {}

    def page(models: object, roles: Roles, borrowed: object) -> SimpleNamespace:
        return SimpleNamespace(launch=lambda **said: seen.update(said, roles=roles))

    monkeypatch.setattr(server, "build_page", page)
    monkeypatch.setattr(server, "start_bucket_backup", lambda: seen.update(kept=True))
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7999")
    for name in ("PIX2PIX_ALLOW_TRAINING", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["app.py", *options])
    server.main()
    assert (seen["server_name"], seen["server_port"]) == place
    assert seen["kept"], "runs of a workspace in a bucket"
    assert seen["roles"].everybody is everybody  # who else can reach it may only translate


@pytest.fixture
def by_script(forks: ForkServer, tmp_path: Path) -> Callable[..., Image.Image]:
    def translated(file: Path, *options: str) -> Image.Image:
        script = [sys.executable, str(ROOT / "scripts" / "translate.py"), "--model", str(MODEL)]
        done = forks.run([*script, str(file), "--out", str(tmp_path / "out"), *options])
        assert done.returncode == 0, done.stderr
        return Image.open(tmp_path / "out" / f"{file.stem}.png")

    return translated


# ------------------------------------------------------------------------------------- the API


def test_list_models_names_the_shipped_model(client: Client) -> None:
    models = client.predict(api_name="/list_models")
    assert {"name": "face-sketch", "source": "sketch", "target": "photo", "size": 256} in models


def test_translate_gives_the_picture_that_the_script_gives_with_a_seed_too(
    client: Client, drawing: Path, by_script: Callable[..., Image.Image]
) -> None:
    asked = {"image": handle_file(drawing), "model": "face-sketch", "api_name": "/translate"}
    plain, seeded = (
        np.asarray(Image.open(client.predict(**asked, **seed))) for seed in ({}, {"seed": "7"})
    )
    np.testing.assert_array_equal(plain, np.asarray(by_script(drawing)))
    np.testing.assert_array_equal(seeded, np.asarray(by_script(drawing, "--seed", "7")))
    assert (seeded != plain).any()


def test_a_batch_comes_back_as_a_zip_that_keeps_names_and_sizes(
    client: Client, drawing: Path, tmp_path: Path
) -> None:
    Image.open(drawing).resize((100, 140)).save(tmp_path / "small.tif")
    (tmp_path / "page.png").write_text("<html>no picture</html>")
    files = [handle_file(f) for f in (drawing, tmp_path / "small.tif", tmp_path / "page.png")]
    gallery, archive, said = client.predict(
        files=files, model="face-sketch", api_name="/translate_batch"
    )
    assert len(gallery) == 2
    with zipfile.ZipFile(archive) as zipped:
        assert sorted(zipped.namelist()) == ["face.png", "small.png"]
        with zipped.open("small.png") as small:
            assert Image.open(small).size == (100, 140)
    assert said.startswith("2 of 3 translated") and "page" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "../../etc"}, "There is no model"),
        ({"model": "nobody"}, "There is no model"),
        ({"seed": "-1"}, "The seed must be"),
        ({"seed": "a lot"}, "The seed must be"),
        ({"seed": "1e400"}, "The seed must be"),
        ({"image": None}, "Choose a picture first"),
    ],
)
def test_wrong_input_is_answered_with_a_sentence(
    client: Client, drawing: Path, change: dict, words: str
) -> None:
    asked = {"image": handle_file(drawing), "model": "face-sketch", **change}
    with pytest.raises(AppError, match=words) as refused:
        client.predict(**asked, api_name="/translate")
    assert "Traceback" not in str(refused.value)


# ------------------------------------------------------------------------------------- the page


@pytest.fixture()
def page(visit: Callable[..., Any], url: str) -> Any:
    page = visit(url)
    page.locator('.card[data-name="face-sketch"]').click()
    page.wait_for_selector('.card[data-name="face-sketch"][aria-pressed="true"]')
    page.wait_for_function(f"{PAD} && {PAD}.idle()")
    return page


def strokes_in_pixels(page, name: str) -> list[list[tuple[float, float]]]:
    """Few mouse positions a stroke: as many as a hand's quick line leaves."""
    box = page.locator(".pad .paper").bounding_box()
    return [
        [
            (box["x"] + x * box["width"], box["y"] + y * box["height"])
            for x, y in [*stroke.points[::12], stroke.points[-1]]
        ]
        for stroke in example_faces()[name]
    ]


def draw(page, stroke: list[tuple[float, float]]) -> None:
    page.mouse.move(*stroke[0])
    page.mouse.down()
    for point in stroke[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def canvas_picture(page) -> np.ndarray:
    """What the right square shows, as RGB in 0..255."""
    shown = page.evaluate("document.querySelector('.pad canvas.picture').toDataURL('image/png')")
    return np.asarray(from_data_url(shown, 10_000_000).convert("RGB"), np.float32)


def is_face_like(photo: np.ndarray) -> bool:
    """Skin in the middle of the face, eyes darker than the cheeks, dark hair above, and a light
    backdrop in the upper corners. No flat picture and no backdrop passes."""
    side = len(photo) / 256

    def patch(left: int, top: int, right: int, bottom: int) -> np.ndarray:
        rows = slice(round(top * side), round(bottom * side))
        return photo[rows, round(left * side) : round(right * side)].reshape(-1, 3)

    cheeks = np.concatenate([patch(88, 140, 112, 165), patch(144, 140, 168, 165)])
    skin = (cheeks[:, 0] > cheeks[:, 2] + 15) & (cheeks[:, 0] > 90)
    eyes = np.concatenate([patch(92, 114, 114, 130), patch(142, 114, 164, 130)])
    hair, corner = patch(100, 32, 156, 60), patch(4, 4, 36, 36)
    return bool(
        skin.mean() > 0.8
        and np.percentile(eyes.mean(axis=1), 10) < np.median(cheeks.mean(axis=1)) - 25
        and hair.mean() < cheeks.mean() - 30
        and corner.mean() > 150
    )


@pytest.mark.parametrize("flat", [(206, 214, 222), (230, 190, 160), (0, 0, 0)])
def test_a_flat_picture_is_not_face_like(flat: tuple[int, int, int]) -> None:
    assert not is_face_like(np.full((256, 256, 3), flat, np.float32))


@pytest.mark.browser
def test_drawing_a_face_with_the_mouse_makes_a_face(
    page, client: Client, tmp_path: Path, by_script: Callable[..., Image.Image]
) -> None:
    for stroke in strokes_in_pixels(page, "Long hair"):
        draw(page, stroke)
    page.wait_for_function(f"{PAD}.idle() && {PAD}.shownCount > 0")
    assert is_face_like(canvas_picture(page))

    # The same drawing gives the identical picture by API and by script.
    drawn = tmp_path / "drawn.png"
    from_data_url(page.evaluate(f"{PAD}.png()"), 10_000_000).save(drawn)
    answer = client.predict(image=handle_file(drawn), model="face-sketch", api_name="/translate")
    shown = canvas_picture(page)
    np.testing.assert_array_equal(shown, np.asarray(Image.open(answer).convert("RGB")))
    np.testing.assert_array_equal(shown, np.asarray(by_script(drawn)))


@pytest.mark.browser
def test_the_picture_keeps_up_with_the_pencil(page, capsys) -> None:
    """Prints how fast (with `-n 0`, alone); fails only where pictures do not follow at all."""
    waits = []
    for stroke in strokes_in_pixels(page, "Glasses")[:6]:
        # The last move and the release come together: the wait is for the stroke's whole ink.
        draw(page, stroke)
        waits.append(
            page.evaluate(
                f"""async () => {{
                    const start = performance.now();
                    while (!{PAD}.idle()) await new Promise(requestAnimationFrame);
                    return Math.max(0, {PAD}.lastShownAt - start);
                }}"""
            )
        )
    before = page.evaluate(f"{PAD}.shownCount")
    box = page.locator(".pad .paper").bounding_box()
    started = time.monotonic()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for i in range(40):
        t = i / 40
        x, y = 20 + t * (box["width"] - 40), box["height"] * (0.5 + 0.4 * np.sin(12 * t))
        page.mouse.move(box["x"] + x, box["y"] + y)
    rate = (page.evaluate(f"{PAD}.shownCount") - before) / (time.monotonic() - started)
    page.wait_for_function(f"{PAD}.shownCount > {before}")  # the pencil is down still
    page.mouse.up()
    with capsys.disabled():
        print(f"\npen-up to new picture: median {statistics.median(waits):.0f} ms of {len(waits)}")
        print(f"while a long stroke is drawn: {rate:.1f} new pictures a second")


@pytest.mark.browser
def test_a_photo_becomes_a_drawing_and_a_picture(page, tmp_path: Path) -> None:
    shade = np.linspace(40, 200, 300)[None, :, None].repeat(360, 0).repeat(3, 2)
    shade[100:200, 100:200] = (30, 60, 90)
    Image.fromarray(shade.astype(np.uint8)).save(tmp_path / "photo.jpg")
    page.get_by_text("Photo", exact=True).first.click()
    page.locator("#photo input[type=file]").first.set_input_files(tmp_path / "photo.jpg")
    page.wait_for_function("document.querySelectorAll('#compared img').length >= 2")
    page.locator("#to-pad").click()
    page.wait_for_function(f"{PAD}.ops.length > 0 && {PAD}.idle()")
    ink = np.asarray(from_data_url(page.evaluate(f"{PAD}.png()"), 10_000_000).convert("L"))
    assert ink.shape == (256, 256) and ink.min() < 100 and np.median(ink) > 240


@pytest.mark.browser
def test_tiles_come_back_as_gallery_and_zip(page, tmp_path: Path) -> None:
    for name in ("north", "south"):
        Image.effect_noise((256, 256), 60).save(tmp_path / f"{name}.png")
    page.get_by_text("Tiles", exact=True).first.click()
    files = [tmp_path / "north.png", tmp_path / "south.png"]
    page.locator("#tiles input[type=file]").first.set_input_files(files)
    page.get_by_text("south", exact=False).first.wait_for()
    page.locator("#translate-all").click()
    page.get_by_text("2 of 2 translated.").wait_for()
    with page.expect_download() as download:
        page.locator("#zip a[download]").first.click()
    with zipfile.ZipFile(download.value.path()) as zipped:
        assert sorted(zipped.namelist()) == ["north.png", "south.png"]


@pytest.mark.browser
def test_one_mode_is_shown_at_a_time_and_the_drawing_is_kept(page) -> None:
    parts = {"Draw": ".pad .paper", "Photo": "#photo", "Tiles": "#tiles"}
    draw(page, strokes_in_pixels(page, "Long hair")[0])
    drawn = page.evaluate(f"{PAD}.png()")
    for mode in ("Photo", "Tiles", "Draw"):
        page.get_by_text(mode, exact=True).first.click()
        page.locator(parts[mode]).wait_for(state="visible")
        for other in parts.keys() - {mode}:
            page.locator(parts[other]).wait_for(state="hidden")
    assert page.evaluate(f"{PAD}.png()") == drawn


@pytest.mark.browser
def test_another_model_brings_its_palette(page) -> None:
    assert not page.get_by_role("button", name="wall").is_visible()
    page.locator('.card[data-name="blocks"]').click()
    page.get_by_role("button", name="wall").click()
    page.locator(".pad [data-tool=fill]").click()
    page.locator(".pad .paper").click()
    page.wait_for_function(f"{PAD}.idle() && {PAD}.shownCount > 0")
    drawn = from_data_url(page.evaluate(f"{PAD}.png()"), 10_000_000)
    assert drawn.size == (64, 64) and drawn.getcolors() == [(64 * 64, (0xA0, 0x50, 0x20))]
    assert canvas_picture(page).std() > 0


@pytest.mark.browser
def test_the_last_of_quick_clicks_on_models_stays(page) -> None:
    chosen = []

    def note(sent: Any) -> None:
        """A choice has the card in its data; what follows a model's name has nothing there."""
        if "/queue/join" in sent.url and (card := sent.post_data_json["event_data"]):
            chosen.append(card["value"])

    page.on("request", note)
    page.evaluate(
        """() => { for (const name of ["views", "face-sketch", "views", "blocks"])
            document.querySelector(`.card[data-name="${name}"]`).click(); }"""
    )
    page.wait_for_selector('.card[data-name="blocks"][aria-pressed="true"]')
    page.get_by_role("button", name="wall").wait_for()
    page.locator(".pad .paper").wait_for(state="visible")  # no longer the photos of "views"
    page.locator("#photo").wait_for(state="hidden")
    # The first click, and the last when that was answered; the first may go unreported.
    assert chosen in (["views", "blocks"], ["blocks"])


@pytest.mark.browser
def test_a_model_can_be_chosen_after_one_that_failed(page) -> None:
    page.route("**/queue/join*", lambda route: route.fulfill(status=500, json={"detail": "No."}))
    page.locator('.card[data-name="views"]').click()
    page.locator(".toast-body.error").wait_for()
    page.unroute("**/queue/join*")
    page.locator('.card[data-name="blocks"]').click()
    page.wait_for_selector('.card[data-name="blocks"][aria-pressed="true"]')


@pytest.mark.browser
def test_a_drawn_scene_is_put_on_the_pad(page) -> None:
    page.locator('.card[data-name="blocks"]').click()
    page.locator(".examples button", has_text="A house").click()
    page.wait_for_function(f"{PAD}.idle() && {PAD}.shownCount > 0")
    drawn = np.asarray(from_data_url(page.evaluate(f"{PAD}.png()"), 10_000_000).convert("RGB"))
    expected = np.asarray(draw_shapes(HOUSE, PALETTE, 64))
    assert (drawn != expected).any(axis=2).mean() < 0.03  # the edges of two ways to paint
    assert len(Image.fromarray(drawn).getcolors()) == 2


@pytest.mark.browser
def test_a_model_of_photos_begins_with_a_photo(page) -> None:
    page.locator('.card[data-name="views"]').click()
    page.locator("#photo").wait_for(state="visible")
    page.locator("#samples button img").click()
    page.wait_for_function("document.querySelectorAll('#compared img').length >= 2")
    page.locator('.card[data-name="blocks"]').click()
    page.locator(".pad .paper").wait_for(state="visible")
    page.locator("#samples").wait_for(state="hidden")


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_a_phone(visit: Callable[..., Any], url: str, theme: str) -> None:
    page = visit(f"{url}?__theme={theme}", 390, 844, has_touch=True)
    page.wait_for_selector(".pad .paper")
    page.wait_for_function(f"{PAD} && {PAD}.idle()")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    pad = page.locator(".pad .paper").bounding_box()
    assert pad["width"] > 300 and pad["y"] + pad["height"] < 844
    assert not page.locator("#photo").is_visible() and not page.locator("#tiles").is_visible()


def test_the_model_card_and_the_examples_are_there() -> None:
    examples = json.loads((MODEL / "examples.json").read_text())
    assert len(examples) >= 6 and all(e["strokes"] for e in examples)
    assert "icence" in (MODEL / "README.md").read_text()
    assert (MODEL / "model.safetensors").stat().st_size <= 28_000_000


@pytest.mark.browser
def test_a_title_is_inert_text(page) -> None:
    assert page.locator('.card[data-name="blocks"] b').inner_text() == HOSTILE
    assert page.evaluate("window.hit") is None
