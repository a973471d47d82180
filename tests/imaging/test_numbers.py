"""What a file's numbers mean: any type by any library, ICC profiles, numbers written back."""

from __future__ import annotations

import io
import struct
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pix2pix.errors import UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.numbers import from_units, picture_of, range_notice, save_picture
from pix2pix.imaging.picture import Picture, to_array
from tests.support.icc_profiles import P3_XYZ, SRGB, SRGB_XYZ, gamma, icc, icc_of_tables

TYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "float32", "float64", "complex64")  # fmt: skip
few = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def values(dtype: str, shape: tuple[int, ...], seed: int, wide: float) -> np.ndarray:
    """Random numbers over a share `wide` of what the type holds."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        high = max(1, int(limits.max * wide))
        return rng.integers(max(limits.min, -high), high, shape, dtype=kind, endpoint=True)
    if kind.kind == "f":
        return ((rng.random(shape) - 0.3) * 10 ** (wide * 4)).astype(kind)
    return (rng.random(shape) > 0.5).astype(kind)


def check(content: bytes, pixels: np.ndarray) -> None:
    """Refused by a sentence, or within one level of 255 of the stated range."""
    try:
        picture = open_picture(content, "file.tif")
    except UserError as refusal:
        assert str(refusal).startswith("file.tif ") and str(refusal).endswith(".")
        return
    exact = pixels.astype(np.float64).reshape(*pixels.shape[:2], -1)
    colours = 3 if exact.shape[2] >= 3 else 1
    assert picture.size == exact.shape[1::-1] and picture.channels == colours
    low, high = 0.0, 255.0 if pixels.dtype == np.uint8 else 1.0
    if picture.is_deep:
        known = exact[..., :colours][np.isfinite(exact[..., :colours])]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        picture = picture.with_range(low, high)
    unit = np.clip((exact - low) / ((high - low) or 1.0), 0.0, 1.0)
    seen = (to_array(picture, 4)[:colours] + 1) / 2
    assert np.abs(seen - unit[..., :colours].transpose(2, 0, 1)).max() <= 1 / 255 + 1e-6


@few
@given(
    st.sampled_from(TYPES), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([0, 2, 3, 4, 5]), st.integers(0, 99), st.floats(1e-4, 1),
    st.sampled_from(["minisblack", "miniswhite", "rgb"]),
    st.sampled_from([None, "contig", "separate"]), st.sampled_from([None, "zlib"]),
    st.booleans(), st.sampled_from("<>"),
)  # fmt: skip
def test_any_tiff_is_within_a_level_or_refused(
    dtype, height, width, bands, seed, wide, photometric, planar, compression, tiled, order
):
    shape = (height, width, bands) if bands else (height, width)
    if photometric == "rgb" and bands not in (3, 4):
        photometric = "minisblack"
    planar = planar or "contig"
    pixels = values(dtype, shape, seed, wide)
    if planar == "separate" and bands:
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    options = {"planarconfig": planar} if bands and planar else {}
    if tiled:
        options["tile"] = (16, 32)
    buffer = io.BytesIO()
    try:
        tifffile.imwrite(
            buffer, pixels, photometric=photometric, compression=compression, byteorder=order,
            metadata=None, **options,
        )  # fmt: skip
    except Exception:
        return  # what tifffile itself does not write
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        if len(file.pages) > 1:
            return  # pages, of which the first is read
    seen = pixels.transpose(1, 2, 0) if planar == "separate" and bands else pixels
    if photometric == "miniswhite":
        kind = np.dtype(dtype)
        if kind.kind not in "bu" or kind.itemsize > 4:
            return
        seen = ~seen if kind.kind == "b" else np.iinfo(kind).max - seen
    check(buffer.getvalue(), seen)


PILLOW = {"1": bool, "L": "uint8", "LA": "uint8", "RGB": "uint8", "RGBA": "uint8",
    "I;16": "uint16", "I": "int32", "F": "float32"}  # fmt: skip
BANDS = {"LA": 2, "RGB": 3, "RGBA": 4}


@few
@given(
    st.sampled_from(list(PILLOW)), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99),
    st.floats(1e-4, 1),
    st.sampled_from([("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PNG", {}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}), ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"big_tiff": True}), ("WEBP", {"lossless": True, "exact": True}), ("PPM", {})]),
)  # fmt: skip
def test_what_pillow_writes_is_within_a_level(mode, height, width, seed, wide, kind):
    shape = (height, width, BANDS[mode]) if mode in BANDS else (height, width)
    pixels = values(PILLOW[mode], shape, seed, wide)
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind[0], **kind[1])
    except (OSError, KeyError):
        return
    if kind[0] != "TIFF" and mode in ("I", "F"):
        return  # Pillow cuts them to 16 bits as it writes
    if (kind[0] == "WEBP" and mode not in BANDS) or (kind[0] in ("WEBP", "PPM") and mode == "LA"):
        return  # it makes colours of greys
    if kind[0] == "PPM" and mode == "RGBA":
        return  # it leaves transparency out
    check(buffer.getvalue(), pixels)
    if mode in ("LA", "RGBA"):
        alpha = (to_array(open_picture(buffer.getvalue()), 4)[3] + 1) * 127.5
        assert np.abs(alpha - pixels[..., -1]).max() < 1e-3


@few
@given(
    st.sampled_from(TYPES[1:]),  # bools it writes as ink, where 1 is black
    st.integers(1, 20), st.integers(1, 20),
    st.sampled_from([0, 3, 4]), st.integers(0, 99), st.floats(1e-3, 1),
)  # fmt: skip
def test_what_imageio_writes_is_within_a_level(dtype, height, width, bands, seed, wide):
    shape = (height, width, bands) if bands else (height, width)
    pixels = values(dtype, shape, seed, wide)
    for suffix in (".png", ".tiff") if dtype in ("uint8", "uint16") else (".tiff",):
        try:
            content = iio.imwrite("<bytes>", pixels, extension=suffix)
        except Exception:
            continue
        if suffix == ".tiff" and bands and height in (3, 4):
            continue  # taken for planes
        check(content, pixels)


@few
@given(
    st.sampled_from(["P5", "P6"]), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99),
    st.sampled_from([256, 1023, 4095, 65535]), st.booleans(),
)  # fmt: skip
def test_two_byte_pnms_have_white_at_their_own_maximum(kind, height, width, seed, most, comment):
    bands = {"P5": 1, "P6": 3}[kind]
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, most, (height, width, bands), dtype=np.uint16, endpoint=True)
    words = "# of a camera\n" if comment else ""
    head = f"{kind}\n{words}{width} {height}\n{most}\n".encode()
    picture = open_picture(head + pixels.astype(">u2").tobytes())
    assert picture.numbers == "uint16" and picture.channels == bands
    exact = pixels.transpose(2, 0, 1) * (65535 / most)
    assert np.abs(picture.values() - exact).max() <= 0.5
    with pytest.raises(UserError, match="cut short"):
        open_picture(head + bytes(pixels.size))


@few
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(0, 99), st.floats(1e-4, 1),
    st.sampled_from("<>"),
)  # fmt: skip
def test_float_maps_are_what_they_hold(height, width, seed, wide, order):
    pixels = values("float32", (height, width), seed, wide)
    pixels[0, 0] = np.inf
    head = f"Pf\n{width} {height}\n{'-' if order == '<' else ''}1.0\n".encode()
    seen = open_picture(head + pixels[::-1].astype(f"{order}f4").tobytes()).values()[0]
    assert np.array_equal(seen, pixels)


def deep_png(pixels: np.ndarray) -> bytes:
    """A 16-bit PNG of grey, grey with alpha, RGB or RGBA, which Pillow will not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, bands = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_sixteen_bits_of_every_kind_of_png(bands):
    pixels = values("uint16", (7, 9, bands), 3, 1.0)
    picture = open_picture(deep_png(pixels))
    colours = 3 if bands > 2 else 1
    assert np.array_equal(picture.values(), pixels[..., :colours].transpose(2, 0, 1))
    seen = to_array(picture.with_range(1000, 50_000), 4)
    unit = np.clip((pixels[..., :colours] - 1000.0) / 49_000, 0, 1).transpose(2, 0, 1)
    np.testing.assert_allclose((seen[:colours] + 1) / 2, unit, atol=1e-6)
    half = picture.resize((4, 3)).crop((0, 0, 4, 2))
    assert half.size == (4, 2) and half.values().shape == (colours, 2, 4)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"predictor": True}])
