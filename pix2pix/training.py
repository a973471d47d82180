"""The training step of the paper, and a loop around it that knows no UI."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pix2pix.checkpoint import load_state, save_state
from pix2pix.config import ModelConfig, TrainConfig
from pix2pix.data import PairDataset, batches, find_pairs, steps_per_epoch
from pix2pix.devices import has_fast_bfloat16
from pix2pix.errors import UserError
from pix2pix.files import write_json
from pix2pix.images import save_png
from pix2pix.losses import adversarial, reconstruction
from pix2pix.models import load_model, save_model
from pix2pix.networks import build_discriminator, build_generator
from pix2pix.pictures import rows_picture


class Trainer:
    """Both networks with their optimisers; ``step`` is the whole of pix2pix's training."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.generator = build_generator(config.generator_config()).to(device)
        self.discriminator = build_discriminator(config.discriminator_config()).to(device)
        adam = {"lr": config.lr, "betas": (config.beta1, 0.999), "fused": device.type != "mps"}
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), **adam)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), **adam)
        self.average = None
        if config.ema:
            average = get_ema_multi_avg_fn(config.ema)
            self.average = AveragedModel(self.generator, multi_avg_fn=average)
        wanted = config.precision == "bfloat16"
        self.bfloat16 = wanted or (config.precision == "auto" and has_fast_bfloat16(device))

    def step(self, source: Tensor, target: Tensor) -> dict[str, float]:
        """One update of D, then one of G (paper section 3.3), on N x C x H x W in [-1, 1]."""
        source, target = source.to(self.device), target.to(self.device)
        with self.autocast():
            generated = self.generator(source)

            # D: real pairs are real, generated ones are not.
            d_real = adversarial(self.discriminator(source, target), real=True)
            d_fake = adversarial(self.discriminator(source, generated.detach()), real=False)
            d_loss = self.config.d_weight * (d_real + d_fake)
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        # G: fool the updated D, and stay close to the target in L1.
        self.discriminator.requires_grad_(False)
        with self.autocast():
            g_adversarial = adversarial(self.discriminator(source, generated), real=True)
            g_l1 = reconstruction(generated, target)
            g_loss = g_adversarial + self.config.lambda_l1 * g_l1
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)

        if self.average:
            self.average.update_parameters(self.generator)
        losses = {
            "d_real": d_real, "d_fake": d_fake, "g_adversarial": g_adversarial, "g_l1": g_l1
        }  # fmt: skip
        return {name: value.item() for name, value in losses.items()}

    def autocast(self) -> contextlib.AbstractContextManager:
        if not self.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def set_lr(self, lr: float) -> None:
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = lr

    def current_generator(self) -> nn.Module:
        """The generator to look at and to ship: the moving average where there is one."""
        return self.average.module if self.average else self.generator

    def parts(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in ("generator", "discriminator")}
        parts |= {name: getattr(self, name) for name in ("g_optimizer", "d_optimizer")}
        return parts | ({"average": self.average} if self.average else {})

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises UserError where ``state`` is that of other networks."""
        try:
            for name, part in self.parts().items():
                part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                "The saved state is that of another network: resume with the settings that the "
                "run's config.json names."
            ) from error


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Constant, then linear to zero over the last ``config.decay`` share of the run."""
    left = (steps - step) / max(config.decay * steps, 1)
    return config.lr * min(1.0, left) if config.decay else config.lr


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after each step."""

    step: int
    steps: int
    epoch: int
    losses: dict[str, float]
    seconds: float  # since this process began the run


def train(
    run: Path,
    data: Path,
    config: TrainConfig,
    *,
    device: torch.device,
    start_from: Path | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train in the folder ``run`` until done or told to stop; returns its model folder.

    The run folder holds ``config.json``, ``metrics.jsonl`` (a line a step), ``samples/``,
    ``state.pt`` and ``model/``. Raises UserError for data or settings that cannot work.
    """
    dataset = PairDataset(data, "train", config)
    source_channels, target_channels = dataset.channels
    config = dataclasses.replace(
        config, source_channels=source_channels, target_channels=target_channels
    )
    dataset.config = config
    if not resume and (run / "metrics.jsonl").exists():
        raise UserError(f"{run.name} holds a run already: resume it, or name another folder.")
    per_epoch = steps_per_epoch(len(dataset), config.batch_size)
    steps = config.steps or config.epochs * per_epoch
    trainer, step = Trainer(config, device), 0
    if start_from:
        start_with(trainer, start_from)
    if resume:
        state = load_state(run)
        step = state["step"]
        trainer.load_state_dict(state["trainer"])
        torch.set_rng_state(state["rng"])
    write_json(run / "config.json", {**dataclasses.asdict(config), "data": data.name})
    samples = fixed_samples(dataset, data, config)
    started = time.monotonic()
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
        for epoch, source, target in batches(dataset, config.batch_size, config.seed, step):
            if step >= steps or should_stop():
                break
            trainer.set_lr(learning_rate(config, step, steps))
            losses = trainer.step(source, target)
            step += 1
            write_line(metrics, {"step": step, "epoch": epoch, **losses})
            if step % config.sample_every_steps == 0 or step == steps:
                save_png(sample_grid(trainer, samples), run / "samples" / f"step-{step:07d}.png")
            if step % config.save_every_steps == 0:
                save_run(run, trainer, config, step)
            on_progress(Progress(step, steps, epoch, losses, time.monotonic() - started))
    save_run(run, trainer, config, step)
    return run / "model"


