"""Pictures made on the visitor's own device: on a page of static files, and in the app."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from pix2pix.imaging.line_art import line_drawing, looks_like_photo
from pix2pix.models.saving import save_model
from pix2pix.models.translator import Translator
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.device_engine import INSTALLED, RUNTIME, has_runtime, runtime_version
from pix2pix.ui.page import build_page
from pix2pix.ui.static_page import export_page
from pix2pix.ui.web_files import device_files
from tests.conftest import give_up
from tests.support.chromium import CHROMIUM_FLAGS, Visitors, chromium_path
from tests.support.models_and_servers import (
    save_tiny_model,
    tiny_config,
    tiny_generator,
    unpack_weights,
)
from tests.support.pad_page import (
    WATCH_FRAMES,
    Page,
    Static,
    draw_face,
    open_pad,
    renderer_memory,
)
from tests.support.page_server import launched

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
FACES, COLOUR = ROOT / "checkpoints" / "face-sketch", ROOT / "checkpoints" / "colorize"
MOST_DIFFERENCE = 2  # of 255


@pytest.fixture(scope="module", autouse=True)
def on_device() -> Iterator[None]:
    if not has_runtime():
        give_up("no ONNX Runtime Web: npm ci --ignore-scripts --prefix pix2pix/ui/runtime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIX2PIX_ON_DEVICE", "auto")
        patch.setattr("pix2pix.models.translator.has_fast_bfloat16", lambda device: False)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that draws in no time."""
    config = tiny_config(source_kind="drawing")
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", config)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Static]:
    """The page of a face, the tiny model, and two for photos, with the runtime."""
    out = tmp_path_factory.mktemp("static")
    views = save_tiny_model(out / "views", tiny_config(source_kind="photo"))
    tinted = save_tiny_model(out / "tinted", tiny_config({"tint": True}, source_kind="drawing"))
    models = {"face-sketch": FACES, "tiny": tiny, "colorize": COLOUR, "views": views}
    models |= {"tinted": tinted}
    export_page(models, out / "page")
    static = Static(out / "page")
    static.views, static.tinted = views, tinted
    yield static
    static.server.shutdown()


def difference(page: Page, folder: Path, **options: Any) -> int:
    """By how much the page's picture differs from the command's of the same drawing."""
    drawing = Image.fromarray(page.drawing())
    right = Translator.load(folder, "cpu").translate(drawing, **options)
    return int(np.abs(page.picture().astype(int) - np.asarray(right)).max())


def badge(page: Page) -> str:
    return page.page.locator(".engine span").inner_text()


def test_a_face_is_drawn_on_the_exported_page_without_a_network(
    visit: Any, exported: Static, capsys: Any
) -> None:
    page = open_pad(visit, exported.url)
    assert not any("safetensors" in path or "runtime/" in path for path in exported.sent)
    page.draw((0.3, 0.3), (0.7, 0.35))
    page.until("pad.engines.state === 'ready' && pad.idle()")
    first = page.picture()
    page.page.context.set_offline(True)
    page.page.evaluate(WATCH_FRAMES)
    draw_face(page)
    page.settle()
    assert (page.picture() != first).any()
    assert difference(page, FACES) <= MOST_DIFFERENCE
    assert badge(page).startswith("On this device, ")
    with page.page.expect_download() as download:
        page.do("download")
    assert np.array_equal(
        np.asarray(Image.open(download.value.path()).convert("RGB")), page.picture()
    )
    said = {
        "session_s": page.js("pad.engines.seconds"),
        "picture_ms": page.js("pad.engines.times.device.map(Math.round)"),
        "renderer_mb": renderer_memory(),
        "longest_gap_ms": page.page.evaluate("window.longestGap"),
        "bytes": sum(exported.sent.values()),
    }
    own = [path for path in exported.sent if "models/" not in path and "runtime/" not in path]
    said["without_model_and_runtime"] = sum(map(exported.sent.get, own))
    with capsys.disabled():
        print(f"\non the static page: {json.dumps(said)}")
    assert said["without_model_and_runtime"] < 200_000 and said["bytes"] < 35_000_000


def test_a_page_that_is_opened_from_its_folder_says_what_to_do(
    visit: Any, exported: Static
) -> None:
    page = visit((exported.folder / "index.html").as_uri())
    assert "python -m http.server" in page.locator(".from-disk").inner_text()
    assert not page.locator("#studio").is_visible()
    served = Page(visit(exported.url), None)
    assert not served.page.locator(".from-disk").is_visible()  # also before its modules are there
    served.until("true")
    assert served.page.locator("#studio").is_visible()


