"""Measure models on the chosen dataset: a table of figures and the pictures beside the targets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.errors import Stopped, UserError
from pix2pix.evaluation import Evaluation, comparison_picture, evaluate, table
from pix2pix.images import save_png
from pix2pix.metrics import HOW_TO_GET, NOISY_KID
from pix2pix.pairing import SPLITS
from pix2pix.translate import Translator
from pix2pix.ui.dataset_shelf import chosen_folder
from pix2pix.ui.shared import (
    QUIET,
    Switches,
    paced,
    plain_text,
    pressed,
    resting,
    results_folder,
    sentences,
)
from pix2pix.ui.train_start import starting_point, starting_points

MOST_MODELS = 6  # side by side
SHOWN = 6  # pairs of the picture
STOPPED = "Stopped: nothing was measured."
LEGEND = (
    "Lower is better for L1, perceptual and KID (times 1000), higher for the rest. "
    "L1, PSNR and SSIM reward blur: look at the pictures, and at perceptual. "
    "Perceptual and KID are by EfficientNet-lite2, which chose no model here. "
    "perceptual_halves is how far different real pictures are apart, kid_halves the KID of one "
    "half of the real pictures to the other: its noise. " + NOISY_KID
)


def measure_part(dataset: gr.Dropdown, live: gr.HTML) -> None:
    """Lay the part out inside the current ``gr.Blocks``; `live` says when it comes into view."""
    with gr.Accordion("Measure models on this dataset", open=False, elem_id="measure"):
        with gr.Row():
            models = gr.Dropdown(
                [], multiselect=True, max_choices=MOST_MODELS, label="Models", elem_id="measured",
                scale=3,
            )  # fmt: skip
            split = gr.Radio(list(SPLITS), value="val", label="Split", scale=1)
            limit = gr.Number(50, precision=0, minimum=0, label="Pairs at most, 0 is all")
        with gr.Row():
            start = gr.Button("Measure", elem_id="measure-start")
            stop = gr.Button("Stop", visible=False, elem_id="measure-stop")
        said = gr.Markdown(elem_classes="quiet", elem_id="measure-said")
        figures = gr.Dataframe(visible=False, interactive=False, wrap=True, elem_id="figures")
        picture = gr.Image(
            visible=False, show_label=False, buttons=["download", "fullscreen"], elem_id="rows"
        )
    running = Switches()

    def refresh(chosen: list[str] | None) -> Any:
        names = list(starting_points())
        kept = [name for name in chosen or [] if name in names]
        # What stays is not sent: a person may have chosen more while the answer was on its way.
        return gr.Dropdown(names, **({} if kept == (chosen or []) else {"value": kept}))

    live.shown(refresh, models, models, **QUIET)

    def measure(
        data: str | None, names: list[str], part: str, most: float | None, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        try:
            with running.at_work(str(request.session_hash), "measure") as switch, sentences():
                found = measured(data, names, part, most, switch.is_set, progress)
        except Stopped:
            return {said: STOPPED}
        headers, rows = table({name: e.measures for name, e in found.items()})
        return {
            said: words(found),
            figures: gr.Dataframe({"headers": headers, "data": rows}, visible=True),
            picture: gr.Image(saved(comparison_picture(found)), visible=True),
        }

    buttons = [start, stop]
    begun = start.click(pressed(running, "measure"), None, buttons, queue=False, **QUIET)
    ended = begun.then(
        measure, [dataset, models, split, limit], [said, figures, picture], show_progress_on=said,
        api_visibility="private", concurrency_id="measure", concurrency_limit=1,
    )  # fmt: skip
    for after in (ended.then, ended.failure):
        after(resting, None, buttons, queue=False, **QUIET)

    def end(request: gr.Request) -> None:
        running.stop(str(request.session_hash), "measure")

    stop.click(end, None, None, queue=False, api_visibility="private")


def measured(
    data: str | None, names: list[str], split: str, limit: float | None,
    should_stop: Callable[[], bool], progress: gr.Progress,
) -> dict[str, Evaluation]:  # fmt: skip
    """Each model on the same pairs. Raises UserError, or Stopped when told to."""
    if not data:
        raise UserError("Choose a dataset first.")
    if not names:
        raise UserError("Choose the models to measure.")
    folder, found = chosen_folder(data), {}
    for name in names[:MOST_MODELS]:
        found[name] = evaluate(
            Translator.load(starting_point(name)), folder, split,
            limit=max(0, int(limit or 0)), show=SHOWN, should_stop=should_stop,
            on_progress=paced(progress, name, "pairs"),
        )  # fmt: skip
    return found


def words(found: dict[str, Evaluation]) -> str:
    said = [LEGEND]
    refused = {r["file"]: r["reason"] for e in found.values() for r in e.refused}
    if refused:
        file, reason = next(iter(refused.items()))
        said.append(f"{len(refused)} pairs were left out, such as {file}: {reason}")
    if any(e.measures["perceptual"] is None for e in found.values()):
        said.append(HOW_TO_GET)
    return plain_text(" ".join(said))


def saved(picture: Image.Image) -> str:
    """As a PNG among the temporary results: an image in the page would be a lossy WebP."""
    file = Path(tempfile.mkdtemp(dir=results_folder())) / "measured.png"
    save_png(picture, file)
    return str(file)
