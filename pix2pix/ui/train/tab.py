"""Lay out the Train tab: set-up on the left, the live run on the right."""

from __future__ import annotations

import itertools
from typing import Any

import gradio as gr

from pix2pix.training.run_folder import list_runs
from pix2pix.ui.dataset.library import ready_sample, workspace_datasets
from pix2pix.ui.events import HIDDEN_EVENT
from pix2pix.ui.model_view import read_asset
from pix2pix.ui.theme import OFFSCREEN
from pix2pix.ui.train.evaluate import evaluate_form
from pix2pix.ui.train.form import (
    NO_DATASET,
    PRESET_TEXTS,
    SCRATCH,
    TRY_IT,
    TrainForm,
    Values,
    dataset_preview,
    propose_name,
)
from pix2pix.ui.train.jobs import JobsForm
from pix2pix.ui.train.launch import start_models, start_run, train_api
from pix2pix.ui.train.live_view import live_view
from pix2pix.ui.train.watch import RunWatcher

STYLE = read_asset("train/tab.css")
TRIAL = "quick"  # preset of the first run of who only wants to see
TRYING = """() => (
  { __type__: "update", value: "Drawing little houses…", interactive: false })"""


def train_tab() -> TrainForm:
    """Lay out the tab inside the current ``gr.Blocks``; returns the set-up of a run."""
    watch = RunWatcher()
    with gr.Row(elem_classes="shelf", elem_id="train"):
        with gr.Column(min_width=0, elem_classes="step", elem_id="setup"):
            gr.HTML(f"<style>{STYLE}</style>", elem_classes=OFFSCREEN)
            form = TrainForm()
            jobs = JobsForm(form)
        with gr.Column(min_width=0, elem_classes="step"):
            live = live_view(watch, elem_id="live")
    evaluate_form(form.dataset, live)
    wire_choices(form, live)
    wire_fields(form, live)
    wire_start(form, live, watch)
    jobs.wire(live, watch)
    train_api()
    return form


def wire_choices(form: TrainForm, live: gr.HTML) -> None:
    """Wire what the tab lists, which changes while it is open, and the choice of a dataset."""

    def refresh(dataset: str | None, start_from: str) -> list[Any]:
        """Update the choices, which change while the page is open; a trial is offered while nothing
        has been trained here."""
        offer = gr.Button(visible=not list_runs())
        return [dataset_choices(dataset), start_choices(start_from), offer]

    choices = [form.dataset, form.start_from, form.trial]
    live.shown(refresh, [form.dataset, form.start_from], choices, **HIDDEN_EVENT)

    def show_dataset(values: Values) -> dict[Any, Any]:
        name = values[form.dataset]
        run, proposed = propose_name(values[form.name], values[form.proposed], name)
        return {
            form.preview: dataset_preview(name),
            form.direction: form.direction_field(values),
            form.name: run,
            form.proposed: proposed,
        }

    outputs = [form.preview, form.direction, form.name, form.proposed]
    form.dataset.change(show_dataset, form.inputs(), outputs, **HIDDEN_EVENT)


def wire_fields(form: TrainForm, live: gr.HTML) -> None:
    """Wire what a preset, a model to start from and the length bring with them."""
    begin = {form.start_from, form.preset, form.dataset}
    form.preset.input(
        form.preset_fields, begin, form.preset_outputs(), trigger_mode="always_last", **HIDDEN_EVENT
    )
    form.start_from.change(
        form.start_fields, begin, [form.direction, form.size, form.width], **HIDDEN_EVENT
    )
    # The length has this one writer: of two, the slower would win, which knows older values.
    fields = form.dataset, form.preset, form.start_from, form.epochs, form.batch_size
    fields += form.size, form.width
    gr.on(
        [*(field.change for field in fields), form.lr.blur, form.more.blur],
        form.describe_length,
        form.inputs(),
        form.length,
        trigger_mode="always_last",
        **HIDDEN_EVENT,
    )

    def finetune(event: gr.EventData) -> Any:
        return start_choices("", str(event.value))

    live.select(finetune, None, form.start_from, **HIDDEN_EVENT)


def wire_start(form: TrainForm, live: gr.HTML, watch: RunWatcher) -> None:
    """Wire the two buttons that start a run: of the form, and the trial."""
    numbers = itertools.count(1)

    def started(name: str, dataset: str) -> dict[Any, Any]:
        """Show the run, and propose a name for the next."""
        watch.hurry()
        _, proposed = propose_name("", "", dataset)
        return {
            live: {"run": name, "at": next(numbers)},
            form.name: proposed,
            form.proposed: proposed,
            form.trial: gr.Button(TRY_IT, visible=False, interactive=True),
        }

    def begin(values: Values) -> dict[Any, Any]:
        return started(start_run(**form.read(values)), values[form.dataset])

    outputs = [live, form.name, form.proposed, form.trial]
    form.start.click(begin, form.inputs(), outputs, **HIDDEN_EVENT)

    def try_it(progress: gr.Progress = gr.Progress()) -> dict[Any, Any]:  # noqa: B008
        """Train the preset `quick` on the sample dataset, which is made where it is missing."""
        dataset = ready_sample(progress).name
        name = start_run(dataset, TRIAL, "", {})
        chosen = {form.preset: TRIAL, form.start_from: "", form.dataset: dataset}
        chosen |= form.preset_fields(chosen)  # what was started
        chosen[form.preset] = gr.Dropdown(value=TRIAL, info=PRESET_TEXTS[TRIAL][1])
        return {**started(name, dataset), **chosen, form.dataset: dataset_choices(None, dataset)}

    # A button shows no progress of its own.
    form.trial.click(None, None, form.trial, js=TRYING)
    form.trial.click(
        try_it, None, [*outputs, *form.preset_outputs(), form.start_from, form.dataset],
        show_progress_on=live, api_visibility="private",
    ).failure(
        lambda: gr.Button(TRY_IT, interactive=True), None, form.trial, **HIDDEN_EVENT
    )  # fmt: skip


def dataset_choices(chosen: str | None, sent: str = "") -> Any:
    """List the datasets as they are now. The choice stays; where there is none, or it is gone, it
    becomes the one that was sent from elsewhere, or the first."""
    names = list(workspace_datasets())
    info = "" if names else NO_DATASET
    if chosen in names:
        return gr.Dropdown(names, info=info)
    return gr.Dropdown(names, value=sent if sent in names else next(iter(names), None), info=info)


def start_choices(chosen: str, sent: str | None = None) -> Any:
    """List the models as they are now, and choose the one that was `sent`; else the choice stays,
    unless it is gone."""
    names = list(start_models())
    choices = [SCRATCH, *((f"Fine-tune {name}", name) for name in names)]
    if sent is None and chosen in ["", *names]:
        return gr.Dropdown(choices)
    return gr.Dropdown(choices, value=sent if sent in names else "")
