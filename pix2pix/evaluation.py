"""How good a model is on the pairs of a dataset: its pictures made as people would get them, then
measured and shown beside their targets."""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pix2pix.config import ModelConfig
from pix2pix.datasets import (
    PairFile,
    find_pairs,
    has_hints,
    holds_photos,
    label_colours,
    open_sides,
    said_label_maps,
)
from pix2pix.derive import chance_of
from pix2pix.errors import Stopped, UserError
from pix2pix.hints import over_hints, photo_hints
from pix2pix.images import resize, to_array
from pix2pix.metrics import (
    BATCH,
    JUDGE,
    Comparison,
    class_overlaps,
    confusion,
    label_scores,
    spread_indices,
)
from pix2pix.names import printable
from pix2pix.pictures import GAP, rows_picture
from pix2pix.records import ClassMeasures, Measures, Refused
from pix2pix.translate import Translator

_FORMATS = {"images": "{}", "l1": "{:.4f}", "psnr": "{:.2f}", "ssim": "{:.4f}"}
_FORMATS |= {"perceptual": "{:.4f}", "perceptual_halves": "{:.4f}"}
_FORMATS |= {"kid": "{:.1f}", "kid_halves": "{:.1f}"}
_FORMATS |= {"accuracy": "{:.4f}", "mean_iou": "{:.4f}", "commonest": "{:.4f}"}
_CAPTION = 22  # height in pixels of a row's name

Triple = tuple[Image.Image, Image.Image, Image.Image]  # source, generated, target


@dataclass(frozen=True)
class Evaluation:
    """What a model does on a split.

    `measures` has `images`, `l1` (on the scale 0 to 1), `psnr` in dB, `ssim`, `perceptual`, `kid`
    (times 1000), both by the network that `judge` names, each also between the two halves of the
    real pictures (`perceptual_halves`, `kid_halves`), and `spread`, None where one cannot be told;
    for label maps also `accuracy`, `mean_iou`, `commonest` and `classes`, each {"color", "share"
    of the target's pixels, "iou"}.
    `shown` are some of the triples, square and at the model's size. `refused` says which pairs
    were left out: {"file", "reason"}.
    """

    measures: Measures
    shown: list[Triple] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def evaluate(
    model: Translator | str | os.PathLike[str],
    data: str | os.PathLike[str],
    split: str = "val",
    *,
    direction: str = "",
    derive: str = "",
    fit: str = "",
    palette: list[str] | None = None,
    limit: int = 0,
    show: int = 8,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure a model, or the one of a name or folder, on a split of the dataset `data`.

    Each source is translated at its own size as anyone's picture is; the result and the target are
    then compared at the model's size. `direction` ("AtoB", "BtoA"), `derive` ("pairs", or "grey"
    where the dataset holds plain photos) and `fit` ("whole", "tiles") are the model's own unless
    told. Targets are label maps where a `palette` of "#rrggbb" says so, `dataset.json` does, or
    all of them together hold 64 colours at most. At most `limit` pairs, evenly spread, are
    measured (0 is all) and `show` of them shown.

    `on_progress` hears pairs. Raises UserError where no pair can be read, Stopped when told to.
    """
    data = Path(data)
    files = find_pairs(data, split)
    if not files:
        raise UserError(f"{printable(data.name)} holds no pairs in {split}/: name another split.")
    files = [files[i] for i in spread_indices(len(files), limit or len(files))]
    if isinstance(model, (str, os.PathLike)):
        model = Translator.from_pretrained(model)
    translator = model
    reader = _Reader(translator.config, data, direction, derive)
    colours = _palette(palette) if palette else _find_palette(files, reader, data, should_stop)
    wanted = spread_indices(len(files), show)
    channels = translator.config.generator.target_channels
    compared, confused = Comparison(JUDGE, _device(translator)), 0
    result = Evaluation({})

    def triples() -> Iterator[Triple]:
        for done, file in enumerate(files):
            if should_stop():
                raise Stopped
            on_progress(done, len(files))
            try:
                triple = _translated(translator, reader.open(file), fit, colours is not None)
            except UserError as error:
                result.refused.append({"file": file.a.name, "reason": str(error)})
                continue
            # Where one is left out, the next that can be read is shown.
            if len(result.shown) < bisect_right(wanted, done):
                result.shown.append(triple)
            yield triple

    made = triples()
    while batch := list(itertools.islice(made, BATCH)):
        _, generated, target = (_stack(side, channels) for side in zip(*batch))
        compared.add(generated, target)
        if colours is not None:
            confused += confusion(generated, target, colours)
    on_progress(len(files), len(files))
    result.measures.update(cast("Measures", compared.result()))
    result.measures["judge"] = None if result.measures["perceptual"] is None else JUDGE
    if not result.measures["images"]:
        reason = result.refused[0]["reason"]
        raise UserError(f"No pair in {split}/ of {printable(data.name)} can be used: {reason}")
    if colours is not None:
        result.measures.update(cast("Measures", label_scores(confused)))
        result.measures["classes"] = _classes(confused, colours)
    return result


class _Reader:
    """Opens pairs as (source, target): turned as the model was trained, or as told."""

    def __init__(self, model: ModelConfig, data: Path, direction: str, derive: str) -> None:
        self.grey = derive == "grey" if derive else model.colours_grey
        self.photos = self.grey and holds_photos(data)
        self.hints = model.generator.hints and not has_hints(data)
        self.direction = direction or model.direction
        self.alpha = 4 in (model.generator.source_channels, model.generator.target_channels)

    def open(self, file: PairFile) -> tuple[Image.Image, Image.Image]:
        """Open one pair; a drawing lies over the hints that validation gives it while a model
        trains, where it follows such. Raises UserError where a picture cannot be read."""
        source, target = open_sides(
            file, self.direction, grey=self.grey, photos=self.photos, alpha=self.alpha
        )
        if self.hints:
            source = over_hints(source, photo_hints(target, chance_of(0, file.name)))
        return source, target


def _translated(
    translator: Translator, pair: tuple[Image.Image, Image.Image], fit: str, labels: bool
) -> Triple:
    """Add what the model makes of it to a pair, all square and at the model's size; target
    `labels` keep their colours."""
    source, target = pair
    size = (translator.config.generator.size,) * 2
    made = translator.translate(source, fit=fit)
    crisp = translator.config.source_kind == "labels", labels, labels
    return tuple(resize(p, size, labels=c) for p, c in zip((source, made, target), crisp))


def _stack(pictures: Sequence[Image.Image], channels: int) -> Tensor:
    return torch.from_numpy(np.stack([to_array(picture, channels) for picture in pictures]))


def _device(translator: Translator) -> torch.device | str:
    """Where the ImageNet network runs: on a GPU where the model does."""
    return translator.device if translator.device.type == "cuda" else "cpu"


# ------------------------------------------------------------------------------------- label maps


def _palette(colours: list[str]) -> Tensor:
    """K x 3 in 0..255; raises UserError for what are no two colours of the form #rrggbb."""
    try:
        values = [bytes.fromhex(colour.removeprefix("#")) for colour in colours]
    except ValueError:
        values = []
    if len(set(values)) < 2 or any(len(value) != 3 for value in values):
        raise UserError(
            f"'{','.join(colours)}' is no palette: give two colours or more such as #ff0000."
        )
    return torch.tensor([list(value) for value in dict.fromkeys(values)])


