"""The page's modules without a page: linted, tested by node's own runner, and equal to what Python
does with the same numbers."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save

from pix2pix.imaging.line_art import LINE_STYLES, line_drawing
from pix2pix.imaging.numbers import to_palette
from pix2pix.imaging.picture import as_picture, from_array
from pix2pix.model_config import ModelConfig
from pix2pix.models.translator import Translator
from pix2pix.models.weights import pack_weights
from tests.conftest import give_up
from tests.support.models_and_servers import tiny_config, unpack_weights

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "pix2pix" / "ui" / "web"
TESTS = ROOT / "tests" / "ui" / "web"
LOCKS = [TESTS / "package-lock.json", ROOT / "pix2pix" / "ui" / "runtime" / "package-lock.json"]
OLDEST = (20, 19)  # node that knows an ES module by its text
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def node() -> None:
    if shutil.which("node") is None:
        give_up("node is not installed, so the page's modules are not tested outside a browser")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        give_up(f"node {version.strip()} is too old to test the page's modules: it takes 20.19")


def in_node(module: str, call: str, *arguments: np.ndarray) -> np.ndarray:
    """What an expression gives of a module's names, with typed arrays `a[0]`, `a[1]` ...: an array
    of the type of the first."""
    kinds = {"uint8": "Uint8ClampedArray", "float32": "Float32Array"}
    code = f"""
        import * as module from {json.dumps((WEB / module).as_uri())};
        import {{ readFileSync }} from "node:fs";
        const a = JSON.parse(readFileSync(0)).map(([kind, text]) => (
          new globalThis[kind](Uint8Array.from(Buffer.from(text, "base64")).buffer)));
        const made = {call};
        process.stdout.write(Buffer.from(made.buffer, made.byteOffset, made.byteLength));
    """
    given = [(kinds[str(v.dtype)], base64.b64encode(v.tobytes()).decode()) for v in arguments]
    command = ["node", "--no-warnings", "--input-type=module", "--eval", code]
    done = subprocess.run(command, input=json.dumps(given).encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.uint8)


def rgba(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGBA"))


def test_the_modules_pass_their_own_tests() -> None:
    files = sorted(TESTS.glob("*.test.js"))
    command = ["node", "--no-warnings", "--test", "--test-reporter=tap", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^# pass (\d+)", done.stdout, re.M)[1]) > 30


def test_the_modules_are_linted() -> None:
    linter = TESTS / "node_modules" / ".bin" / "biome"
    if not linter.exists():
        give_up("no linter for JavaScript: npm ci --ignore-scripts --prefix tests/ui/web")
    command = [linter, "lint", "--error-on-warnings", f"--config-path={TESTS / 'biome.json'}"]
    done = subprocess.run([*command, WEB, TESTS], capture_output=True, text=True, cwd=TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_what_npm_installs_is_pinned_and_comes_from_no_named_registry(lock: Path) -> None:
    package = json.loads(lock.with_name("package.json").read_text(encoding="utf-8"))
    locked = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    own = locked.pop("")
    for kind in ("dependencies", "devDependencies"):
        assert own.get(kind) == package.get(kind)
        assert all(re.fullmatch(r"[\d.]+", version) for version in package.get(kind, {}).values())
    assert locked and all("integrity" in one and "resolved" not in one for one in locked.values())


def test_the_light_of_a_grey_photo_stays_as_pillow_keeps_it() -> None:
    made, source = (Image.fromarray(RNG.integers(0, 256, (128, 128, 3), np.uint8)) for _ in "ab")
    call = "(module.keepLight(a[0], a[1]), a[0])"
    kept = in_node("conversions.js", call, rgba(made), rgba(source)).reshape(128, 128, 4)
    _, *colours = made.convert("YCbCr").split()
    light = as_picture(source).to_pil(1)
    right = np.asarray(Image.merge("YCbCr", [light, *colours]).convert("RGB"))
    is_half = np.asarray(source).astype(int) @ [299, 587, 114] % 1000 == 500  # rounds either way
    assert is_half.mean() < 0.01 and (kept[..., 3] == 255).all()
    assert np.array_equal(kept[~is_half, :3], right[~is_half])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_become_what_the_network_takes(channels: int) -> None:
    pixels = RNG.integers(0, 256, (32, 32, 4), np.uint8)
    pixels[..., 3] = pixels[..., 3] if channels == 4 else 255
    call = f"module.toTensor(a[0], {channels})"
    made = in_node("conversions.js", call, pixels).view(np.float32).reshape(channels, 32, 32)
    right = as_picture(Image.fromarray(pixels)).tile((0, 0, 32, 32), channels)
    assert np.allclose(made, right, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_network_gives_becomes_pixels(channels: int) -> None:
    values = RNG.uniform(-1.2, 1.2, (channels, 32, 32)).astype(np.float32)
    made = in_node("conversions.js", f"module.toPixels(a[0], {channels})", values)
    assert np.array_equal(made.reshape(32, 32, 4), rgba(from_array(values)))


class Turned(torch.nn.Module):
    """A network whose output shows where its input lies: turned by half, colours too, inverted."""

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return -source.flip(1, 2, 3)


LABELS = [{"name": c, "color": c} for c in ("#000000", "#ffffff", "#c04030", "#3080d0", "#40a040")]


@pytest.mark.parametrize("kind", ["in colour", "colours grey", "label maps", "of label maps"])
@pytest.mark.parametrize("fit", ["whole", "tiles"])
@pytest.mark.parametrize("sides", [(150, 97), (64, 64), (21, 40), (200, 1)], ids=str)
def test_a_photo_of_any_size_becomes_what_the_translator_makes_of_it(
    sides: tuple[int, int], fit: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pix2pix.models.translator.has_fast_bfloat16", lambda device: False)
    grey = {"training": {"derive": "grey"}} if kind == "colours grey" else {}
    labels = {"target_palette": LABELS} if kind == "label maps" else {}
    drawn = {"source_kind": "labels"} if kind == "of label maps" else {}
    config = tiny_config(fit=fit, **grey, **labels, **drawn)
    noise = Image.fromarray(RNG.integers(0, 256, (7, 9, 3), np.uint8))
    photo = noise.resize(sides, Image.Resampling.BICUBIC)
    model = engine_json(config)
    call = f"""await (async () => {{
        const {{ toTensor }} = await import({json.dumps((WEB / "conversions.js").as_uri())});
        const forward = async (rgba, sides) => {{
          const grown = module.grow(rgba, sides, {config.generator.multiple});
          return grown.crop(toTensor(grown.rgba, 3).map((value) => -value).reverse());
        }};
        return module.translate(a[0], {list(sides)}, {model}, forward); }})()"""
    made = in_node("sizes.js", call, rgba(photo)).reshape(sides[1], sides[0], 4)
    right = np.asarray(Translator(Turned(), config, "cpu").translate(photo))
    apart = np.abs(made[..., :3].astype(int) - right).max(-1)
    # A level or two before it decides which label is nearest.
    assert apart.max() <= 2 or (labels and (apart > 0).mean() < 0.02)
    assert (made[..., 3] == 255).all() and (not labels or is_of(made[..., :3], LABELS))


def is_of(picture: np.ndarray, labels: list[dict[str, str]]) -> bool:
    used = np.unique(picture.reshape(-1, 3), axis=0)
    return {f"#{bytes(colour).hex()}" for colour in used} <= {label["color"] for label in labels}


def test_of_labels_the_nearest_is_taken_as_on_the_server() -> None:
    photo = Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8))
    palette = np.array([list(bytes.fromhex(label["color"][1:])) for label in LABELS])
    call = f"(module.toPalette(a[0], {palette.tolist()}), a[0])"
    made = in_node("conversions.js", call, rgba(photo))
    assert np.array_equal(made.reshape(40, 50, 4), rgba(to_palette(photo, palette)))


def engine_json(config: ModelConfig) -> str:
    """What the page knows of a model."""
    size, channels = config.generator.size, config.generator.target_channels
    known = {"size": size, "fit": config.fit, "targetChannels": channels}
    known |= {"coloursGrey": config.colours_grey, "targetPalette": config.target_colours}
    known["hasLabelSources"] = config.source_kind == "labels"
    return json.dumps(known)


def test_weights_of_int8_unpack_to_the_same_bytes(tmp_path: Path) -> None:
    sizes = np.geomspace(1e-9, 100, 64)[:, None]  # the first are below float16's normal numbers
    weights = {
        "a.weight": (sizes * RNG.normal(size=(64, 48))).astype(np.float16),
        "b.weight": np.zeros((8, 256), np.float16),
        "b.bias": RNG.normal(size=8).astype(np.float16),
        "c.mean": RNG.normal(size=3000).astype(np.float32),
    }
    file = tmp_path / "model.safetensors"
    file.write_bytes(save(weights))
    packed = np.frombuffer(pack_weights(file), np.uint8)
    made = in_node("conversions.js", "module.unpackWeights(new Uint8Array(a[0]))", packed)
    assert made.tobytes() == unpack_weights(packed.tobytes())
    whole = in_node("conversions.js", "module.unpackWeights(new Uint8Array(a[0]))",
                    np.frombuffer(file.read_bytes(), np.uint8))  # fmt: skip
    assert whole.tobytes() == file.read_bytes(), "what was not packed stays"


@pytest.mark.parametrize("style", LINE_STYLES)
def test_a_photos_lines_are_those_of_the_command(style: str) -> None:
    pale = Image.open(ROOT / "checkpoints" / "face-sketch" / "thumbnail.png").convert("RGB")
    photo = pale.resize((128, 128)).point(lambda value: value * 0.8)
    call = f"module.lineDrawing(a[0], 128, 128, {style!r})"
    made = in_node("lines.js", call, rgba(photo)).reshape(128, 128, 4)
    right = np.asarray(line_drawing(photo, style)).astype(int)
    assert (np.abs(made[..., 0] - right) > 2).mean() < 0.002 and right.std() > 10
    assert (made[..., :3] == made[..., :1]).all() and (made[..., 3] == 255).all()
