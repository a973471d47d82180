"""Record a run in its folder: losses, samples, validation, models, state.

The folder is described in ``run_folder``. Looking never changes what is trained: the generator is
given back its running statistics, and no random number is drawn.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import dataset_info, find_pairs, label_palette
from pix2pix.data.loader import PairDataset
from pix2pix.data.sample import sample_scenes
from pix2pix.evaluation.held_out import HeldOut
from pix2pix.evaluation.metrics import evenly_spaced
from pix2pix.imaging.example_houses import PALETTE
from pix2pix.imaging.grids import rows_picture
from pix2pix.imaging.picture import from_array, save_png
from pix2pix.model_config import ModelConfig
from pix2pix.models.card import model_card
from pix2pix.models.folder import save_examples
from pix2pix.models.saving import save_model
from pix2pix.training.checkpoints import checkpoint_folder, prune_checkpoints
from pix2pix.training.external_log import ExternalLog, Values
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.saved_state import save_state
from pix2pix.training.trainer import Trainer
from pix2pix.utils.files import copy_folder

SAMPLE_PAIRS = 8  # pairs that every sample grid shows
VALIDATION_PAIRS = 32  # validation pairs that are measured at most, spread over all
SCENES = 6  # drawings that a model of the sample dataset has
# Pictures whose colours are a model's palettes: what a target palette lacks it never gives.
SAMPLED_SOURCES, SAMPLED_TARGETS = 50, 500
VALIDATION_TIME_SHARE = 0.02  # of the time that validations between two saved models may take


class Recorder:
    """Writes into the run folder ``run``; its methods raise OSError where the disk refuses."""

    def __init__(
        self, run: Path, trainer: Trainer, dataset: PairDataset, data: Path, per_epoch: int,
        first_step: int = 0,
    ) -> None:  # fmt: skip
        self.run, self.trainer, self.config = run, trainer, dataset.config
        self.per_epoch = per_epoch  # steps
        self.checkpoint_every = self.config.keep_every_epochs * per_epoch  # steps; these all stay
        held_out = find_pairs(data, "val")
        sampled = PairDataset(data, "val", self.config) if held_out else dataset
        self.samples = sample_pairs(sampled, SAMPLE_PAIRS)
        as_large = dataset.pictures(0)[0].size == (self.config.size, self.config.size)
        self.native = as_large and not dataset.facts.is_scaled
        self.data, self.license = dataset_info(data), dataset.facts.license
        self.held_out = None
        if held_out:
            device = trainer.device if trainer.device.type == "cuda" else "cpu"
            self.held_out = HeldOut(*sample_pairs(sampled, VALIDATION_PAIRS), device)
        self.label_targets = dataset.labels[1]
        self.palettes = find_palettes(dataset)
        self.scenes = drawn_scenes(sampled) if held_out else []
        self.metrics = (run / "metrics.jsonl").open("a", encoding="utf-8")
        told = self.config.report_to
        self.external = ExternalLog(told, run, self.config, first_step) if told else None
        self.started, self.validation_seconds = time.monotonic(), 0.0
        self.sampled = -1  # the step of the last picture
        rows = read_jsonl(run / "validation.jsonl")
        self.last_metrics: dict[str, float] = rows[-1] if rows else {}  # its last line
        since = self.last_metrics.get("step", 0)
        losses = (row for row in read_jsonl(run / "metrics.jsonl") if row["step"] > since)
        self.train_l1 = [row["g_l1"] / 2 for row in losses]  # since the last validation

    def row(self, step: int, losses: dict[str, float]) -> None:
        """Append a line to ``metrics.jsonl``."""
        self.metrics.write(json.dumps(self.at(step) | losses) + "\n")
        self.metrics.flush()

    def at(self, step: int) -> dict[str, int]:
        """Return what a line of figures begins with."""
        return {"step": step, "epoch": max(0, step - 1) // self.per_epoch}

    def losses(self, step: int, losses: dict[str, float]) -> None:
        """Append a step's losses, and keep what the next validation is compared with."""
        self.row(step, losses)
        self.train_l1.append(losses["g_l1"] / 2)  # from [-1, 1] to the scale 0 to 1
        lr = self.trainer.g_optimizer.param_groups[0]["lr"]
        self.report(step, "loss", {**losses, "lr": lr})

    def sample(self, step: int) -> None:
        """Save the fixed pairs as they look now, three rows: source, generated, target."""
        source, target = self.samples
        grid = rows_picture([x.numpy() for x in (source, self.generate(source), target)])
        save_png(grid, self.run / "samples" / f"step-{step:07d}.png")
        self.report(step, "samples", {"grid": grid})
        self.sampled = step

    def epoch_ended(self, step: int) -> None:
        """Validate, unless that would take more than its share of the time."""
        if self.validation_seconds <= VALIDATION_TIME_SHARE * (time.monotonic() - self.started):
            self.validate(step)

    def validate(self, step: int) -> None:
        """Append one line to ``validation.jsonl``; nothing for a dataset without ``val``."""
        if not self.held_out or not self.train_l1:
            return
        start = time.monotonic()
        # Frozen features hardly see flat colours: of label maps L1 tells which model is best.
        row = self.held_out.validate(self.generate, by_features=not self.label_targets)
        row |= {"train_l1": sum(self.train_l1) / len(self.train_l1)}
        self.last_metrics = {"step": step, **row}
        with (self.run / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.at(step) | row) + "\n")
        self.report(step, "validation", row)
        self.train_l1.clear()
        self.validation_seconds += time.monotonic() - start

    def save(self, step: int, random: list[Tensor]) -> None:
        """Save the state before all that takes time, then the model with its picture and its
        figures; `random` is the `random_state` of every process."""
        state = {"step": step, "trainer": self.trainer.state_dict(), "random": random}
        save_state(self.run, state)
        if self.sampled != step:
            self.sample(step)
        self.validate(step)
        self.save_checkpoint(step)

    def save_checkpoint(self, step: int) -> None:
        """Save the generator as a model folder."""
        config, name = self.config, self.run.name
        begun = time.monotonic()
        measures = self.last_metrics if self.last_metrics.get("step") == step else {}
        if measures and self.held_out:  # a card reports what had no part in choosing the model
            measures = {**measures, "perceptual": None, **self.held_out.judge(self.generate)}
        self.validation_seconds += time.monotonic() - begun
        card = model_card(name, config, self.data, self.license, step, measures)
        generator = self.trainer.current_generator()
        model = model_config(config, name, step, self.native, self.palettes)
        save_model(self.run / "model", generator, model, card)
        self.save_scenes(self.run / "model")
        copy_folder(self.run / "model", checkpoint_folder(self.run, step))
        prune_checkpoints(self.run, every=self.checkpoint_every)

    def save_scenes(self, model: Path) -> None:
        """Give a model what the pad begins with, where our code drew its pairs: those held out."""
        if self.scenes:
            answer = from_array(self.generate(self.samples[0][:1])[0].numpy())
            save_examples(model, self.scenes, answer)

    @torch.no_grad()
    def generate(self, source: Tensor) -> Tensor:
        """Generate N x C x S x S on the CPU as the translator will show it: one picture a forward,
        without dropout, each normalised by its own statistics."""
        generator = self.trainer.current_generator()
        dropouts = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
        for dropout in dropouts:
            dropout.eval()
        buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
        generated = [generator(s[None].to(self.trainer.device)).float().cpu() for s in source]
        generator.load_state_dict(buffers, strict=False)
        for dropout in dropouts:
            dropout.train()
        return self.trainer.as_translated(torch.cat(generated), source)

    def report(self, step: int, group: str, values: Values) -> None:
        """Send values to another log, where that was asked for."""
        if self.external:
            self.external.send(step, group, values)

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        if self.external:
            self.external.close()