def start_with(trainer: Trainer, folder: Path) -> None:
    """Begin with a model's weights (fine-tuning); raises UserError where the networks differ."""
    generator, found = load_model(folder)
    if found.generator != trainer.config.generator_config():
        raise UserError(
            f"'{folder.name}' is another network than this run's: give the run the model's "
            "size, ngf, channels, norm, dropout, bias and upsample."
        )
    trainer.generator.load_state_dict(generator.state_dict())


def fixed_samples(
    dataset: PairDataset, data: Path, config: TrainConfig, count: int = 8
) -> tuple[Tensor, Tensor]:
    """The pairs that every sample grid shows: from val where there is one, spread evenly."""
    shown = PairDataset(data, "val", config) if find_pairs(data, "val") else dataset
    chosen = torch.linspace(0, len(shown) - 1, min(count, len(shown))).long().tolist()
    pairs = [shown.plain(i) for i in chosen]
    return torch.stack([s for s, _ in pairs]), torch.stack([t for _, t in pairs])


@torch.no_grad()
def sample_grid(trainer: Trainer, samples: tuple[Tensor, Tensor]) -> Any:
    """A picture of three rows: source, generated, target. One image per forward, without dropout,
    each normalised by its own statistics: as the translator will show it."""
    generator = trainer.current_generator()
    dropouts = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
    for dropout in dropouts:
        dropout.eval()
    kept = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    source, target = samples
    generated = torch.cat([generator(s[None].to(trainer.device)).cpu() for s in source])
    generator.load_state_dict(kept, strict=False)  # looking must not change what is trained
    for dropout in dropouts:
        dropout.train()
    return rows_picture([source.numpy(), generated.float().numpy(), target.numpy()])


def save_run(run: Path, trainer: Trainer, config: TrainConfig, step: int) -> None:
    """The resumable state, and the generator as a model folder."""
    rng = torch.get_rng_state()
    save_state(run, {"step": step, "trainer": trainer.state_dict(), "rng": rng})
    model = ModelConfig(
        generator=config.generator_config(),
        title=run.name,
        source_name=config.source_name or "source",
        target_name=config.target_name or "target",
        direction=config.direction,
        source_kind=config.source_kind,
        fit="whole" if config.source_kind == "drawing" else "tiles",
        training={"preset": config.preset, "steps": step, "batch_size": config.batch_size},
    )
    card = f"# {run.name}\n\nA pix2pix generator after {step:,} steps of `{config.preset}`.\n"
    save_model(run / "model", trainer.current_generator(), model, card)


def write_line(file: TextIO, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()
