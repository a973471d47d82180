"""`scripts/translate.py`, most of it in a process of its own, on the files that people have."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.imaging.ab_pairs import AB_PAIR_HINT
from pix2pix.imaging.decode import open_picture
from pix2pix.models.translator import Translator
from tests.support.drawn_pairs import drawn_strip
from tests.support.models_and_servers import load_script, noise, save_tiny_model, tiny_config

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "translate.py"
# Peak memory is that of a child of a small process: a child of this one would count this one's.
MEASURE = (
    "import resource, subprocess, sys\n"
    "code = subprocess.call(sys.argv[1:])\n"
    "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
    "print(peak * (1 if sys.platform == 'darwin' else 1024))\n"
    "sys.exit(code)\n"
)
GOOD = {  # file -> the size that its translation must have
    "one-pixel.png": (1, 1),
    "tall.jpg": (37, 501),
    "cmyk.jpg": (80, 60),
    "turned.jpg": (40, 60),  # stored as 60 x 40
    "grey16.png": (70, 50),
    "palette.png": (66, 33),
    "animated.gif": (48, 32),
    "float.tif": (90, 30),
    "pair.png": (256, 128),
}
# A TIFF of five bands: width, height, bits, colours, place and bands, each a short number.
TAGS = ((256, 4), (257, 4), (258, 8), (262, 1), (273, 8), (277, 5))
BANDS = struct.pack("<2sHLH", b"II", 42, 8, len(TAGS))
BANDS += b"".join(struct.pack("<HHLL", tag, 3, 1, value) for tag, value in TAGS) + bytes(84)
BAD = {  # file -> a word of the sentence that refuses it
    "page.png": "no image",
    "empty.png": "empty",
    "bomb.png": "pixels",
    "missing.png": "not found",
    "bands.tif": "has 5 channels and a picture has 1, 3 or 4",
}


def run(*arguments: object, command: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    words = [*command, sys.executable, SCRIPT, *arguments]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has PyTorch already."""
    words, script = [str(SCRIPT), *map(str, arguments)], load_script("translate")
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.setattr(sys, "argv", words)
        try:
            code = script.main()
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def last_line(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes do not hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def write_files(folder: Path) -> None:
    """Every file of `GOOD` and `BAD` but the missing one."""
    noise(1, 1).save(folder / "one-pixel.png")
    noise(37, 501).save(folder / "tall.jpg")
    noise(80, 60).convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(60, 40).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(np.arange(3500, dtype=np.uint16).reshape(50, 70) * 18).save(
        folder / "grey16.png"
    )
    noise(66, 33, 1).convert("P").save(folder / "palette.png", transparency=0)
    frames = [noise(48, 32, seed=seed) for seed in range(3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.linspace(-3, 7, 2700, dtype=np.float32).reshape(30, 90)).save(
        folder / "float.tif"
    )
    drawn_strip(1, 128).save(folder / "pair.png")
    (folder / "bands.tif").write_bytes(BANDS)
    (folder / "page.png").write_text("<!doctype html><title>Not found</title>")
    (folder / "empty.png").touch()
    (folder / "bomb.png").write_bytes(bomb(60_000, 60_000))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def mixed(model, files, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One call on all good and bad files, mixed, and the folder it wrote."""
    out = tmp_path_factory.mktemp("mixed") / "new" / "folder"
    names = sorted([*GOOD, *BAD])
    inputs = [files / name for name in names]
    return run("--model", model, *inputs, "--out", out, "--device", "cpu"), out


def test_an_option_that_the_model_does_not_take_is_refused_once(model, files, tmp_path):
    words = "--model", model, files / "tall.jpg", files / "pair.png", "--out", tmp_path / "out"
    done = run_here(*words, "--tint", "salmon")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["This model takes no tint: leave it out."]
    assert not (tmp_path / "out").exists()


def test_every_good_file_among_bad_ones_comes_out_in_its_own_size(mixed):
    _, out = mixed
    written = {file.name: Image.open(file) for file in out.iterdir()}  # no temporary files either
    assert {name: image.size for name, image in written.items()} == {
        f"{Path(name).stem}.png": size for name, size in GOOD.items()
    }
    assert {image.format for image in written.values()} == {"PNG"}
    assert [name for name, image in written.items() if image.mode != "RGB"] == ["palette.png"]
    assert written["palette.png"].mode == "RGBA"  # it has a transparent colour


def test_every_bad_file_is_refused_in_one_sentence_and_the_exit_code_is_1(mixed):
    done, _ = mixed
    assert done.returncode == 1
    about = {name: [line for line in done.stderr.splitlines() if name in line] for name in BAD}
    for name, lines in about.items():
        wrong = [line for line in lines if not line.startswith(name)]  # no "3/12 name.png"
        assert len(lines) == 1 and not wrong, (name, lines)
        assert BAD[name] in lines[0] and lines[0].endswith(".")


def test_a_pair_is_said_in_one_sentence_that_names_the_file(mixed):
    done, _ = mixed
    said = [line for line in done.stderr.splitlines() if AB_PAIR_HINT in line]
    assert said == [f"pair.png {AB_PAIR_HINT}"]


def test_the_last_line_of_output_says_what_was_translated_and_what_refused(mixed, files):
    done, _ = mixed
    said = last_line(done)
    assert said["translated"] == len(GOOD)
    reasons = {item["file"]: item["reason"] for item in said["refused"]}
    assert set(reasons) == {str(files / name) for name in BAD}
    assert all(word in reasons[str(files / name)] for name, word in BAD.items())


def test_the_command_writes_what_the_translator_paints(mixed, model, files):
    _, out = mixed
    translator = Translator.load(model, "cpu")
    for name in ("tall.jpg", "animated.gif"):
        expected = np.asarray(translator.translate(open_picture(files / name)), int)
        written = np.asarray(Image.open(out / f"{Path(name).stem}.png"), int)
        np.testing.assert_allclose(written, expected, atol=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two good pictures, and what is none of the command's business."""
    folder = tmp_path_factory.mktemp("pictures")
    noise(70, 40, seed=1).save(folder / "a.png")
    noise(64, 64, seed=2).save(folder / "b.bmp")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").touch()
    return folder


def test_a_folder_of_good_pictures_exits_0_and_a_seed_names_the_bytes(model, folder, tmp_path):
    written = []
    for out, seed in (("one", ["--seed", 5]), ("two", ["--seed", 5]), ("three", [])):
        done = run_here("--model", model, folder, "--out", tmp_path / out, "--device", "cpu", *seed)
        assert done.returncode == 0
        assert last_line(done) == {"translated": 2, "refused": []}
        written.append({file.name: file.read_bytes() for file in (tmp_path / out).iterdir()})
    assert set(written[0]) == {"a.png", "b.png"}
    assert written[0] == written[1]
    assert all(written[0][name] != written[2][name] for name in written[0])


def test_a_model_of_one_channel_writes_16_bits_and_the_norm_is_a_choice(files, tmp_path):
    """In this process: the command's own work is a few lines around the translator's."""
    config = tiny_config({"source_channels": 1, "target_channels": 1})
    model = save_tiny_model(tmp_path / "model", config)
    script, translator = load_script("translate"), Translator.load(model, "cpu")
    sources = [files / "grey16.png", files / "float.tif", files / "palette.png"]
    for norm in ("batch", "stored"):
        out = ["--out", str(tmp_path / norm), "--device", "cpu", "--norm", norm]
        with pytest.MonkeyPatch.context() as patch:
            words = ["translate.py", *map(str, sources), "--model", str(model), *out]
            patch.setattr(sys, "argv", words)
            assert script.main() == 0
        for source, mode in zip(sources, ("I;16", "I;16", "LA")):
            written = Image.open(tmp_path / norm / f"{source.stem}.png")
            expected = translator.translate(open_picture(source), norm=norm)
            assert written.mode == mode
            written = written.getchannel("L") if mode == "LA" else written
            assert written.mode == expected.mode
            np.testing.assert_array_equal(np.asarray(written), np.asarray(expected))
    one, other = (Image.open(tmp_path / norm / "grey16.png") for norm in ("batch", "stored"))
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "required"),
        (["--model", "m", "a.png"], "--out"),
        (["--model", "m", "--out", "o", "--fit", "stretch", "a.png"], "--fit"),
        (["--model", "m", "--out", "o", "--norm", "own", "a.png"], "--norm"),
        (["--model", "m", "--out", "o", "--seed", "red", "a.png"], "--seed"),
    ],
)
def test_wrong_arguments_exit_2_and_name_the_argument(arguments, word):
    done = run_here(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert word in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("inputs", "options", "words"),
    [
        (["{0}/a.png", "{0}/again/a.jpg"], {}, "would both be written as a.png"),
        (["{0}/x"], {"--out": "{0}/x"}, "would be overwritten"),
        (["{0}/again/a.jpg", "{0}/x"], {"--out": "{0}/x/y"}, "y/a.png would be overwritten"),
        (
            ["{0}/again/a.jpg"],
            {"--out": "{0}/again"},
            "again/a.png is there already, beside an original",
        ),
        (["{0}/nothing"], {}, "holds no pictures"),
        (["{0}/a.png"], {"--model": "nobody"}, "no model 'nobody'"),
        (["{0}/a.png"], {"--device": "abacus"}, "'abacus' is not available"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence_before_any_work(
    inputs, options, words, model, tmp_path
):
    for name in ("again", "nothing", "x/y"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a.png", "b.png", "again/a.jpg", "again/a.png", "x/b.png", "x/y/a.png"):
        noise(20, 20).save(tmp_path / name)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    given = {"--model": model, "--out": "{0}/out", "--device": "cpu", **options}
    flags = [word for pair in given.items() for word in pair]
    done = run_here(*(str(word).format(tmp_path) for word in [*flags, *inputs]))
    assert done.returncode == 1
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_an_output_folder_that_cannot_be_is_said_once_for_each_file(model, folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run_here("--model", model, folder, "--out", tmp_path / "file", "--device", "cpu")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["a.png", "b.png"]
    assert all("could not be saved" in line for line in lines)
    assert last_line(done)["translated"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="resource usage is POSIX")
def test_a_20_megapixel_mosaic_in_tiles_stays_below_2_5_gb_of_memory(tmp_path):
    model = save_tiny_model(tmp_path / "model", tiny_config({"size": 512, "ngf": 2}))
    Image.linear_gradient("L").resize((5000, 4000)).convert("RGB").save(tmp_path / "mosaic.jpg")
    done = run(
        *["--model", model, tmp_path / "mosaic.jpg", "--out", tmp_path / "out"],
        *["--fit", "tiles", "--device", "cpu"],
        command=(sys.executable, "-c", MEASURE),
    )
    assert done.returncode == 0
    assert Image.open(tmp_path / "out" / "mosaic.png").size == (5000, 4000)
    peak = int(last_line(done)) / 1e9
    print(f"peak memory of 5000 x 4000 in tiles: {peak:.2f} GB")
    assert 0.1 < peak < 2.5
