"""The part of the form that sends a run to Hugging Face Jobs, and follows and resumes it there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.hub.jobs_follow import FOLLOWERS, sync_remote
from pix2pix.hub.jobs_launch import (
    MAX_HOURS,
    Flavour,
    flavours,
    remote_runs,
    resume_remote,
    start_remote,
)
from pix2pix.training.run_folder import RESUMABLE
from pix2pix.ui.auth import visitor_token
from pix2pix.ui.events import HIDDEN_EVENT, user_errors
from pix2pix.ui.long_work import page_progress
from pix2pix.ui.train.form import TrainForm, Values, propose_name
from pix2pix.ui.train.launch import find_run, prepared_run
from pix2pix.ui.train.watch import RunWatcher

FIRST = ["t4-small", "l4x1", "a10g-small", "a100-large", "cpu-upgrade"]  # until the Hub is asked
WORDS = (
    "The same run on a machine of Hugging Face, which its owner pays for: the dataset goes into a "
    "private bucket, losses and pictures come back here while it trains, the model when it is over."
)
TOKEN_NOTE = (
    "Kept in memory while a run is watched, never on disk: after a restart of the app, choose the "
    "run below and give the token again."
)


@dataclass(frozen=True)
class JobFields:
    """The components of the part."""

    token: gr.Textbox
    flavour: gr.Dropdown
    prices: gr.Button
    hours: gr.Number
    bucket: gr.Textbox
    send: gr.Button
    earlier: gr.Dropdown
    watch: gr.Button
    resume: gr.Button
    message: gr.Markdown


def jobs_fields() -> JobFields:
    """Lay the part out inside the current ``gr.Blocks``."""
    with gr.Accordion("Train on Hugging Face Jobs", open=False, elem_id="jobs"):
        gr.Markdown(WORDS, elem_classes="quiet")
        token = gr.Textbox(
            label="Your token, which may write and start jobs", type="password", info=TOKEN_NOTE,
            elem_id="jobs-token",
        )  # fmt: skip
        bucket = gr.Textbox(label="Bucket", placeholder="owner/name", elem_id="jobs-bucket")
        flavour = gr.Dropdown(FIRST, value=FIRST[0], label="Hardware", elem_id="jobs-flavour")
        prices = gr.Button("Show hardware and prices", size="sm", elem_id="jobs-prices")
        hours = gr.Number(2, minimum=0.1, maximum=MAX_HOURS, label="Hours at most")
        send = gr.Button("Send to Jobs", elem_id="jobs-send")
        earlier = gr.Dropdown([], value=None, label="A run on Jobs", elem_id="jobs-earlier")
        with gr.Row():
            watch = gr.Button("Watch", size="sm", min_width=0, elem_id="jobs-watch")
            resume = gr.Button("Resume there", size="sm", min_width=0, elem_id="jobs-resume")
        message = gr.Markdown(elem_classes="quiet", elem_id="jobs-said")
    return JobFields(token, flavour, prices, hours, bucket, send, earlier, watch, resume, message)


def wire_jobs(fields: JobFields, form: TrainForm, live: gr.HTML, watch: RunWatcher) -> None:
    """Wire the buttons, and the list of runs there are."""
    handlers = JobHandlers(fields, form, live, watch)
    options = {"show_progress_on": fields.message, "api_visibility": "private"}
    views = [live, fields.message, fields.earlier]
    fields.prices.click(handlers.show_prices, fields.token, fields.flavour, **options)
    inputs = form.inputs() | {fields.token, fields.flavour, fields.hours, fields.bucket}
    fields.send.click(handlers.send, inputs, [*views, form.name, form.proposed], **options)
    chosen = [fields.token, fields.earlier]
    fields.watch.click(handlers.watch_again, chosen, views, **options)
    resumed = [*chosen, fields.flavour, fields.hours]
    fields.resume.click(handlers.resume, resumed, views, **options)
    live.shown(refresh_names, fields.earlier, fields.earlier, **HIDDEN_EVENT)


class JobHandlers:
    """What the buttons of the part do; a run that they name is shown and followed from then on."""

    def __init__(
        self, fields: JobFields, form: TrainForm, live: gr.HTML, watch: RunWatcher
    ) -> None:
        self.fields, self.form, self.live, self.watcher = fields, form, live, watch
        self.numbers = itertools.count(1)

    def shown(self, name: str, words: str) -> dict[Any, Any]:
        """Give the values that show a run and a sentence."""
        self.watcher.hurry()
        return {
            self.live: {"run": name, "jobs": next(self.numbers)},
            self.fields.message: words,
            self.fields.earlier: gr.Dropdown(job_run_names(), value=name),
        }

    def show_prices(self, token: str, signed_in: gr.OAuthToken | None) -> dict[Any, Any]:
        """Ask the Hub for the hardware and its prices."""
        with user_errors():
            hardware = flavours(payer_token(token, signed_in))
        choices = [(flavour_label(one), one.name) for one in hardware]
        return {self.fields.flavour: gr.Dropdown(choices)}

    def send(
        self, values: Values, signed_in: gr.OAuthToken | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        """Start the run of the form on Jobs, its dataset and all."""
        fields, form = self.fields, self.form
        dataset = values[form.dataset] or ""
        with user_errors():
            token = payer_token(values[fields.token], signed_in)
            run, settings = prepared_run(
                dataset, values[form.preset] or "", values[form.name] or "",
                form.overrides(values), values[form.start_from] or "",
            )  # fmt: skip
            page = start_remote(
                run, settings, (values[fields.bucket] or "").strip(),
                flavour=values[fields.flavour] or "", hours=values[fields.hours] or 0,
                token=token, on_progress=page_progress(progress, "Sending"),
            )  # fmt: skip
        FOLLOWERS.follow(run, token)
        _, proposed = propose_name("", "", dataset)
        answer = self.shown(run.name, f"Sent: [its job]({page}).")
        return {**answer, form.name: proposed, form.proposed: proposed}

    def watch_again(self, token: str, name: str | None, signed_in: gr.OAuthToken | None) -> Any:
        """Follow a run that another page, or the server's last process, started."""
        with user_errors():
            run, token = find_run(name or ""), payer_token(token, signed_in)
            if sync_remote(run, token).is_active:  # whose token the Hub refuses watches nothing
                FOLLOWERS.follow(run, token)
        return self.shown(run.name, "")

    def resume(
        self, token: str, name: str | None, flavour: str, hours: float,
        signed_in: gr.OAuthToken | None,
    ) -> Any:  # fmt: skip
        """Let a run that ended early go on, on Jobs."""
        with user_errors():
            run, token = find_run(name or ""), payer_token(token, signed_in)
            page = resume_remote(run, flavour=flavour or "", hours=hours or 0, token=token)
        FOLLOWERS.follow(run, token)
        return self.shown(run.name, f"Resumed: [its job]({page}).")


def payer_token(typed: str | None, signed_in: gr.OAuthToken | None) -> str:
    """Return the token of the person who pays."""
    token = visitor_token(typed, signed_in)
    if not token:
        raise UserError("Give your token first: Jobs are paid by the person who starts them.")
    return token


def job_run_names() -> list[str]:
    """List the runs that can be watched or resumed."""
    return [run.name for run in remote_runs() if run.is_active or run.state in RESUMABLE]


def refresh_names(chosen: str | None) -> Any:
    """List those runs as they are now; the choice stays where it is among them."""
    names = job_run_names()
    return gr.Dropdown(names, **({} if chosen in names else {"value": next(iter(names), None)}))


def flavour_label(flavour: Flavour) -> str:
    """Format hardware for the list: $0.60 an hour, 1x Nvidia T4."""
    price = f"${flavour.price:.2f} an hour, " if flavour.price is not None else ""
    return f"{price}{flavour.words}"
