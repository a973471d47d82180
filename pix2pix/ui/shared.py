"""What the tabs share: errors as sentences, inert words, progress, and where results lie."""

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
from pix2pix.files import remove_old

log = logging.getLogger(__name__)

AWAY = "away"  # hidden by CSS: what is in it stays in the page, such as the drawing on the pad
QUIET = {"show_progress": "hidden", "api_visibility": "private"}  # of an event of the page's own
KEEP_SECONDS = 24 * 3600  # that uploads and results stay on disk


class sentences:
    """``with sentences():`` shows a UserError to the person instead of a trace in the log."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise complaint(str(error)) from error


# Gradio shows an error as HTML, and tells programs the same words. These signs stay legible there.
LOOKALIKES = str.maketrans("<>", "‹›")


def complaint(sentence: str) -> gr.Error:
    """A sentence as the error that the page shows; names in it cannot become HTML."""
    words = re.sub(r"&(?=#|\w+;)", "＆", sentence.translate(LOOKALIKES))
    return gr.Error(words, print_exception=False)


def plain_text(words: str) -> str:
    """Words from files' names must not become Markdown or HTML."""
    return "".join(f"&#{ord(c)};" if c in "<>&*_`[]()#|\\!~" else c for c in words)


def inert(value: Any) -> Any:
    """What goes into an ``html_template``. Gradio fills the braces, which escapes HTML, and then
    runs the result as a JavaScript template literal: there `\\` and `$` must be quoted."""
    if isinstance(value, dict):
        return {key: inert(item) for key, item in value.items()}
    if isinstance(value, list):
        return [inert(item) for item in value]
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("$", "\\$")
    return value


def server_function(
    name: str, handler: Callable[[Any], dict[str, Any]], failed: str
) -> Callable[[Any], dict[str, Any]]:
    """`handler` as a function that the page calls as ``server.<name>``. A UserError is answered as
    {"error": sentence}, and so is what should not happen, with `failed`; its trace is logged."""

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


class Switches:
    """What stops the work that visitors have under way, by kind of work."""

    MOST_ASKED = 256  # work that did not begin, as many as the queue takes: some visitors are gone

    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], threading.Event] = {}
        self.begun: dict[tuple[str, str], threading.Event] = {}
        self.lock = threading.Lock()

    def switch(self, session: str, work: str) -> threading.Event:
        """A new switch for work that was asked for; the visitor's earlier work of that kind is
        stopped."""
        self.stop(session, work)
        with self.lock:
            self.asked.pop((session, work), None)  # the new one goes to the end
            new = self.asked[session, work] = threading.Event()
            while len(self.asked) > self.MOST_ASKED:
                del self.asked[next(iter(self.asked))]
        return new

    @contextmanager
    def at_work(self, session: str, work: str) -> Iterator[threading.Event]:
        """The `switch` of the work that begins, for as long as it goes on; programs have none."""
        key = session, work
        with self.lock:
            switch = self.asked.pop(key, None) or self.begun.get(key) or threading.Event()
            self.begun[key] = switch
        try:
            yield switch
        finally:
            with self.lock:
                if self.begun.get(key) is switch:
                    del self.begun[key]

    def stop(self, session: str, work: str) -> None:
        with self.lock:
            for switches in (self.asked, self.begun):
                if switch := switches.get((session, work)):
                    switch.set()


def pressed(running: Switches, work: str) -> Callable[[gr.Request], list[Any]]:
    """What is done at once when a button is pressed, for the button and its Stop, which also stops
    work that still waits in the queue."""

    def working(request: gr.Request) -> list[Any]:
        running.switch(str(request.session_hash), work)
        return [gr.Button(interactive=False), gr.Button(visible=True)]

    return working


def resting() -> list[Any]:
    return [gr.Button(interactive=True), gr.Button(visible=False)]


def visitors_token(typed: str | None, signed_in: gr.OAuthToken | None) -> str | None:
    """The token that a visitor typed, else that of their sign-in; never one of the server's."""
    return (typed or "").strip() or (signed_in.token if signed_in else None)


def results_folder() -> Path:
    """Where temporary results lie; those of more than a day ago are deleted. Not below
    ``GRADIO_TEMP_DIR``: what lies there Gradio hands to whoever knows its path."""
    folder = Path(tempfile.gettempdir()) / "pix2pix-studio"
    folder.mkdir(exist_ok=True)
    remove_old(folder.iterdir(), KEEP_SECONDS)
    return folder


def paced(progress: gr.Progress, what: str, unit: str = "") -> Callable[[int, int], None]:
    """An ``on_progress`` that moves the page's bar and says how long it will take, a few times a
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
    """How long the rest takes if it goes on as it went; nothing while that is a guess."""
    if seconds < 2 or not 0.02 < share < 1:
        return ""
    left = seconds * (1 - share) / share
    return f", about {left:.0f} s left" if left < 90 else f", about {left / 60:.0f} min left"
