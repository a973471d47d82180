"""Draw a portrait with the mouse on the real page, and write the README's animation of it.

    python scripts/dev/animation.py --out .github/drawing.webp

The pad and the picture stand side by side, as they were while the pencil moved. Needs playwright
and a Chromium, as the tests do (`tests/requirements.txt`).
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from pix2pix.imaging.hints import Hint, make_hint
from pix2pix.imaging.strokes import Points, Stroke, arc, make_stroke, smooth
from pix2pix.utils.files import write_atomically
from scripts.dev.screenshot import draw, open_app
from scripts.examples.faces import GINGER, GREEN, LIGHT

SIDE, GAP = 352, 16  # pixels of each square, and between them
FRAMES = 72
FRAME_MS, FIRST_MS, LAST_MS = 90, 1000, 2500
MOST_BYTES = 1_500_000
PLAIN, BOLD = 0.008, 0.014  # widths of the pad's pencils
PAPER, FRAME, WOOD, EDGE = "#ffffff", "#d8dce6", "#f0b429", "#3b3f46"
# The picture of what is drawn so far is there, with the pencil still down.
SHOWN = """() => {
  const { pad } = document.querySelector('.pad').parentElement;
  return pad.live.isIdle && !pad.drawing.loading
    && getComputedStyle(document.querySelector('.result'), '::after').opacity === '0';
}"""


def main() -> int:
    args = arguments()
    strokes = portrait()
    every = sum(len(stroke.points) for stroke in strokes) / FRAMES
    frames: list[Image.Image] = []
    with open_app(1280, 1050, "light") as view:
        view.locator(".pad .paper").focus()
        view.keyboard.press("g")  # no guide
        seen = 0

        def on_point(x: float, y: float) -> None:
            nonlocal seen
            seen += 1
            if seen >= every * (len(frames) + 1):
                frames.append(look(view, (x, y)))

        draw(view, strokes, on_point)
        frames.append(look(view, None))
    data = animated(frames)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, lambda file: file.write_bytes(data))
    print(f"{args.out}: {len(frames)} frames, {len(data) / 1e6:.2f} MB")
    if len(data) > MOST_BYTES:
        print(f"That is more than {MOST_BYTES / 1e6} MB: take fewer frames.", file=sys.stderr)
        return 1
    return 0


def look(view: Page, pencil: tuple[float, float] | None) -> Image.Image:
    """Take both squares as they are once the picture has followed, with a pencil where it is."""
    view.wait_for_function(SHOWN)
    frame = Image.new("RGB", (2 * SIDE + GAP, SIDE), PAPER)
    for place, square in enumerate((".pad .paper", ".pad .result")):
        taken = Image.open(io.BytesIO(view.locator(square).screenshot())).convert("RGB")
        within = (3, 3, taken.width - 3, taken.height - 3)  # without border and focus
        scaled = taken.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=within)
        frame.paste(scaled, (place * (SIDE + GAP), 0))
    ImageDraw.Draw(frame).rectangle((0, 0, SIDE - 1, SIDE - 1), outline=FRAME)
    if pencil:
        put_pencil(frame, pencil[0] * SIDE, pencil[1] * SIDE)
    return frame


def put_pencil(frame: Image.Image, x: float, y: float) -> None:
    """Draw a pencil whose point is at (x, y): four times as large, then scaled down."""
    scale, length, half = 4, 62, 4.5
    layer = Image.new("RGBA", (scale * 70, scale * 70))
    pen = ImageDraw.Draw(layer)

    def at(along: float, across: float) -> tuple[float, float]:
        """A point so far from the tip, up and to the right."""
        u, v = 0.62, -0.785
        px, py = 4 + along * u - across * v, 66 + along * v + across * u
        return px * scale, py * scale

    pen.polygon([at(0, 0), at(12, -half), at(12, half)], fill="#f3dcb5", outline=EDGE, width=3)
    pen.polygon([at(0, 0), at(4.5, -1.7), at(4.5, 1.7)], fill=EDGE)
    body = [at(12, -half), at(length, -half), at(length, half), at(12, half)]
    pen.polygon(body, fill=WOOD, outline=EDGE, width=4)
    pen.line([at(12, 0), at(length, 0)], fill="#d99a12", width=5)
    small = layer.resize((70, 70), Image.Resampling.LANCZOS)
    frame.paste(small, (round(x) - 4, round(y) - 66), small)


def animated(frames: list[Image.Image]) -> bytes:
    """Return a WebP that begins with the last frame, which is all that some viewers show."""
    file = io.BytesIO()
    durations = [FIRST_MS, *[FRAME_MS] * (len(frames) - 1), LAST_MS]
    frames[-1].save(file, "WEBP", save_all=True, append_images=frames, duration=durations,
                    quality=85, method=4, loop=0)  # fmt: skip
    return file.getvalue()


# ---------------------------------------------------------------------------- the drawing


def portrait() -> list[Stroke | Hint]:
    """Draw a face in the order a person would: head, hair, eyes, nose, mouth, and then what changes
    the picture most, glasses, a beard and colours."""
    parts = (_head, _hair, _eyes, _nose_and_mouth, _shoulders, _glasses, _beard, _colours)
    return [stroke for part in parts for stroke in part()]


def _colours() -> list[Hint]:
    """Ink for skin and hair, and for the clothes on either side of the neck."""
    crown = [(0.29, 0.38), (0.31, 0.26), (0.4, 0.175), (0.52, 0.15), (0.64, 0.19), (0.715, 0.3),
             (0.725, 0.4)]  # fmt: skip
    cheek, forehead = [(0.345, 0.57), (0.37, 0.67), (0.42, 0.75)], [(0.36, 0.385), (0.62, 0.385)]
    chest = [(0.2, 0.975), (0.3, 0.95), (0.4, 0.985)]
    paths = [
        (LIGHT, 0.06, forehead), (LIGHT, 0.08, cheek), (LIGHT, 0.08, _mirrored(cheek)),
        (GINGER, 0.09, crown), (GREEN, 0.05, chest), (GREEN, 0.05, _mirrored(chest)),
    ]  # fmt: skip
    return [make_hint(colour, width, smooth(path, 24)) for colour, width, path in paths]


def _line(points: Points, width: float = PLAIN) -> Stroke:
    return make_stroke(smooth(points) if len(points) < 30 else points, width)


def _mirrored(points: Points) -> list[tuple[float, float]]:
    return [(1 - x, y) for x, y in points]


def _both(points: Points, width: float = PLAIN) -> list[Stroke]:
    """A line on the left and its mirror image."""
    return [_line(points, width), _line(_mirrored(points), width)]


def _head() -> list[Stroke]:
    left = [(0.278, 0.44), (0.282, 0.56), (0.3, 0.66), (0.345, 0.76), (0.42, 0.83), (0.5, 0.848)]
    jaw = [*left, *reversed(_mirrored(left[:-1]))]
    ear = [(0.28, 0.5), (0.253, 0.472), (0.245, 0.53), (0.262, 0.59), (0.288, 0.602)]
    return [_line(smooth(jaw, 90)), *_both(ear)]


def _hair() -> list[Stroke]:
    outer = [(0.262, 0.47), (0.248, 0.35), (0.28, 0.215), (0.37, 0.13), (0.5, 0.098),
             (0.63, 0.118), (0.724, 0.2), (0.757, 0.33), (0.738, 0.47)]  # fmt: skip
    fringe = [(0.28, 0.47), (0.288, 0.39), (0.33, 0.325), (0.37, 0.27), (0.46, 0.325),
              (0.58, 0.335), (0.67, 0.36), (0.712, 0.4), (0.722, 0.47)]  # fmt: skip
    locks = [
        [(0.372, 0.265), (0.43, 0.185), (0.53, 0.15), (0.63, 0.17)],
        [(0.375, 0.27), (0.46, 0.215), (0.58, 0.21), (0.68, 0.27)],
        [(0.39, 0.285), (0.5, 0.255), (0.62, 0.275), (0.715, 0.36)],
        [(0.365, 0.262), (0.35, 0.2), (0.39, 0.15)],
        [(0.35, 0.285), (0.305, 0.25), (0.29, 0.26)],
        [(0.33, 0.315), (0.285, 0.31), (0.268, 0.36)],
    ]
    return [_line(smooth(outer, 80)), _line(smooth(fringe, 70)), *(_line(lock) for lock in locks)]


def _eyes() -> list[Stroke]:
    strokes = []
    for side in (-1, 1):
        x = 0.5 + 0.1 * side
        lid = [(x - 0.047, 0.487), (x - 0.022, 0.466), (x + 0.012, 0.463), (x + 0.047, 0.486)]
        under = [(x - 0.043, 0.49), (x, 0.505), (x + 0.044, 0.489)]
        brow = [(x - 0.057 * side, 0.424), (x, 0.405), (x + 0.066 * side, 0.428)]
        if side > 0:
            lid = [(2 * x - px, py) for px, py in reversed(lid)]
        strokes += [_line(brow, BOLD), _line(lid), _line(under)]
        strokes += [_line(arc(x, 0.484, 0.017, 0.0185, 0, 360)), make_stroke([(x, 0.484)], BOLD)]
    return strokes


def _nose_and_mouth() -> list[Stroke]:
    wing = [(0.452, 0.61), (0.446, 0.632), (0.462, 0.642), (0.48, 0.638), (0.5, 0.648)]
    upper = [(0.415, 0.716), (0.465, 0.7), (0.5, 0.707), (0.535, 0.7), (0.585, 0.716)]
    middle = [(0.412, 0.717), (0.46, 0.72), (0.5, 0.724), (0.54, 0.72), (0.588, 0.717)]
    lower = [(0.44, 0.733), (0.5, 0.754), (0.56, 0.733)]
    return [
        _line([*wing, *reversed(_mirrored(wing[:-1]))]),
        _line([(0.468, 0.5), (0.464, 0.55), (0.456, 0.59)]),
        _line(upper), _line(middle), _line(lower),
    ]  # fmt: skip


def _shoulders() -> list[Stroke]:
    neck = [(0.355, 0.785), (0.358, 0.86), (0.34, 0.9)]
    shoulder = [(0.34, 0.9), (0.25, 0.93), (0.14, 0.965), (0.08, 0.998)]
    collar = [(0.352, 0.885), (0.42, 0.94), (0.5, 0.99)]
    return [*_both(neck), *_both(shoulder), *_both(collar)]


def _glasses() -> list[Stroke]:
    rim = arc(0.4, 0.485, 0.072, 0.058, -15, 350)
    side = [(0.328, 0.475), (0.3, 0.468), (0.272, 0.472)]
    bridge = [(0.471, 0.478), (0.5, 0.466), (0.529, 0.478)]
    return [*_both(rim), _line(bridge), *_both(side)]


def _beard() -> list[Stroke]:
    """Scribble along the jaw and above the lip, as a person does: to and fro, without lifting."""
    along = np.linspace(-1, 1, 67)
    angle = np.radians(90 - 88 * along)
    reach = np.where(np.arange(len(along)) % 2, 0.74 + 0.18 * along**2, 0.98)
    x, y = 0.5 + 0.216 * reach * np.cos(angle), 0.612 + 0.234 * reach * np.sin(angle)
    lip = np.linspace(-1, 1, 25)
    above = 0.672 + 0.05 * lip**2 + np.where(np.arange(len(lip)) % 2, 0.012, -0.014)
    scribbles = [(x, y), (0.5 + 0.115 * lip, above)]
    return [_line(np.stack(scribble, 1)) for scribble in scribbles]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="WebP to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
