"""Measure what the README claims about speed, as ratios within one run.

Each part runs our code and plain code that does the same work, one after the other, several times
in turn; the medians are compared. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.data.build import build
from pix2pix.data.plan import make_plan
from pix2pix.data.recipe import Recipe
from pix2pix.data.records import Inputs
from pix2pix.imaging.picture import set_pillow_limits
from pix2pix.training import run_control
from scripts.dev.benchmark_load import app_at, load, processor_seconds
from scripts.dev.benchmark_steps import recipe_against_patchgan, step_against_plain
from scripts.dev.benchmark_translate import translate_against_reference

SIDE = 512
LOOK_EVERY = 1.5  # seconds at least, as the page does while a run trains

# In processes of their own, as people write them: no checks, the second with two workers. OpenCV is
# not among our requirements: without it that part is left out, and the output says so.
PILLOW_LOOP = """
import sys, time
from pathlib import Path
from PIL import Image
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
start = time.perf_counter()
for file in sorted((folder / "a").iterdir()):
    strip = Image.new("RGB", (512, 256))
    for place, side in enumerate("ab"):
        picture = Image.open(folder / side / file.name).convert("RGB")
        strip.paste(picture.resize((256, 256), Image.Resampling.BICUBIC), (256 * place, 0))
    strip.save(out / f"{file.stem}.png")
print(time.perf_counter() - start)
"""
OPENCV_LOOP = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import cv2, numpy
cv2.setNumThreads(1)
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
def join(name):
    a, b = (cv2.imread(str(folder / side / name)) for side in ("a", "b"))
    cv2.imwrite(str(out / name), numpy.concatenate([a, b], axis=1))
if __name__ == "__main__":
    names = sorted(f.name for f in (folder / "a").iterdir())
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(join, names[:4]))
        start = time.perf_counter()
        list(pool.map(join, names, chunksize=16))
        print(time.perf_counter() - start)
"""


def main() -> int:
    args = arguments()
    set_pillow_limits()
    result = {"cores": os.cpu_count()}
    if args.load:
        measured, well = load(args.minutes, args.visitors, args.batches)
        print(json.dumps(result | measured))
        return 0 if well else 1
    if args.only in ("build", "all"):
        with tempfile.TemporaryDirectory(dir=args.folder) as place:
            folder = Path(place)
            draw_pairs(folder, args.pairs)
            result["pairs"] = args.pairs
            result |= build_against_pillow(folder, args.rounds)
            result |= join_against_opencv(folder, args.rounds, args.opencv_python)
    if args.only in ("step", "all"):
        result |= step_against_plain(args.steps)
        result |= recipe_against_patchgan(args.steps)
    if args.only in ("translate", "all"):
        result |= translate_against_reference(args.turns)
    if args.only == "page":  # which needs a browser
        from scripts.dev.benchmark_page import page_by_server_and_device

        result |= page_by_server_and_device()
    if args.only in ("watch", "all"):
        result |= watched_against_alone(args.seconds, args.tabs)
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))
    return 0


def draw_pairs(folder: Path, count: int) -> None:
    """Write ``a/`` and ``b/`` with JPEGs as large as photos of their size: noise of all scales."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1.0
    for number in range(count):
        noise = np.fft.rfft2(rng.normal(size=(3, SIDE, SIDE)), axes=(1, 2)) / frequency**1.3
        picture = np.fft.irfft2(noise, (SIDE, SIDE), axes=(1, 2)).transpose(1, 2, 0)
        picture = 128 + 50 * picture / picture.std()
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        for side, turned in (("a", image), ("b", image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
            (folder / side).mkdir(exist_ok=True)
            turned.save(folder / side / f"{number:05}.jpg", quality=90)


def build_against_pillow(folder: Path, rounds: int) -> dict[str, float]:
    """Pairs scaled to 256 and saved as PNG: ours plans, checks, splits and describes as well."""
    ours, plain = alternate(
        rounds,
        lambda out: ours_builds(folder, out, Recipe(size=256)),
        lambda out: loop(PILLOW_LOOP, sys.executable, folder, out),
        folder / "out",
    )
    return rates(folder, "build", ours, "pillow_loop", plain)


def join_against_opencv(folder: Path, rounds: int, python: str) -> dict[str, object]:
    """Pairs joined at their own size, JPEG to JPEG: ours checks, OpenCV's loop does not."""
    if subprocess.run([python, "-c", "import cv2"], capture_output=True).returncode:
        return {"join_against_opencv_loop": "not measured: OpenCV is not installed"}
    recipe = Recipe(size=0, format="jpg")
    ours, plain = alternate(
        rounds,
        lambda out: ours_builds(folder, out, recipe),
        lambda out: loop(OPENCV_LOOP, python, folder, out),
        folder / "out",
    )
    return rates(folder, "join", ours, "opencv_loop", plain)


def rates(folder: Path, name: str, ours: float, other: str, plain: float) -> dict[str, float]:
    """Of seconds for all pairs: how many a second each made, and how much faster ours was."""
    count = len(list((folder / "a").iterdir()))
    return {
        f"{name}_pairs_per_second": round(count / ours, 1),
        f"{other}_pairs_per_second": round(count / plain, 1),
        f"{name}_against_{other}": round(plain / ours, 2),
    }