def test_compressed_colours_of_sixteen_bits_keep_them(options, tmp_path):
    pixels = values("uint16", (40, 50, 3), 1, 1.0)
    for name, more in (("a", {}), ("b", {"bigtiff": True}), ("c", {"byteorder": ">"})):
        tifffile.imwrite(
            tmp_path / name, pixels, photometric="rgb", compression="zlib", **more, **options
        )
        seen = open_picture(tmp_path / name).values()
        assert np.array_equal(seen, pixels.transpose(2, 0, 1))
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    more = {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}
    tifffile.imwrite(tmp_path / "d", planes, **more, **options)
    assert np.array_equal(open_picture(tmp_path / "d").values(), planes)


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def test_what_stands_for_no_value_is_black_and_spoils_no_neighbour():
    pixels = np.full((32, 32), 300, np.float32)
    pixels[:8] = -9999
    tag = [(42113, "s", 0, "-9999", True)]
    picture = open_picture(tiff(pixels, extratags=tag)).with_range(0, 400)
    assert np.isnan(picture.values()[0, :8]).all()
    small = (to_array(picture.resize((16, 16)), 1)[0] + 1) / 2
    assert (small[:4] == 0).all()
    np.testing.assert_allclose(small[4:], 0.75, atol=1e-3)
    whole = open_picture(tiff(pixels.astype(np.int16), extratags=tag))
    assert np.isnan(whole.values()[0, :8]).all() and whole.numbers == "int16"


