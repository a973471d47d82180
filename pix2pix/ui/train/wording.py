"""Put runs into words: the state, the pace, the time left, and their settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pix2pix.training.run_folder import RESUMABLE, Status

STATE_TEXTS = {
    "queued": "Waiting",
    "starting": "Starting",
    "running": "Running",
    "stopping": "Stopping after this step",
    "paused": "Paused",
    "stopped": "Stopped",
    "finished": "Finished",
    "interrupted": "Interrupted",
    "failed": "Failed",
}
PRESET_TEXTS = {
    "recommended": ("Any pairs", "Begin with this: the best pictures in the time there is."),
    "quick": ("A first try", "Small and soon there: 64 pixels, two minutes without a GPU."),
    "maps": ("Photos and maps", "The paper's network and losses, with mirror and jitter."),
    "cityscapes": ("Label maps to scenes", "A small, fast network; the label map is on the right."),
    "scratch": ("Wide patches", "The paper's U-Net against a discriminator that sees 142 pixels."),
    "colorize": ("Grey to colour", "The grey source is made of the colour picture."),
    "face-sketch": ("Sketch to photo", "From B to A; the model is drawn for on the pad."),
}
STATE_SENTENCES = {
    "starting": "The networks and the first pairs are being loaded.",
    "paused": "It goes on from here when you resume it.",
    "stopped": "It goes on from here when you resume it.",
}


def state_line(status: Status, ahead: int, last: dict[str, Any]) -> dict[str, Any]:
    """Describe a run for the page's head; `last` is its last line of losses."""
    step = max(status.step, int(last.get("step", 0)))
    steps = status.steps or int(status.config.get("steps") or 0)
    epoch = max(status.epoch, int(last.get("epoch", 0)))
    word = STATE_TEXTS.get(status.state, status.state)
    if status.state == "queued" and ahead:
        word = f"Waiting behind {ahead} {'run' if ahead == 1 else 'runs'}"
    seconds_left = status.seconds_left
    return {
        "name": status.name,
        "state": status.state,
        "word": word,
        "sentence": status.sentence or state_sentence(status, step),
        "share": min(1.0, step / steps) if steps else (1.0 if status.state == "finished" else 0.0),
        "active": status.is_active,
        "resumable": status.state in RESUMABLE,
        "facts": run_facts(status, step, steps, epoch, seconds_left),
    }


def state_sentence(status: Status, step: int) -> str:
    """Describe a state of which the run itself says nothing."""
    first = status.config.get("sample_every_steps")
    if status.state == "running" and isinstance(first, int) and step < first:
        return f"The first pictures come by step {first:,}."
    return STATE_SENTENCES.get(status.state, "")


def run_facts(
    status: Status, step: int, steps: int, epoch: int, seconds_left: float | None
) -> list[tuple[str, str]]:
    """List (what, value) for the figures under the progress bar, without what is not known."""
    facts = [("Step", f"{step:,} of {steps:,}" if steps else f"{step:,}")]
    epochs = status.config.get("epochs")
    by_epochs = isinstance(epochs, int) and not status.config.get("steps")
    done = status.state == "finished" and by_epochs
    now = epochs if done else epoch + 1
    facts.append(("Epoch", f"{now:,} of {epochs:,}" if by_epochs else f"{now:,}"))
    if status.seconds_per_step:
        facts.append(("Speed", format_pace(status.seconds_per_step)))
    if seconds_left is not None:
        facts.append(("Time left", format_duration(seconds_left)))
    if status.memory_mib:
        facts.append(("Memory", format_memory(status.memory_mib)))
    return facts


def run_list_item(status: Status) -> dict[str, Any]:
    """Describe a run in the list of all."""
    steps = status.steps or int(status.config.get("steps") or 0)
    done = min(1.0, status.step / steps) if steps else 0.0
    word = STATE_TEXTS.get(status.state, status.state)
    return {
        "name": status.name,
        "state": status.state,
        "word": f"{word}, {done:.0%}" if done and status.state != "finished" else word,
        "data": Path(str(status.config.get("data", ""))).name,
        "started": status.started,
    }


def describe_settings(status: Status) -> list[tuple[str, str]]:
    """List what the run was started with, as (what, value)."""
    config = status.config
    values = [(key, config.get(key)) for key in config if key not in ("data", "start_from")]
    first = [("dataset", Path(str(config.get("data", ""))).name)]
    if config.get("start_from"):
        start = Path(str(config["start_from"]))
        first.append(("start from", start.parent.name if start.name == "model" else start.name))
    settings_text = (
        (name, ("yes" if value else "no") if isinstance(value, bool) else str(value))
        for name, value in values
    )
    return first + [(name, value) for name, value in settings_text if value != ""]


def format_pace(seconds: float) -> str:
    """Format a speed: 0.63 s a step, 25 steps a second."""
    return f"{seconds:.2g} s a step" if seconds >= 0.1 else f"{1 / seconds:.0f} steps a second"


def format_memory(mib: int) -> str:
    """Format a number of MiB: 800 MiB, 1.1 GiB."""
    return f"{mib:,} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def format_memory_need(need: int, free: int) -> str:
    """Say how many bytes a run will take, and how many are free."""
    need_text = f"About {format_memory(need // 2**20)} of memory"
    if need <= free:
        return f"{need_text}; {format_memory(free // 2**20)} are free."
    return (
        f"**{need_text}, and {format_memory(free // 2**20)} are free: lower Size, Network width or "
        "Batch size; gradient_accumulation_steps makes up for smaller batches.**"
    )


def format_duration(seconds: float) -> str:
    """Format a duration: 50 s, 12 min, 1 h 5 min, 2 days 3 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} day{'s' * (days > 1)} {hours} h"
