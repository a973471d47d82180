"""The translator against plain PyTorch, naive sums and fake generators that tell what they saw."""

from __future__ import annotations

import io
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.picture import Picture, to_array
from pix2pix.models import translator as models_translator
from pix2pix.models.folder import tints
from pix2pix.models.tiling import feather_weights, pad_reflect, tile_starts
from pix2pix.models.translator import Translator
from pix2pix.nn.device import memory_errors
from tests.support.models_and_servers import (
    Constants,
    Recorder,
    noise,
    save_tiny_model,
    tiny_config,
    tiny_generator,
    translator,
)

pytestmark = pytest.mark.usefixtures("float32")

FITS = ["whole", "tiles"]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


# Sizes


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("kind", ["unet", "small-unet", "resnet"])
@pytest.mark.parametrize("size", [(1, 1), (37, 501), (64, 64), (65, 63), (300, 200), (300, 1)])
def test_output_has_the_size_of_the_input_for_every_network(kind, size, fit):
    result = translator(network={"kind": kind, "blocks": 1}).translate(noise(*size), fit=fit)
    assert (result.size, result.mode) == (size, "RGB")


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("fit", FITS)
def test_a_single_pixel_has_statistics_for_every_norm(fit, norm):
    network = {"kind": "resnet", "blocks": 1, "norm": norm}
    assert translator(network=network).translate(noise(1, 1), fit=fit).size == (1, 1)


@pytest.mark.parametrize(
    ("kind", "padded"), [("unet", (64, 64)), ("small-unet", (48, 64)), ("resnet", (40, 52))]
)
def test_a_picture_is_padded_to_the_multiple_of_its_network_and_no_further(kind, padded):
    recorder = Recorder()
    source = noise(50, 37)
    result = translator(recorder, {"kind": kind}).translate(source, fit="tiles")
    assert [tuple(seen.shape[2:]) for seen in recorder.seen] == [padded]
    np.testing.assert_array_equal(pixels(result), pixels(source))


def test_whole_keeps_the_aspect_and_scales_the_longer_side_to_the_model():
    recorder = Recorder()
    translator(recorder, {"kind": "resnet"}).translate(noise(300, 200), fit="whole")
    assert [tuple(seen.shape[2:]) for seen in recorder.seen] == [(44, 64)]  # 43 rows, padded


def test_whole_enlarges_the_result_without_steps():
    source = Image.linear_gradient("L").convert("RGB")  # 256 rows, one level each
    result = pixels(translator(nn.Identity()).translate(source, fit="whole"))
    assert np.abs(np.diff(result, axis=0)).max() <= 2  # nearest would make steps of 4


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_label_maps_hold_their_own_colours_alone(channels, mode, fit):
    greys = ["#000000", "#505050", "#ffffff"]
    names = greys if channels == 1 else [*greys, "#d02040", "#20d080", "#20d081"]
    palette = [{"name": name, "color": name} for name in names]
    network = {"source_channels": channels, "target_channels": channels}
    source = noise(9, 6).resize((300, 200)).convert(mode)
    soft, crisp = (
        translator(nn.Identity(), network, target_palette=colours) for colours in ([], palette)
    )
    # The network's own picture: at the model's size where all of it is scaled.
    plain = source.resize((64, 43), Image.Resampling.BICUBIC) if fit == "whole" else source
    made, crisp = soft.translate(plain, fit=fit), crisp.translate(source, fit=fit)
    colours = np.array([list(bytes.fromhex(name[1:])) for name in names])
    apart = pixels(made.convert("RGB"))[:, :, None] - colours
    nearest = colours[(apart**2).sum(-1).argmin(-1)]
    if fit == "whole":
        flat = Image.fromarray(nearest.astype(np.uint8))
        nearest = pixels(flat.resize(source.size, Image.Resampling.NEAREST))
    assert crisp.mode == mode
    np.testing.assert_array_equal(pixels(crisp.convert("RGB")), nearest)
    assert len(np.unique(nearest.reshape(-1, 3), axis=0)) == len(names)