def test_what_a_mask_or_a_transparent_number_leaves_out_has_no_value():
    pixels = np.full((32, 32), 300, np.uint16)
    pixels[:8] = 77
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(pixels, metadata=None, photometric="minisblack", compression="zlib")
        file.write(pixels == 300, metadata=None, photometric=4, subfiletype=4, compression="zlib")
    masked = open_picture(buffer.getvalue())
    clear = open_picture(with_chunk(encoded_png(pixels), b"tRNS", struct.pack(">H", 77)))
    for picture in (masked, clear):
        assert np.isnan(picture.values()[0, :8]).all() and picture.numbers == "uint16"
        assert (picture.values()[0, 8:] == 300).all()
    colours = np.stack([pixels, pixels, pixels + 1], axis=2)
    of_one = with_chunk(deep_png(colours), b"tRNS", struct.pack(">3H", 77, 77, 78))
    assert (open_picture(of_one).to_pil(4).getchannel("A").getextrema()) == (0, 255)


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (np.ones((4, 4), np.complex64), {}, "complex"),
        (np.arange(16, dtype=np.uint64).reshape(4, 4) + 2**60, {}, "too fine for 32 bits"),
        (np.ones((4, 4, 5), np.uint16), {"planarconfig": "contig"}, "5 channels"),
        (np.ones((4, 4), np.uint16), {"photometric": 32803}, "camera's raw pixels"),
    ],
)
def test_numbers_that_cannot_be_read_are_named(pixels, options, reason):
    with pytest.raises(UserError, match=f"^file.tif .*{reason}"):
        open_picture(tiff(pixels, **{"photometric": "minisblack", **options}), "file.tif")
    with pytest.raises(UserError, match=r"^cut.tif .*cut short"):
        open_picture(tiff(np.ones((64, 64), np.float64))[:4000], "cut.tif")


def test_a_band_that_is_no_alpha_is_left_out_and_counted():
    pixels = values("uint16", (8, 8, 4), 0, 1.0)
    picture = open_picture(tiff(pixels, photometric="rgb", extrasamples=["unspecified"]))
    assert picture.extra_bands == 1 and picture.image.mode == "RGB"
    bytes_ = open_picture(
        tiff((pixels >> 8).astype(np.uint8), photometric="minisblack", planarconfig="contig")
    )
    assert bytes_.extra_bands == 1 and bytes_.image.mode == "RGB"


# ------------------------------------------------------------------------------------ profiles


