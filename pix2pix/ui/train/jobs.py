"""The part of the form that sends a run to Hugging Face Jobs, and follows and resumes it there."""

from __future__ import annotations

import itertools
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.hub.jobs_follow import FOLLOWERS, sync_remote
from pix2pix.hub.jobs_launch import MAX_HOURS, Flavour, flavours, resume_remote, start_remote
from pix2pix.training.run_folder import RESUMABLE, is_remote, list_runs
from pix2pix.ui.auth import visitor_token
from pix2pix.ui.events import HIDDEN_EVENT, page_progress
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


class JobsForm:
    """The components, and what their buttons do: a run that they name is shown and followed from
    then on."""

    def __init__(self, form: TrainForm) -> None:
        """Lay the part out inside the current ``gr.Blocks``; a run is sent as `form` has it."""
        self.form = form
        with gr.Accordion("Train on Hugging Face Jobs", open=False, elem_id="jobs"):
            gr.Markdown(WORDS, elem_classes="quiet")
            self.token = gr.Textbox(
                label="Your token, which may write and start jobs", type="password",
                info=TOKEN_NOTE, elem_id="jobs-token",
            )  # fmt: skip
            self.bucket = gr.Textbox(
                label="Bucket", placeholder="owner/name", elem_id="jobs-bucket"
            )
            self.flavour = gr.Dropdown(
                FIRST, value=FIRST[0], label="Hardware", elem_id="jobs-flavour"
            )
            self.prices = gr.Button("Show hardware and prices", size="sm", elem_id="jobs-prices")
            self.hours = gr.Number(2, minimum=0.1, maximum=MAX_HOURS, label="Hours at most")
            self.submit = gr.Button("Send to Jobs", elem_id="jobs-send")
            self.earlier = gr.Dropdown(
                [], value=None, label="A run on Jobs", elem_id="jobs-earlier"
            )
            with gr.Row():
                self.watch = gr.Button("Watch", size="sm", min_width=0, elem_id="jobs-watch")
                self.again = gr.Button(
                    "Resume there", size="sm", min_width=0, elem_id="jobs-resume"
                )
            self.message = gr.Markdown(elem_classes="quiet", elem_id="jobs-said")
        self.numbers = itertools.count(1)

    def wire(self, live: gr.HTML, watcher: RunWatcher) -> None:
        """Wire the buttons, and the list of runs there are."""
        self.live, self.watcher = live, watcher
        options = {"show_progress_on": self.message, "api_visibility": "private"}
        views = [live, self.message, self.earlier]
        self.prices.click(self.show_prices, self.token, self.flavour, **options)
        inputs = self.form.inputs() | {self.token, self.flavour, self.hours, self.bucket}
        names = [self.form.name, self.form.proposed]
        self.submit.click(self.send, inputs, [*views, *names], **options)
        chosen = [self.token, self.earlier]
        self.watch.click(self.watch_again, chosen, views, **options)
        resumed = [*chosen, self.flavour, self.hours]
        self.again.click(self.resume, resumed, views, **options)
        live.shown(refresh_names, self.earlier, self.earlier, **HIDDEN_EVENT)

    def shown(self, name: str, words: str) -> dict[Any, Any]:
        """Give the values that show a run and a sentence."""
        self.watcher.hurry()
        return {
            self.live: {"run": name, "jobs": next(self.numbers)},
            self.message: words,
            self.earlier: gr.Dropdown(job_run_names(), value=name),
        }

    def show_prices(self, token: str, signed_in: gr.OAuthToken | None) -> dict[Any, Any]:
        """Ask the Hub for the hardware and its prices."""
        hardware = flavours(payer_token(token, signed_in))
        choices = [(flavour_label(one), one.name) for one in hardware]
        return {self.flavour: gr.Dropdown(choices)}

    def send(
        self, values: Values, signed_in: gr.OAuthToken | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        """Start the run of the form on Jobs, its dataset and all."""
        form = self.form
        dataset = values[form.dataset] or ""
        token = payer_token(values[self.token], signed_in)
        run, settings = prepared_run(**form.read(values))
        page = start_remote(
            run, settings, (values[self.bucket] or "").strip(),
            flavour=values[self.flavour] or "", hours=values[self.hours] or 0,
            token=token, on_progress=page_progress(progress, "Sending"),
        )  # fmt: skip
        FOLLOWERS.follow(run, token)
        _, proposed = propose_name("", "", dataset)
        answer = self.shown(run.name, f"Sent: [its job]({page}).")
        return {**answer, form.name: proposed, form.proposed: proposed}

    def watch_again(self, token: str, name: str | None, signed_in: gr.OAuthToken | None) -> Any:
        """Follow a run that another page, or the server's last process, started."""
        run, token = find_run(name or ""), payer_token(token, signed_in)
        if sync_remote(run, token).is_active:  # whose token the Hub refuses watches nothing
            FOLLOWERS.follow(run, token)
        return self.shown(run.name, "")

    def resume(
        self, token: str, name: str | None, flavour: str, hours: float,
        signed_in: gr.OAuthToken | None,
    ) -> Any:  # fmt: skip
        """Let a run that ended early go on, on Jobs."""
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
    return [
        run.name
        for run in list_runs()
        if is_remote(run.folder) and (run.is_active or run.state in RESUMABLE)
    ]


def refresh_names(chosen: str | None) -> Any:
    """List those runs as they are now; the choice stays where it is among them."""
    names = job_run_names()
    return gr.Dropdown(names, **({} if chosen in names else {"value": next(iter(names), None)}))


def flavour_label(flavour: Flavour) -> str:
    """Format hardware for the list: $0.60 an hour, 1x Nvidia T4."""
    price = f"${flavour.price:.2f} an hour, " if flavour.price is not None else ""
    return f"{price}{flavour.words}"
