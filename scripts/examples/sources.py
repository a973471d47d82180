"""Draw sources by code for a model, and show on its card and its pad what it makes of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from pix2pix.errors import UserError
from pix2pix.imaging.example_houses import draw_shapes
from pix2pix.imaging.grids import rows_picture, stack_pictures
from pix2pix.imaging.hints import Hint, over_hints
from pix2pix.imaging.picture import save_png
from pix2pix.imaging.strokes import Stroke, draw_strokes
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import SAMPLES, THUMBNAIL, save_examples, tints
from pix2pix.models.translator import Translator
from pix2pix.utils.files import write_atomically
from scripts.examples.faces import example_faces, face_colours
from scripts.examples.scenes import EXAMPLE_SOURCES, draw_landscape
from scripts.examples.shoes import example_shoes

ON_THE_PAD = ("faces", "shoes", *EXAMPLE_SOURCES)  # what a pad can draw
KINDS = (*ON_THE_PAD, "landscapes", "photos")
SHOWN = 6  # sources on the card
TINTS = 5  # that pictures of a model are shown with
GAP = 8  # pixels between two


@dataclass(frozen=True)
class Drawn:
    """A source, and the pad's operations that draw it (None for what no pad can draw)."""

    name: str
    picture: Image.Image
    operations: list[dict] | None = None


def draw_sources(kind: str, config: ModelConfig, count: int = SHOWN) -> list[Drawn]:
    """Draw sources of one of KINDS for a model; label maps in its own palette, whose names they
    need, else a UserError.

    There are `count` of them, but for faces and shoes, which are as many as there are, and have
    strokes of colour where the model takes them.
    """
    size = config.generator.size
    if kind == "faces":
        faces, colours = example_faces().items(), face_colours()
        return [_coloured(name, lines, colours.get(name, []), config) for name, lines in faces]
    if kind == "shoes":
        shoes = example_shoes().items()
        return [_coloured(name, lines, colours, config) for name, (lines, colours) in shoes]
    if kind == "photos":
        from skimage import data  # its own pictures, which come with the package

        squares = []
        for name in ("Astronaut", "Coffee", "Cat", "Rocket"):
            grey = Image.fromarray(getattr(data, name.lower())()).convert("L")
            squares.append(Drawn(name, ImageOps.fit(grey, (256, 256), Image.Resampling.LANCZOS)))
        return squares + draw_sources("landscapes", config, count - len(squares))
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


def _coloured(name: str, lines: list[Stroke], colours: list[Hint], config: ModelConfig) -> Drawn:
    """Draw lines, over strokes of colour where there are any and the model takes them."""
    picture = draw_strokes(lines, config.generator.size)
    if not config.generator.hints:
        colours = []
    if colours:
        picture = over_hints(picture, colours)
    return Drawn(name, picture, [stroke.to_json() for stroke in (*lines, *colours)])


def translate_each(
    translator: Translator, sources: list[Image.Image], fit: str = ""
) -> list[Image.Image]:
    """Translate all; a model with a tint gives the first none, and each after it another one."""
    has_tint = translator.config.generator.tint
    colours = itertools.cycle(["", *(tints(translator.folder, TINTS) if has_tint else [])])
    return [translator.translate(one, fit=fit, tint=tint) for one, tint in zip(sources, colours)]


def add_examples(folder: Path, sources: list[Drawn]) -> None:
    """Write into a model's folder ``examples.json`` for the pad, or ``samples/`` for photos, the
    card's picture of sources and what the model makes of them, and the first of those as the
    thumbnail."""
    translator = Translator.load(folder)
    made = translate_each(translator, [source.picture for source in sources[:SHOWN]])
    answer = made[0].resize((128, 128))
    if drawings := [(source.name, source.operations) for source in sources if source.operations]:
        save_examples(folder, drawings, answer)
    else:
        save_png(answer, folder / THUMBNAIL)
        for source in sources[:SHOWN]:
            _save_jpeg(source.picture, folder / SAMPLES / f"{source.name}.jpg")
    rows = [source.picture for source in sources[:SHOWN]], made
    sheet = rows_picture([stack_pictures(row, 3) for row in rows], GAP)
    _save_jpeg(sheet, folder / "results.jpg")


def _save_jpeg(picture: Image.Image, file: Path) -> None:
    """Save what looks like a photo as JPEG, a fifth of its size as PNG: a model's folder is
    downloaded."""
    write_atomically(file, lambda f: picture.save(f, "JPEG", quality=92, subsampling=0))