TABLE = b"curv\0\0\0\0" + struct.pack(">I5H", 5, 0, 2000, 12000, 33000, 65535)
CURVES = {"linear": gamma(1.0), "1.8": gamma(1.8), "2.2": gamma(2.2), "table": TABLE, "srgb": SRGB}


def png_with(image: Image.Image, profile: bytes) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=profile)
    return open_picture(buffer.getvalue())


def by_little_cms(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """RGB through littleCMS itself."""
    opened = ImageCms.getOpenProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), opened, srgb)).astype(int)


@pytest.mark.parametrize("curve", CURVES)
def test_profiles_do_what_little_cms_does_whatever_their_name(curve):
    ramp = np.arange(256, dtype=np.uint8)
    greys = np.stack([ramp] * 3, axis=-1)[None]
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    coloured = icc(CURVES[curve], grey=False)
    expected = by_little_cms(greys, coloured)[0, :, 0]
    for pixels in (greys, colours):
        seen = png_with(Image.fromarray(pixels), coloured).to_pil()
        apart = np.asarray(seen).astype(int) - by_little_cms(pixels, coloured)
        assert np.abs(apart).max() <= 1
        assert curve != "srgb" or np.array_equal(np.asarray(seen), pixels)
    profile = icc(CURVES[curve], grey=True, name="Dot Gain")
    grey = png_with(Image.fromarray(ramp[None]), profile)
    assert np.abs(np.asarray(grey.image)[0].astype(int) - expected).max() <= 1
    la = Image.merge("LA", (Image.fromarray(ramp[None]), Image.new("L", (256, 1), 77)))
    both = png_with(la, profile).image
    assert both.mode == "LA" and set(np.unique(both.getchannel(1)).tolist()) == {77}
    assert np.array_equal(np.asarray(both)[..., 0], np.asarray(grey.image))
    deep = png_with(Image.fromarray(ramp.astype(np.uint16)[None] * 257), profile)
    assert deep.bits == 16
    assert np.abs(np.asarray(deep.image)[0] / 257.0 - expected).max() <= 1


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """Put a chunk behind the head of a PNG."""
    chunk = struct.pack(">I", len(body)) + name + body
    return png[:33] + chunk + struct.pack(">I", zlib.crc32(name + body)) + png[33:]


@pytest.mark.parametrize("power", [1.0, 1.8, 2.6])
def test_tables_of_a_profile_keep_sixteen_bits(power):
    profile = icc_of_tables(power)
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = by_little_cms(levels, profile)
    assert np.abs(expected - levels).max() > 10
    chunk = b"iCCP", b"x\0\0" + zlib.compress(profile)
    picture = open_picture(with_chunk(deep_png(levels.astype(np.uint16) * 257), *chunk))
    seen = picture.values().transpose(1, 2, 0) / 257.0
    assert picture.numbers == "uint16" and np.abs(seen - expected).max() <= 1.0
    ramp = np.repeat(np.linspace(0, 65535, 4096).astype(np.uint16)[:, None, None], 3, axis=2)
    greys = open_picture(with_chunk(deep_png(ramp), *chunk)).values()[1, :, 0].astype(int)
    assert len(np.unique(greys)) > 2000 and np.diff(greys).min() >= 0


PQ, SRGB_CURVE, LINEAR, P3_D65 = 16, 13, 8, 12  # by ITU-T H.273
P3_CHROMATICITIES = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def declared(how: str, pixels: np.ndarray) -> tuple[bytes, bytes]:
    """A file that declares its colours without a profile, and a profile that says the same."""
    png = deep_png(pixels) if pixels.dtype == np.uint16 else encoded_png(pixels)
    gamma_of = lambda n: struct.pack(">I", round(n * 100_000))  # noqa: E731
    if how == "linear gAMA":
        return with_chunk(png, b"gAMA", gamma_of(1.0)), icc(gamma(1.0), grey=False)
    if how == "cHRM":
        numbers = struct.pack(">8I", *(round(n * 100_000) for n in P3_CHROMATICITIES))
        content = with_chunk(with_chunk(png, b"gAMA", gamma_of(0.45455)), b"cHRM", numbers)
        return content, icc(SRGB, grey=False, primaries=P3_XYZ)
    curve = LINEAR if "linear" in how else SRGB_CURVE
    said = icc(gamma(1.0) if curve == LINEAR else SRGB, grey=False, primaries=P3_XYZ)
    return with_chunk(png, b"cICP", bytes((P3_D65, curve, 0, 1))), said


