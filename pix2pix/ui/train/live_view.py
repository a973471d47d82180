"""The live view of a run: a view of our own on `gr.HTML` that asks the server what is new."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.data.dataset import locate_dataset
from pix2pix.errors import UserError
from pix2pix.hub.jobs_follow import stop_run
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.grids import GAP
from pix2pix.imaging.picture import data_url
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import publish_checkpoint
from pix2pix.ui.custom_html import Reply, Request, custom_html, server_function
from pix2pix.ui.dataset.library import chosen_folder, workspace_datasets
from pix2pix.ui.train.launch import find_run
from pix2pix.ui.train.watch import RunWatcher
from pix2pix.utils.text import printable

SIDE, SMALL = 224, 88  # pixels of one picture of a grid, and of a run's picture in the list
QUALITY = 90  # of JPEG, for pictures that only travel
ROWS = 3  # of a grid of samples: source, generated, target
MAX_MORE_EPOCHS = 100_000

FAILED = "Something broke that should not; the server's log says what."


def live_view(watch: RunWatcher, **options: Any) -> gr.HTML:
    """Lay out the view. Its value is `{"run": name}`, with a new `"at"` each time that run shall
    be shown.

    It fires `shown` when it comes into sight, and `select` with {"finetune": name} when a person
    wants to begin with a run. Its server functions are called outside Gradio's queue, by anyone
    who can reach the page.
    """
    functions = {"look": functools.partial(poll, watch), "sample": load_sample}
    functions["act"] = functools.partial(handle_action, watch)
    return custom_html(
        "train/live_view.html", ["train/live_view.css"], "live_view.js", ["shown", "select"],
        value={"run": "", "at": 0}, **options,
        server_functions=[server_function(*named, FAILED) for named in functions.items()],
    )  # fmt: skip


def poll(watch: RunWatcher, request: Request) -> Reply:
    """Answer what is new of a run and of the list, for {"run", "seen": {part: version}}."""
    versions = request.get("seen")
    return watch.look(run_name(request), versions if isinstance(versions, dict) else {})


def run_name(request: Request) -> str:
    """Return which run a request is about; raises UserError for nonsense."""
    name = request.get("run")
    if not isinstance(name, str):
        raise UserError("The page asked for no run: reload it.")
    return name


# ---------------------------------------------------------------------------------------- samples


def load_sample(request: Request) -> Reply:
    """Return the grid of a step as {"image": data URL, "count": columns}, or with `small` the
    first generated picture of the newest grid alone."""
    run = find_run(run_name(request))
    if request.get("small"):
        newest = max((run / "samples").glob("step-*.png"), default=None)
        return {"image": small_sample(newest, _mtime(newest)) if newest else ""}
    step = request.get("step")
    if not isinstance(step, int) or step < 0:
        raise UserError("The page asked for no step: reload it.")
    file = run / "samples" / f"step-{step:07d}.png"
    if not file.is_file():
        raise UserError("This picture is gone: choose another step.")
    return sample_grid(file, _mtime(file))


def _mtime(file: Path) -> int:
    return file.stat().st_mtime_ns


@functools.lru_cache(maxsize=48)
def sample_grid(file: Path, changed: int) -> Reply:
    """Make a grid for the page, once for all who look; `changed` says when to make it anew."""
    sheet = open_picture(file).to_pil(3)
    side = (sheet.height + GAP) // ROWS - GAP  # the pictures of a run are squares
    count = max(1, round((sheet.width + GAP) / (side + GAP)))
    shown_side = min(SIDE, side)
    packed = Image.new("RGB", (count * shown_side, ROWS * shown_side))
    for place in range(count * ROWS):
        x, y = place % count, place // count
        picture = sheet.crop(_box(x, y, side))
        packed.paste(
            picture.resize((shown_side, shown_side), Image.Resampling.LANCZOS),
            (x * shown_side, y * shown_side),
        )
    return {"image": data_url(packed, QUALITY), "count": count}


@functools.lru_cache(maxsize=128)
def small_sample(file: Path, changed: int) -> str:
    """Make the small picture of a run in the list, once for all who look."""
    sheet = open_picture(file).to_pil(3)
    side = (sheet.height + GAP) // ROWS - GAP
    small = sheet.crop(_box(0, 1, side)).resize((SMALL, SMALL), Image.Resampling.LANCZOS)
    return data_url(small, QUALITY)


def _box(x: int, y: int, side: int) -> tuple[int, int, int, int]:
    left, top = x * (side + GAP), y * (side + GAP)
    return left, top, left + side, top + side


# ---------------------------------------------------------------------------------------- actions


def handle_action(watch: RunWatcher, request: Request) -> Reply:
    """Do what a button says to a run; answers {"said": sentence}, empty where the page shows it."""
    run, action = find_run(run_name(request)), request.get("action")
    message = ""
    if action in ("pause", "stop"):
        if not run_folder.read_status(run).is_active:
            raise UserError(f"'{printable(run.name)}' is not running any more.")
        stop_run(run, "paused" if action == "pause" else "stopped")
    elif action == "force":
        run_control.force_stop(run, patience=0.5)
    elif action in ("resume", "extend"):
        run_control.refuse_remote(run)
        if dataset := request.get("dataset"):
            run_control.choose_data(run, chosen_folder(str(dataset)))
        elif sentence := missing_data(run):
            return {"said": sentence, "datasets": list(workspace_datasets()), "action": action}
        if action == "extend":
            run_control.extend_run(run, more_epochs(request.get("epochs")))
        run_control.start_process(run)
    elif action == "publish":
        model = publish_checkpoint(
            run, str(request.get("name", "")), parse_step(request.get("step"))
        )
        message = f"'{model.name}' is in the Translate tab now."
    elif action == "delete":
        run_control.delete_run(run)
        message = f"'{printable(run.name)}' is deleted."
    else:
        raise UserError("There is no such action: reload the page.")
    watch.hurry()
    return {"said": message}


def missing_data(run: Path) -> str:
    """Say that a run's dataset cannot be found any more, empty where it can."""
    stored = str(run_folder.read_status(run).config.get("data", ""))
    try:
        if stored:  # else starting it says what is wrong
            locate_dataset(Path(stored))
    except UserError as error:
        return str(error)
    return ""


def parse_step(value: Any) -> int | None:
    """Return the step, None for "newest", which is the model as it is now."""
    if value != "newest" and type(value) is not int:
        raise UserError("The page asked for no model: reload it.")
    return None if value == "newest" else value


def more_epochs(value: Any) -> int:
    """Read for how many epochs a run shall go on; raises UserError for none."""
    try:
        epochs = int(value)
    except (TypeError, ValueError, OverflowError):
        epochs = 0
    if not (1 <= epochs <= MAX_MORE_EPOCHS and math.isclose(float(value), epochs)):
        raise UserError(f"Continue for 1 to {MAX_MORE_EPOCHS:,} more epochs.")
    return epochs