def test_a_tint_is_the_same_on_the_device(visit: Any, exported: Static) -> None:
    page = open_pad(visit, f"{exported.url}?model=tinted")
    page.draw((0.3, 0.3), (0.7, 0.35))
    page.until("pad.engines.state === 'ready' && pad.idle()")
    assert difference(page, exported.tinted) <= MOST_DIFFERENCE
    plain, shown = page.picture(), page.js("pad.shownCount")
    page.page.locator(".tints input").fill("#e03010")
    page.until(f"pad.shownCount > {shown} && pad.idle()")
    assert np.abs(page.picture().astype(int) - plain).max() > 3
    assert difference(page, exported.tinted, tint="#e03010") <= MOST_DIFFERENCE
    page.do("variations")
    tiles = page.page.locator(".variations button")
    tiles.first.wait_for()
    tiles.first.click()
    page.settle()
    chosen = page.js("pad.config.tints[0]")
    assert (
        tiles.first.get_attribute("aria-pressed") == "true" and page.js("pad.live.tint") == chosen
    )
    assert difference(page, exported.tinted, tint=chosen) <= MOST_DIFFERENCE
    assert page.page.locator(".seed").is_hidden()


class SlowModels(TranslatorCache):
    """Models whose pictures take their time on the server; counts them."""

    asked = 0
    pause = 0.5  # seconds

    def get(self, name: str) -> Translator:
        self.asked += 1
        time.sleep(self.pause)
        return super().get(name)


@pytest.fixture(scope="module")
def models(tiny: Path) -> SlowModels:
    return SlowModels(lambda: [tiny.parent], "cpu")


@pytest.fixture(scope="module")
def app(models: SlowModels) -> Iterator[str]:
    page = build_page(models)
    yield launched(page)
    page.close()


def test_the_app_goes_over_to_the_device_and_goes_on_without_the_server(
    visit: Any, app: str, models: SlowModels, tiny: Path
) -> None:
    page = open_pad(visit, app)
    page.settle()
    page.draw((0.2, 0.6), (0.8, 0.6))
    page.until("pad.engines.state === 'ready' && pad.idle()")
    page.draw((0.3, 0.3), (0.6, 0.3))
    page.settle()
    assert badge(page).startswith("On this device, ")
    asked = models.asked
    page.page.context.set_offline(True)  # as a paused server
    page.draw((0.5, 0.2), (0.5, 0.9))
    page.settle()
    assert difference(page, tiny) <= MOST_DIFFERENCE and models.asked == asked
    page.page.context.set_offline(False)
    page.page.get_by_role("button", name="Use the server").click()
    on_device = page.picture()
    page.draw((0.9, 0.2))
    page.settle()
    assert badge(page).startswith("On the server, ") and models.asked == asked + 1
    page.do("undo")
    page.settle()
    by_server = page.picture()
    assert np.abs(by_server.astype(int) - on_device).max() <= MOST_DIFFERENCE


@pytest.mark.parametrize("broken", ["runtime", "weights"])
def test_without_a_runtime_or_with_broken_weights_the_server_draws(
    visit: Any, app: str, tiny: Path, broken: str
) -> None:
    page = open_pad(visit, app)
    if broken == "runtime":
        page.page.route("**/studio/runtime/**", lambda route: route.abort())
    else:
        junk = b"\x08" + bytes(2000)
        page.page.route("**/model.safetensors", lambda route: route.fulfill(body=junk))
    page.draw((0.2, 0.6), (0.8, 0.6))
    page.until("pad.engines.state === 'failed' && pad.idle()")
    page.draw((0.3, 0.3), (0.6, 0.3))
    page.settle()
    assert difference(page, tiny) <= MOST_DIFFERENCE
    assert not page.page.locator(".engine").is_visible() and page.message() == ""


def test_nothing_large_is_fetched_on_a_phone_or_to_save_data_without_asking(
    visit: Any, app: str
) -> None:
    page = open_pad(visit, app, has_touch=True, is_mobile=True)
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.draw((0.2, 0.6), (0.8, 0.6))
    page.settle()
    button = page.page.get_by_role("button", name="Draw on this device (5 MB)")
    button.wait_for()
    assert not any("/studio/models/" in url or "/studio/runtime/" in url for url in asked)
    saves = (
        "import(performance.getEntriesByType('resource').map((e) => e.name)"
        ".find((name) => name.endsWith('engine_choice.js'))).then(({ mayFetch }) => ["
        "{ saveData: true }, { type: 'cellular' }, { effectiveType: '3g' }, {}]"
        ".map((connection) => mayFetch({ connection }, false)))"
    )
    assert page.page.evaluate(saves) == [False, False, False, True]
    button.click()
    page.until("pad.engines.isDevice")