def encoded_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("how", ["linear gAMA", "cHRM", "cICP", "linear cICP"])
def test_colours_that_a_file_declares_without_a_profile_become_srgb(how, deep):
    levels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    content, profile = declared(how, levels.astype(np.uint16) * 257 if deep else levels)
    picture, expected = open_picture(content), by_little_cms(levels, profile)
    assert np.abs(expected - levels).max() > 10 and picture.is_deep == deep
    seen = picture.values().transpose(1, 2, 0) / (257.0 if deep else 1.0)
    assert np.abs(seen - expected).max() <= 1.0


def test_what_declares_srgb_stays_as_it_is():
    levels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    png, other = encoded_png(levels), struct.pack(">I", 100_000)
    usual = struct.pack(">I", 45_455)
    wide = struct.pack(">8I", *([0] * 8))  # of no colours
    for content in (
        with_chunk(png, b"gAMA", usual), with_chunk(png, b"sRGB", b"\0"),
        with_chunk(with_chunk(png, b"gAMA", other), b"sRGB", b"\0"),
        with_chunk(png, b"cICP", bytes((1, 13, 0, 1))),
        with_chunk(with_chunk(png, b"gAMA", usual), b"cHRM", wide),
    ):  # fmt: skip
        assert np.array_equal(open_picture(content).to_pil(), levels)
    grey = with_chunk(encoded_png(levels[..., 0]), b"gAMA", other)
    by_curve = by_little_cms(np.repeat(levels[..., :1], 3, axis=2), icc(gamma(1.0), grey=False))
    assert np.abs(np.asarray(open_picture(grey).image) - by_curve[..., 0]).max() <= 1
    with pytest.raises(UserError, match=r"^file.png is a high dynamic range picture \(PQ\)"):
        open_picture(with_chunk(png, b"cICP", bytes((9, PQ, 0, 1))), "file.png")


def test_a_camera_that_says_adobe_rgb_in_exif_alone():
    levels = np.full((16, 16, 3), (40, 200, 60), np.uint8)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(levels).save(buffer, "JPEG", quality=98, exif=exif)
    seen = np.asarray(open_picture(buffer.getvalue()).to_pil())[8, 8].astype(int)
    assert seen[0] < 10 and abs(int(seen[1]) - 200) <= 4  # green that sRGB hardly has


@settings(few, max_examples=24)
@given(
    st.floats(0.9, 2.8), st.sampled_from(["srgb", "p3", "swapped"]), st.booleans(),
    st.sampled_from(["RGB", "I;16"]), st.integers(0, 99),
)  # fmt: skip
def test_ramps_of_any_profile_are_within_a_level_of_little_cms(curve, gamut, is_table, mode, seed):
    """In 8 bits and in 16, of which littleCMS sees the same colours in 8."""
    levels = np.linspace(0, 1, 1024)
    table = b"curv\0\0\0\0" + struct.pack(
        ">I1024H", 1024, *np.rint(levels**curve * 65535).astype(int).tolist()
    )
    primaries = {"srgb": SRGB_XYZ, "p3": P3_XYZ, "swapped": SRGB_XYZ[::-1]}[gamut]
    profile = icc(table if is_table else gamma(curve), grey=False, primaries=primaries)
    ramp = np.arange(256, dtype=np.uint8)
    ramps = np.stack([np.outer(ramp > -1, on) * ramp[:, None] for on in np.eye(3)] + [
        np.repeat(ramp[:, None], 3, axis=1),
        np.random.default_rng(seed).integers(0, 256, (256, 3))]).astype(np.uint8)  # fmt: skip
    expected = by_little_cms(ramps, profile)
    if mode == "RGB":
        seen = np.asarray(png_with(Image.fromarray(ramps), profile).to_pil()).astype(float)
    else:
        content = deep_png(ramps.astype(np.uint16) * 257)
        picture = open_picture(with_chunk(content, b"iCCP", b"x\0\0" + zlib.compress(profile)))
        assert picture.numbers == "uint16" and picture.channels == 3
        seen = picture.values().transpose(1, 2, 0) / 257.0
    # Those of 16 bits are not rounded, and littleCMS's are.
    assert np.abs(seen - expected).max() <= (1.0 if mode == "RGB" else 1.25)


