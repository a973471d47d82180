"""What a run leaves behind while it trains: losses, samples, validation, models, its state.

The folder is described in ``runs``. Looking never changes what is trained: the generator is given
back its running statistics, and no random number is drawn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pix2pix.cards import run_card
from pix2pix.checkpoint import load_state, save_state
from pix2pix.config import ModelConfig, TrainConfig
from pix2pix.curves import read_rows
from pix2pix.data import PairDataset
from pix2pix.datasets import describe, find_pairs, label_palette, read_info
from pix2pix.errors import UserError
from pix2pix.files import copy_folder, write_atomically
from pix2pix.images import save_png
from pix2pix.metrics import judge, spread_indices, validate
from pix2pix.models import save_model
from pix2pix.moments import kept_model, prune
from pix2pix.pictures import rows_picture
from pix2pix.ranks import Ranks
from pix2pix.trainer import Trainer

SAMPLES = 8  # pairs that every sample grid shows
VALIDATED = 32  # validation pairs that are measured at most, spread over all
LOOKED_AT = 50  # sources whose colours are the palette of a model of label maps
SHARE = 0.02  # of the time that validations between two saved models may take


class Recorder:
    """Writes into the run folder ``run``; its methods raise OSError where the disk refuses."""

    def __init__(
        self, run: Path, trainer: Trainer, dataset: PairDataset, data: Path, per_epoch: int,
        begun: int = 0,
    ) -> None:  # fmt: skip
        self.run, self.trainer, self.config = run, trainer, dataset.config
        self.kept = dataset.config.keep_every_epochs * per_epoch  # of so many steps all models
        held_out = find_pairs(data, "val")
        shown = PairDataset(data, "val", self.config) if held_out else dataset
        self.samples = some_pairs(shown, SAMPLES)
        as_large = dataset.pictures(0)[0].size == (self.config.size, self.config.size)
        info = read_info(data)
        self.native = as_large and info.get("scaled") is not True
        self.data, self.license = describe(data), info.get("license")
        self.held_out = some_pairs(shown, VALIDATED) if held_out else None
        self.palette = paints(data, dataset) if self.config.source_kind == "labels" else []
        self.metrics = (run / "metrics.jsonl").open("a", encoding="utf-8")
        self.board = tensorboard(run, begun) if self.config.tensorboard else None
        self.started, self.spent = time.monotonic(), 0.0
        self.sampled = -1  # the step of the last picture
        self.known: dict[Any, dict[int, Any]] = {}  # what each measure saw in the targets
        rows = read_rows(run / "validation.jsonl")
        self.measured: dict[str, float] = rows[-1] if rows else {}  # its last line
        since = self.measured.get("step", 0)
        losses = (row for row in read_rows(run / "metrics.jsonl") if row["step"] > since)
        self.train_l1 = [row["g_l1"] / 2 for row in losses]  # since the last validation

    def row(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        self.metrics.write(json.dumps({"step": step, "epoch": epoch, **losses}) + "\n")
        self.metrics.flush()

    def losses(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        self.row(step, epoch, losses)
        self.train_l1.append(losses["g_l1"] / 2)  # from [-1, 1] to the scale 0 to 1
        self.tell_board(step, "loss", losses)

    def sample(self, step: int) -> None:
        """The fixed pairs as they look now, three rows: source, generated, target."""
        source, target = self.samples
        grid = rows_picture([x.numpy() for x in (source, generate(self.trainer, source), target)])
        save_png(grid, self.run / "samples" / f"step-{step:07d}.png")
        self.sampled = step

    def epoch_ended(self, step: int, epoch: int) -> None:
        """Validate, unless that would take more than its share of the time."""
        if self.spent <= SHARE * (time.monotonic() - self.started):
            self.validate(step, epoch)

    def validate(self, step: int, epoch: int) -> None:
        """One line of ``validation.jsonl``; nothing for a dataset without ``val``."""
        if not self.held_out or not self.train_l1:
            return
        begun = time.monotonic()
        row = self.look(validate)
        row |= {"train_l1": sum(self.train_l1) / len(self.train_l1)}
        self.measured = {"step": step, **row}
        with (self.run / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **row}) + "\n")
        self.tell_board(step, "validation", row)
        self.train_l1.clear()
        self.spent += time.monotonic() - begun

    def look(self, measure: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        """What `validate` or `judge` says of the generator as it is now."""
        device = self.trainer.device if self.trainer.device.type == "cuda" else "cpu"
        return measure(
            lambda source: generate(self.trainer, source), *self.held_out, device=device,
            known=self.known.setdefault(measure, {}),
        )  # fmt: skip

    def has_model(self, step: int) -> bool:
        return kept_model(self.run, step).exists()

    def keep_state(self, step: int, random: list[Tensor]) -> None:
        """What the run is resumed from."""
        state = {"step": step, "trainer": self.trainer.state_dict(), "random": random}
        save_state(self.run, state)

    def keep_model(self, step: int) -> None:
        """The generator as a model folder."""
        config, name = self.config, self.run.name
        begun = time.monotonic()
        measures = self.measured if self.measured.get("step") == step else {}
        if measures and self.held_out:  # a card reports what had no part in choosing the model
            measures = {**measures, "perceptual": None, **self.look(judge)}
        self.spent += time.monotonic() - begun
        card = run_card(name, config, self.data, self.license, step, measures)
        generator = self.trainer.current_generator()
        model = model_config(config, name, step, self.native, self.palette)
        save_model(self.run / "model", generator, model, card)
        copy_folder(self.run / "model", kept_model(self.run, step))
        prune(self.run, every=self.kept)

    def tell_board(self, step: int, group: str, values: dict[str, float]) -> None:
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        self.metrics.close()
        if self.board:
            self.board.close()


def some_pairs(dataset: PairDataset, count: int) -> tuple[Tensor, Tensor]:
    """So many pairs at most, spread over the dataset, N x C x size x size in [-1, 1]."""
    pairs = [dataset.plain(i) for i in spread_indices(len(dataset), count)]
    return torch.stack([s for s, _ in pairs]), torch.stack([t for _, t in pairs])


@torch.no_grad()
def generate(trainer: Trainer, source: Tensor) -> Tensor:
    """N x C x S x S -> the same on the CPU as the translator will show it: one picture a forward,
    without dropout, each normalised by its own statistics."""
    generator = trainer.current_generator()
    dropouts = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
    for dropout in dropouts:
        dropout.eval()
    kept = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    generated = [generator(s[None].to(trainer.device)).float().cpu() for s in source]
    generator.load_state_dict(kept, strict=False)
    for dropout in dropouts:
        dropout.train()
    return torch.cat(generated)


def paints(data: Path, dataset: PairDataset) -> list[dict[str, str]]:
    """The palette of the model: the labels of some sources, as many as tell nearly all."""
    some = spread_indices(len(dataset), LOOKED_AT)
    return label_palette(data, (dataset.pictures(index)[0] for index in some))


def model_config(
    config: TrainConfig,
    title: str,
    step: int,
    native: bool,
    palette: list[dict[str, str]],
) -> ModelConfig:
    """What the model folder says. With `native` pairs, as large as the network's pictures and at
    their originals' scale, that scale is part of what is learned, and larger pictures are tiled;
    else they were scaled whole."""
    training = {
        "preset": config.preset, "derive": config.derive, "steps": step,
        "batch_size": config.batch_size, "seed": config.seed,
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
        training=training,
    )


def begin_anew(run: Path) -> None:
    """Forget what an earlier process left that was killed before it saved its first state."""
    left = [run / "metrics.jsonl", run / "validation.jsonl", *run.glob("samples/step-*.png")]
    for file in left:
        file.unlink(missing_ok=True)


def restore(run: Path, trainer: Trainer, ranks: Ranks) -> int:
    """Go back to the saved state, its losses included, and return its step.

    Raises UserError where other than as many processes train now: batch norm, dropout and the
    pairs that an epoch leaves out would be others.
    """
    state = load_state(run)
    if (before := len(state["random"])) != ranks.world:
        launch = f"torchrun --nproc-per-node {before} --" if before > 1 else "python"
        raise UserError(
            f"{run.name} was trained by {before} process{'es' * (before > 1)}: resume it with as "
            f"many, in a terminal by `{launch} scripts/train.py --resume --run` and its folder."
        )
    trainer.load_state_dict(state["trainer"])
    set_random_state(state["random"][ranks.rank], trainer.device)
    if ranks.is_first:
        for name in ("metrics.jsonl", "validation.jsonl"):
            cut_after(run / name, state["step"])
    return state["step"]


def random_state(device: torch.device) -> Tensor:
    """The states of the generators that training draws from, as bytes: CPU, then GPU."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return torch.cat(states)


