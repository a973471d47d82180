"""Share between the tabs: errors as sentences, escaping, progress, cancelling, results."""

from __future__ import annotations

import logging
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.utils.files import remove_old
from pix2pix.utils.progress import Progress

UI = Path(__file__).parent
log = logging.getLogger(__name__)

OFFSCREEN = "away"  # hidden by CSS: what is in it stays in the page, such as the drawing on the pad
HIDDEN_EVENT = {
    "show_progress": "hidden",
    "api_visibility": "private",
}  # of an event of the page's own
RESULT_SECONDS = 24 * 3600  # that uploads and results stay on disk


def read_asset(name: str) -> str:
    """Read an HTML, CSS or JavaScript file, named by its path below `pix2pix/ui`."""
    return (UI / name).read_text(encoding="utf-8")


class user_errors:
    """``with sentences():`` shows a UserError to the person instead of a trace in the log."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise page_error(str(error)) from error


# Gradio shows an error as HTML, and tells programs the same words. These signs stay legible there.
LOOKALIKES = str.maketrans("<>", "‹›")


def page_error(sentence: str) -> gr.Error:
    """Make the error that the page shows; names in its sentence cannot become HTML."""
    words = re.sub(r"&(?=#|\w+;)", "＆", sentence.translate(LOOKALIKES))
    return gr.Error(words, print_exception=False)


def escape_template(value: Any) -> Any:
    """Escape a value for an ``html_template``. Gradio fills the braces, which escapes HTML, and
    then runs the result as a JavaScript template literal: there `\\` and `$` must be quoted."""
    if isinstance(value, dict):
        return {key: escape_template(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape_template(item) for item in value]
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("$", "\\$")
    return value


def server_function(
    name: str, handler: Callable[[Any], dict[str, Any]], failed: str
) -> Callable[[Any], dict[str, Any]]:
    """Make `handler` a function that the page calls as ``server.<name>``. A UserError is
    answered as {"error": sentence}, and so is what should not happen, with `failed`; its trace
    is logged."""

    def guarded(request: Any) -> dict[str, Any]:
        try:
            return handler(request)
        except UserError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("%s failed", name)
            return {"error": failed}

    guarded.__name__ = name
    return guarded


class CancelSwitches:
    """What stops the work that visitors have under way, by kind of work."""

    MAX_REQUESTED = (
        256  # work that did not begin, as many as the queue takes: some visitors are gone
    )

    def __init__(self) -> None:
        self.requested: dict[tuple[str, str], threading.Event] = {}
        self.running_work: dict[tuple[str, str], threading.Event] = {}
        self.lock = threading.Lock()

    def switch(self, session: str, work: str) -> threading.Event:
        """Make a switch for work that was asked for, and stop the visitor's earlier work of that
        kind."""
        self.stop(session, work)
        with self.lock:
            self.requested.pop((session, work), None)  # the new one goes to the end
            new = self.requested[session, work] = threading.Event()
            while len(self.requested) > self.MAX_REQUESTED:
                del self.requested[next(iter(self.requested))]
        return new

    @contextmanager
    def at_work(self, session: str, work: str) -> Iterator[threading.Event]:
        """Give the `switch` of the work that begins, for as long as it goes on; programs have
        none."""
        key = session, work
        with self.lock:
            switch = (
                self.requested.pop(key, None) or self.running_work.get(key) or threading.Event()
            )
            self.running_work[key] = switch
        try:
            yield switch
        finally:
            with self.lock:
                if self.running_work.get(key) is switch:
                    del self.running_work[key]

    def stop(self, session: str, work: str) -> None:
        with self.lock:
            for switches in (self.requested, self.running_work):
                if switch := switches.get((session, work)):
                    switch.set()


def busy_buttons(running: CancelSwitches, work: str) -> Callable[[gr.Request], list[Any]]:
    """Swap a button and its Stop when the work is asked for; stops work that still waits in the
    queue."""

    def working(request: gr.Request) -> list[Any]:
        running.switch(str(request.session_hash), work)
        return [gr.Button(interactive=False), gr.Button(visible=True)]

    return working


def idle_buttons() -> list[Any]:
    return [gr.Button(interactive=True), gr.Button(visible=False)]


def visitor_token(typed: str | None, signed_in: gr.OAuthToken | None) -> str | None:
    """Return the token that a visitor typed, else that of their sign-in; never the server's."""
    return (typed or "").strip() or (signed_in.token if signed_in else None)


def results_folder() -> Path:
    """Return where temporary results lie, and delete those of more than a day ago. Not below
    ``GRADIO_TEMP_DIR``: what lies there Gradio hands to whoever knows its path."""
    folder = Path(tempfile.gettempdir()) / "pix2pix-studio"
    folder.mkdir(exist_ok=True)
    remove_old(folder.iterdir(), RESULT_SECONDS)
    return folder


def page_progress(progress: gr.Progress, what: str, unit: str = "") -> Progress:
    """Make an ``on_progress`` that moves the page's bar and says the time left, a few times a
    second at most; without a `unit` it counts in per cent."""
    started = time.monotonic()
    last = started - 1.0

    def on_progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < 0.2 and done < total:
            return
        last = now
        share = min(1.0, done / total) if total else 0.0
        count = f"{done} of {total} {unit}" if unit else f"{share:.0%}"
        progress(share, desc=f"{what}: {count}{time_left(now - started, share)}")

    return on_progress


def time_left(seconds: float, share: float) -> str:
    """Say how long the rest takes at this pace; empty while that is a guess."""
    if seconds < 2 or not 0.02 < share < 1:
        return ""
    remaining = seconds * (1 - share) / share
    return (
        f", about {remaining:.0f} s left"
        if remaining < 90
        else f", about {remaining / 60:.0f} min left"
    )