# --------------------------------------------------------------------------------- other kinds


def test_avif_and_heic_are_read_or_named(monkeypatch):
    image = Image.new("RGB", (64, 48), (200, 100, 50))
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", quality=95)
    np.testing.assert_allclose(open_picture(buffer.getvalue()).to_pil().getpixel((9, 9)),
        (200, 100, 50), atol=6)  # fmt: skip
    content = buffer.getvalue()  # as some phones name it
    renamed = content[:8] + b"heic" + content[12:]
    assert open_picture(renamed).to_pil().tobytes() == open_picture(content).to_pil().tobytes()
    place = content.index(b"colrnclx") + 8
    wide, bright = (content[:place] + bytes((0, p, 0, c)) + content[place + 4 :]
        for p, c in ((P3_D65, SRGB_CURVE), (9, PQ)))  # fmt: skip
    pixel = np.full((1, 1, 3), (200, 100, 50), np.uint8)
    expected = by_little_cms(pixel, icc(SRGB, grey=False, primaries=P3_XYZ))[0, 0]
    np.testing.assert_allclose(open_picture(wide).to_pil().getpixel((9, 9)), expected, atol=8)
    assert expected[0] > 208
    with pytest.raises(UserError, match=r"^a.avif is a high dynamic range picture \(PQ\)"):
        open_picture(bright, "a.avif")
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    with pytest.raises(UserError, match=r"^a.heic is "):
        open_picture(heic, "a.heic")
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(UserError, match=r"^a.heic is a HEIC photo, which needs pillow-heif"):
        open_picture(heic, "a.heic")


# ------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("numbers", "low", "high", "mode", "suffix"),
    [
        ("float32", 0.5, 9.5, "F", ".tif"), ("uint16", 0, 4080, "I;16", ".png"),
        ("int16", -1024, 3000, "I", ".tif"), ("uint8", 0, 17, "L", ".png"),
        ("float64", -1.0, 1.0, "F", ".tif"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_their_own_unit_and_type(numbers, low, high, mode, suffix, tmp_path):
    unit = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    image = from_units(unit, low, high, numbers)
    assert image.mode == mode
    save_picture(image, tmp_path / f"a{suffix}", numbers)
    back = open_picture(tmp_path / f"a{suffix}")
    assert back.numbers == ("float32" if numbers == "float64" else numbers)
    step = 1.0 if "int" in numbers else (high - low) * 1e-6
    apart = back.values()[0] - (low + (unit[0] + 1) / 2 * (high - low))
    assert np.abs(apart).max() <= step / 2 + 1e-6
    seen = np.asarray(picture_of(image, (low, high, numbers))).astype(int)
    expected = (unit[0] + 1) * 127.5
    assert np.abs(seen - expected).max() <= 0.51 + (128 / (high - low) if "int" in numbers else 0)


def test_a_picture_outside_the_range_says_so():
    inside = Picture(Image.fromarray(np.full((9, 9), 5.0, np.float32)))
    assert range_notice(inside, "a.tif", (0, 9, "float32")) == ""
    words = range_notice(inside, "a.tif", (0, 2, "float32"))
    assert words.startswith("100% of a.tif lies outside")
    flat = Picture(Image.new("L", (2, 2)))
    assert "has 8 bits" in range_notice(flat, "a.png", (0, 2, "float32"))


@pytest.mark.parametrize(("top", "dark"), [(3060, True), (8000, True), (9000, False), (0, False)])
def test_sixteen_bits_that_are_nearly_black_say_so(top, dark, tmp_path):
    """To a model without a range, white is 65,535: a satellite's reflectances end far below."""
    Image.fromarray(np.full((9, 9), top, np.uint16)).save(tmp_path / "a.png")
    said = range_notice(open_picture(tmp_path / "a.png"), "a.png", None)
    assert said.startswith(f"a.png holds numbers up to {top}, and white is 65535" if dark else "")
    assert bool(said) == dark
    assert range_notice(Picture(Image.new("L", (2, 2), 3)), "b.png", None) == ""
