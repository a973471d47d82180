"""The losses as pure functions of logits and pictures. Each returns a scalar tensor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss, relu


def adversarial(logits: Tensor, real: bool, kind: str = "bce") -> Tensor:
    """D's loss: patch logits N x 1 x h x w against all real or all fake.

    `kind` is binary cross entropy "bce" (the paper's), "least-squares" (Mao et al. 2017, goals 1
    and 0) or "hinge" (Lim and Ye 2017, margins 1 and -1).
    """
    if kind == "hinge":
        return relu(1 - logits if real else 1 + logits).mean()
    goal = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return (mse_loss if kind == "least-squares" else binary_cross_entropy_with_logits)(logits, goal)


def fooling(logits: Tensor, kind: str = "bce") -> Tensor:
    """G's loss on D's logits for generated pictures; `kind` as in ``adversarial``.

    It is D's loss as if they were real: maximise log D(x, G(x)) rather than minimise
    log(1 - D(x, G(x))) (paper section 3.3). Hinge has no margin here.
    """
    return -logits.mean() if kind == "hinge" else adversarial(logits, True, kind)


def reconstruction(generated: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of pictures in [-1, 1] (paper section 3.1, equation 3)."""
    return l1_loss(generated, target)


def feature_matching(generated: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean absolute difference of D's inner activations, the mean over its layers
    (Wang et al. 2018, section 3.2). `real` gets no gradient."""
    layers = [l1_loss(ours, theirs.detach()) for ours, theirs in zip(generated, real)]
    return torch.stack(layers).mean()