def test_files_are_given_by_their_digest_alone(
    app: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = device_files("tiny", tiny)
    place, names = files["weights"].rpartition("/")[0], ("model.onnx", "model.safetensors")
    for name in names:
        answer = httpx.get(f"{app}{place}/{name}")
        assert answer.content == (tiny / name).read_bytes()
        assert "immutable" in answer.headers["cache-control"]
    other = f"{place.rpartition('/')[0]}/0123456789abcdef"
    for path in (f"{place}/config.json", f"{place}/..%2fconfig.json", f"{other}/model.onnx"):
        assert httpx.get(f"{app}{path}").status_code == 404
    binary = files["runtime"]["wasm"]["binary"]["url"]
    packed = httpx.get(f"{app}{binary}", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == (INSTALLED / Path(binary).name).read_bytes()
    assert httpx.get(f"{app}{binary.replace('threaded', 'other')}").status_code == 404
    monkeypatch.setenv("PIX2PIX_ON_DEVICE", "off")
    assert device_files("tiny", tiny) is None
    assert httpx.get(f"{app}{place}/model.onnx").status_code == 404


@pytest.mark.parametrize("path", ["", "config"])
def test_the_page_is_sent_compressed_to_those_who_take_it(app: str, path: str) -> None:
    packed, plain = (
        httpx.get(f"{app}{path}", headers={"accept-encoding": kind})
        for kind in ("gzip", "identity")
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert int(packed.headers.get("content-length", 0)) < len(plain.content) / 2


def test_the_pins_are_those_of_the_installed_runtime() -> None:
    for name, pinned in (file for kind in RUNTIME.values() for file in kind.values()):
        digest = hashlib.sha384((INSTALLED / name).read_bytes()).digest()
        assert pinned == f"sha384-{base64.b64encode(digest).decode()}"
    lock = json.loads((INSTALLED.parents[2] / "package-lock.json").read_text())["packages"]
    assert lock["node_modules/onnxruntime-web"]["version"] == runtime_version()


def test_a_runtime_of_the_cdn_runs_only_as_it_was_pinned_and_small_weights_unpack(
    visit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pix2pix.ui.static_page.has_runtime", lambda *_: False)
    config, folder = tiny_config(source_kind="drawing"), tmp_path / "tiny"
    save_model(folder, tiny_generator(config), config, "# A model of float16\n")
    said = export_page({"tiny": folder}, tmp_path / "page", small=True)
    packed = (tmp_path / "page" / "models" / "tiny" / "model.int8").read_bytes()
    assert len(packed) < 0.6 * (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(unpack_weights(packed))
    assert said["runtime"] == "cdn" and said["bytes"] < 2_000_000
    static, changed = Static(tmp_path / "page"), [True]

    def answer(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        content = (INSTALLED / name).read_bytes() + (b"\n//" if changed else b"")
        route.fulfill(body=content, headers={"Access-Control-Allow-Origin": "*"})

    page = open_pad(visit, static.url)
    page.page.route("https://cdn.jsdelivr.net/**", answer)
    page.draw((0.2, 0.6), (0.8, 0.6))
    page.until("pad.engines.state === 'failed'")
    assert badge(page) == "This device could not run the model."
    changed.clear()
    page.page.get_by_role("button", name="Try again").click()
    page.until("pad.engines.state === 'ready' && pad.idle()")
    assert difference(page, folder) <= MOST_DIFFERENCE
    static.server.shutdown()


def test_photos_and_the_camera_become_drawings(
    visit: Any, exported: Static, tmp_path: Path, tiny: Path
) -> None:
    page = open_pad(visit, f"{exported.url}?model=tiny")
    pale = Image.open(FACES / "thumbnail.png").convert("RGB").resize((128, 128))
    photo = pale.point(lambda value: value * 0.8)
    assert looks_like_photo(photo)
    photo.save(tmp_path / "photo.png")
    lines = np.asarray(line_drawing(photo).resize((64, 64)))
    page.page.locator("input[type=file]").set_input_files(tmp_path / "photo.png")
    page.until("pad.ops.length && pad.engines.state === 'ready' && pad.idle()")
    assert np.abs(page.drawing()[..., 0].astype(int) - lines).mean() < 12
    page.do("camera")
    page.until("pad.camera.frames > 2")
    assert page.page.locator(".camera").is_visible()
    before = page.js("pad.ops.length")
    page.do("camera")
    page.until(f"pad.ops.length > {before} && pad.idle()")
    assert difference(page, tiny) <= MOST_DIFFERENCE
    page.do("camera")
    page.until("pad.camera.stream")
    tracks = "pad.camera.stream.getTracks()"
    page.js(f"(window.tracks = {tracks}, pad.element.style.display = 'none')")
    page.until("window.tracks.every(({ readyState }) => readyState === 'ended')")
    assert page.js("[pad.camera.stream, pad.live.paused]") == [None, False]


def test_what_the_camera_saw_is_not_put_on_the_next_models_paper(
    visit: Any, exported: Static
) -> None:
    page = open_pad(visit, f"{exported.url}?model=tiny")
    page.do("camera")
    page.until("pad.camera.frames > 0")
    before = page.js("pad.ops.length")
    page.page.locator("[data-name=colorize]").click()
    page.until("pad.config.model === 'colorize' && pad.idle()")
    assert page.js("[pad.camera.stream, pad.ops.length]") == [None, before]


def test_a_photo_keeps_its_own_size_as_on_the_server(
    visit: Any, exported: Static, tmp_path: Path
) -> None:
    photo = Image.open(next((COLOUR / "samples").iterdir())).convert("RGB").resize((300, 190))
    photo.save(tmp_path / "photo.png")
    page = open_pad(visit, f"{exported.url}?model=colorize")
    assert page.page.get_by_role("button", name="Open a photo", exact=True).is_visible()
    for model, folder in {"colorize": COLOUR, "views": exported.views}.items():
        page.page.locator(f"[data-name={model}]").click()
        page.until(f"pad.model === '{model}'")
        before = page.js("pad.ops.length")  # the photo of the other model, with a stroke on it
        page.page.locator("input[type=file]").set_input_files(tmp_path / "photo.png")
        page.until(f"pad.ops.length > {before} && pad.engines.state === 'ready' && pad.idle()")
        right = np.asarray(Translator.load(folder, "cpu").translate(photo)).astype(int)
        assert page.picture().shape == right.shape == (190, 300, 3)
        assert np.abs(page.picture() - right).max() <= MOST_DIFFERENCE
        assert right.std(axis=2).max() > 5, "it is in colour"
        page.draw((0.4, 0.5), (0.6, 0.5))  # what is drawn on it belongs to it
        page.settle()
        assert page.picture().shape == right.shape
        assert np.abs(page.picture() - right).max() > 50


def test_a_sample_is_a_photo_to_try(visit: Any, exported: Static) -> None:
    page = open_pad(visit, f"{exported.url}?model=colorize")
    page.page.wait_for_function(
        "() => document.querySelector('.examples img').complete"
        " && document.querySelector('.examples img').naturalWidth"
    )
    sample = page.page.locator(".examples button").first
    name = sample.inner_text()
    page.page.context.set_offline(True)
    sample.click()
    page.until("pad.ops.length && !pad.drawing.loading")
    with Image.open(COLOUR / "samples" / f"{name}.jpg") as photo:
        size = page.js("[pad.drawing.source().width, pad.drawing.source().height]")
        assert tuple(size) == photo.size


def test_a_gpu_gives_the_same_picture(browser: Any, exported: Static, tiny: Path) -> None:
    """WebGPU as the processor imitates it: right, and slow."""
    flags = [flag for flag in CHROMIUM_FLAGS if flag != "--disable-gpu"]
    flags += ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags += ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    own = browser.browser_type.launch(
        executable_path=chromium_path(browser.browser_type.executable_path), args=flags
    )
    try:
        page = open_pad(Visitors(own).open, f"{exported.url}?model=tiny&gpu=yes")
        if not page.page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            give_up("this Chromium imitates no GPU")
        page.draw((0.2, 0.6), (0.8, 0.6))
        page.until("pad.engines.state === 'ready' && pad.idle()")
        assert page.js("pad.engines.provider") == "webgpu"
        assert difference(page, tiny) <= MOST_DIFFERENCE
    finally:
        own.close()
