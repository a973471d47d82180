"""Evaluate models on the chosen dataset: a table of figures and the pictures beside the targets."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.data.records import SPLITS
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import Evaluation, comparison_picture, evaluate, metrics_table
from pix2pix.evaluation.metrics import INSTALL_HINT, NOISY_KID
from pix2pix.imaging.picture import save_png
from pix2pix.models.translator import Translator
from pix2pix.ui.dataset.library import chosen_folder
from pix2pix.ui.events import HIDDEN_EVENT, CancelSwitches, page_progress, results_folder, wire_work
from pix2pix.ui.train.launch import start_model, start_models
from pix2pix.utils.progress import ShouldStop
from pix2pix.utils.text import escape_text

MAX_MODELS = 6  # side by side
SHOWN = 6  # pairs of the picture
STOPPED = "Stopped: nothing was measured."
LEGEND = (
    "Lower is better for L1, perceptual and KID (times 1000), higher for the rest. "
    "L1, PSNR and SSIM reward blur: look at the pictures, and at perceptual. "
    "Perceptual and KID are by EfficientNet-lite2, which chose no model here. "
    "perceptual_halves is how far different real pictures are apart, kid_halves the KID of one "
    "half of the real pictures to the other: its noise. " + NOISY_KID
)


def evaluate_form(dataset: gr.Dropdown, live: gr.HTML) -> None:
    """Lay the part out inside the current ``gr.Blocks``; `live` says when it comes into view."""
    with gr.Accordion("Measure models on this dataset", open=False, elem_id="measure"):
        with gr.Row():
            models = gr.Dropdown(
                [], multiselect=True, max_choices=MAX_MODELS, label="Models", elem_id="measured",
                scale=3,
            )  # fmt: skip
            split = gr.Radio(list(SPLITS), value="val", label="Split", scale=1)
            limit = gr.Number(50, precision=0, minimum=0, label="Pairs at most, 0 is all")
        with gr.Row():
            start = gr.Button("Measure", elem_id="measure-start")
            stop = gr.Button("Stop", visible=False, elem_id="measure-stop")
        message = gr.Markdown(elem_classes="quiet", elem_id="measure-said")
        figures = gr.Dataframe(visible=False, interactive=False, wrap=True, elem_id="figures")
        picture = gr.Image(
            visible=False, show_label=False, buttons=["download", "fullscreen"], elem_id="rows"
        )
    running = CancelSwitches()
    live.shown(model_choices, models, models, **HIDDEN_EVENT)

    def measure(
        data: str | None, names: list[str], part: str, max_pairs: float | None, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        with running.at_work(str(request.session_hash), "measure") as switch:
            evaluations = evaluate_models(data, names, part, max_pairs, switch.is_set, progress)
        return dict(zip((message, figures, picture), show_results(evaluations)))

    wire_work(
        running, "measure", [start, stop], measure, [dataset, models, split, limit],
        [message, figures, picture], stopped={message: STOPPED}, show_progress_on=message,
        api_visibility="private", concurrency_id="measure", concurrency_limit=1,
    )  # fmt: skip


def model_choices(chosen: list[str] | None) -> Any:
    """List the models as they are now; what was chosen and is still there stays."""
    names = list(start_models())
    still_there = [name for name in chosen or [] if name in names]
    # What stays is not sent: a person may have chosen more while the answer was on its way.
    return gr.Dropdown(names, **({} if still_there == (chosen or []) else {"value": still_there}))


def evaluate_models(
    data: str | None, names: list[str], split: str, limit: float | None,
    should_stop: ShouldStop, progress: gr.Progress,
) -> dict[str, Evaluation]:  # fmt: skip
    """Evaluate each model on the same pairs. Raises UserError, or Cancelled when asked to stop."""
    if not data:
        raise UserError("Choose a dataset first.")
    if not names:
        raise UserError("Choose the models to measure.")
    folder, evaluations = chosen_folder(data), {}
    for name in names[:MAX_MODELS]:
        evaluations[name] = evaluate(
            Translator.load(start_model(name)), folder, split,
            limit=max(0, int(limit or 0)), show=SHOWN, should_stop=should_stop,
            on_progress=page_progress(progress, name, "pairs"),
        )  # fmt: skip
    return evaluations


def show_results(evaluations: dict[str, Evaluation]) -> tuple[str, Any, Any]:
    """Return the message, the table and the picture."""
    headers, rows = metrics_table({name: e.measures for name, e in evaluations.items()})
    figures = gr.Dataframe({"headers": headers, "data": rows}, visible=True)
    picture = gr.Image(save_result(comparison_picture(evaluations)), visible=True)
    return format_results(evaluations), figures, picture


def format_results(evaluations: dict[str, Evaluation]) -> str:
    """Say how to read the figures, and what was left out, as Markdown."""
    lines = [LEGEND]
    refused = {r["file"]: r["reason"] for e in evaluations.values() for r in e.refused}
    if refused:
        file, reason = next(iter(refused.items()))
        lines.append(f"{len(refused)} pairs were left out, such as {file}: {reason}")
    if any(e.measures["perceptual"] is None for e in evaluations.values()):
        lines.append(INSTALL_HINT)
    return escape_text(" ".join(lines))


def save_result(picture: Image.Image) -> str:
    """Save a PNG among the temporary results: an image in the page would be a lossy WebP."""
    file = Path(tempfile.mkdtemp(dir=results_folder())) / "measured.png"
    save_png(picture, file)
    return str(file)
