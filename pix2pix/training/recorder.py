"""Record a run in its folder: losses, samples, validation, models, state; and, where that was asked
for, in TensorBoard, trackio or wandb.

The folder is described in ``run_folder``. Looking never changes what is trained: the generator is
given back its running statistics, and no random number is drawn.
"""

from __future__ import annotations

import importlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import dataset_info, find_pairs, label_palette
from pix2pix.data.loader import PairDataset
from pix2pix.data.sample import sample_scenes
from pix2pix.errors import UserError
from pix2pix.evaluation.metrics import evenly_spaced, judge, validate
from pix2pix.imaging.example_houses import PALETTE
from pix2pix.imaging.grids import rows_picture
from pix2pix.imaging.picture import from_array, save_png
from pix2pix.model_config import ModelConfig
from pix2pix.models.card import model_card
from pix2pix.models.folder import save_examples, save_model
from pix2pix.training.checkpoints import checkpoint_folder, prune_checkpoints
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.saved_state import save_state
from pix2pix.training.trainer import Trainer
from pix2pix.utils.files import copy_folder

SAMPLE_PAIRS = 8  # pairs that every sample grid shows
VALIDATION_PAIRS = 32  # validation pairs that are measured at most, spread over all
SCENES = 6  # drawings that a model of the sample dataset has
SAMPLED_SOURCES = 50  # sources whose colours are the palette of a model of label maps
VALIDATION_TIME_SHARE = 0.02  # of the time that validations between two saved models may take
PROJECT = "pix2pix-studio"  # that runs are found in
REPORT_ID = "report_id.txt"  # in the run folder: what a run that goes on is known by there
MAX_WAITING = 10_000  # steps that a slow service may be behind; further ones are not sent
LAST_SECONDS = 20.0  # that the end of a run waits for a service
log = logging.getLogger(__name__)
Values = Mapping[str, "float | Image.Image"]


