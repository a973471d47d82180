"""The settings of a new run: what was given, the dataset, the model it begins with, a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix.config import (
    PRESETS,
    Direction,
    ModelConfig,
    TrainConfig,
    as_text,
    train_config,
)
from pix2pix.datasets import Description, describe, has_hints, said_label_maps
from pix2pix.errors import UserError
from pix2pix.models import read_config

HINTS = 0.8  # colour_hints of a run that begins with a model that follows them


def new_settings(
    preset: str, given: Mapping[str, str], data: Path, start_from: Path | None = None
) -> TrainConfig:
    """Each setting is the one that was `given`, else what the dataset says of itself, else the
    model's that the run begins with, else the preset's. Raises UserError where these contradict
    each other or cannot be."""
    if not start_from:
        return with_dataset(train_config(preset, given), data, given)
    model = read_config(start_from)
    begin = {**network_of(model, given), **task_of(model, preset, given, data)}
    config = with_dataset(train_config(preset, given, begin), data, given)
    if config.generator_config().hints and not model.generator.hints:
        raise UserError(
            "The model to start from has no hints of colour: leave colour_hints out and choose a "
            "dataset of lines alone, or start from scratch."
        )
    return config


def network_of(model: ModelConfig, given: Mapping[str, str]) -> dict[str, Any]:
    """The model's network, channels included, since its weights fit no other; the size alone may be
    another one where the weights do not depend on it. Raises UserError where `given` contradicts
    it."""
    generator = model.generator
    if given.get("size", "").isdigit():
        generator = generator.at_size(int(given["size"]))
    network = dataclasses.asdict(generator)
    values = {"generator": network.pop("kind"), **network}
    for key, value in values.items():
        if given.get(key, as_text(value)) != as_text(value):
            raise UserError(
                f"The model to start from has {key}={as_text(value)}: leave {key} out, or start "
                "from scratch."
            )
    return values


def task_of(
    model: ModelConfig, preset: str, given: Mapping[str, str], data: Path
) -> dict[str, Any]:
    """What the model translates: its direction on this dataset, the kind of its sources, their
    names. Nothing for a run that goes the other way round, or that makes grey sources where the
    model had others."""
    direction = direction_on(model, describe(data) if data.is_dir() else None)
    derive = given.get("derive") or PRESETS.get(preset, {}).get("derive")
    if not model.colours_grey and (
        derive == "grey" or given.get("direction", direction) != direction
    ):
        return {}
    values = {"direction": direction, "source_kind": model.source_kind}
    if (model.source_name, model.target_name) != ("source", "target"):  # it was given names
        values |= {"source_name": model.source_name, "target_name": model.target_name}
    if model.generator.hints and not has_hints(data):  # what it can do it shall not forget
        values["colour_hints"] = HINTS
    return values | ({"derive": "grey"} if model.colours_grey else {})


def direction_on(model: ModelConfig, data: Description | None) -> Direction:
    """The direction in which a dataset has the model's source and target: by their names where
    these are the dataset's too, else the one it was trained in."""
    if data:
        sides = [name.strip().casefold() for name in (data.source_name, data.target_name)]
        names = [name.strip().casefold() for name in (model.source_name, model.target_name)]
        if sides[0] != sides[1] and names in (sides, sides[::-1]):
            return "AtoB" if names == sides else "BtoA"
    return model.direction


def with_dataset(config: TrainConfig, data: Path, given: Mapping[str, Any]) -> TrainConfig:
    """With the dataset's own names for source and target, and with sources that are label maps
    or drawings over strokes of colour taken as such, where the dataset says so and nothing of it
    was `given`."""
    if config.derive != "pairs" or not data.is_dir():
        return config
    said, labels = describe(data), said_label_maps(data)
    names = [said.source_name, said.target_name]
    turn = 1 if config.direction == "AtoB" else -1
    values = {}
    if names != ["A", "B"]:
        values = dict(zip(("source_name", "target_name"), names[::turn]))
    if labels and labels[::turn][0] is True:
        values["source_kind"] = "labels"
    if config.colour_hints or (turn == 1 and has_hints(data)):
        values["source_kind"] = "drawing"
        values["hints"] = True
    return dataclasses.replace(config, **{k: v for k, v in values.items() if not given.get(k)})
