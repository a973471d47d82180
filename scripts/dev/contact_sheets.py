"""Show what a model makes of twelve sources as people draw them with a mouse: crude, off the
centre, small, turned, unfinished, with thick or thin lines; and what one that takes photos makes of
four that come with scikit-image. With --before, eight tidy sources instead, and another model's
pictures of them above this one's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import data as photos
from skimage.morphology import skeletonize

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pix2pix.imaging.grids import labelled_rows
from pix2pix.imaging.hints import over_hints, photo_hints
from pix2pix.imaging.line_art import line_drawing
from pix2pix.models.folder import find_model
from pix2pix.models.translator import Translator
from pix2pix.utils.files import write_atomically
from scripts.command import answer, command
from scripts.examples.sources import draw_sources, translate_each

# Which drawn sources suit which model, as for `publish_model.py --examples`.
KINDS = {
    "face-sketch": "faces", "shoes": "shoes", "facades": "facades", "streets": "streets",
    "map-to-satellite": "towns",
}  # fmt: skip
CHANGES = (
    "as drawn", "as drawn", "crude", "crude", "off centre", "small", "small", "turned",
    "unfinished", "unfinished", "thick", "thin",
)  # fmt: skip

COLUMNS = 6  # of the twelve
Row = tuple[str | Sequence[str], list[Image.Image]]  # a caption, or one of each picture


@command()
def main() -> int:
    args, files = arguments(), []
    for name in args.model:
        translator = Translator.load(find_model(name))
        if args.before:
            made = comparison(Translator.load(args.before), translator, name)
        else:
            made = rows(translator, name)
        file = args.out / f"{name}{'-before-after' if args.before else ''}.jpg"
        sheet = labelled_rows(made)
        write_atomically(file, lambda f, sheet=sheet: sheet.save(f, "JPEG", quality=88))
        files.append(str(file))
    return answer({"sheets": files})


def rows(translator: Translator, name: str) -> list[Row]:
    """Return the sources and what the model makes of them, as captions and pictures."""
    if name not in KINDS:
        named = draw_sources("photos", translator.config)[:4]
        captions = [photo.name for photo in named]
        return _both(captions, translator, [photo.picture for photo in named])
    drawn = draw_sources(KINDS[name], translator.config)
    pictures = [source.picture.convert("RGB") for source in drawn]
    is_drawing = translator.config.source_kind == "drawing"
    sources = [
        change(pictures[number % len(pictures)], how, is_drawing, seed=number)
        for number, how in enumerate(CHANGES)
    ]
    result = []
    for start in range(0, len(sources), COLUMNS):
        part = slice(start, start + COLUMNS)
        result += _both(CHANGES[part], translator, sources[part])
    if name == "face-sketch":
        astronaut = Image.fromarray(photos.astronaut()[:300, 80:380]).resize((256, 256))
        lines = line_drawing(astronaut)
        if translator.config.generator.hints:
            lines = over_hints(lines, photo_hints(astronaut))
        result += _both(["a photo, through its lines"], translator, [lines])
    return result


def comparison(before: Translator, after: Translator, name: str) -> list[Row]:
    """Return eight sources (seven shoes, twelve faces) and what two models make of them; one that
    follows no strokes of colour gets the lines alone."""
    if name == "satellite-to-map":
        painter = Translator.load(find_model("map-to-satellite"))
        named = draw_sources("towns", painter.config, 8)
        sources = before_sources = [painter.translate(source.picture) for source in named]
    else:
        kind, lines = KINDS.get(name, "photos"), before.config.source_kind == "drawing"
        sources, before_sources = (
            [source.picture for source in draw_sources(kind, model.config, 8)]
            for model in (after, before if lines else after)
        )
    made = [
        translate_each(model, of_model, "whole")
        for model, of_model in ((before, before_sources), (after, sources))
    ]
    captions = ("source", "before", "today")
    return [(caption, _small(row)) for caption, row in zip(captions, (sources, *made))]


def _small(pictures: list[Image.Image], side: int = 160) -> list[Image.Image]:
    return [picture.convert("RGB").resize((side, side)) for picture in pictures]


def _both(captions: Sequence[str], translator: Translator, sources: list[Image.Image]) -> list[Row]:
    made = translate_each(translator, sources, "whole")
    return [(captions, _small(sources, 240)), ("generated", _small(made, 240))]


def change(picture: Image.Image, how: str, is_drawing: bool, seed: int) -> Image.Image:
    """Return a source as a hasty hand would have drawn it; labels keep their exact colours."""
    size = picture.width
    paper = picture.getpixel((0, 0))
    if how == "crude":
        return _bent(picture, seed)
    if how == "turned":
        return picture.rotate(12, Image.Resampling.NEAREST, fillcolor=paper)
    if how in ("off centre", "small"):
        scale = 0.8 if how == "off centre" else 0.6
        inner = picture.resize((round(size * scale),) * 2, Image.Resampling.NEAREST)
        sheet = Image.new("RGB", picture.size, paper)
        place = (size - inner.width, size - inner.height)
        sheet.paste(inner, place if how == "off centre" else (place[0] // 3, place[1] * 2 // 3))
        return sheet
    if how == "unfinished":
        sheet = Image.new("RGB", picture.size, paper)
        box = (0, 0, size, size * 3 // 5) if seed % 2 else (0, 0, size * 3 // 5, size)
        sheet.paste(picture.crop(box), box[:2])
        return sheet
    if how in ("thick", "thin"):
        return _width(picture, how, is_drawing)
    return picture


def _bent(picture: Image.Image, seed: int) -> Image.Image:
    rng, size = np.random.default_rng(seed), picture.width
    shift = ndimage.gaussian_filter(rng.normal(size=(2, size, size)), (0, size / 16, size / 16))
    shift *= size / 40 / shift.std()
    at = np.rint(np.clip(np.mgrid[:size, :size] + shift, 0, size - 1)).astype(int)
    return Image.fromarray(np.asarray(picture)[at[0], at[1]])


def _width(picture: Image.Image, how: str, is_drawing: bool) -> Image.Image:
    """Draw lines with a broad brush or a hair; label maps in coarse blocks or with gnawed edges."""
    array = np.asarray(picture)
    if not is_drawing:
        if how == "thin":
            return _bent(picture, 1)
        blocks = picture.resize((24, 24), Image.Resampling.NEAREST)
        return blocks.resize(picture.size, Image.Resampling.NEAREST)
    if how == "thick":
        return Image.fromarray(ndimage.minimum_filter(array, (7, 7, 1)))
    lines = skeletonize(array.min(axis=2) < 128)
    return Image.fromarray(np.where(lines[..., None], array, 255).astype(np.uint8))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="+", help="name or folder of a model")
    parser.add_argument("--out", type=Path, default=Path(".github/sheets"), help="folder")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="an earlier model")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