def _find_palette(
    files: list[PairFile], reader: _Reader, data: Path, should_stop: Callable[[], bool]
) -> Tensor | None:
    """Find the colours of the targets, K x 3 in 0..255, the commonest first, where these are label
    maps; None where `dataset.json` denies it or they hold too many colours."""
    said, side = said_label_maps(data), 0 if reader.direction == "BtoA" else 1
    if reader.grey or (said and not said[side]):
        return None

    def targets() -> Iterator[Image.Image]:
        for file in files:
            if should_stop():
                raise Stopped
            try:
                target = reader.open(file)[1]
            except UserError:
                continue  # told when its turn to be translated comes
            yield target

    palette = label_colours(targets())
    return torch.tensor(palette) if palette and len(palette) > 1 else None


def _classes(confused: Tensor, colours: Tensor) -> list[ClassMeasures]:
    shares = confused.sum(1).double() / confused.sum()
    found = zip(colours.tolist(), shares.tolist(), class_overlaps(confused).tolist())
    return [
        {"color": f"#{bytes(colour).hex()}", "share": share, "iou": None if iou != iou else iou}
        for colour, share, iou in found
    ]


# ------------------------------------------------------------------------------ several models


def table(results: dict[str, Measures]) -> tuple[list[str], list[list[str]]]:
    """(headers, rows): a row for each model, a column for each measure that any of them has."""
    names = [n for n in _FORMATS if any(r.get(n) is not None for r in results.values())]
    rows = []
    for model, result in results.items():
        cells = ["-" if (v := result.get(n)) is None else _FORMATS[n].format(v) for n in names]
        rows.append([model, *cells])
    return ["model", *names], rows


def markdown(results: dict[str, Measures]) -> str:
    """Write the table as Markdown."""
    headers, rows = table(results)
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)]]
    lines += [[model.replace("|", "\\|"), *cells] for model, *cells in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comparison_picture(evaluations: dict[str, Evaluation]) -> Image.Image:
    """Rows of source, generated and target; several models on the same pairs share the rows of
    sources and targets and have a named row each."""
    size = max(e.shown[0][0].width for e in evaluations.values())
    rows: list[tuple[str, list[Image.Image]]] = []
    target: list[Image.Image] = []
    for name, evaluation in evaluations.items():
        sides = zip(*evaluation.shown)
        source, made, wanted = ([_square(p, size) for p in side] for side in sides)
        if target != wanted:
            rows += [("target", target)] if target else []
            rows.append(("source", source))
        rows.append((name, made))
        target = wanted
    rows.append(("target", target))
    if len(evaluations) == 1:
        return rows_picture([_stack(pictures, 3).numpy() for _, pictures in rows])
    return named_rows(rows)


def named_rows(rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Rows of equally large pictures, each under its name."""
    sheets = [_captioned(name, rows_picture([_stack(row, 3).numpy()])) for name, row in rows]
    height = sheets[0].height + GAP
    whole = Image.new("RGB", (max(s.width for s in sheets), len(sheets) * height - GAP), "white")
    for number, sheet in enumerate(sheets):
        whole.paste(sheet, (0, number * height))
    return whole


def _square(picture: Image.Image, size: int) -> Image.Image:
    return resize(picture.convert("RGB"), (size, size))


def _captioned(name: str, row: Image.Image) -> Image.Image:
    sheet = Image.new("RGB", (row.width, row.height + _CAPTION), "white")
    sheet.paste(row, (0, _CAPTION))
    font = ImageFont.load_default(_CAPTION * 2 // 3)
    ImageDraw.Draw(sheet).text((2, 2), printable(name), fill="black", font=font)
    return sheet