@pytest.mark.parametrize("fit", FITS)
def test_between_two_labels_lies_no_third_one(fit):
    """Black and white are scaled without the grey that is a label too."""
    palette = [{"name": name, "color": name} for name in ("#000000", "#808080", "#ffffff")]
    source = Image.new("RGB", (300, 200), "white")
    source.paste("black", (0, 0, 150, 200))
    made = translator(nn.Identity(), target_palette=palette, source_kind="labels").translate(
        source, fit=fit
    )
    np.testing.assert_array_equal(pixels(made), pixels(source))


@pytest.mark.parametrize(
    "model",
    [
        {"network": {"source_channels": 4, "target_channels": 4}},
        {
            "network": {"source_channels": 1, "target_channels": 1},
            "numbers": {"target": {"type": "float32", "channels": 1}},
            "ranges": {"target": [0.0, 9.0]},
        },
    ],
    ids=["with alpha", "in units"],
)
def test_what_is_no_plain_picture_has_no_colours_of_labels(model):
    palette = [{"name": name, "color": name} for name in ("#000000", "#ffffff")]
    for colours in ([], palette, palette[:1]):
        made = translator(nn.Identity(), **model, target_palette=colours).translate(noise(64, 64))
        assert len(np.unique(np.asarray(made))) > 2


@pytest.mark.parametrize("option", [{"fit": "Whole"}, {"norm": "Batch"}])
def test_a_misspelt_fit_or_norm_is_refused(option):
    with pytest.raises(UserError, match="empty for the model's own"):
        translator().translate(noise(64, 64), **option)


def test_an_opened_image_is_taken_as_its_file_is(tmp_path):
    model, file = translator(), tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(40, 20).convert("RGB").save(file, exif=exif)
    image = Image.open(file)
    assert np.array_equal(model(image), model(file)) and model(file).size == (20, 40)
    assert image.size == (40, 20), "the caller's own stays as it is"
    file.write_bytes(file.read_bytes()[:-100])
    for broken in (Image.open(file), Image.new("RGB", (0, 0))):
        with pytest.raises(UserError, match=r"The picture (is|has)"):
            model(broken)


def test_the_config_decides_the_fit_unless_the_call_does():
    recorder = Recorder()
    whole = translator(recorder, fit="whole")
    whole.translate(noise(100, 100))
    assert len(recorder.seen) == 1
    whole.translate(noise(100, 100), fit="tiles")
    assert len(recorder.seen) == 1 + 4


# The network's own answer


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("norm_mode", ["batch", "stored"])
@pytest.mark.parametrize("norm", ["", "batch", "stored"])
def test_a_picture_of_the_models_size_is_one_plain_forward(norm, norm_mode, fit):
    config = tiny_config(norm_mode=norm_mode)
    reference, own = tiny_generator(config), (norm or norm_mode) == "batch"
    for layer in reference.modules():  # the picture's own statistics are what training uses
        layer.training = own and isinstance(layer, nn.BatchNorm2d)
    source = noise(64, 64)
    with torch.no_grad():
        x = torch.from_numpy(pixels(source)).permute(2, 0, 1)[None] / 127.5 - 1.0
        expected = (reference(x)[0].permute(1, 2, 0) + 1.0) * 127.5
    result = pixels(translator(norm_mode=norm_mode).translate(source, fit=fit, norm=norm))
    assert result.std() > 5  # a picture, not one grey
    np.testing.assert_allclose(result, expected.numpy(), atol=0.51)


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_one_translator_gives_the_pictures_of_both_norms_again_and_again(kind):
    network, source = {"kind": kind, "blocks": 1}, noise(64, 64)
    own, stored = (
        translator(network=network, norm_mode=mode).translate(source)
        for mode in ("batch", "stored")
    )
    assert np.abs(pixels(own) - pixels(stored)).mean() > 1
    one = translator(network=network)
    made = [one.translate(source, norm=norm) for norm in ("batch", "stored", "", "stored")]
    assert made == [own, stored, own, stored]


