"""The losses, pure functions of logits and pictures. Each returns a scalar tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss, normalize, relu


def discriminator_adversarial(
    logits: Tensor | Sequence[Tensor], real: bool, kind: str = "bce"
) -> Tensor:
    """Compute D's loss: patch logits N x 1 x h x w against all real or all fake; of several
    scales the mean.

    `kind` is binary cross entropy "bce" (the paper's), "least-squares" (Mao et al. 2017, goals 1
    and 0) or "hinge" (Lim and Ye 2017, margins 1 and -1).
    """
    if not isinstance(logits, Tensor):
        return torch.stack(
            [discriminator_adversarial(scale, real, kind) for scale in logits]
        ).mean()
    if kind == "hinge":
        return relu(1 - logits if real else 1 + logits).mean()
    goal = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return (mse_loss if kind == "least-squares" else binary_cross_entropy_with_logits)(logits, goal)


def generator_adversarial(logits: Tensor | Sequence[Tensor], kind: str = "bce") -> Tensor:
    """Compute G's loss on D's logits for generated pictures; `kind` as in
    ``discriminator_adversarial``.

    It is D's loss as if they were real: maximise log D(x, G(x)) rather than minimise
    log(1 - D(x, G(x))) (paper section 3.3). Hinge has no margin here.
    """
    if not isinstance(logits, Tensor):
        return torch.stack([generator_adversarial(scale, kind) for scale in logits]).mean()
    return -logits.mean() if kind == "hinge" else discriminator_adversarial(logits, True, kind)


def reconstruction(generated: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute difference of pictures N x C x H x W in [-1, 1] (paper section 3.1,
    equation 3)."""
    return l1_loss(generated, target)


def feature_matching(generated: list[Tensor], real: list[Tensor]) -> Tensor:
    """Compute the mean absolute difference of D's inner activations, the mean over its layers
    (Wang et al. 2018, section 3.2). `real` gets no gradient."""
    layers = [
        l1_loss(generated_features, real_features.detach())
        for generated_features, real_features in zip(generated, real)
    ]
    return torch.stack(layers).mean()


def perceptual(generated: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Compute the mean of `perceptual_distances`, from 0 for equal pictures to 4."""
    return perceptual_distances(generated, target).mean()


def perceptual_distances(generated: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Compute how far two pictures are apart in the maps N x C x h x w of a frozen network, N
    values from 0 (equal) to 4: at every place the squared distance of the two unit vectors of
    channels, averaged over places, then over the maps (the measure of Zhang et al. 2018, arXiv
    1801.03924, without its learned weights)."""

    def distance(a: Tensor, b: Tensor) -> Tensor:
        a, b = normalize(a, dim=1, eps=1e-8), normalize(b, dim=1, eps=1e-8)
        return (a - b).square().sum(1).mean((1, 2))

    return torch.stack(list(map(distance, generated, target))).mean(0)
