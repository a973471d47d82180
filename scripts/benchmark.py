"""Measure what the README claims about speed, as ratios within one run.

Each part runs our code and a plain loop that does the same work on the same files, one after the
other, several times in turn; the medians are compared. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.build import Recipe, build
from pix2pix.plan import Inputs, make_plan

SIDE = 512

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
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        folder = Path(place)
        draw_pairs(folder, args.pairs)
        result = {"pairs": args.pairs, "cores": os.cpu_count()}
        result |= build_against_pillow(folder, args.rounds)
        result |= join_against_opencv(folder, args.rounds, args.opencv_python)
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))
    return 0


def draw_pairs(folder: Path, count: int) -> None:
    """``a/`` and ``b/`` with JPEGs as large as photos of their size: noise of all scales."""
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
    count = len(list((folder / "a").iterdir()))
    return {
        "build_pairs_per_second": round(count / ours, 1),
        "pillow_loop_pairs_per_second": round(count / plain, 1),
        "build_against_pillow_loop": round(plain / ours, 2),
    }


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
    count = len(list((folder / "a").iterdir()))
    return {
        "join_pairs_per_second": round(count / ours, 1),
        "opencv_loop_pairs_per_second": round(count / plain, 1),
        "join_against_opencv_loop": round(plain / ours, 2),
    }


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
        for measure, taken in zip((first, second), seconds):
            taken.append(measure(out))
            shutil.rmtree(out)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of 512 x 512 JPEG")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to draw them (default: temporary)")
    parser.add_argument(
        "--opencv-python", default=sys.executable, help="a Python that has OpenCV to compare with"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
