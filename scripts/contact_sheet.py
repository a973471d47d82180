"""A contact sheet to judge a face model by: validation pairs with what it makes of them, then
code-drawn stick faces with their photos."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.config import train_config
from pix2pix.data import PairDataset
from pix2pix.drawing import draw_strokes, example_faces
from pix2pix.errors import UserError
from pix2pix.images import from_array, save_png, to_array
from pix2pix.models import find_model
from pix2pix.pictures import rows_picture
from pix2pix.translate import Translator
from pix2pix.workspace import model_folders


def main() -> int:
    args = arguments()
    try:
        translator = Translator.load(find_model(args.model, model_folders()))
        sheets = [validation_sheet(translator, args.data, args.pairs), faces_sheet(translator)]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    width, height = max(s.width for s in sheets), sum(s.height + 16 for s in sheets)
    whole = Image.new("RGB", (width, height), "white")
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height + 16
    save_png(whole, args.out)
    print(json.dumps({"picture": str(args.out)}))
    return 0


def validation_sheet(translator: Translator, data: Path, count: int) -> Image.Image:
    """Three rows: source, generated, target, from evenly spread validation pairs."""
    size = str(translator.config.generator.size)
    settings = {"direction": translator.config.direction, "size": size}
    dataset = PairDataset(data, "val", train_config("maps", settings))
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)
    pairs = [tuple(t.numpy() for t in dataset.plain(int(i))) for i in chosen]
    made = [to_array(translator.translate(from_array(source)), 3) for source, _ in pairs]
    sources, targets = (np.stack(column) for column in zip(*pairs))
    return rows_picture([sources, np.stack(made), targets])


def faces_sheet(translator: Translator) -> Image.Image:
    """Two rows: code-drawn faces, and the photos the model makes of them."""
    size = translator.config.generator.size
    drawings = [draw_strokes(face, size) for face in example_faces().values()]
    made = [translator.translate(drawing) for drawing in drawings]
    return rows_picture([np.stack([to_array(p, 3) for p in row]) for row in (drawings, made)])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="model name or folder")
    parser.add_argument("--data", type=Path, required=True, help="dataset folder with a val/ split")
    parser.add_argument("--pairs", type=int, default=12, help="validation pairs to show")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
