"""The losses as pure functions of logits and pictures. Each returns a scalar tensor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Binary cross entropy of patch logits N x 1 x h x w against all real or all fake.

    With ``real=True`` on generated pictures it is the generator's loss in the paper's form
    (section 3.3): maximise log D(x, G(x)) rather than minimise log(1 - D(x, G(x))).
    """
    goal = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return binary_cross_entropy_with_logits(logits, goal)


def reconstruction(generated: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of pictures in [-1, 1] (paper section 3.1, equation 3)."""
    return l1_loss(generated, target)
