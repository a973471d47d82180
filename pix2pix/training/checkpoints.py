"""List, rank, publish and prune a run's checkpoints. No torch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pix2pix.errors import UserError
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.utils.files import copy_folder, read_json_object, to_number, write_errors, write_json
from pix2pix.utils.text import escape_markdown, safe_name
from pix2pix.utils.workspace import workspace


@dataclass(frozen=True)
class Checkpoint:
    """A step of a run that was saved: its picture, its figures and, if not pruned, its model."""

    step: int
    sample: Path | None
    model: Path | None
    metrics: dict[str, Any]


def list_checkpoints(run: Path) -> list[Checkpoint]:
    """List all checkpoints in order. `metrics` is the line of `validation.jsonl`, empty without
    one."""
    figures = {int(to_number(row.get("step"))): row for row in read_jsonl(run / "validation.jsonl")}
    samples = {parse_step(f): f for f in (run / "samples").glob("step-*.png")}
    models = {
        parse_step(f.parent): f.parent for f in (run / "checkpoints").glob("step-*/config.json")
    }
    steps = sorted(samples.keys() | models.keys())
    return [Checkpoint(s, samples.get(s), models.get(s), figures.get(s, {})) for s in steps]


def best_checkpoint(run: Path) -> Checkpoint | None:
    """Find the saved model that is best on the validation pictures: by perceptual distance, else
    by L1 where that was not measured, as for label maps; None where no saved model was measured."""
    measured = [m for m in list_checkpoints(run) if m.model and m.metrics]
    for measure in ("perceptual", "l1"):
        known = [m for m in measured if isinstance(m.metrics.get(measure), float)]
        if known:
            return min(known, key=lambda m: m.metrics[measure])
    return None


def publish_checkpoint(
    run: Path, name: str, step: int | None = None, root: Path | None = None
) -> Path:
    """Copy a saved model, the newest unless `step` says which, to the person's models as `name`.

    Raises UserError where there is no such model or the name is no safe one or taken.
    """
    name = safe_name(name)
    out = (root or workspace() / "models") / name
    model = run / "model" if step is None else checkpoint_folder(run, step)
    if not (model / "config.json").exists():
        raise UserError("There is no checkpoint of this step: choose another or wait for it.")
    if out.exists():
        raise UserError(f"There is a model '{name}' already: choose another name.")

    def entitle(copy: Path) -> None:
        write_json(copy / "config.json", {**read_json_object(copy / "config.json"), "title": name})
        card = copy / "README.md"
        if card.exists():
            card.write_text(entitle_card(card.read_text(encoding="utf-8"), name), encoding="utf-8")

    sentence = (
        f"The model '{name}' could not be saved: check that there is free space and that the "
        "workspace can be written to."
    )
    with write_errors(out, sentence):
        copy_folder(model, out, entitle)
    return out


def prune_checkpoints(run: Path, keep: int = 10, every: int = 0) -> None:
    """Keep so many models in `checkpoints/`: the first to go is the one that is closest to its
    neighbours in time; the best, the first and the two newest stay, and of `every` so many steps
    all, however many these are."""
    steps = sorted(parse_step(f) for f in (run / "checkpoints").glob("step-*"))
    favourite = best_checkpoint(run)
    stay = {step for step in steps if every and step % every == 0}
    stay |= {favourite.step} if favourite else set()
    while len(steps) > max(keep, 4):
        middle = [i for i in range(1, len(steps) - 2) if steps[i] not in stay]
        if not middle:
            break
        closest = min(middle, key=lambda i: steps[i + 1] - steps[i - 1])
        shutil.rmtree(checkpoint_folder(run, steps.pop(closest)), ignore_errors=True)


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the folder of the model that a run saves at a step."""
    return run / "checkpoints" / f"step-{step:07d}"


def entitle_card(card: str, title: str) -> str:
    """Return the card that a run wrote, with another title."""
    heading, _, rest = card.partition("\n")
    return f"# {escape_markdown(title)}\n{rest}" if heading.startswith("# ") else card


def parse_step(path: Path) -> int:
    """Return the step in a name such as step-0001000.png; -1 where there is none."""
    digits = path.stem.removeprefix("step-")
    return int(digits) if digits.isdecimal() else -1
