"""Lay out the Train tab: set-up on the left, the live run on the right."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import gradio as gr

from pix2pix.training.run_folder import list_runs
from pix2pix.ui.dataset.library import ready_sample
from pix2pix.ui.events import HIDDEN_EVENT, user_errors
from pix2pix.ui.theme import OFFSCREEN, read_asset
from pix2pix.ui.train.evaluate import evaluate_form
from pix2pix.ui.train.form import (
    TRY_IT,
    TrainForm,
    Values,
    dataset_choices,
    dataset_preview,
    describe_length,
    direction_field,
    preset_fields,
    preset_outputs,
    propose_name,
    start_choices,
    start_fields,
    training_form,
)
from pix2pix.ui.train.jobs import JobsForm
from pix2pix.ui.train.launch import start_run, train_api
from pix2pix.ui.train.live_view import live_view
from pix2pix.ui.train.watch import RunWatcher
from pix2pix.ui.train.wording import PRESET_TEXTS

STYLE = read_asset("train/tab.css")
TRIAL = "quick"  # preset of the first run of who only wants to see
TRYING = """() => (
  { __type__: "update", value: "Drawing little houses…", interactive: false })"""


def train_tab(dataset: gr.Textbox) -> None:
    """Lay out the tab inside the current ``gr.Blocks``; `dataset` holds the name of one that was
    chosen elsewhere to train on."""
    watch = RunWatcher()
    with gr.Row(elem_classes="shelf", elem_id="train"):
        with gr.Column(min_width=0, elem_classes="step", elem_id="setup"):
            gr.HTML(f"<style>{STYLE}</style>", elem_classes=OFFSCREEN)
            form = training_form()
            jobs = JobsForm(form)
        with gr.Column(min_width=0, elem_classes="step"):
            live = live_view(watch, elem_id="live")
    evaluate_form(form.dataset, live)
    wire_choices(form, live, dataset)
    wire_fields(form, live)
    wire_start(form, live, watch)
    jobs.wire(live, watch)
    train_api()


def wire_choices(form: TrainForm, live: gr.HTML, chosen: gr.Textbox) -> None:
    """Wire what the tab lists, which changes while it is open, and the choice of a dataset."""

    def refresh(dataset: str | None, sent: str, start_from: str) -> list[Any]:
        """Update the choices, which change while the page is open; a trial is offered while nothing
        has been trained here."""
        offer = gr.Button(visible=not list_runs())
        return [dataset_choices(dataset, sent), start_choices(start_from), offer]

    choices = [form.dataset, form.start_from, form.trial]
    live.shown(refresh, [form.dataset, chosen, form.start_from], choices, **HIDDEN_EVENT)

    def take(sent: str) -> list[Any]:
        """Choose what was sent; what sent it is emptied, so that the same can be sent again."""
        return [dataset_choices(None, sent), ""] if sent else [gr.skip(), gr.skip()]

    chosen.change(take, chosen, [form.dataset, chosen], **HIDDEN_EVENT)

    def show_dataset(values: Values) -> dict[Any, Any]:
        name = values[form.dataset]
        run, proposed = propose_name(values[form.name], values[form.proposed], name)
        return {
            form.preview: dataset_preview(name),
            form.direction: direction_field(form, values),
            form.name: run,
            form.proposed: proposed,
            form.length: describe_length(form, values),
        }

    outputs = [form.preview, form.direction, form.name, form.proposed, form.length]
    form.dataset.change(show_dataset, form.inputs(), outputs, **HIDDEN_EVENT)


def wire_fields(form: TrainForm, live: gr.HTML) -> None:
    """Wire what a preset, a model to start from and the length bring with them."""

    def show_preset(values: Values) -> dict[Any, Any]:
        with user_errors():
            return preset_fields(form, values)

    begin = {form.start_from, form.preset, form.dataset}
    form.preset.input(show_preset, begin, preset_outputs(form), **HIDDEN_EVENT)

    def show_start(values: Values) -> dict[Any, Any]:
        with user_errors():
            return start_fields(form, values)

    form.start_from.change(
        show_start, begin, [form.direction, form.size, form.width], **HIDDEN_EVENT
    )
    fields = form.preset, form.start_from, form.epochs, form.batch_size, form.size, form.width
    gr.on(
        [*(field.change for field in fields), form.more.blur],
        functools.partial(describe_length, form),
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
        dataset, preset = values[form.dataset] or "", values[form.preset] or ""
        with user_errors():
            overrides = form.overrides(values)
            start_from = values[form.start_from] or ""
            name = start_run(dataset, preset, values[form.name] or "", overrides, start_from)
        return started(name, dataset)

    outputs = [live, form.name, form.proposed, form.trial]
    form.start.click(begin, form.inputs(), outputs, **HIDDEN_EVENT)

    def try_it(progress: gr.Progress = gr.Progress()) -> dict[Any, Any]:  # noqa: B008
        """Train the preset `quick` on the sample dataset, which is made where it is missing."""
        dataset = ready_sample(progress).name
        with user_errors():
            name = start_run(dataset, TRIAL, "", {})
        chosen = {form.preset: TRIAL, form.start_from: "", form.dataset: dataset}
        chosen |= preset_fields(form, chosen)  # what was started
        chosen[form.preset] = gr.Dropdown(value=TRIAL, info=PRESET_TEXTS[TRIAL][1])
        return {**started(name, dataset), **chosen, form.dataset: dataset_choices(None, dataset)}

    # A button shows no progress of its own.
    form.trial.click(None, None, form.trial, js=TRYING)
    form.trial.click(
        try_it, None, [*outputs, *preset_outputs(form), form.start_from, form.dataset],
        show_progress_on=live, api_visibility="private",
    ).failure(
        lambda: gr.Button(TRY_IT, interactive=True), None, form.trial, **HIDDEN_EVENT
    )  # fmt: skip
