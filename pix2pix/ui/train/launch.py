"""Start runs, for a form or a program: their settings, their names, and `/start_training`,
`/stop_training`, `/training_status`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import find_pairs
from pix2pix.errors import UserError
from pix2pix.hub.jobs_follow import stop_run
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import list_models, read_config
from pix2pix.presets import FIRST_PRESET
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import list_checkpoints
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.resolve_config import new_run, resolve_config, run_config
from pix2pix.ui.dataset.library import chosen_folder
from pix2pix.utils.files import unused_name
from pix2pix.utils.text import printable, safe_name
from pix2pix.utils.workspace import model_folders

RUN = "run: "  # before the name of a run whose current generator is a starting point


def start_run(
    dataset: str, preset: str, name: str, overrides: Mapping[str, Any], start_from: str = ""
) -> str:
    """Start a run and return its name; an empty `name` takes a free one.

    `overrides` are settings of TrainConfig as numbers or text; `start_from` is empty or one of
    `start_models`. Raises a UserError for anything that cannot work.
    """
    run, settings = prepared_run(dataset, preset, name, overrides, start_from)
    run_control.start_process(run, settings)
    return run.name


def prepared_run(
    dataset: str, preset: str, name: str, overrides: Mapping[str, Any], start_from: str = ""
) -> tuple[Path, dict[str, Any]]:
    """Return the folder that a run will have, and its `run_settings`."""
    folder = chosen_folder(dataset)
    name = (
        safe_name(name)
        if str(name or "").strip()
        else unused_name(run_folder.runs_folder(), folder.name)
    )
    return run_folder.runs_folder() / name, run_settings(folder, preset, overrides, start_from)


def run_settings(
    data: Path, preset: str, overrides: Mapping[str, Any], start_from: str = ""
) -> dict[str, Any]:
    """Return what `config.json` of the run will hold."""
    model = start_model(start_from) if start_from else None
    settings = new_run(preset, overrides, data, model, "auto")
    if not find_pairs(data, "train"):
        raise UserError(f"'{data.name}' holds no train pairs: build it with a share for train.")
    return run_config(*settings)


def form_config(
    data: Path, preset: str, overrides: Mapping[str, Any], start_from: str = ""
) -> TrainConfig:
    """Resolve the settings of a run on a dataset. Raises UserError for values that cannot be."""
    return resolve_config(preset, overrides, data, start_model(start_from) if start_from else None)


def start_models() -> dict[str, Path]:
    """List what a run can begin with: models by name, and runs' generators, as they are now."""
    models = dict(list_models(model_folders()))
    for status in run_folder.list_runs():
        if (status.folder / "model" / "config.json").exists():
            models[RUN + status.name] = status.folder / "model"
    return models


def start_model(name: str) -> Path:
    """Return the model's folder; only names that are offered count, typed text is no path."""
    models = start_models()
    if name not in models:
        raise UserError(f"There is no model '{printable(name)}' to start from: choose another.")
    return models[name]


def find_run(name: str) -> Path:
    """Find the folder of a run by its name; raises UserError where there is none."""
    root = run_folder.runs_folder()
    names = {f.name for f in root.iterdir()} if root.is_dir() else set()
    if name not in names or not (root / name / "config.json").exists():
        raise UserError(f"There is no run '{printable(str(name))}': choose one of the list.")
    return root / name


def read_overrides(overrides: Any) -> dict[str, Any]:
    """Read settings from an object or its JSON, from `key=value` lines, or from nothing."""
    if isinstance(overrides, dict):
        return overrides
    text = str(overrides or "").strip()
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise UserError("The settings are no valid JSON object: write key=value.") from error
    values = {}
    for line in text.replace(",", "\n").splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if line.strip() and not (key and equals and value):
            raise UserError(f"'{printable(line.strip())}' is no setting: write key=value.")
        if line.strip():
            values[key] = value
    return values


def model_config_of(start_from: str) -> ModelConfig | None:
    """Return the config of the model to start from, None from scratch; raises UserError where it is
    gone."""
    return read_config(start_model(start_from)) if start_from else None


# -------------------------------------------------------------------------------- for programs


def start_training(
    dataset: str,
    preset: str = FIRST_PRESET,
    name: str = "",
    settings: dict = {},  # noqa: B006
    start_from: str = "",
) -> dict[str, Any]:
    """Start a run on a dataset of the workspace; it goes on when the caller leaves.

    `preset` is recommended, quick, maps, cityscapes, scratch, colorize or face-sketch;
    `settings` is an object of overrides such as {"epochs": 20, "ngf": 32}; `start_from` is the
    name of a model to fine-tune, or "run: NAME". An empty `name` takes a free one. Answers
    {"run": name}.
    """
    return {"run": start_run(dataset, preset, name, read_overrides(settings), start_from)}


def stop_training(run: str, pause: bool = False) -> dict[str, Any]:
    """Ask a run to stop after its current step. Answers {"run", "state"}.

    A paused run says so; both go on where they were when they are resumed.
    """
    folder = find_run(run)
    if run_folder.read_status(folder).is_active:
        stop_run(folder, "paused" if pause else "stopped")
    return {"run": run, "state": run_folder.read_status(folder).state}


def training_status(run: str = "") -> dict[str, Any]:
    """Say how a run is doing, or with an empty name {"runs": [...]} for all, the newest first.

    Each is {"run", "state", "step", "steps", "epoch", "per_epoch", "seconds_per_step",
    "seconds_left", "memory_mib", "sentence", "started", "updated"}; that of one run also has
    "ahead" (runs that come before it), "models" (steps with a model) and "validation" (the last
    line, if any).
    """
    if not run:
        return {"runs": [described(status) for status in run_folder.list_runs()]}
    folder = find_run(run)
    rows = read_jsonl(folder / "validation.jsonl")
    status = run_folder.read_status(folder)
    return {
        **described(status),
        "ahead": run_control.count_ahead(folder) if status.state == "queued" else 0,
        "models": [one.step for one in list_checkpoints(folder) if one.model],
        "validation": rows[-1] if rows else None,
    }


def described(status: run_folder.Status) -> dict[str, Any]:
    """Return a run's status as programs get it."""
    values = asdict(status)
    left_out = ("name", "folder", "config")
    entry = {key: value for key, value in values.items() if key not in left_out}
    return {"run": status.name, **entry, "seconds_left": status.seconds_left}


def train_api() -> None:
    """Offer the three functions."""
    for function in (start_training, stop_training, training_status):
        gr.api(function, api_name=function.__name__)