@pytest.mark.parametrize(
    "network", [{"norm": "instance"}, {"norm": "none"}, {"kind": "small-unet"}]
)
def test_averages_that_the_model_does_not_hold_are_refused_in_a_sentence(network):
    source = noise(64, 64)
    one = translator(network=network)
    with pytest.raises(UserError, match="keeps no averages"):
        one.translate(source, norm="stored")
    assert one.translate(source, norm="batch") == one.translate(source)
    translator(network=network, norm_mode="stored").translate(source, norm="stored")  # its own


def test_bfloat16_changes_the_picture_by_a_few_levels_only(monkeypatch):
    source = noise(64, 64)
    exact = pixels(translator().translate(source))
    monkeypatch.setattr(models_translator, "has_fast_bfloat16", lambda device: True)
    fast = translator()
    assert fast.dtype == torch.bfloat16
    assert np.abs(pixels(fast.translate(source)) - exact).mean() < 2


def test_a_seed_chooses_a_tint_in_bfloat16_too(monkeypatch):
    monkeypatch.setattr(models_translator, "has_fast_bfloat16", lambda device: True)
    fast = translator(network={"tint": True, "dropout": "none"})
    fast.generator.tint.colours.copy_(torch.linspace(-1, 1, 64)[:, None])
    assert fast.translate(noise(64, 64), seed=1) != fast.translate(noise(64, 64), seed=2)


# Tiles


@pytest.mark.parametrize("size", [64, 128, 256])
def test_tiles_cover_every_length_without_a_gap_and_overlap_by_a_quarter(size):
    for length in range(1, 1001):
        starts = tile_starts(length, size)
        assert starts[0] == 0
        assert starts[-1] == max(0, length - size)  # the last ends with the picture
        steps = np.diff(starts)
        assert ((steps > 0) & (steps <= size - size // 4)).all(), (length, starts)


@pytest.mark.parametrize("size", [(150, 130), (65, 64), (64, 200), (40, 200), (301, 20)])
def test_a_mosaic_through_an_identity_comes_back_unchanged(size):
    source = noise(*size)
    recorder = Recorder()
    result = translator(recorder).translate(source, fit="tiles")
    assert len(recorder.seen) > 1
    np.testing.assert_array_equal(pixels(result), pixels(source))


@pytest.mark.parametrize("size", [(112, 64), (64, 112), (90, 64), (64, 90)])
def test_two_tiles_of_unlike_tone_fade_into_each_other(size):
    result = pixels(translator(Constants(-1.0, 1.0)).translate(noise(*size), fit="tiles"))
    line = result[0, :, 0] if size[0] > size[1] else result[:, 0, 0]
    assert (line[0], line[-1]) == (0, 255)
    steps = np.diff(line)
    assert steps.min() >= 0
    assert steps.max() <= math.ceil(255 / 16)  # spread over a quarter of the tile at least


def test_streaming_in_bands_equals_one_sum_over_the_full_size():
    source = noise(150, 170)
    one = translator()
    array = to_array(source, 3)
    total, weights = np.zeros(array.shape), np.zeros(array.shape[1:])
    distance = np.minimum(np.arange(1, 65), np.arange(64, 0, -1))
    ramp = np.minimum(distance / 16, 1.0)
    for top in tile_starts(170, 64):
        for left in tile_starts(150, 64):
            place = slice(top, top + 64), slice(left, left + 64)
            tile = one.forward(array[(slice(None), *place)], None)
            total[(slice(None), *place)] += tile * np.outer(ramp, ramp)
            weights[place] += np.outer(ramp, ramp)
    expected = (total / weights + 1.0) * 127.5
    result = pixels(one.translate(source, fit="tiles")).transpose(2, 0, 1)
    np.testing.assert_allclose(result, expected, atol=0.51)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (2, 3), (37, 501), (256, 256)])
