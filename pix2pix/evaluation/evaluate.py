"""Evaluate a model on the pairs of a dataset, and show its pictures beside the targets."""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, cast

import torch
from PIL import Image
from torch import Tensor

from pix2pix.data.dataset import (
    PairFile,
    find_pairs,
    folder_ranges,
    is_photo_dataset,
    label_colours,
    open_source_target,
)
from pix2pix.data.report import read_facts
from pix2pix.data.report_types import Refused
from pix2pix.data.sources import seeded_random
from pix2pix.errors import Cancelled, UserError
from pix2pix.evaluation.label_maps import ClassMeasures, LabelComparison, parse_palette
from pix2pix.evaluation.metrics import BATCH, JUDGE, Comparison, evenly_spaced
from pix2pix.imaging.grids import labelled_rows, rows_picture, stack_pictures
from pix2pix.imaging.hints import over_hints, photo_hints
from pix2pix.imaging.picture import as_picture, resize
from pix2pix.model_config import ModelConfig
from pix2pix.models.card import METRIC_FORMATS
from pix2pix.models.translator import Translator
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import printable

_FORMATS = {"images": "{}", **METRIC_FORMATS, "perceptual_halves": "{:.4f}"}
_FORMATS |= dict.fromkeys(("kid", "kid_halves"), "{:.1f}")
_FORMATS |= dict.fromkeys(("accuracy", "mean_iou", "commonest"), "{:.4f}")
Sample = tuple[Image.Image, Image.Image, Image.Image]  # source, generated, target


class Measures(TypedDict, total=False):
    """How close generated pictures come to their targets; None is what cannot be told.

    `l1` is on a scale from 0 to 1, `l1_units` in the unit of targets that have a range, `psnr` in
    dB, `kid` times 1000. Lower is better for `l1`, and for `perceptual` and `kid`, which are by the
    network that `judge` names; higher for the others.
    `*_halves` are between the even and the odd real pictures, the last four of label maps alone.
    `hints` is there where the drawings had strokes of their targets' colours.
    """

    images: int
    hints: bool
    l1: float | None
    l1_units: float
    psnr: float | None
    ssim: float | None
    perceptual: float | None
    perceptual_halves: float | None
    kid: float | None
    kid_halves: float | None
    judge: str | None
    spread: float | None
    accuracy: float
    mean_iou: float
    commonest: float
    classes: list[ClassMeasures]


@dataclass(frozen=True)
class Evaluation:
    """What a model does on a split: `samples` are some of the triples, square and at the model's
    size, `refused` says which pairs were left out: {"file", "reason"}. `direction` says which side
    it was given; it is empty for sources that are the targets in grey."""

    measures: Measures
    samples: list[Sample] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    direction: str = ""


