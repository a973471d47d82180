"""The presets: what each changes in the paper's settings, and which settings a network lacks."""

from __future__ import annotations

from typing import Any

# What helped at equal time (docs/quality.md).
RECIPE: dict[str, Any] = {
    "upsample": "resize",
    "widest": 4,
    "discriminator": "projected",
    "adversarial": "hinge",
    "lambda_l1": 10.0,
    "lambda_perceptual": 20.0,
    "lr": 1.8e-3,  # nine times the paper's (docs/quality.md)
}
# In its place where the targets are label maps: the frozen features hardly tell flat colours apart,
# and of maps from satellite pictures fewer pixels were right than by the commonest label alone.
FOR_LABEL_MAPS: dict[str, Any] = {
    "discriminator": "patch",
    "adversarial": "bce",
    "lambda_l1": 100.0,
    "lambda_perceptual": 0.0,
}
LR_FOR_LABEL_MAPS = 4e-4
# What each preset changes; the rest is the paper's.
PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {
        "ngf": 32,
        "ndf": 32,
        **RECIPE,
        "ema": 0.998,
        "epochs": 100,
        "decay": 0.0,
        "keep_every_epochs": 10,
    },
    # `recommended` made so small that two cores draw recognisable pictures in two minutes.
    "quick": {
        "size": 64,
        "jitter": 6,
        "ngf": 24,
        "ndf": 24,
        **RECIPE,
        "ema": 0.98,
        "batch_size": 4,
        "epochs": 8,
        "steps_per_epoch": 50,
        "decay": 0.0,
        "save_every_steps": 250,
        "sample_every_steps": 50,
    },
    "maps": {"epochs": 100, "decay": 0.0, "keep_every_epochs": 10},
    "cityscapes": {
        "generator": "small-unet",
        "discriminator": "cityscapes",
        "direction": "BtoA",
        "source_kind": "labels",
        "lambda_l1": 10.0,
        "d_weight": 1.0,
        "beta1": 0.9,
        "batch_size": 32,
        "epochs": 150,
        "steps_per_epoch": 100,
        "decay": 0.0,
        "keep_every_epochs": 10,
        "jitter_kind": "shrink",
        "mirror": False,
    },
    "scratch": {"discriminator": "scratch", "epochs": 100, "decay": 0.0, "keep_every_epochs": 10},
    "colorize": {
        "source_channels": 1,
        "target_channels": 3,
        "derive": "grey",
        "epochs": 100,
        "decay": 0.0,
        "keep_every_epochs": 10,
        "source_name": "grey",
        "target_name": "colour",
    },
    "face-sketch": {
        "direction": "BtoA",
        "source_kind": "drawing",
        "source_name": "sketch",
        "target_name": "photo",
        "epochs": 100,
        "decay": 0.0,
    },
}
FIRST_PRESET = "recommended"  # where none was chosen
# Settings that networks of a kind are built without.
UNUSED_SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "generator": {
        "unet": ("blocks",),
        "small-unet": ("ngf", "dropout", "bias", "upsample", "blocks", "depth", "widest"),
        "resnet": ("upsample", "depth", "widest"),
    },
    "discriminator": {
        "scratch": ("layers",),
        "cityscapes": ("layers",),
        "projected": ("layers", "lambda_features"),
    },
}
