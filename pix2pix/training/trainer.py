"""The training step of the paper: both networks, their optimisers, one update of each."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pix2pix.config import TrainConfig
from pix2pix.errors import UserError
from pix2pix.nn.device import compiler_errors, has_fast_bfloat16, out_of_memory
from pix2pix.nn.diffaugment import Augmentation
from pix2pix.nn.discriminators import build_discriminator
from pix2pix.nn.generators import build_generator, keep_light
from pix2pix.nn.imagenet import LITE0, imagenet_network
from pix2pix.nn.losses import (
    discriminator_adversarial,
    feature_matching,
    generator_adversarial,
    perceptual,
    reconstruction,
)
from pix2pix.training.distributed import ProcessGroup


class NonFiniteLoss(UserError):
    """A loss or a weight is no number any more; ``losses`` are those of the broken step."""

    def __init__(self, losses: dict[str, float]) -> None:
        super().__init__(
            "The loss is not a number any more: fine-tune the last model with half the learning "
            "rate (lr and d_lr), or resume in the terminal with --set lr=...; the last saved state "
            "is whole."
        )
        self.losses = losses


# Source, target and generated as D takes them, after one augmentation of all three; the projected D
# takes the latter two as the features of a frozen network.
DInputs = tuple[Tensor, Tensor | list[Tensor], Tensor | list[Tensor]]


@dataclass
class MicroBatch:
    """Pairs that go through the networks together: a share of the step's batch."""

    source: Tensor
    target: Tensor
    share: float
    generated: Tensor | None = None
    d_inputs: DInputs | None = None


