"""Train: set a run up on the left, watch it live on the right, publish what came out."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.ui.shared import QUIET, sentences
from pix2pix.ui.train_api import train_api
from pix2pix.ui.train_form import (
    Form,
    Values,
    dataset_choices,
    direction_field,
    length_of,
    preset_fields,
    preview_of,
    propose_name,
    start_choices,
    start_fields,
    start_with,
    training_form,
)
from pix2pix.ui.train_jobs import jobs_fields, wire_jobs
from pix2pix.ui.train_live import live_view
from pix2pix.ui.train_measure import measure_part
from pix2pix.ui.train_start import start_run
from pix2pix.ui.train_watch import Watch

STYLE = Path(__file__).with_name("train_tab.css").read_text(encoding="utf-8")


def train_tab(dataset: gr.Textbox) -> None:
    """Lay out the tab inside the current ``gr.Blocks``; `dataset` holds the name of one that was
    chosen elsewhere to train on."""
    watch = Watch()
    with gr.Row(elem_classes="shelf", elem_id="train"):
        with gr.Column(min_width=0, elem_classes="step", elem_id="setup"):
            gr.HTML(f"<style>{STYLE}</style><h2 class='step-title'>New run</h2>")
            form = training_form()
            jobs = jobs_fields()
        with gr.Column(min_width=0, elem_classes="step"):
            live = live_view(watch, elem_id="live")
    measure_part(form.dataset, live)
    wire_choices(form, live, dataset)
    wire_fields(form, live)
    wire_start(form, live, watch)
    wire_jobs(jobs, form, live, watch)
    train_api()


def wire_choices(form: Form, live: gr.HTML, chosen: gr.Textbox) -> None:
    def refresh(dataset: str | None, sent: str, start_from: str) -> list[Any]:
        """What there is to choose from changes while the page is open."""
        return [dataset_choices(dataset, sent), start_choices(start_from)]

    choices = [form.dataset, form.start_from]
    live.shown(refresh, [form.dataset, chosen, form.start_from], choices, **QUIET)

    def take(sent: str) -> list[Any]:
        """Choose what was sent; what sent it is emptied, so that the same can be sent again."""
        return [dataset_choices(None, sent), ""] if sent else [gr.skip(), gr.skip()]

    chosen.change(take, chosen, [form.dataset, chosen], **QUIET)

    def show_dataset(values: Values) -> dict[Any, Any]:
        name = values[form.dataset]
        run, proposed = propose_name(values[form.name], values[form.proposed], name)
        return {
            form.preview: preview_of(name),
            form.direction: direction_field(form, values),
            form.name: run,
            form.proposed: proposed,
            form.length: length_of(form, values),
        }

    outputs = [form.preview, form.direction, form.name, form.proposed, form.length]
    form.dataset.change(show_dataset, form.inputs(), outputs, **QUIET)


def wire_fields(form: Form, live: gr.HTML) -> None:
    """What a preset, a model to start from and the length bring with them."""

    def show_preset(values: Values) -> dict[Any, Any]:
        with sentences():
            return preset_fields(form, values)

    outputs = [
        *(form.preset, form.direction, form.epochs, form.batch_size, form.lr, form.table),
        *(form.mirror, form.size, form.width),
    ]
    begin = {form.start_from, form.preset, form.dataset}
    form.preset.input(show_preset, begin, outputs, **QUIET)

    def show_start(values: Values) -> dict[Any, Any]:
        with sentences():
            return start_fields(form, values)

    form.start_from.change(show_start, begin, [form.direction, form.size, form.width], **QUIET)
    fields = form.preset, form.start_from, form.epochs, form.batch_size, form.size, form.width
    gr.on(
        [*(field.change for field in fields), form.more.blur], functools.partial(length_of, form),
        form.inputs(), form.length, trigger_mode="always_last", **QUIET,
    )  # fmt: skip

    def finetune(event: gr.EventData) -> Any:
        return start_with(str(event.value))

    live.select(finetune, None, form.start_from, **QUIET)


def wire_start(form: Form, live: gr.HTML, watch: Watch) -> None:
    numbers = itertools.count(1)

    def begin(values: Values) -> dict[Any, Any]:
        dataset, preset = values[form.dataset] or "", values[form.preset] or ""
        with sentences():
            overrides = form.overrides(values)
            start_from = values[form.start_from] or ""
            name = start_run(dataset, preset, values[form.name] or "", overrides, start_from)
        watch.hurry()
        _, proposed = propose_name("", "", dataset)
        return {
            live: {"run": name, "at": next(numbers)},
            form.name: proposed,
            form.proposed: proposed,
        }

    outputs = [live, form.name, form.proposed]
    form.start.click(begin, form.inputs(), outputs, **QUIET)
