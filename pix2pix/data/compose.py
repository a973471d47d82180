"""Compose A|B pictures from a source and a target."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from pix2pix.data.ranges import SideRange
from pix2pix.data.reading import open_input, read_input
from pix2pix.data.records import SIDES, Inputs, Pair, Recipe
from pix2pix.data.sources import derive_source
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import cut_strip
from pix2pix.imaging.picture import Picture, as_picture, resize


def open_pair_job(
    inputs: Inputs, job: Pair, ranges: dict[str, SideRange]
) -> tuple[Picture, Picture]:
    """Open source and target of a job at full size, each file once, with black and white where the
    side's range has them; the photo twice where the source is yet to be derived from it.

    Raises UserError where a file is gone or is not the one that was planned.
    """
    contents = []
    folders = [inputs.folder(side) for side in SIDES]
    for folder, name, digest in zip(folders, (job.source, job.target), job.digests):
        if contents and name == job.source and folders[0] == folders[1]:
            break
        try:
            content, found = read_input(folder, name, inputs.pages)
        except OSError as error:
            raise UserError(f"{name} is gone or may not be read: put it back.") from error
        if found != digest:
            raise UserError(f"{name} is not the file that was planned: make the plan again.")
        contents.append(content)
    source = open_input(inputs, "source", job.source, contents[0])
    if job.half:
        second = source
        if (inputs.alpha[0], inputs.classes[0]) != (inputs.alpha[1], inputs.classes[1]):
            second = open_input(inputs, "target", job.source, contents[0])
        target = cut_strip(second, inputs.strips, job.source)[1]
        source = cut_strip(source, inputs.strips, job.source)[0]
    elif len(contents) > 1:
        target = open_input(inputs, "target", job.target, contents[1])
    else:
        photo = ranges["target"].apply(source)
        return photo, photo
    return ranges["source"].apply(source), ranges["target"].apply(target)


# ------------------------------------------------------------------------------------ one picture


def compose_ab(
    source: Picture, target: Picture, recipe: Recipe, labels: tuple[bool, bool], how: str, key: str
) -> Iterator[tuple[str, Image.Image]]:
    """Yield (suffix of the name, A|B picture) of one pair: one, or one for each tile.

    With a derivation `how` the source is made from the target at its final size, so that lines are
    as thick in every photo. Raises UserError where the pictures are smaller than a tile.
    """
    a, b = _to_common_mode(source, target) if recipe.keep else (source.to_pil(3), target.to_pil(3))
    if recipe.fit == "tiles" or not recipe.size:
        b = resize(b, a.size, labels=labels[1])
    for suffix, left, right in _cut_pieces(a, b, recipe, labels):
        if how:
            left = as_picture(derive_source(right, how, key + suffix)).to_pil(len(right.getbands()))
        yield suffix, side_by_side(left, right)


def _cut_pieces(
    a: Image.Image, b: Image.Image, recipe: Recipe, labels: tuple[bool, bool]
) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    if recipe.fit != "tiles":
        yield "", fit_square(a, recipe, labels[0]), fit_square(b, recipe, labels[1])
        return
    size = recipe.size
    if min(a.size) < size:
        raise UserError(f"it is {a.width} x {a.height}, smaller than a tile of {size} pixels")
    for row, top in enumerate(_tile_places(a.height, size)):
        for column, left in enumerate(_tile_places(a.width, size)):
            box = (left, top, left + size, top + size)
            yield f"-r{row:02}c{column:02}", a.crop(box), b.crop(box)


def _tile_places(length: int, size: int) -> list[int]:
    """Return where tiles begin that cover a length evenly and overlap by less than a tile."""
    count = math.ceil(length / size)
    return [round(i * (length - size) / max(1, count - 1)) for i in range(count)]


def _to_common_mode(source: Picture, target: Picture) -> tuple[Image.Image, Image.Image]:
    """Convert both to the one mode that loses nothing: 16-bit grey, which holds the numbers of
    16-bit files as they are and others by their range, grey, RGBA or RGB."""
    if source.channels == target.channels == 1:
        if 16 in (source.bits, target.bits):
            return _to_16bit(source), _to_16bit(target)
        if not {"LA"} & {source.image.mode, target.image.mode}:
            return source.to_pil(1), target.to_pil(1)
    alpha = {source.image.mode[-1], target.image.mode[-1]} & {"A"}
    return (source.to_pil(4), target.to_pil(4)) if alpha else (source.to_pil(3), target.to_pil(3))


def _to_16bit(picture: Picture) -> Image.Image:
    if picture.image.mode == "I;16":
        return picture.image
    if picture.numbers == "uint16":  # some pixels have no value
        return Image.fromarray(np.nan_to_num(picture.values()[0]).astype(np.uint16))
    unit = (picture.tile((0, 0, *picture.size), 1)[0] + 1) / 2
    return Image.fromarray(np.rint(unit * 65535).astype(np.uint16))


def fit_square(image: Image.Image, recipe: Recipe, label: bool) -> Image.Image:
    """Bring a picture to the recipe's size by its fit, one that does not cut tiles."""
    size = recipe.size
    if not size or image.size == (size, size):
        return image
    if recipe.fit == "stretch":
        return resize(image, (size, size), labels=label)
    width, height = image.size
    if recipe.fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return resize(image.crop((left, top, left + side, top + side)), (size, size), labels=label)
    scale = size / max(width, height)
    inner = tuple(max(1, round(n * scale)) for n in (width, height))
    white = {"I;16": 65535, "L": 255}.get(image.mode, (255,) * len(image.getbands()))
    paper = Image.new(image.mode, (size, size), white)
    paper.paste(
        resize(image, inner, labels=label), ((size - inner[0]) // 2, (size - inner[1]) // 2)
    )
    return paper


def side_by_side(a: Image.Image, b: Image.Image) -> Image.Image:
    """Join two pictures of one mode and size: A left, B right."""
    strip = Image.new(a.mode, (a.width + b.width, a.height))
    strip.paste(a, (0, 0))
    strip.paste(b, (a.width, 0))
    return strip
