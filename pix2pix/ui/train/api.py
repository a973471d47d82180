"""Offer `/start_training`, `/stop_training` and `/training_status` to programs."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from pix2pix.hub.jobs_follow import stop_run
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import list_checkpoints
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.ui.events import user_errors
from pix2pix.ui.train.launch import find_run, read_overrides, start_run


def start_training(
    dataset: str, preset: str = "maps", name: str = "", settings: dict = {}, start_from: str = ""  # noqa: B006
) -> dict[str, Any]:  # fmt: skip
    """Start a run on a dataset of the workspace; it goes on when the caller leaves.

    `preset` is recommended, quick, maps, cityscapes, scratch, colorize or face-sketch;
    `settings` is an object of overrides such as {"epochs": 20, "ngf": 32}; `start_from` is the
    name of a model to fine-tune, or "run: NAME". An empty `name` takes a free one. Answers
    {"run": name}.
    """
    with user_errors():
        return {"run": start_run(dataset, preset, name, read_overrides(settings), start_from)}


def stop_training(run: str, pause: bool = False) -> dict[str, Any]:
    """Ask a run to stop after its current step. Answers {"run", "state"}.

    A paused run says so; both go on where they were when they are resumed.
    """
    with user_errors():
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
    with user_errors():
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
    values = dataclasses.asdict(status)
    left_out = ("name", "folder", "config")
    entry = {key: value for key, value in values.items() if key not in left_out}
    return {"run": status.name, **entry, "seconds_left": status.seconds_left}


def train_api() -> None:
    """Offer the three functions."""
    for function in (start_training, stop_training, training_status):
        gr.api(function, api_name=function.__name__)