def test_reflection_pads_and_crops_back(size):
    array = np.random.default_rng(0).random((3, *size), np.float32)
    padded, crop = pad_reflect(array, 64, minimum=256)
    assert min(padded.shape[1:]) >= 256 and not any(side % 64 for side in padded.shape[1:])
    assert np.array_equal(padded[crop], array)
    pads = [(0, 0)] + [
        (inside.start, side - inside.stop) for inside, side in zip(crop[1:], padded.shape[1:])
    ]
    assert np.array_equal(padded, np.pad(array, pads, "reflect"))


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (64, 7), (5, 64)])
def test_feather_never_reaches_zero_and_is_the_same_from_both_ends(shape):
    weights = feather_weights(*shape, 16)
    assert weights.shape == shape and weights.min() > 0 and weights.max() <= 1
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])


@pytest.mark.parametrize("fit", FITS)
def test_a_seed_chooses_one_tint_for_all_of_a_picture(fit, monkeypatch):
    one = translator(network={"tint": True, "dropout": "none"})
    tint, seen = one.generator.tint, []
    tint.colours.copy_(torch.arange(64)[:, None] / 64 - torch.tensor([0.0, 0.5, 0.9]))
    monkeypatch.setattr(tint, "forward", lambda x, c, f=tint.forward: (seen.append(c), f(x, c))[1])
    source = noise(150, 64)
    plain, first, again, other = (one.translate(source, fit=fit, seed=s) for s in (None, 1, 1, 2))
    tiles = len(seen) // 4
    assert tiles == {"whole": 1, "tiles": 3}[fit] and seen[:tiles] == [None] * tiles
    one_colour, same, another = (torch.cat(seen[k * tiles : (k + 1) * tiles]) for k in (1, 2, 3))
    assert (one_colour == one_colour[0]).all() and torch.equal(one_colour, same)
    assert (one_colour[0] != another[0]).any() and (another == another[0]).all()
    assert first == again != other and plain not in (first, other)


def test_a_tint_is_a_colour_by_pytorch_and_by_onnx_runtime(tmp_path, monkeypatch):
    config = tiny_config({"tint": True, "dropout": "none", "depth": 4})
    folder, source = save_tiny_model(tmp_path / "m", config), noise(150, 64)
    one = Translator.load(folder, "cpu")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        other = Translator.load(folder, "cpu")
    assert other._onnx is None
    for fit in FITS:
        made = [
            [t(source, tint=c, fit=fit) for c in ("", "#ff8040", "salmon")] for t in (one, other)
        ]
        for a, b in zip(*made):
            assert np.abs(pixels(a) - pixels(b)).max() <= 1
        assert np.abs(pixels(made[0][0]) - pixels(made[0][1])).max() > 3
        assert np.abs(pixels(made[0][1]) - pixels(made[0][2])).max() > 1
    assert one(source, tint="#ff8040", seed=5) != one(source, seed=5)
    assert tints(folder, 3) == ["#808080"] * 3  # of a model that was not trained
    with pytest.raises(UserError, match="'no' is no colour: give one such as #d8b48c"):
        one(source, tint="no")
    with pytest.raises(UserError, match="takes no tint"):
        translator()(source, tint="#ff8040")


@pytest.mark.parametrize(("fit", "total"), [("whole", 1), ("tiles", 9)])
def test_progress_counts_every_tile_up_to_the_total(fit, total):
    heard = []
    translator().translate(
        noise(150, 150), fit=fit, on_progress=lambda done, total: heard.append((done, total))
    )
    assert heard == [(i + 1, total) for i in range(total)]


@pytest.mark.parametrize("fit", FITS)
def test_a_stop_asked_for_before_the_start_costs_no_forward(fit):
    recorder = Recorder()
    with pytest.raises(Cancelled):
        translator(recorder).translate(noise(150, 150), fit=fit, should_stop=lambda: True)
    assert recorder.seen == []


def test_a_stop_asked_for_in_the_middle_ends_before_the_next_tile():
    recorder = Recorder()
    with pytest.raises(Cancelled):
        translator(recorder).translate(
            noise(150, 150), fit="tiles", should_stop=lambda: len(recorder.seen) == 4
        )
    assert len(recorder.seen) == 4


