"""The training step of the paper: both networks, their optimisers, one update of each."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pix2pix.config import TrainConfig
from pix2pix.devices import has_fast_bfloat16
from pix2pix.errors import UserError
from pix2pix.losses import adversarial, reconstruction
from pix2pix.networks import build_discriminator, build_generator


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
