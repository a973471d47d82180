"""Measure whether a model follows ink: on the held-out drawings with the fewest lines, one stroke
of each colour along the middle of the thing, and how far the mean colour of what is painted lies
from the ink, in units of CIELAB. The thing is where the photo differs from its backdrop. The last
line of output is one JSON object."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pix2pix.data.dataset import find_pairs, open_source_target
from pix2pix.imaging.hints import foreground, make_hint, over_hints
from pix2pix.models.folder import find_model
from pix2pix.models.translator import Translator
from scripts.command import answer, command
from scripts.examples.shoes import BLACK, BLUE, GREEN, RED, YELLOW

INKS = {"red": RED, "blue": BLUE, "yellow": YELLOW, "green": GREEN, "black": BLACK}
NEAR = 15  # units of CIELAB within which a colour is the ink's
WIDTH = 0.09  # of the stroke, the pad's medium ink


@command()
def main() -> int:
    args = arguments()
    translator = Translator.load(find_model(args.model))
    pairs = [open_source_target(file) for file in find_pairs(args.data, "val")]
    pairs.sort(key=lambda pair: (np.asarray(pair[0].convert("L")) < 128).mean())
    away: dict[str, list[float]] = {name: [] for name in INKS}
    for drawing, photo in pairs[: args.count]:
        thing = foreground(np.asarray(photo.convert("RGB"), np.float32) / 255)
        for name, ink in INKS.items():
            source = over_hints(drawing.convert("L"), [make_hint(ink, WIDTH, middle_line(thing))])
            away[name].append(distance(translator(source), thing, ink))
    found = {
        name: {
            "near": sum(d <= NEAR for d in distances),
            "mean": round(statistics.fmean(distances), 1),
        }
        for name, distances in away.items()
    }
    return answer({"drawings": min(args.count, len(pairs)), "within": NEAR, "inks": found})


def middle_line(thing: np.ndarray) -> list[tuple[float, float]]:
    """Follow the middle of a mask from left to right, its outer fifths left out; fractions."""
    columns = np.flatnonzero(thing.any(axis=0))
    inner = columns[len(columns) // 5 : -len(columns) // 5 : 8]
    rows = [np.median(np.flatnonzero(thing[:, column])) for column in inner]
    height, width = thing.shape
    return [(float(x + 0.5) / width, float(y + 0.5) / height) for x, y in zip(inner, rows)]


def distance(picture: Image.Image, thing: np.ndarray, ink: tuple[int, int, int]) -> float:
    """Return how far the mean colour of the thing is from the ink, in CIELAB."""
    mean = np.asarray(picture.convert("RGB"))[thing].mean(axis=0)
    made, wanted = (rgb2lab(np.asarray(colour) / 255) for colour in (mean, ink))
    return float(np.linalg.norm(made - wanted))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("model", help="name or folder of a model that takes ink")
    add("--data", required=True, type=Path, help="a dataset of drawings and photos of one thing")
    add("--count", type=int, default=20, help="drawings, those with the fewest lines (default: 20)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