class Trainer:
    """Both networks with their optimisers; ``step`` is the whole of pix2pix's training."""

    def __init__(
        self, config: TrainConfig, device: torch.device, ranks: ProcessGroup | None = None
    ) -> None:
        """With ``ranks`` gradients are averaged over several processes."""
        self.config, self.device = config, device
        self.ranks = ranks or ProcessGroup(device)
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.tensor_options = {"device": device, "memory_format": layout}
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
            torch.random.default_generator.manual_seed(config.seed)
            generator = build_generator(config.generator_config())
            discriminator = build_discriminator(config.discriminator_config())
        self.generator = generator.to(**self.tensor_options)
        self.discriminator = discriminator.to(**self.tensor_options)
        adam = {"lr": config.lr, "betas": (config.beta1, 0.999), "fused": device.type != "mps"}
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), **adam)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), **adam)
        # What both judge by, where a feature loss or the projected discriminator asks for it.
        self.projected = config.discriminator == "projected"
        self.features = imagenet_network(LITE0, str(device)) if config.sees_features else None
        self.average = None
        if config.ema:
            self.average = AveragedModel(self.generator, multi_avg_fn=moving_average(config.ema))
        if config.compile:  # in place: the names of the weights stay
            self.generator.compile()
            self.discriminator.compile()
        self.g, self.d = map(self.ranks.shared, (self.generator, self.discriminator))
        is_forced = config.precision == "bfloat16"
        self.bfloat16 = is_forced or (config.precision == "auto" and has_fast_bfloat16(device))
        self.retried_steps = 0  # half steps that bfloat16 failed and float32 did again
        self.set_lr(config.lr)

    def step(self, source: Tensor, target: Tensor) -> dict[str, float]:
        """Update D once, then G once (paper section 3.3), on N x C x H x W in [-1, 1].

        A network is updated only from losses that are numbers. With more than one
        ``gradient_accumulation_steps`` the pairs go through in as many parts, whose gradients add
        up to those of all; only batch norm has the statistics of each part. Raises NonFiniteLoss.
        """
        c, parts = self.config, self.split(source, target)
        sums: Counter[str] = Counter()

        # D: real pairs are real, generated ones are not (equation 1); halved by d_weight 0.5, which
        # slows D down beside G (section 3.3).
        self.d_optimizer.zero_grad()
        for part in parts:
            loss = self.finite_losses(self.d_losses, part, sums)
            (part.share * c.d_weight * (loss["d_real"] + loss["d_fake"])).backward()
        self.d_optimizer.step()
        if self.projected:
            self.discriminator.update_norms()

        # G: fool the updated D, and stay close to the target in L1, lambda_l1 = 100 (equation 4);
        # the two terms after these are not of the paper, and 0 unless asked for.
        self.g_optimizer.zero_grad()
        with freeze(self.discriminator):
            for part in parts:
                loss = self.finite_losses(self.g_losses, part, sums)
                g_loss = loss["g_adversarial"] + c.lambda_l1 * loss["g_l1"]
                g_loss = g_loss + c.lambda_perceptual * loss.get("g_perceptual", 0.0)
                g_loss = g_loss + c.lambda_features * loss.get("g_features", 0.0)
                (part.share * g_loss).backward()
        self.g_optimizer.step()

        if self.average:
            self.average.update_parameters(self.generator)
        return dict(sums)

    def d_losses(self, part: MicroBatch) -> dict[str, Tensor]:
        """Compute D's losses on a part of the batch, `d_real` and `d_fake`: scalars."""
        # One forward serves both updates; one of several parts keeps no activations, and G's
        # update computes them again.
        with torch.set_grad_enabled(part.share == 1):
            part.generated = self.generate(part)
            source, target, generated = part.d_inputs = self.discriminator_inputs(part)
        real, fake = self.d(source, target, detached(generated))
        kind = self.config.adversarial
        return {
            "d_real": discriminator_adversarial(real, True, kind),
            "d_fake": discriminator_adversarial(fake, False, kind),
        }

    def g_losses(self, part: MicroBatch) -> dict[str, Tensor]:
        """Compute G's losses on a part of the batch, `g_adversarial`, `g_l1` and what else the
        config asks for: scalars."""
        c, losses = self.config, {}
        if part.share < 1 or part.generated is None:
            part.generated, part.d_inputs = self.generate(part), None
        if part.d_inputs is None or not self.projected:  # features are dear: D's serve here too
            part.d_inputs = self.discriminator_inputs(part)
        source, target, generated = part.d_inputs
        if c.lambda_features:
            *inner, logits = self.discriminator.activations(source, generated)
            with torch.no_grad():
                *real, _ = self.discriminator.activations(source, target)
            losses["g_features"] = feature_matching(inner, real)
        else:
            logits = self.discriminator(source, generated)
        losses["g_adversarial"] = generator_adversarial(logits, c.adversarial)
        losses["g_l1"] = reconstruction(part.generated, part.target)
        if c.lambda_perceptual:
            if not self.projected or c.diffaugment:  # which changes what D sees, and D alone
                target = self.features(part.target)
                generated = self.features(self.as_translated(part.generated, part.source))
            losses["g_perceptual"] = perceptual(generated, target)
        return losses

    def generate(self, part: MicroBatch) -> Tensor:
        """Generate pictures, N x C x H x W; a tint is the mean colour of each target."""
        return self.g(part.source, *([part.target.mean((2, 3))] if self.config.tint else []))

    def as_translated(self, generated: Tensor, source: Tensor) -> Tensor:
        """Return a generated picture as the translator gives it: a grey photo keeps its light."""
        return keep_light(generated, source) if self.config.keep_light else generated

    def discriminator_inputs(self, part: MicroBatch) -> DInputs:
        """Augment a part alike in all three, where that was asked for, and compute the features
        that the projected D takes."""
        source, target = part.source, part.target
        generated = self.as_translated(part.generated, source)
        if self.config.diffaugment:
            change = Augmentation.draw(len(source))
            (source, target), (_, generated) = change(source, target), change(source, generated)
        if self.projected:
            target, generated = self.features(target), self.features(generated)
        return source, target, generated

    def split(self, source: Tensor, target: Tensor) -> list[MicroBatch]:
        """Cut a batch, N x C x H x W of each side, into the parts that go through the networks
        together, on the device."""
        sides = [
            side.to(**self.tensor_options).chunk(self.config.gradient_accumulation_steps)
            for side in (source, target)
        ]
        return [MicroBatch(s, t, len(s) / len(source)) for s, t in zip(*sides)]

    def finite_losses(
        self,
        compute: Callable[[MicroBatch], dict[str, Tensor]],
        part: MicroBatch,
        sums: Counter[str],
    ) -> dict[str, Tensor]:
        """Compute the losses of a part and add them to ``sums`` by its share; raises
        NonFiniteLoss.

        Where bfloat16 gives none, float32 is asked, and from the second time on it stays.
        """
        networks = (self.generator, self.discriminator) if self.bfloat16 else ()
        buffers = [buffer for network in networks for buffer in network.buffers()]
        before = [buffer.clone() for buffer in buffers]
        with self.autocast(), compiler_errors():
            losses = compute(part)
        values = torch.stack([*losses.values()]).tolist()
        if self.bfloat16 and not self.all_finite(values):
            self.retried_steps += 1
            self.bfloat16 = self.retried_steps < 2
            part.generated = None  # it and its features are of bfloat16
            for buffer, value in zip(buffers, before):  # nor shall batch norm remember it
                buffer.copy_(value)
            losses = compute(part)
            values = torch.stack([*losses.values()]).tolist()
        if not self.all_finite(values):  # all processes end, and the first one says why
            raise NonFiniteLoss(dict(zip(losses, values)))
        sums.update({name: part.share * value for name, value in zip(losses, values)})
        return losses

    def all_finite(self, values: list[float]) -> bool:
        """Return whether all are numbers, on every process that trains along."""
        return not any(self.ranks.any(not all(map(math.isfinite, values))))

    def check_weights(self) -> None:
        """Raise NonFiniteLoss for a weight that is not finite: an update can do that under
        finite losses."""
        networks = self.generator.state_dict(), self.discriminator.state_dict()
        if not all(part.isfinite().all() for network in networks for part in network.values()):
            raise NonFiniteLoss({})

    def autocast(self) -> contextlib.AbstractContextManager:
        """Compute in bfloat16 where that is fast."""
        if not self.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def set_lr(self, lr: float) -> None:
        """Set G's learning rate; D's own, where it has one, keeps its proportion to it."""
        d_lr = lr * self.config.d_lr / self.config.lr if self.config.d_lr else lr
        for optimizer, rate in ((self.g_optimizer, lr), (self.d_optimizer, d_lr)):
            for group in optimizer.param_groups:
                group["lr"] = rate

    def current_generator(self) -> nn.Module:
        """Return the generator to look at and to ship: the moving average where there is one."""
        return self.average.module if self.average else self.generator

    def stateful(self) -> dict[str, Any]:
        """List what a state is made of, by name."""
        names = ["generator", "discriminator", "g_optimizer", "d_optimizer"]
        names += ["average"] if self.average else []
        return {name: getattr(self, name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimisers and average as they are."""
        state = {name: part.state_dict() for name, part in self.stateful().items()}
        return state | {"guard": {"retried_steps": torch.tensor(self.retried_steps)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the state; raises UserError where it is that of other networks."""
        try:
            for name, part in self.stateful().items():
                part.load_state_dict(state[name])
            for optimizer in (self.g_optimizer, self.d_optimizer):
                match_memory_format(optimizer)
                for group in optimizer.param_groups:  # a resumed run may have others
                    group["betas"] = (self.config.beta1, 0.999)
                    group["fused"] = self.device.type != "mps"
            guard = state.get("guard", {})
            self.retried_steps = int(guard.get("retried_steps", guard.get("redone", 0)))  # once so
            self.bfloat16 = self.bfloat16 and self.retried_steps < 2
        except (RuntimeError, ValueError, KeyError) as error:
            if out_of_memory(error):
                raise
            raise UserError(
                "The saved state is that of another network: resume with the settings that the "
                "run's config.json names."
            ) from error


def detached(generated: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Cut a picture, or its features, from G's gradients."""
    return generated.detach() if isinstance(generated, Tensor) else [x.detach() for x in generated]


def moving_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Make the update of an `AveragedModel` that forgets the first, grey generators: at step n it
    is of about n / 10 steps, until the decay is reached (as TensorFlow's ExponentialMovingAverage
    with `num_updates`)."""

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], steps: Tensor) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(averages, weights, 1 - now)

    return update


def match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Let moments lie in memory as their weights do: a state may be of a run with the other
    layout, and fused Adam takes numbers in the order in which they lie."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(value)


@contextlib.contextmanager
def freeze(network: nn.Module) -> Iterator[None]:
    """Compute no gradients for the network's weights, which saves time."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return lr: constant, then to zero over the last ``config.decay`` share of the run, along a
    line or along half a cosine wave, which is slow at both ends."""
    remaining = min(1.0, (steps - step) / max(config.decay * steps, 1)) if config.decay else 1.0
    if config.schedule == "cosine":
        remaining = (1 - math.cos(math.pi * remaining)) / 2
    return config.lr * remaining