# Seeds


@pytest.mark.parametrize("fit", FITS)
def test_a_seed_names_one_picture_and_no_seed_means_no_noise(fit):
    one, source = translator(), noise(100, 80)
    plain = pixels(one.translate(source, fit=fit))
    seeded = [pixels(one.translate(source, fit=fit, seed=seed)) for seed in (1, 1, 2, -1, 2**70)]
    np.testing.assert_array_equal(seeded[0], seeded[1])
    unlike = [plain, *seeded[1:]]
    for i, picture in enumerate(unlike):
        assert all(np.abs(picture - other).mean() > 0.1 for other in unlike[:i])
    np.testing.assert_array_equal(pixels(one.translate(source, fit=fit)), plain)


@pytest.mark.parametrize("kind", ["unet", "small-unet", "resnet"])
def test_every_network_with_dropout_has_noise(kind):
    one = translator(network={"kind": kind, "blocks": 1})
    source = noise(64, 64)
    assert one.config.has_noise
    assert one.translate(source, seed=1) != one.translate(source, seed=2)


def test_tiles_of_one_picture_get_noise_of_their_own():
    class Noise(nn.Module):
        def forward(self, source: Tensor) -> Tensor:
            return torch.rand_like(source)

    result = pixels(translator(Noise()).translate(noise(160, 64), seed=0, fit="tiles"))
    assert (result[:, :32] != result[:, -64:-32]).mean() > 0.9


@pytest.mark.parametrize("seed", [None, 7])
def test_the_random_state_of_the_process_is_left_alone(seed):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    translator().translate(noise(64, 64), seed=seed)
    assert torch.equal(torch.get_rng_state(), before)


# Channels and kinds of pictures


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("source_channels", [1, 3, 4])
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_models_of_1_3_and_4_channels_take_any_picture(source_channels, channels, mode, fit):
    one = translator(network={"source_channels": source_channels, "target_channels": channels})
    for given in (1, 3, 4):
        result = one.translate(noise(70, 50, given), fit=fit)
        assert (result.mode, result.size) == (mode, (70, 50))


@pytest.mark.parametrize("side", ["source_channels", "target_channels"])
def test_a_model_with_channels_no_picture_has_is_refused_in_a_sentence(side):
    with pytest.raises(UserError, match="channels"):
        translator(network={side: 2})


@pytest.mark.parametrize("fit", FITS)
def test_16_bit_grey_reaches_the_generator_with_every_bit(fit):
    values = (30_000 + np.arange(64 * 64)).astype(np.uint16).reshape(64, 64)
    recorder = Recorder()
    one = translator(recorder, {"source_channels": 1, "target_channels": 1})
    one.translate(grey16(values), fit=fit)
    seen = (recorder.seen[0][0, 0].double().numpy() + 1) / 2 * 65535
    np.testing.assert_allclose(seen, values, atol=0.1)


def grey16(values: np.ndarray, kind: str = "PNG") -> Picture:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return open_picture(file.getvalue())


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(("fit", "size"), [("whole", (64, 64)), ("tiles", (150, 130))])
def test_16_bits_come_back_with_every_bit(fit, size, fast, monkeypatch):
    monkeypatch.setattr(models_translator, "has_fast_bfloat16", lambda device: fast)
    values = np.random.default_rng(0).integers(0, 65536, size[::-1], dtype=np.uint16)
    one = translator(nn.Identity(), {"source_channels": 1, "target_channels": 1})
    result = one.translate(grey16(values), fit=fit)
    assert result.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(result), values)


def test_a_whole_picture_is_enlarged_in_16_bits():
    down, right = np.mgrid[0:160, 0:200]
    values = (20_000 + 40 * down + 90 * right).astype(np.uint16)
    one = translator(nn.Identity(), {"source_channels": 1, "target_channels": 1})
    result = pixels(one.translate(grey16(values), fit="whole"))
    assert np.abs(result - values)[8:-8, 8:-8].max() < 60  # less than 257, a step of 8 bits
    assert len(np.unique(result)) > 5_000


