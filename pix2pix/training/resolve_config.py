"""Resolve the settings of a run: of a new one by overrides, the dataset, the model to start from
and the preset; of one that goes on by its ``config.json``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pix2pix.config import TrainConfig, parse_settings, with_preset
from pix2pix.data.dataset import dataset_info, locate_dataset
from pix2pix.data.report import DatasetFacts, read_facts
from pix2pix.errors import UserError
from pix2pix.model_config import Direction, ModelConfig
from pix2pix.models.folder import find_model, read_config
from pix2pix.nn.device import pick_device
from pix2pix.presets import FOR_LABEL_MAPS, LR_FOR_LABEL_MAPS, PRESETS
from pix2pix.utils.validation import setting_text

HINTED_SHARE = 0.8  # colour_hints of a model that follows them, or where they were only switched on


class RunSettings(NamedTuple):
    """What a run trains with: its ``config.json``."""

    config: TrainConfig
    data: Path
    start_from: Path | None  # the model that it begins with
    device: torch.device


def new_run(
    preset: str,
    overrides: Mapping[str, object],
    data: Path,
    start_from: str | os.PathLike[str] | None,
    device: str,
) -> RunSettings:
    """Find what a new run trains with: the settings as `resolve_config` does, and by its name or
    folder the model that it begins with. Raises UserError."""
    if not data.is_dir():
        raise UserError(f"There is no folder '{data}': give that of a dataset.")
    model = find_model(start_from) if start_from else None
    config = resolve_config(preset, overrides, data, model)
    config.generator_config(), config.discriminator_config()  # they check their own part
    return RunSettings(config, data, model, pick_device(device))


def resolve_config(
    preset: str, overrides: Mapping[str, object], data: Path, start_from: Path | None = None
) -> TrainConfig:
    """Find every setting of a new run: the one in `overrides`, read as `parse_settings` does, else
    what the dataset says of itself, else the model's that the run begins with, else the preset's.

    Raises UserError where these contradict each other or cannot be.
    """
    given = parse_settings(overrides)
    facts = dataset_info(data).facts if data.is_dir() else DatasetFacts()
    if not start_from:
        direction = preset_direction(with_preset(preset, given), facts)
        begin = {"direction": direction} if direction else {}
        return with_dataset_facts(with_preset(preset, given, begin), facts, given)
    model = read_config(start_from)
    begin = {**model_network(model, given), **model_task(model, preset, given, facts)}
    return with_dataset_facts(with_preset(preset, given, begin), facts, given)


def model_network(model: ModelConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's network, channels included, since its weights fit no other; only the
    size may differ where the weights do not depend on it, and hints of colour, noise and a tint may
    be learned. Raises UserError where a setting that was `given` contradicts it."""
    generator = model.generator
    size = given.get("size", 0)
    if size >= (2**generator.halvings if generator.kind == "unet" else 1):
        generator = generator.at_size(size)
    learned = {part: True for part in ("noise", "tint") if given.get(part)}
    generator = dataclasses.replace(generator, **learned)
    network = dataclasses.asdict(generator)
    values = {"generator": network.pop("kind"), **network}
    for key, value in values.items():
        if given.get(key, value) != value:
            raise UserError(
                f"The model to start from has {key}={setting_text(value)}: leave {key} out, or "
                "start from scratch."
            )
    return values


def model_task(
    model: ModelConfig, preset: str, given: Mapping[str, Any], facts: DatasetFacts
) -> dict[str, Any]:
    """Return what the model translates: its direction on this dataset, the kind of its sources,
    their names. Empty for a run in the other direction, or that makes grey sources where the
    model had others."""
    direction = facts.direction_of(model)
    derive = given.get("derive") or PRESETS.get(preset, {}).get("derive")
    if not model.colours_grey and (
        derive == "grey" or given.get("direction", direction) != direction
    ):
        return {}
    values = {"direction": direction, "source_kind": model.source_kind}
    if (model.source_name, model.target_name) != ("source", "target"):  # it was given names
        values |= {"source_name": model.source_name, "target_name": model.target_name}
    if model.generator.hints and not facts.has_hints:  # what it can do it shall not forget
        values["colour_hints"] = HINTED_SHARE
    return values | ({"derive": "grey"} if model.colours_grey else {})