def evaluate(
    model: Translator | str | os.PathLike[str],
    data: str | os.PathLike[str],
    split: str = "val",
    *,
    direction: str = "",
    derive: str = "",
    fit: str = "",
    palette: list[str] | None = None,
    hints: bool = True,
    limit: int = 0,
    show: int = 8,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Measure a model, or the one of a name or folder, on a split of the dataset `data`.

    Each source is translated at its own size as anyone's picture is; the result and the target are
    then compared at the model's size. `direction` ("AtoB", "BtoA") is the one in which the dataset
    has the names of the model's source and target, else the model's own; `derive` ("pairs", or
    "grey" where the dataset holds plain photos) and `fit` ("whole", "tiles") are its own unless
    told. Targets are label maps where a `palette` of "#rrggbb" says so, `dataset.json` does, or
    all of them together hold 64 colours at most. A model that follows strokes of colour gets some
    of the target's on each drawing, unless `hints` is False. At most `limit` pairs, evenly spread,
    are measured (0 is all) and `show` of them shown.

    `on_progress` hears pairs. Raises UserError where no pair can be read, Cancelled when told to.
    """
    data = Path(data)
    files = _choose_pairs(data, split, limit)
    if isinstance(model, (str, os.PathLike)):
        model = Translator.from_pretrained(model)
    reader = _Reader(model.config, data, direction, derive, hints)
    colours = parse_palette(palette) if palette else _find_palette(files, reader, should_stop)
    result = Evaluation({}, direction="" if reader.grey else reader.direction)
    triples = _collect(
        files, lambda file: _translate_pair(model, reader.open(file), fit, colours is not None),
        result, show, should_stop, on_progress,
    )  # fmt: skip
    result.measures.update(_measure(triples, model, colours))
    if reader.hints:
        result.measures["hints"] = True
    on_progress(len(files), len(files))
    if not result.measures["images"]:
        reason = result.refused[0]["reason"]
        raise UserError(f"No pair in {split}/ of {printable(data.name)} can be used: {reason}")
    return result


def _choose_pairs(data: Path, split: str, limit: int) -> list[PairFile]:
    """List the pairs to be measured; raises UserError where there are none."""
    files = find_pairs(data, split)
    if not files:
        way_out = "name another split" if data.is_dir() else "there is no such folder"
        raise UserError(f"{printable(data.name)} holds no pairs in {split}/: {way_out}.")
    return [files[i] for i in evenly_spaced(len(files), limit or len(files))]


def _collect(
    files: list[PairFile],
    translate: Callable[[PairFile], Sample],
    result: Evaluation,
    show: int,
    should_stop: ShouldStop,
    on_progress: Progress,
) -> Iterator[Sample]:
    """Yield the triples of all pairs; `result` gets some to `show`, and what was refused."""
    shown = evenly_spaced(len(files), show)
    for done, file in enumerate(files):
        if should_stop():
            raise Cancelled
        on_progress(done, len(files))
        try:
            triple = translate(file)
        except UserError as error:
            result.refused.append({"file": file.a.name, "reason": str(error)})
            continue
        # Where one is left out, the next that can be read is shown.
        if len(result.samples) < bisect_right(shown, done):
            result.samples.append(triple)
        yield triple


def _measure(triples: Iterator[Sample], model: Translator, colours: Tensor | None) -> Measures:
    """Compare generated pictures with targets, as label maps too where there are `colours`."""
    channels = model.config.generator.target_channels
    # The network that judges runs on a GPU where the model does.
    device = model.device if model.device.type == "cuda" else "cpu"
    compared = Comparison(JUDGE, device)
    labels = LabelComparison(colours) if colours is not None else None
    while batch := list(itertools.islice(triples, BATCH)):
        _, generated, target = (
            torch.from_numpy(stack_pictures(side, channels)) for side in zip(*batch)
        )
        compared.add(generated, target)
        if labels:
            labels.add(generated, target)
    measures = cast("Measures", compared.result())
    measures["judge"] = None if measures["perceptual"] is None else JUDGE
    known = model.config.number_range("target")
    if known and measures["l1"] is not None:
        measures["l1_units"] = measures["l1"] * (known[1] - known[0])
    if labels and measures["images"]:
        measures.update(cast("Measures", labels.result()))
    return measures


class _Reader:
    """Opens pairs as (source, target): turned as the model was trained, or as told."""

    def __init__(
        self, model: ModelConfig, data: Path, direction: str, derive: str, hints: bool
    ) -> None:
        self.grey = derive == "grey" if derive else model.colours_grey
        self.facts = read_facts(data)
        self.photos = self.grey and is_photo_dataset(data, self.facts)
        self.hints = hints and model.generator.hints and not self.facts.has_hints
        self.direction = direction or self.facts.direction_of(model)
        self.ranges = folder_ranges(data, self.facts, photos=self.photos)
        a, b = self.ranges["source"], self.ranges["target"]
        sides = (b, a) if self.direction == "BtoA" else (a, b)
        self.sides = dict(zip(("source", "target"), sides))
        self.model = model
        self.alpha = 4 in (model.generator.source_channels, model.generator.target_channels)

    def open(self, file: PairFile) -> tuple[Image.Image, Image.Image]:
        """Open one pair; a drawing lies over the hints that validation gives it while a model
        trains, where it follows such. Raises UserError where a picture cannot be read."""
        source, target = open_source_target(
            file, self.direction, grey=self.grey, photos=self.photos, alpha=self.alpha,
            ranges=self.ranges,
        )  # fmt: skip
        source, target = self._by_model(source, "source"), self._by_model(target, "target")
        if self.hints:
            source = over_hints(source, photo_hints(target, seeded_random(0, file.name)))
        return source, target

    def _by_model(self, picture: Image.Image, side: str) -> Image.Image:
        """Show a picture of the dataset's range by the model's, where these differ."""
        known, here = self.model.number_range(side), self.sides[side]
        if known is None or here.is_plain or known[:2] == (here.low, here.high):
            return picture
        scale = 255.0 / (here.high - here.low)
        low, high = ((end - here.low) * scale for end in known[:2])
        return as_picture(picture).with_range(low, high).to_pil(len(picture.getbands()))


def _translate_pair(
    translator: Translator, pair: tuple[Image.Image, Image.Image], fit: str, labels: bool
) -> Sample:
    """Add what the model makes of it to a pair, all square and at the model's size; target
    `labels` keep their colours."""
    source, target = pair
    size = (translator.config.generator.size,) * 2
    made = translator.translate(source, fit=fit, in_units=False)
    crisp = translator.config.source_kind == "labels", labels, labels
    return tuple(resize(p, size, labels=c) for p, c in zip((source, made, target), crisp))


def _find_palette(files: list[PairFile], reader: _Reader, should_stop: ShouldStop) -> Tensor | None:
    """Find the colours of the targets, K x 3 in 0..255, the commonest first, where these are label
    maps; None where `dataset.json` denies it or they hold too many colours."""
    declared, side = reader.facts.label_maps, 0 if reader.direction == "BtoA" else 1
    if reader.grey or (declared and not declared[side]):
        return None

    def targets() -> Iterator[Image.Image]:
        for file in files:
            if should_stop():
                raise Cancelled
            try:
                target = reader.open(file)[1]
            except UserError:
                continue  # told when its turn to be translated comes
            yield target

    palette = label_colours(targets())
    return torch.tensor(palette) if palette and len(palette) > 1 else None


# ------------------------------------------------------------------------------ several models


def metrics_table(results: dict[str, Measures]) -> tuple[list[str], list[list[str]]]:
    """Make (headers, rows): a row for each model, a column for each measure that any of them
    has."""
    names = [n for n in _FORMATS if any(r.get(n) is not None for r in results.values())]
    rows = []
    for model, result in results.items():
        cells = ["-" if (v := result.get(n)) is None else _FORMATS[n].format(v) for n in names]
        rows.append([model, *cells])
    return ["model", *names], rows


def markdown_table(results: dict[str, Measures]) -> str:
    """Write the table as Markdown."""
    headers, rows = metrics_table(results)
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)]]
    lines += [[model.replace("|", "\\|"), *cells] for model, *cells in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comparison_picture(evaluations: dict[str, Evaluation]) -> Image.Image:
    """Draw rows of source, generated and target; several models on the same pairs share the rows
    of sources and targets and have a named row each."""
    size = max(e.samples[0][0].width for e in evaluations.values())
    rows: list[tuple[str, list[Image.Image]]] = []
    target: list[Image.Image] = []
    for name, evaluation in evaluations.items():
        sides = zip(*evaluation.samples)
        source, outputs, targets = (
            [resize(picture.convert("RGB"), (size, size)) for picture in side] for side in sides
        )
        if target != targets:
            rows += [("target", target)] if target else []
            rows.append(("source", source))
        rows.append((name, outputs))
        target = targets
    rows.append(("target", target))
    if len(evaluations) == 1:
        return rows_picture([stack_pictures(pictures, 3) for _, pictures in rows])
    return labelled_rows(rows)
