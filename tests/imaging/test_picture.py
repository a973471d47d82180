"""Every kind of file a person has, against pixel values worked out by hand."""

import base64
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from pix2pix.errors import UserError
from pix2pix.imaging import decode
from pix2pix.imaging import picture as imaging_picture
from pix2pix.imaging.grids import rows_picture

# What the module sets for the process and pytest undoes for each test; and Pillow's remarks on
# damaged metadata, which are expected here.
pytestmark = [
    pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning"),
    pytest.mark.filterwarnings("ignore:(Corrupt EXIF|Truncated File|Metadata Warning)"),
]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def png(width, height, depth, colour_type, rows=b""):
    """A PNG by hand: what Pillow will not write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(mode="RGB"):
    """16 x 12: red, green / blue, white; tells all eight orientations apart."""
    image = Image.new("RGB", (16, 12), WHITE)
    image.paste(RED, (0, 0, 8, 6))
    image.paste(GREEN, (8, 0, 16, 6))
    image.paste(BLUE, (0, 6, 8, 12))
    return image.convert(mode)


def grey16(values):
    return Image.fromarray(np.array(values, np.uint16))


def stored(array):
    """Network values as 0..1, to compare with what a file holds."""
    return (array + 1) / 2


# Reading: colours


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("PPM", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("GIF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
    ],
)
def test_colours_of_every_format(kind, options, tolerance, tmp_path):
    path = tmp_path / "quadrants"  # no suffix: contents decide
    path.write_bytes(encoded(quadrants(), kind, **options))
    picture = decode.open_picture(path)
    assert (picture.size, picture.channels, picture.bits) == ((16, 12), 3, 8)
    seen = [picture.to_pil().getpixel(at) for at in [(2, 2), (13, 2), (2, 9), (13, 9)]]
    np.testing.assert_allclose(seen, [RED, GREEN, BLUE, WHITE], atol=tolerance)


def test_cmyk_jpeg_keeps_its_colours():
    data = encoded(quadrants("CMYK"), "JPEG", quality=95)
    seen = decode.open_picture(data).to_pil()
    assert seen.mode == "RGB"
    np.testing.assert_allclose(seen.getpixel((2, 2)), RED, atol=12)
    np.testing.assert_allclose(seen.getpixel((13, 9)), WHITE, atol=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "corners"),  # what the person sees at top left, top right, bottom left
    [
        (1, (RED, GREEN, BLUE)),
        (2, (GREEN, RED, WHITE)),
        (3, (WHITE, BLUE, GREEN)),
        (4, (BLUE, WHITE, RED)),
        (5, (RED, BLUE, GREEN)),
        (6, (BLUE, RED, WHITE)),
        (7, (WHITE, GREEN, BLUE)),
        (8, (GREEN, WHITE, RED)),
    ],
)
def test_exif_orientation_is_applied_once(kind, orientation, corners):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode.open_picture(encoded(quadrants(), kind, exif=exif, quality=95))
    assert picture.size == ((16, 12) if orientation < 5 else (12, 16))
    width, height = picture.size
    at = [(2, 2), (width - 3, 2), (2, height - 3)]
    np.testing.assert_allclose([picture.to_pil().getpixel(xy) for xy in at], corners, atol=60)


def test_lab_tiff():
    data = encoded(Image.new("LAB", (2, 2), (136, 128, 128)), "TIFF")  # L* 53.3, the grey 127
    np.testing.assert_allclose(decode.open_picture(data).to_pil().getpixel((0, 0)), 127, atol=1)


def test_broken_exif_does_not_cost_the_picture():
    data = encoded(quadrants(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert decode.open_picture(data).size == (16, 12)


def test_embedded_profile_is_converted_and_srgb_left_exact():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exact = decode.open_picture(encoded(quadrants(), "PNG", icc_profile=profile))
    assert exact.to_pil().tobytes() == quadrants().tobytes()
    # A profile whose red and blue primaries are exchanged, under a name of its own.
    swapped = profile.replace(b"rXYZ", b"tmp1").replace(b"bXYZ", b"rXYZ").replace(b"tmp1", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    seen = decode.open_picture(encoded(quadrants("RGBA"), "PNG", icc_profile=swapped)).to_pil()
    np.testing.assert_allclose(seen.getpixel((2, 2)), BLUE, atol=4)
    broken = decode.open_picture(encoded(quadrants(), "PNG", icc_profile=b"not a profile"))
    assert broken.to_pil().getpixel((2, 2)) == RED
    assert "icc_profile" not in broken.to_pil().info


# Reading: alpha, palettes, pages


def test_alpha_is_over_white_or_kept():
    data = encoded(Image.new("RGBA", (2, 2), (200, 0, 0, 128)), "PNG")
    picture = decode.open_picture(data)
    a = 128 / 255
    over_white = [200 / 255 * a + 1 - a, 1 - a, 1 - a]
    box = (0, 0, 1, 1)
    np.testing.assert_allclose(stored(picture.tile(box, 3)).ravel(), over_white, atol=1e-6)
    luma = np.dot([0.299, 0.587, 0.114], over_white)
    np.testing.assert_allclose(stored(picture.tile(box, 1)).ravel(), [luma], atol=1e-6)
    kept = stored(picture.tile(box, 4)).ravel()
    np.testing.assert_allclose(kept, [200 / 255, 0, 0, a], atol=1e-6)
    assert picture.to_pil().getpixel((0, 0)) == (227, 127, 127)
    assert picture.to_pil(4).getpixel((0, 0)) == (200, 0, 0, 128)


def test_grey_alpha_stays_grey():
    picture = decode.open_picture(encoded(Image.new("LA", (2, 2), (0, 51)), "PNG"))
    assert (picture.channels, picture.to_pil().mode) == (1, "L")
    assert picture.to_pil().getpixel((0, 0)) == 204


def test_palette_with_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    seen = decode.open_picture(encoded(image, "PNG", transparency=1)).to_pil()
    assert [seen.getpixel((0, 0)), seen.getpixel((1, 0))] == [(10, 20, 30), WHITE]


def test_one_bit():
    image = Image.new("1", (3, 1))
    image.putpixel((1, 0), 1)
    array = imaging_picture.to_array(decode.open_picture(encoded(image, "PNG")), 1)
    assert array.tolist() == [[[-1, 1, -1]]]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_first_frame_of_several(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode.open_picture(data).to_pil().getpixel((4, 4)) == RED


# Reading: deep files


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_keeps_every_bit(kind):
    values = [[0, 1, 257], [4095, 40000, 65535]]
    picture = decode.open_picture(encoded(grey16(values), kind))
    assert (picture.channels, picture.bits) == (1, 16)
    array = imaging_picture.to_array(picture, 1)
    np.testing.assert_allclose(stored(array)[0], np.array(values) / 65535, atol=1e-7)
    assert np.array_equal(np.asarray(imaging_picture.from_array(array, bits=16)), values)
    assert np.array_equal(np.asarray(picture.to_pil()), [[0, 0, 1], [16, 156, 255]])


def test_big_endian_sixteen_bit_tiff():
    tags = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 122)]
    tags += [(277, 3, 1), (278, 3, 1), (279, 4, 4)]
    data = b"MM\0*" + struct.pack(">IH", 8, len(tags))
    for tag, kind, value in tags:
        data += struct.pack(">HHI", tag, kind, 1) + struct.pack(">HH" if kind == 3 else ">I", *(
            (value, 0) if kind == 3 else (value,)))  # fmt: skip
    data += b"\0\0\0\0" + struct.pack(">HH", 13107, 65535)
    picture = decode.open_picture(data)
    np.testing.assert_allclose(
        stored(imaging_picture.to_array(picture, 1)).ravel(), [0.2, 1], atol=1e-6
    )
    assert picture.resize((4, 2)).size == (4, 2)


def test_sixteen_bit_colour_png():
    row = b"\0" + struct.pack(">6H", 65535, 32896, 0, 0, 257, 65535)
    seen = decode.open_picture(png(2, 1, 16, 2, row)).to_pil()
    assert [seen.getpixel((0, 0)), seen.getpixel((1, 0))] == [(255, 128, 0), (0, 1, 255)]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.float32, [0, 0.25, 1], [0, 0.25, 1]),  # within full range: as is
        (np.float32, [0, 0.25, 0.5], [0, 0.25, 0.5]),
        (np.float32, [-1000, 0, 3000], [0, 0.25, 1]),  # beyond: minimum to maximum
        (np.float32, [np.nan, 100, np.inf, 300, -np.inf], [0, 0, 0, 1, 0]),
        (np.float32, [-3e38, 0, 3e38], [0, 0.5, 1]),
        (np.float32, [np.nan, np.nan], [0, 0]),
        (np.float32, [7, 7], [0, 0]),
        (np.int32, [0, 13107, 65535], [0, 0.2, 1]),
        (np.int32, [100_000, 150_000, 200_000], [0, 0.5, 1]),
        (np.int32, [-(2**31), 0, 2**31 - 1], [0, 0.5, 1]),
    ],
)
def test_wide_tiffs_follow_the_range_rule(dtype, values, expected):
    picture = decode.open_picture(encoded(Image.fromarray(np.array([values], dtype)), "TIFF"))
    seen = stored(imaging_picture.to_array(picture, 3))
    np.testing.assert_allclose(seen, np.broadcast_to(expected, (3, 1, len(values))), atol=1e-6)


# Refusals


def refused(*args, **options):
    with pytest.raises(UserError) as caught:
        decode.open_picture(*args, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and ": " in sentence
    assert caught.value.__cause__ is not None
    return sentence


def tiff(channels, bits=8, order="<", big=False):
    """The header of a TIFF that claims so many channels, or bands, by hand."""
    long, kind = ("Q", 16) if big else ("L", 4)  # 16 is LONG8
    tags = [(256, 4), (257, 4), (258, bits), (259, 1), (262, 1), (273, 8), (277, channels)]
    directory = struct.pack(order + ("Q" if big else "H"), len(tags))
    for tag, value in tags:
        directory += struct.pack(order + "HH" + 2 * long, tag, kind, 1, value)
    start = struct.pack("<HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HL", 42, 8)
    return (b"II" if order == "<" else b"MM") + start + directory + bytes(8)


JPEG = encoded(Image.effect_noise((64, 64), 90), "JPEG")
UNREADABLE = {
    "page.png": (b"<!doctype html><title>404</title>", "is no image"),
    "empty.png": (b"", "empty"),
    "cut.png": (encoded(Image.effect_noise((64, 64), 90), "PNG")[:900], "cut short"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "cut short"),
    "cut.webp": (encoded(quadrants(), "WEBP")[:60], "cut short"),
    "cut.tif": (encoded(quadrants(), "TIFF")[:300], ""),
    "cut.gif": (encoded(Image.effect_noise((64, 64), 90), "GIF")[:900], "cut short"),
    "cut.bmp": (encoded(quadrants(), "BMP")[:200], "cut short"),
    "bomb.png": (png(60_000, 60_000, 8, 2), "claims more than 200,000,000 pixels"),
    "big.png": (png(15_000, 15_000, 8, 0), "claims more than 200,000,000 pixels"),
    "bomb.ppm": (b"P6 60000 60000 255\n", "claims more than"),
    "flat.png": (png(0, 5, 8, 0), ""),
    "flat.gif": (b"GIF89a" + bytes(7) + b";", ""),
    "art.psd": (b"8BPS\0\1" + bytes(40), "is no image"),
    "art.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
    "art.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is no image"),
    "art.pdf": (b"%PDF-1.7\n", "is no image"),
    "five.tif": (tiff(5), "has 5 channels and a picture has 1, 3 or 4"),
    "seven.tif": (tiff(7, 16, ">"), "has 7 channels and a picture has 1, 3 or 4"),
    "all.tif": (tiff(224, big=True), "has 224 channels and a picture has 1, 3 or 4"),
    "odd.tif": (tiff(1, 13), "13-bit integers, for which imagecodecs is missing"),
    "lost.tif": (tiff(5)[:40], "is no image"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_refused_in_one_sentence(name, tmp_path):
    content, reason = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    sentence = refused(tmp_path / name)
    assert sentence.startswith(f"{name} ") and reason in sentence
    assert refused(content).startswith("The image ")


def test_refused_places(tmp_path, monkeypatch):
    assert "not found" in refused(tmp_path / "gone.png")
    assert "folder" in refused(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "no regular file" in refused(tmp_path / "pipe.png")
    assert refused("nul\0in it.png").startswith("nul?in it.png ")
    assert "two?lines.png" in refused(tmp_path / "two\nlines.png")
    monkeypatch.setattr("builtins.open", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert "permissions" in refused(tmp_path / "mine.png")


def test_any_mutation_opens_or_is_refused():
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        whole = encoded(quadrants(), kind)
        for _ in range(60):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(256)
            try:
                decode.open_picture(bytes(data), max_pixels=10_000)
            except UserError as refusal:
                assert "\n" not in str(refusal)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_a_bomb_takes_no_memory(tmp_path):
    import resource

    path = tmp_path / "bomb.png"
    path.write_bytes(png(14_143, 14_143, 8, 6, bytes(1000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "claims" in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KB


# Arrays


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_8_bit_value_survives_the_round_trip(channels):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    pixels = np.concatenate([np.roll(values, 5 * i) for i in range(channels)], axis=2)
    image = Image.fromarray(pixels.squeeze())
    array = imaging_picture.to_array(image, channels)
    assert (array.dtype, array.shape) == (np.float32, (channels, 16, 16))
    assert (array.min(), array.max()) == (-1, 1)
    assert imaging_picture.from_array(array).tobytes() == image.tobytes()


def test_from_array_rounds_clips_and_stands_nan():
    array = np.array([[[-9, 9, np.nan, np.inf, -np.inf, 0.4999 / 127.5, 0.5001 / 127.5 - 1]]])
    assert np.asarray(imaging_picture.from_array(array)).tolist() == [[0, 255, 0, 255, 0, 128, 1]]
    for shape, bits in [((2, 4, 4), 8), ((4, 4), 8), ((3, 4, 4), 16)]:
        with pytest.raises(ValueError, match="no image"):
            imaging_picture.from_array(np.zeros(shape), bits=bits)


def test_sample_grids_show_what_is_transparent_as_white():
    hidden, seen = np.full((2, 4, 8, 8), -1.0)  # black
    seen[3] = 1.0
    sheet = np.asarray(rows_picture([np.stack([hidden, seen])], gap=0))
    assert (sheet[:, :8] == 255).all() and (sheet[:, 8:] == 0).all()


def test_tile_is_that_region_and_nothing_outside_exists():
    picture = imaging_picture.as_picture(quadrants())
    assert np.array_equal(
        picture.tile((6, 4, 11, 9), 3), imaging_picture.to_array(picture, 3)[:, 4:9, 6:11]
    )
    for box in [(-1, 0, 4, 4), (0, 0, 17, 4), (4, 4, 4, 8)]:
        with pytest.raises(ValueError, match="not inside"):
            picture.tile(box, 3)


def test_labels_gain_no_new_colours():
    before = {colour for _, colour in quadrants().getcolors()}
    scaled = imaging_picture.resize(quadrants(), (23, 7), labels=True)
    assert scaled.size == (23, 7) and {colour for _, colour in scaled.getcolors()} == before
    assert len(imaging_picture.resize(quadrants(), (23, 7)).getcolors()) > len(before)


# Writing


def test_the_longest_names_are_saved(tmp_path):
    file = tmp_path / f"{'絵' * 82}.png"  # 250 bytes, of the 255 that disks take
    imaging_picture.save_png(quadrants(), file)
    assert [found.name for found in tmp_path.iterdir()] == [file.name]


def test_a_failed_save_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    imaging_picture.save_png(quadrants(), path)
    before = path.read_bytes()
    assert Image.open(path).tobytes() == quadrants().tobytes()

    def full_disk(self, file, *_):
        file.write_bytes(b"half of a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(UserError, match=r"^out\.png could not be saved: .*\.$"):
        imaging_picture.save_png(quadrants(), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_data_url_round_trip():
    url = imaging_picture.data_url(quadrants())
    assert decode.from_data_url(url, 10_000).tobytes() == quadrants().tobytes()


PNG_URL = imaging_picture.data_url(quadrants())


@pytest.mark.parametrize(
    "text",
    [
        None,
        42,
        "",
        "data:image/png;base64,",
        "data:text/html;base64,PGI+",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "file:///etc/passwd",
        "https://example.org/a.png",
        " " + PNG_URL,
        PNG_URL + "\n",
        PNG_URL[:-5],
        PNG_URL.replace("base64,", "base64,é"),
        PNG_URL.replace("base64,", "base64,*"),
        "data:image/png;base64,PGI+",
        "data:image/png;base64," + base64.b64encode(encoded(quadrants(), "TIFF")).decode(),
        "data:image/png;base64," + "A" * 20_000,
        "data:image/png;base64," + base64.b64encode(png(5000, 5000, 8, 0)).decode(),
    ],
)
def test_hostile_data_urls_are_refused(text):
    with pytest.raises(UserError, match=r"^The drawing [^\n]*\.$"):
        decode.from_data_url(text, 10_000)


def test_list_is_natural_and_files_only(tmp_path):
    for name in ("10.png", "2.PNG", "a.jpg", "A1.tif", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    names = [path.name for path in decode.list_images(tmp_path)]
    assert names == ["2.PNG", "10.png", "A1.tif", "a.jpg"]
    with pytest.raises(UserError, match="not a folder"):
        decode.list_images(tmp_path / "gone")


def test_a_fresh_process_needs_no_torch_and_hears_no_pillow_warning(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(png(15_000, 15_000, 8, 0))
    script = (
        "import sys; from pix2pix import errors; from pix2pix.imaging import decode\n"
        "try: decode.open_picture(sys.argv[1])\n"
        "except errors.UserError: sys.exit('torch' in sys.modules)\n"
        "sys.exit(2)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