def preset_direction(config: TrainConfig, facts: DatasetFacts) -> Direction | None:
    """Find the direction in which a dataset has the sources of a preset that names a direction,
    label maps or drawings: the side that says so, by its kind or its name, else the preset's.
    None where the preset names none."""
    if "direction" not in PRESETS[config.preset]:
        return None
    if config.source_kind == "labels":
        are_sources = [side is True for side in facts.label_maps or (False, False)]
    elif facts.source_kind == config.source_kind:
        are_sources = [True, False]
    else:
        names = (facts.source_name, facts.target_name)  # such as sketches and photos
        are_sources = [name.strip().casefold().startswith(config.source_name) for name in names]
    if are_sources[0] == are_sources[1]:
        return config.direction
    return "AtoB" if are_sources[0] else "BtoA"


def with_dataset_facts(
    config: TrainConfig, facts: DatasetFacts, given: Mapping[str, Any]
) -> TrainConfig:
    """Take the dataset's own names for source and target, sources that are label maps, drawings or
    drawings over strokes of colour as such, and losses that suit targets that are label maps, where
    the dataset says so and nothing of it was `given`."""
    if config.derive != "pairs":
        return config
    label_sources, label_targets = facts.label_sides(config)
    names = [facts.source_name, facts.target_name]
    turn = 1 if config.direction == "AtoB" else -1
    values = {}
    if names != ["A", "B"]:
        values = dict(zip(("source_name", "target_name"), names[::turn]))
    if label_sources:
        values["source_kind"] = "labels"
    if turn == 1 and facts.source_kind == "drawing":
        values["source_kind"] = "drawing"
    if config.colour_hints or (turn == 1 and facts.has_hints):
        values["source_kind"] = "drawing"
        if config.generator == "unet" and given.get("hints") is not False:
            values["hints"] = values["gate"] = True
    if label_targets and judges_by_features(config) and not FOR_LABEL_MAPS.keys() & given.keys():
        values |= {**FOR_LABEL_MAPS, "lr": LR_FOR_LABEL_MAPS}
    return dataclasses.replace(
        config, **{k: v for k, v in values.items() if given.get(k, "") == ""}
    )


def judges_by_features(config: TrainConfig) -> bool:
    """Return whether the preset judges by frozen features, which label maps do not get."""
    return PRESETS[config.preset].get("discriminator") == "projected"


def describe_losses(config: TrainConfig, data: Path) -> str:
    """Say that the preset's losses were replaced; empty where they were not."""
    replaced = all(getattr(config, name) == value for name, value in FOR_LABEL_MAPS.items())
    if not (replaced and judges_by_features(config) and read_facts(data).label_sides(config)[1]):
        return ""
    return (
        "The targets are label maps: a PatchGAN and L1 judge them in place of frozen features, "
        f"at a learning rate of {setting_text(config.lr)}."
    )


def run_config(
    config: TrainConfig, data: Path, start_from: Path | None, device: torch.device
) -> dict[str, Any]:
    """Return what ``config.json`` of a run holds: enough to start it again."""
    return {
        **dataclasses.asdict(config),
        "data": str(data.resolve()),
        "start_from": str(start_from.resolve()) if start_from else "",
        "device": str(device),
    }


def read_run(run: Path, device: str = "") -> RunSettings:
    """Read ``config.json`` of a run; `device` is another than it names. Raises UserError where it
    is damaged or the device is absent."""
    try:
        values = json.loads((run / "config.json").read_text(encoding="utf-8"))
        data, start_from, own_device = (values.pop(k) for k in ("data", "start_from", "device"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{run.name}/config.json is not that of a run: start it anew.") from error
    return RunSettings(
        TrainConfig.from_json(values),
        Path(data),
        Path(start_from) if start_from else None,
        pick_device(device or own_device),
    )


def resume_run(run: Path, device: str = "", data: Path | None = None) -> RunSettings:
    """Read what a run goes on with, as `read_run` does; its dataset is found again where the
    workspace was moved, unless `data` names it. Raises UserError where it is gone."""
    settings = read_run(run, device)
    return settings._replace(data=data or locate_dataset(settings.data))
