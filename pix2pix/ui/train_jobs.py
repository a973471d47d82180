"""The part of the form that sends a run to Hugging Face Jobs, and watches and resumes it there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.job_watch import sync_remote
from pix2pix.jobs import MAX_HOURS, Flavour, flavours, remote_runs, resume_remote, start_remote
from pix2pix.runs import RESUMABLE
from pix2pix.ui.job_followers import FOLLOWERS
from pix2pix.ui.shared import QUIET, paced, sentences, visitors_token
from pix2pix.ui.train_form import Form, Values, propose_name
from pix2pix.ui.train_start import find_run, prepared_run
from pix2pix.ui.train_watch import Watch

FIRST = ["t4-small", "l4x1", "a10g-small", "a100-large", "cpu-upgrade"]  # until the Hub is asked
WORDS = (
    "The same run on a machine of Hugging Face, which its owner pays for: the dataset goes into a "
    "private bucket, losses and pictures come back here while it trains, the model when it is over."
)
KEPT = (
    "Kept in memory while a run is watched, never on disk: after a restart of the app, choose the "
    "run below and give the token again."
)


@dataclass(frozen=True)
class Fields:
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
    said: gr.Markdown


def jobs_fields() -> Fields:
    """Lay the part out inside the current ``gr.Blocks``."""
    with gr.Accordion("Train on Hugging Face Jobs", open=False, elem_id="jobs"):
        gr.Markdown(WORDS, elem_classes="quiet")
        token = gr.Textbox(
            label="Your token, which may write and start jobs", type="password", info=KEPT,
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
        said = gr.Markdown(elem_classes="quiet", elem_id="jobs-said")
    return Fields(token, flavour, prices, hours, bucket, send, earlier, watch, resume, said)


def wire_jobs(fields: Fields, form: Form, live: gr.HTML, watch: Watch) -> None:
    numbers = itertools.count(1)

    def shown(name: str, words: str) -> dict[Any, Any]:
        watch.hurry()
        view = {"run": name, "jobs": next(numbers)}
        return {live: view, fields.said: words, fields.earlier: gr.Dropdown(names(), value=name)}

    def show_prices(token: str, signed_in: gr.OAuthToken | None) -> dict[Any, Any]:
        with sentences():
            found = flavours(own_token(token, signed_in))
        return {fields.flavour: gr.Dropdown([(label(one), one.name) for one in found])}

    def send(
        values: Values, signed_in: gr.OAuthToken | None, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        dataset = values[form.dataset] or ""
        with sentences():
            token = own_token(values[fields.token], signed_in)
            run, settings = prepared_run(
                dataset, values[form.preset] or "", values[form.name] or "",
                form.overrides(values), values[form.start_from] or "",
            )  # fmt: skip
            page = start_remote(
                run, settings, (values[fields.bucket] or "").strip(),
                flavour=values[fields.flavour] or "", hours=values[fields.hours] or 0,
                token=token, on_progress=paced(progress, "Sending"),
            )  # fmt: skip
        FOLLOWERS.follow(run, token)
        _, proposed = propose_name("", "", dataset)
        answer = shown(run.name, f"Sent: [its job]({page}).")
        return {**answer, form.name: proposed, form.proposed: proposed}

    def watch_again(token: str, name: str | None, signed_in: gr.OAuthToken | None) -> Any:
        with sentences():
            run, token = find_run(name or ""), own_token(token, signed_in)
            if sync_remote(run, token).is_active:  # whose token the Hub refuses watches nothing
                FOLLOWERS.follow(run, token)
        return shown(run.name, "")

    def resume(
        token: str, name: str | None, flavour: str, hours: float,
        signed_in: gr.OAuthToken | None,
    ) -> Any:  # fmt: skip
        with sentences():
            run, token = find_run(name or ""), own_token(token, signed_in)
            page = resume_remote(run, flavour=flavour or "", hours=hours or 0, token=token)
        FOLLOWERS.follow(run, token)
        return shown(run.name, f"Resumed: [its job]({page}).")

    options = {"show_progress_on": fields.said, "api_visibility": "private"}
    views = [live, fields.said, fields.earlier]
    fields.prices.click(show_prices, fields.token, fields.flavour, **options)
    inputs = form.inputs() | {fields.token, fields.flavour, fields.hours, fields.bucket}
    fields.send.click(send, inputs, [*views, form.name, form.proposed], **options)
    chosen = [fields.token, fields.earlier]
    fields.watch.click(watch_again, chosen, views, **options)
    fields.resume.click(resume, [*chosen, fields.flavour, fields.hours], views, **options)
    live.shown(refresh, fields.earlier, fields.earlier, **QUIET)


def own_token(typed: str | None, signed_in: gr.OAuthToken | None) -> str:
    """The token of the person who pays."""
    token = visitors_token(typed, signed_in)
    if not token:
        raise UserError("Give your token first: Jobs are paid by the person who starts them.")
    return token


def names() -> list[str]:
    """The runs that can be watched or resumed."""
    return [run.name for run in remote_runs() if run.is_active or run.state in RESUMABLE]


def refresh(chosen: str | None) -> Any:
    found = names()
    return gr.Dropdown(found, **({} if chosen in found else {"value": next(iter(found), None)}))


def label(flavour: Flavour) -> str:
    price = f"${flavour.price:.2f} an hour, " if flavour.price is not None else ""
    return f"{price}{flavour.words}"