class Recorder:
    """Writes into the run folder ``run``; its methods raise OSError where the disk refuses."""

    def __init__(
        self, run: Path, trainer: Trainer, dataset: PairDataset, data: Path, per_epoch: int,
        first_step: int = 0,
    ) -> None:  # fmt: skip
        self.run, self.trainer, self.config = run, trainer, dataset.config
        self.checkpoint_every = self.config.keep_every_epochs * per_epoch  # steps; these all stay
        held_out = find_pairs(data, "val")
        sampled = PairDataset(data, "val", self.config) if held_out else dataset
        self.samples = sample_pairs(sampled, SAMPLE_PAIRS)
        as_large = dataset.pictures(0)[0].size == (self.config.size, self.config.size)
        self.native = as_large and not dataset.facts.is_scaled
        self.data, self.license = dataset_info(data), dataset.facts.license
        self.held_out = sample_pairs(sampled, VALIDATION_PAIRS) if held_out else None
        self.label_targets = dataset.labels[1]
        self.palette = find_palette(dataset) if self.config.source_kind == "labels" else []
        self.scenes = drawn_scenes(sampled) if held_out else []
        self.metrics = (run / "metrics.jsonl").open("a", encoding="utf-8")
        kind = self.config.report_to
        self.reporter = Reporter(kind, run, self.config, first_step) if kind else None
        self.started, self.validation_seconds = time.monotonic(), 0.0
        self.sampled = -1  # the step of the last picture
        self.target_features: dict[Any, dict[int, Any]] = {}  # by measure
        rows = read_jsonl(run / "validation.jsonl")
        self.last_metrics: dict[str, float] = rows[-1] if rows else {}  # its last line
        since = self.last_metrics.get("step", 0)
        losses = (row for row in read_jsonl(run / "metrics.jsonl") if row["step"] > since)
        self.train_l1 = [row["g_l1"] / 2 for row in losses]  # since the last validation

    def row(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        """Append a line to ``metrics.jsonl``."""
        self.metrics.write(json.dumps({"step": step, "epoch": epoch, **losses}) + "\n")
        self.metrics.flush()

    def losses(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        """Append a step's losses, and keep what the next validation is compared with."""
        self.row(step, epoch, losses)
        self.train_l1.append(losses["g_l1"] / 2)  # from [-1, 1] to the scale 0 to 1
        lr = self.trainer.g_optimizer.param_groups[0]["lr"]
        self.report(step, "loss", {**losses, "lr": lr})

    def sample(self, step: int) -> None:
        """Save the fixed pairs as they look now, three rows: source, generated, target."""
        source, target = self.samples
        grid = rows_picture([x.numpy() for x in (source, generate(self.trainer, source), target)])
        save_png(grid, self.run / "samples" / f"step-{step:07d}.png")
        self.report(step, "samples", {"grid": grid})
        self.sampled = step

    def epoch_ended(self, step: int, epoch: int) -> None:
        """Validate, unless that would take more than its share of the time."""
        if self.validation_seconds <= VALIDATION_TIME_SHARE * (time.monotonic() - self.started):
            self.validate(step, epoch)

    def validate(self, step: int, epoch: int) -> None:
        """Append one line to ``validation.jsonl``; nothing for a dataset without ``val``."""
        if not self.held_out or not self.train_l1:
            return
        start = time.monotonic()
        # Frozen features hardly see flat colours: of label maps L1 tells which model is best.
        row = self.measure(validate, by_features=not self.label_targets)
        row |= {"train_l1": sum(self.train_l1) / len(self.train_l1)}
        self.last_metrics = {"step": step, **row}
        with (self.run / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **row}) + "\n")
        self.report(step, "validation", row)
        self.train_l1.clear()
        self.validation_seconds += time.monotonic() - start

    def measure(self, by: Callable[..., dict[str, Any]], **options: bool) -> dict[str, Any]:
        """Measure the generator as it is now, by `validate` or `judge` with its `options`."""
        device = self.trainer.device if self.trainer.device.type == "cuda" else "cpu"
        return by(
            lambda source: generate(self.trainer, source), *self.held_out, device=device,
            known=self.target_features.setdefault(by, {}), **options,
        )  # fmt: skip

    def save_state(self, step: int, random: list[Tensor]) -> None:
        """Save the state that the run is resumed from; `random` is the `random_state` of every
        process."""
        state = {"step": step, "trainer": self.trainer.state_dict(), "random": random}
        save_state(self.run, state)

    def save_checkpoint(self, step: int) -> None:
        """Save the generator as a model folder."""
        config, name = self.config, self.run.name
        begun = time.monotonic()
        measures = self.last_metrics if self.last_metrics.get("step") == step else {}
        if measures and self.held_out:  # a card reports what had no part in choosing the model
            measures = {**measures, "perceptual": None, **self.measure(judge)}
        self.validation_seconds += time.monotonic() - begun
        card = model_card(name, config, self.data, self.license, step, measures)
        generator = self.trainer.current_generator()
        model = model_config(config, name, step, self.native, self.palette)
        save_model(self.run / "model", generator, model, card)
        self.save_scenes(self.run / "model")
        copy_folder(self.run / "model", checkpoint_folder(self.run, step))
        prune_checkpoints(self.run, every=self.checkpoint_every)

    def save_scenes(self, model: Path) -> None:
        """Give a model what the pad begins with, where our code drew its pairs: those held out."""
        if self.scenes:
            answer = from_array(generate(self.trainer, self.samples[0][:1])[0].numpy())
            save_examples(model, self.scenes, answer)

    def report(self, step: int, group: str, values: Values) -> None:
        """Send values to another log, where that was asked for."""
        if self.reporter:
            self.reporter.send(step, group, values)

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        if self.reporter:
            self.reporter.close()


def sample_pairs(dataset: PairDataset, count: int) -> tuple[Tensor, Tensor]:
    """Return so many pairs at most, spread over the dataset, N x C x size x size in [-1, 1]."""
    pairs = [dataset.plain(i) for i in evenly_spaced(len(dataset), count)]
    return torch.stack([s for s, _ in pairs]), torch.stack([t for _, t in pairs])


@torch.no_grad()
def generate(trainer: Trainer, source: Tensor) -> Tensor:
    """Generate N x C x S x S on the CPU as the translator will show it: one picture a forward,
    without dropout, each normalised by its own statistics."""
    generator = trainer.current_generator()
    dropouts = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
    for dropout in dropouts:
        dropout.eval()
    buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    generated = [generator(s[None].to(trainer.device)).float().cpu() for s in source]
    generator.load_state_dict(buffers, strict=False)
    for dropout in dropouts:
        dropout.train()
    return trainer.as_translated(torch.cat(generated), source)


def find_palette(dataset: PairDataset) -> list[dict[str, str]]:
    """Find the palette of the model: the labels of some sources, enough to see nearly all."""
    some = evenly_spaced(len(dataset), SAMPLED_SOURCES)
    return label_palette(dataset.facts, (dataset.pictures(index)[0] for index in some))


