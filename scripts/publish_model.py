"""Publish a run's generator as a model folder: weights, config, card, thumbnail, examples."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.drawing import draw_strokes, example_faces
from pix2pix.errors import UserError
from pix2pix.files import write_atomically
from pix2pix.images import save_png
from pix2pix.models import load_model, save_model
from pix2pix.translate import Translator


def main() -> int:
    args = arguments()
    try:
        generator, config = load_model(args.run / "model")
        config = dataclasses.replace(config, title=args.title)
        save_model(args.out, generator, config, args.card.read_text(encoding="utf-8"))
        if args.face_examples:
            publish_faces(args.out)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    size = (args.out / "model.safetensors").stat().st_size
    print(json.dumps({"model": str(args.out), "bytes": size}))
    return 0


def publish_faces(folder: Path) -> None:
    """The code-drawn faces as example strokes, the model's answers to six of them as the card's
    picture, and one answer as the thumbnail."""
    faces = example_faces()
    strokes = [{"name": n, "strokes": [s.to_json() for s in face]} for n, face in faces.items()]
    text = json.dumps(strokes, separators=(",", ":")) + "\n"
    write_atomically(folder / "examples.json", lambda f: f.write_text(text, encoding="utf-8"))
    translator = Translator.load(folder)
    size, gap = translator.config.generator.size, 8
    sheet = Image.new("RGB", (6 * (size + gap) - gap, 2 * size + gap), "white")
    for column, face in enumerate(list(faces.values())[:6]):
        drawing = draw_strokes(face, size)
        photo = translator.translate(drawing)
        sheet.paste(drawing.convert("RGB"), (column * (size + gap), 0))
        sheet.paste(photo, (column * (size + gap), size + gap))
        if column == 1:
            save_png(photo.resize((128, 128)), folder / "thumbnail.png")
    save_png(sheet, folder / "results.png")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder with a model/ in it")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--title", required=True, help="what people read on its card")
    parser.add_argument("--card", type=Path, required=True, help="the model card, Markdown")
    parser.add_argument(
        "--face-examples",
        action="store_true",
        help="add the code-drawn faces as examples, with a picture of what the model makes of them",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
