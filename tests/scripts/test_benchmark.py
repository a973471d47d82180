"""The benchmark: what it times against each other gives the same picture."""

from __future__ import annotations

import numpy as np
import pytest

from pix2pix.models.folder import find_model
from scripts.dev.benchmark_network import MODELS, ways


@pytest.mark.parametrize("name", MODELS)
def test_the_ways_to_a_picture_that_are_timed_give_the_same(name: str) -> None:
    made = ways(find_model(name))
    source = np.random.default_rng(0).uniform(-1, 1, (1, 3, 256, 256)).astype(np.float32)
    pictures = {way: translate(source) for way, translate in made.items()}
    expected = pictures.pop("onnx_runtime")
    assert expected.shape == (3, 256, 256) and expected.std() > 0.1
    in_training = pictures.pop("reference")  # with dropout and noise
    assert in_training.shape == expected.shape and np.isfinite(in_training).all()
    for picture in pictures.values():
        np.testing.assert_allclose(picture, expected, atol=2e-3)