def drawn_scenes(dataset: PairDataset) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the label maps of some held-out pairs as drawings of the pad, the first pair's first;
    none of pictures that are not our code's own: they stay where they are."""
    if dataset.config.source_kind != "labels" or dataset.config.direction != "AtoB":
        return []
    scenes = sample_scenes(dataset.files[:SCENES], dataset.facts.sample_seed)
    return [
        (f"House {number}", [shape.to_json(PALETTE) for shape in shapes])
        for number, shapes in enumerate(scenes, 1)
    ]


def model_config(
    config: TrainConfig, title: str, step: int, native: bool, palette: list[dict[str, str]]
) -> ModelConfig:
    """Make the config of the model folder. With `native` pairs, as large as the network's
    pictures and at their originals' scale, that scale is part of what is learned, and larger
    pictures are tiled; else they are scaled as a whole."""
    training = {
        "preset": config.preset, "derive": config.derive, "steps": step,
        "batch_size": config.effective_batch_size, "seed": config.seed,
    }  # fmt: skip
    tiles = native and config.source_kind != "drawing"
    return ModelConfig(
        generator=config.generator_config(),
        title=title,
        source_name=config.source_name or "source",
        target_name=config.target_name or "target",
        direction=config.direction,
        source_kind=config.source_kind,
        palette=palette,
        fit="tiles" if tiles else "whole",
        ranges=config.ranges,
        numbers=config.numbers,
        training=training,
    )


# ---------------------------------------------------------------------------------- other logs


class Reporter:
    """Sends by a thread of its own: a service that is slow or away never holds up training."""

    def __init__(self, kind: str, run: Path, config: TrainConfig, first_step: int = 0) -> None:
        """`kind` is that of ``report_to``. In TensorBoard steps after ``first_step`` replace those
        of a killed process. Raises UserError where its package is not installed."""
        try:
            name = "torch.utils.tensorboard" if kind == "tensorboard" else kind
            package = importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"{kind} is not installed: `pip install {kind}`, or leave report_to empty."
            ) from error
        self.waiting: SimpleQueue[tuple[int, Values] | None] = SimpleQueue()
        opened = _opened(kind, package, run, config, first_step)
        self.thread = Thread(target=self._work, args=(kind, opened), name=kind, daemon=True)
        self.thread.start()

    def send(self, step: int, group: str, values: Values) -> None:
        """Send numbers and pictures of a step; returns at once."""
        if self.thread.is_alive() and self.waiting.qsize() < MAX_WAITING:
            self.waiting.put((step, {f"{group}/{name}": value for name, value in values.items()}))

    def close(self) -> None:
        """Send what is left, as long as that takes no more than ``LAST_SECONDS``."""
        self.waiting.put(None)
        self.thread.join(LAST_SECONDS)

    def _work(self, kind: str, opened: Any) -> None:
        try:
            with opened as write:
                for step, values in iter(self.waiting.get, None):
                    write(step, values)
        except Exception as error:  # each service has its own
            log.warning("%s failed, and the run goes on without it: %s", kind, error)


@contextmanager
def _opened(
    kind: str, package: Any, run: Path, config: TrainConfig, first_step: int
) -> Iterator[Callable[[int, Values], None]]:
    """Give what writes the values of a step."""
    if kind == "tensorboard":
        writer = package.SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1)

        def write(step: int, values: Values) -> None:
            for name, value in values.items():
                if isinstance(value, Image.Image):
                    colours = np.asarray(value.convert("RGB"))
                    writer.add_image(name, colours, step, dataformats="HWC")
                else:
                    writer.add_scalar(name, value, step)

        yield write
        writer.close()
        return
    known = run / REPORT_ID
    resume = "allow" if known.exists() else "never"
    if resume == "never":
        known.write_text(uuid.uuid4().hex[:12], encoding="ascii")
    of_wandb = {"id": known.read_text("ascii"), "dir": str(run)}
    own = {"private": True} if kind == "trackio" else of_wandb
    package.init(project=PROJECT, name=run.name, config=asdict(config), resume=resume, **own)

    def write(step: int, values: Values) -> None:
        shown = {
            name: package.Image(value) if isinstance(value, Image.Image) else value
            for name, value in values.items()
        }
        package.log(shown, step=step)

    yield write
    package.finish()