def set_random_state(state: Tensor, device: torch.device) -> None:
    """A run that goes on with another kind of device takes the CPU's alone."""
    own, of_a_gpu = len(torch.get_rng_state()), len(state) == len(random_state(device))
    torch.set_rng_state(state[:own])
    if device.type == "cuda" and of_a_gpu:
        torch.cuda.set_rng_state(state[own:], device)
    elif device.type == "mps" and of_a_gpu:
        torch.mps.set_rng_state(state[own:])


def cut_after(file: Path, step: int) -> None:
    """Drop the lines of later steps, which will be run again, and a half-written last one."""
    if not file.exists():
        return
    kept = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                later = json.loads(line)["step"] > step
            except (ValueError, KeyError, TypeError):
                break
            if later or not line.endswith("\n"):
                break
            kept.append(line)
    write_atomically(file, lambda partial: partial.write_text("".join(kept), encoding="utf-8"))


def tensorboard(run: Path, begun: int = 0) -> Any:
    """A writer of TensorBoard's files in the run folder, in which steps after ``begun`` take the
    place of those that a killed process wrote; UserError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "TensorBoard is not installed: `pip install tensorboard`, or set tensorboard=false."
        ) from error
    return SummaryWriter(str(run / "tensorboard"), purge_step=begun + 1)
