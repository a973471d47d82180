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

from PIL import Image, ImageDraw
from playwright.sync_api import Page

from pix2pix.utils.files import write_atomically
from scripts.dev.portrait import portrait
from scripts.dev.screenshot import draw, open_app

SIDE, GAP = 352, 16  # pixels of each square, and between them
FRAMES = 72
FRAME_MS, FIRST_MS, LAST_MS = 90, 1000, 2500
MOST_BYTES = 1_500_000
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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="WebP to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
