"""Publish a run's generator, or one of those it kept, as a model folder: weights, config, card, and
sources drawn by code to begin with, with the model's pictures of them on the card."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.imaging.example_houses import draw_shapes
from pix2pix.imaging.hints import over_hints
from pix2pix.imaging.picture import save_png
from pix2pix.imaging.strokes import draw_strokes
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import SAMPLES, THUMBNAIL, load_model, save_examples, save_model
from pix2pix.models.translator import Translator
from pix2pix.utils.files import write_atomically
from scripts.examples.faces import example_faces
from scripts.examples.scenes import EXAMPLE_SOURCES, draw_landscape
from scripts.examples.shoes import example_shoes

SHOWN, GAP = 6, 8  # sources on the card, pixels between two


@dataclass(frozen=True)
class Drawn:
    """A source, and the pad's operations that draw it (None for what no pad can draw)."""

    name: str
    picture: Image.Image
    operations: list[dict] | None = None


def main() -> int:
    args = arguments()
    try:
        model = args.run / "model"
        generator, config = load_model(model if model.is_dir() else args.run)
        through = Translator.load(args.through) if args.through else None
        config = dataclasses.replace(config, title=args.title)
        save_model(args.out, generator, config, args.card.read_text(encoding="utf-8"))
        if args.examples:
            sources = drawn(args.examples, through.config if through else config)
            if through:
                sources = [Drawn(s.name, through.translate(s.picture)) for s in sources]
            add_examples(args.out, sources)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    size = (args.out / "model.safetensors").stat().st_size
    print(json.dumps({"model": str(args.out), "bytes": size}))
    return 0


def drawn(kind: str, config: ModelConfig, count: int = SHOWN) -> list[Drawn]:
    """Draw sources for a model; label maps in its own palette, whose names they need.

    There are `count` label maps and landscapes; faces, shoes and photos are as many as there are.
    """
    size = config.generator.size
    if kind == "faces":
        faces = example_faces().items()
        return [Drawn(n, draw_strokes(f, size), [s.to_json() for s in f]) for n, f in faces]
    if kind == "shoes":
        return [
            Drawn(name, over_hints(draw_strokes(lines, size), colours),
                  [stroke.to_json() for stroke in (*lines, *colours)])
            for name, (lines, colours) in example_shoes().items()
        ]  # fmt: skip
    if kind == "photos":
        from skimage import data  # its own pictures, which come with the package

        named = {"Coffee": data.coffee, "Cat": data.cat, "Rocket": data.rocket}
        photos = {"Astronaut": data.astronaut, **named}
        squares = [Drawn(n, middle(Image.fromarray(load()), 256)) for n, load in photos.items()]
        return squares + drawn("landscapes", config, 2)
    if kind == "landscapes":
        return [Drawn(f"Landscape {n}", draw_landscape(n, 256)) for n in range(1, count + 1)]
    palette = {label["name"]: label["color"] for label in config.palette}
    sources = []
    for number in range(1, count + 1):
        shapes = EXAMPLE_SOURCES[kind](number)
        if missing := {shape.label for shape in shapes} - set(palette):
            raise UserError(f"The model's palette has no {', '.join(sorted(missing))}.")
        picture, name = draw_shapes(shapes, palette, size), f"{kind[:-1].title()} {number}"
        sources.append(Drawn(name, picture, [shape.to_json(palette) for shape in shapes]))
    return sources


def middle(photo: Image.Image, size: int) -> Image.Image:
    """Return the middle square of a photo in grey, size x size."""
    return ImageOps.fit(photo.convert("L"), (size, size), Image.Resampling.LANCZOS)


def add_examples(folder: Path, sources: list[Drawn]) -> None:
    """``examples.json`` for the pad or ``samples/`` for photos, the card's picture of sources and
    what the model makes of them, and the first of those as the thumbnail."""
    translator = Translator.load(folder)
    answer = translator.translate(sources[0].picture).resize((128, 128))
    if drawings := [(source.name, source.operations) for source in sources if source.operations]:
        save_examples(folder, drawings, answer)
    else:
        save_png(answer, folder / THUMBNAIL)
        for source in sources[:SHOWN]:
            save_jpeg(source.picture, folder / SAMPLES / f"{source.name}.jpg")
    size = sources[0].picture.width
    sheet = Image.new("RGB", (SHOWN * (size + GAP) - GAP, 2 * size + GAP), "white")
    for column, source in enumerate(sources[:SHOWN]):
        made = translator.translate(source.picture)
        for row, picture in enumerate((source.picture, made)):
            sheet.paste(picture.convert("RGB"), (column * (size + GAP), row * (size + GAP)))
    save_jpeg(sheet, folder / "results.jpg")


def save_jpeg(picture: Image.Image, file: Path) -> None:
    """Save what looks like a photo as JPEG, a fifth of its size as PNG: a model's folder is
    downloaded."""
    write_atomically(file, lambda f: picture.save(f, "JPEG", quality=92, subsampling=0))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("run", type=Path, help="run folder, or one of its checkpoints")
    add("--out", type=Path, required=True, help="model folder to write")
    add("--title", required=True, help="what people read on its card")
    add("--card", type=Path, required=True, help="the model card, Markdown")
    kinds = ["faces", "shoes", *EXAMPLE_SOURCES, "landscapes", "photos"]
    add("--examples", choices=kinds, help="sources drawn by code to add")
    add("--through", type=Path, metavar="MODEL", help="let this model translate the drawn sources "
        "first: a drawn town becomes a photo")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