@pytest.mark.parametrize(
    ("dtype", "kind", "channels", "mode"),
    [
        (np.float32, "TIFF", 1, "I;16"),
        (np.int32, "TIFF", 1, "I;16"),
        (np.uint8, "PNG", 1, "L"),
        (np.uint16, "PNG", 3, "RGB"),  # Pillow has no colours of 16 bits
        (np.uint16, "PNG", 4, "RGBA"),
    ],
)
@pytest.mark.parametrize("fit", FITS)
def test_a_picture_has_16_bits_where_it_came_with_more_than_8(dtype, kind, channels, mode, fit):
    values = np.arange(70 * 80).reshape(70, 80).astype(dtype)
    one = translator(network={"source_channels": 1, "target_channels": channels})
    assert one.translate(grey16(values, kind), fit=fit).mode == mode


@pytest.mark.parametrize("fit", FITS)
def test_a_transparent_png_is_seen_on_white(fit):
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((255, 0, 0, 255), (32, 0, 64, 64))
    file = io.BytesIO()
    image.save(file, "PNG")
    result = translator(nn.Identity()).translate(open_picture(file.getvalue()), fit=fit)
    assert result.getpixel((5, 5)) == (255, 255, 255)
    assert result.getpixel((60, 5)) == (255, 0, 0)


@pytest.mark.parametrize(("kind", "mixed"), [("labels", False), ("photo", True)])
def test_whole_label_maps_are_scaled_without_mixing_their_colours(kind, mixed):
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    labels = palette[np.random.default_rng(0).integers(0, 3, (90, 130))]
    recorder = Recorder()
    one = translator(recorder, {"kind": "resnet"}, source_kind=kind)
    one.translate(Image.fromarray(labels), fit="whole")
    seen = ((recorder.seen[0][0] + 1) * 127.5).round().int().flatten(1).T.tolist()
    assert ({tuple(colour) for colour in seen} == set(map(tuple, palette.tolist()))) != mixed


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_absent_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="'cuda' is not available"):
        Translator(nn.Identity(), tiny_config(), "cuda")


@pytest.mark.parametrize("fit", FITS)
def test_a_photo_that_is_coloured_keeps_its_own_light(fit):
    """What comes out has the photo's grey and the colours that the network made of it."""
    network = {"source_channels": 1}
    picture = noise(64, 64, channels=1).resize((100, 100), Image.Resampling.BICUBIC)
    picture = picture.point(lambda value: 96 + value // 4)  # mid-greys can take any colour
    raw = translator(network=network).translate(picture, fit=fit)
    made = translator(network=network, training={"derive": "grey"}).translate(picture, fit=fit)
    light, *colours = (pixels(band) for band in made.convert("YCbCr").split())
    assert np.abs(light - pixels(picture)).mean() < 2
    assert np.abs(pixels(raw.convert("L")) - pixels(picture)).mean() > 10
    for mine, network_s in zip(colours, raw.convert("YCbCr").split()[1:], strict=True):
        kept = pixels(raw).min(2) > 0
        assert np.corrcoef(mine[kept], pixels(network_s)[kept])[0, 1] > 0.9


# Memory


class Broken(nn.Module):
    """Raises what it was told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, source: Tensor) -> Tensor:
        raise self.error


FULL = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_is_one_sentence_that_says_what_to_do(error, fit):
    with pytest.raises(UserError, match=r"^The memory ran out: choose a smaller picture\.$"):
        translator(Broken(error)).translate(noise(64, 64), fit=fit)


def test_on_a_gpu_the_sentence_names_the_other_device():
    sentence = r"^The memory of the GPU ran out: choose a smaller picture, or the device cpu\.$"
    with (
        pytest.raises(UserError, match=sentence),
        memory_errors(torch.device("cuda")),
    ):
        raise FULL[1]


def test_other_errors_of_a_network_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"):
        translator(Broken(RuntimeError("shapes do not fit"))).translate(noise(64, 64))