def sample_pairs(dataset: PairDataset, count: int) -> tuple[Tensor, Tensor]:
    """Return so many pairs at most, spread over the dataset, N x C x size x size in [-1, 1]."""
    pairs = [dataset.plain(i) for i in evenly_spaced(len(dataset), count)]
    return torch.stack([s for s, _ in pairs]), torch.stack([t for _, t in pairs])


def find_palettes(dataset: PairDataset) -> dict[str, list[dict[str, str]]]:
    """Find the labels of some sources and targets, enough to see nearly all; as `ModelConfig` has
    them, empty for pictures that are no label maps."""
    is_labels = dataset.config.source_kind == "labels", dataset.labels[1]
    counts, palettes = (SAMPLED_SOURCES, SAMPLED_TARGETS), []
    for side, (labels, count) in enumerate(zip(is_labels, counts)):
        some = evenly_spaced(len(dataset), count) if labels else []
        pictures = (dataset.pictures(index)[side] for index in some)
        palettes.append(label_palette(dataset.facts, pictures))
    return {"palette": palettes[0], "target_palette": palettes[1]}


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
    config: TrainConfig, title: str, step: int, native: bool, palettes: dict[str, Any]
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
        **palettes,
        fit="tiles" if tiles else "whole",
        ranges=config.ranges,
        numbers=config.numbers,
        training=training,
    )
