"""Each loss against its formula, written out number by number."""

from __future__ import annotations

import math

import pytest
import torch

from pix2pix.nn.losses import (
    discriminator_adversarial,
    feature_matching,
    generator_adversarial,
    reconstruction,
)

NUMBERS = [-2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 3.0, 20.0]
LOGITS = torch.tensor(NUMBERS, dtype=torch.float64).reshape(2, 1, 2, 2)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


FORMULAS = {
    "bce": (lambda x: math.log(1 + math.exp(-x)), lambda x: x + math.log(1 + math.exp(-x))),
    "least-squares": (lambda x: (x - 1) ** 2, lambda x: x**2),
    "hinge": (lambda x: max(0.0, 1 - x), lambda x: max(0.0, 1 + x)),
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_the_discriminators_loss(kind: str) -> None:
    for real, formula in zip((True, False), FORMULAS[kind]):
        expected = mean([formula(x) for x in NUMBERS])
        assert discriminator_adversarial(LOGITS, real, kind).item() == pytest.approx(
            expected, rel=1e-9
        )


def test_the_generators_loss() -> None:
    for kind, formula in (
        ("bce", lambda x: -math.log(1 / (1 + math.exp(-x)))),
        ("least-squares", lambda x: (x - 1) ** 2),
        ("hinge", lambda x: -x),
    ):
        expected = mean([formula(x) for x in NUMBERS])
        assert generator_adversarial(LOGITS, kind).item() == pytest.approx(expected, rel=1e-7)


def test_the_paper_is_the_default() -> None:
    assert discriminator_adversarial(LOGITS, True) == discriminator_adversarial(LOGITS, True, "bce")
    assert generator_adversarial(LOGITS) == generator_adversarial(LOGITS, "bce")


def test_reconstruction_is_the_mean_absolute_difference() -> None:
    other = LOGITS.flip(0)
    expected = mean([abs(a - b) for a, b in zip(NUMBERS, [*NUMBERS[4:], *NUMBERS[:4]])])
    assert reconstruction(LOGITS, other).item() == pytest.approx(expected)


def test_features_count_by_layer_and_only_the_generated_learn() -> None:
    small, large = torch.zeros(1, 2, requires_grad=True), torch.zeros(100, requires_grad=True)
    real = [torch.full((1, 2), 3.0, requires_grad=True), torch.full((100,), -5.0)]
    loss = feature_matching([small, large], real)
    assert loss.item() == pytest.approx((3 + 5) / 2)  # not weighted by the layers' sizes
    loss.backward()
    assert small.grad is not None and real[0].grad is None