def watched_against_alone(seconds: float, tabs: int) -> dict[str, object]:
    """Count steps of a real run while tabs watch it, and while none does, by turns of so many
    seconds. The tabs ask the app as the page does and paint nothing, since people's browsers run
    on machines of their own."""
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        draw_pairs(folder, 8)
        data, run = (folder / "workspace" / kind / "drawn" for kind in ("datasets", "runs"))
        build(make_plan(Inputs(folder / "a", folder / "b")), Recipe(size=256), data)
        app, client = stack.enter_context(app_at(folder))
        settings = {"ngf": 32, "ndf": 32, "steps": 10**6, "sample_every_steps": 50}
        client.predict("drawn", "maps", "drawn", settings, "", api_name="/start_training")
        stack.callback(run_control.force_stop, run, 0.0)
        count_steps(run, at_least=20)  # warm
        watching = threading.Event()
        component = next(
            c["id"] for c in client.config["components"] if c["props"].get("elem_id") == "live"
        )
        for number in range(tabs):
            tab = (client.src, component, f"tab{number}", watching)
            threading.Thread(target=watch, args=tab, daemon=True).start()
        ratios, shares = [], ([], [])
        for _ in range(8):
            paces = []
            for watched in (False, True):
                (watching.set if watched else watching.clear)()
                cpu_start, start = processor_seconds(app.pid), time.perf_counter()
                paces.append(steps_in(run, seconds))
                spent = processor_seconds(app.pid) - cpu_start
                shares[watched].append(spent / (time.perf_counter() - start) / os.cpu_count())
            ratios.append(paces[1] / paces[0])
        watching.clear()
    idle, busy = (statistics.median(share) for share in shares)
    return {
        "tabs": tabs,
        "watched_against_alone": round(statistics.median(ratios), 3),
        "watched_against_alone_each": [round(ratio, 3) for ratio in ratios],
        "app_share_of_processors": round(busy, 4),
        "of_which_for_the_tabs": round(busy - idle, 4),
    }


def watch(address: str, component: int, session: str, watching: threading.Event) -> None:
    """Ask what a page asks for, at its pace, while `watching` is set."""
    versions: dict[str, int] = {}
    browser = httpx.Client(base_url=address, timeout=60)

    def ask(function: str, **data: object) -> dict:
        request = {"component_id": component, "fn_name": function, "session_hash": session}
        return browser.post("gradio_api/component_server", json={**request, "data": data}).json()

    while watching.wait():
        with contextlib.suppress(httpx.HTTPError):  # the app ends before this thread does
            answer = ask("look", run="drawn", seen=versions)
            versions.update(answer["versions"])
            if saved := json.loads(answer["parts"].get("checkpoints", "[]")):
                ask("sample", run="drawn", step=max(one["step"] for one in saved))
            time.sleep(max(LOOK_EVERY, answer["wait"]))


def count_steps(run: Path, at_least: int = 0) -> int:
    """Return the steps done, as soon as they are so many."""
    done = -1
    while done < at_least:
        time.sleep(0.02)
        with contextlib.suppress(FileNotFoundError):
            done = (run / "metrics.jsonl").read_bytes().count(b"\n")
    return done


def steps_in(run: Path, seconds: float) -> float:
    """Measure complete steps a second, from the end of one to the end of another."""
    first, start = count_steps(run, count_steps(run) + 1), time.perf_counter()
    time.sleep(seconds)
    last = count_steps(run, count_steps(run) + 1)
    return (last - first) / (time.perf_counter() - start)


def ours_builds(folder: Path, out: Path, recipe: Recipe) -> float:
    return timed(lambda: build(make_plan(Inputs(folder / "a", folder / "b")), recipe, out))


def loop(code: str, python: str, folder: Path, out: Path) -> float:
    """Seconds that a script took over ``folder``, without its imports."""
    out.mkdir()
    (folder / "loop.py").write_text(code)
    command = [python, str(folder / "loop.py"), str(folder), str(out)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def alternate(
    rounds: int, first: Callable[[Path], float], second: Callable[[Path], float], out: Path
) -> tuple[float, float]:
    """Median seconds of both, taken in turn so that a slow minute of the machine hits both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for measure, samples in zip((first, second), seconds):
            samples.append(measure(out))
            shutil.rmtree(out)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", choices=("build", "step", "translate", "page", "watch", "all"), default="all"
    )
    parser.add_argument("--steps", type=int, default=30, help="training steps of each side")
    parser.add_argument("--turns", type=int, default=20, help="pictures of each way to translate")
    parser.add_argument("--tabs", type=int, default=10, help="tabs that watch a run")
    parser.add_argument("--seconds", type=float, default=15.0, help="with and without them")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of 512 x 512 JPEG")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to draw them (default: temporary)")
    parser.add_argument("--load", action="store_true", help="instead: many people at once")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load")
    parser.add_argument("--visitors", type=int, default=30, help="who draw at once")
    parser.add_argument("--batches", type=int, default=5, help="jobs at once, one after another")
    parser.add_argument(
        "--opencv-python", default=sys.executable, help="a Python that has OpenCV to compare with"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
