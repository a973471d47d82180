"""What a run needs before it starts: its settings from a form or a program, checked, and a name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix import runs
from pix2pix.config import PRESETS, ModelConfig, TrainConfig, as_text, train_config
from pix2pix.datasets import find_pairs
from pix2pix.devices import pick_device
from pix2pix.errors import UserError
from pix2pix.files import free_name
from pix2pix.models import list_models, read_config
from pix2pix.names import printable, safe_name
from pix2pix.settings import new_settings
from pix2pix.training import run_config
from pix2pix.ui.dataset_shelf import chosen_folder
from pix2pix.workspace import model_folders

RUN = "run: "  # before the name of a run whose current generator is a starting point
GIVEN = ("preset", "source_channels", "target_channels")  # not for people to set


def start_run(
    dataset: str, preset: str, name: str, overrides: Mapping[str, Any], start_from: str = ""
) -> str:
    """Start a run and return its name; an empty `name` takes a free one.

    `overrides` are settings of TrainConfig as numbers or text; `start_from` is empty or one of
    `starting_points`. Raises a UserError for anything that cannot work.
    """
    run, settings = prepared_run(dataset, preset, name, overrides, start_from)
    runs.start(run, settings)
    return run.name


def prepared_run(
    dataset: str, preset: str, name: str, overrides: Mapping[str, Any], start_from: str = ""
) -> tuple[Path, dict[str, Any]]:
    """The folder that a run will have, and its `run_settings`."""
    folder = chosen_folder(dataset)
    name = (
        safe_name(name) if str(name or "").strip() else free_name(runs.runs_folder(), folder.name)
    )
    return runs.runs_folder() / name, run_settings(folder, preset, overrides, start_from)


def run_settings(
    data: Path, preset: str, overrides: Mapping[str, Any], start_from: str = ""
) -> dict[str, Any]:
    """What `config.json` of the run will hold."""
    config = settings_of(data, preset, overrides, start_from)
    config.generator_config(), config.discriminator_config()  # they check their own part
    if not find_pairs(data, "train"):
        raise UserError(f"'{data.name}' holds no train pairs: build it with a share for train.")
    begin = starting_point(start_from) if start_from else None
    return run_config(config, data, begin, pick_device())


def settings_of(
    data: Path, preset: str, overrides: Mapping[str, Any], start_from: str = ""
) -> TrainConfig:
    """The settings of a run on a dataset. Raises UserError for values that cannot be."""
    given = {str(key): as_text(value) for key, value in overrides.items()}
    return new_settings(preset, given, data, starting_point(start_from) if start_from else None)


def starting_points() -> dict[str, Path]:
    """What a run can begin with: models by name, and runs' generators, as they are now."""
    found = dict(list_models(model_folders()))
    for status in runs.list_runs():
        if (status.folder / "model" / "config.json").exists():
            found[RUN + status.name] = status.folder / "model"
    return found


def starting_point(name: str) -> Path:
    """The model folder; only names that are offered count, people's words are no paths."""
    found = starting_points()
    if name not in found:
        raise UserError(f"There is no model '{printable(name)}' to start from: choose another.")
    return found[name]


def find_run(name: str) -> Path:
    """The folder of a run that somebody named; a UserError where there is none."""
    root = runs.runs_folder()
    there = {f.name for f in root.iterdir()} if root.is_dir() else set()
    if name not in there or not (root / name / "config.json").exists():
        raise UserError(f"There is no run '{printable(str(name))}': choose one of the list.")
    return root / name


def read_overrides(given: Any) -> dict[str, Any]:
    """Settings from an object or its JSON, from `key=value` lines, or from nothing."""
    if isinstance(given, dict):
        return given
    text = str(given or "").strip()
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise UserError("The settings are no valid JSON object: write key=value.") from error
    found = {}
    for line in text.replace(",", "\n").splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if line.strip() and not (key and equals and value):
            raise UserError(f"'{printable(line.strip())}' is no setting: write key=value.")
        if line.strip():
            found[key] = value
    return found


def settable() -> list[dataclasses.Field]:
    """The settings that people may give."""
    return [field for field in dataclasses.fields(TrainConfig) if field.name not in GIVEN]


def preset_values(preset: str) -> TrainConfig:
    return train_config(preset if preset in PRESETS else "maps")


def model_of(start_from: str) -> ModelConfig | None:
    return read_config(starting_point(start_from)) if start_from else None
