"""Events of the page that nobody need see, and work that takes long: its progress, its Stop button,
its results."""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from pix2pix.errors import Cancelled
from pix2pix.ui.theme import OFFSCREEN
from pix2pix.utils.files import remove_old
from pix2pix.utils.progress import Progress

# Of an event of the page's own.
HIDDEN_EVENT = {"show_progress": "hidden", "api_visibility": "private"}
# When something was clicked or changed, in ms of the page's own clock and in place of the first
# input: of two quick events the later one may reach the server first.
PAGE_CLOCK = "(_, ...inputs) => [performance.now(), ...inputs]"
RESULT_SECONDS = 24 * 3600  # that uploads and results stay on disk


class Switch(threading.Event):
    """What stops work that was `asked` for at a moment of the page's clock."""

    def __init__(self, asked: float = 0.0) -> None:
        super().__init__()
        self.asked = asked


class CancelSwitches:
    """What stops the work that visitors have under way, by kind of work."""

    # Work that did not begin, as many as the queue takes: some visitors are gone.
    MAX_REQUESTED = 256

    def __init__(self) -> None:
        self.requested: dict[tuple[str, str], Switch] = {}
        self.running_work: dict[tuple[str, str], Switch] = {}
        self.lock = threading.RLock()

    def switch(self, session: str, work: str, asked: float = 0.0) -> Switch:
        """Make a switch for work that was asked for, and stop the visitor's earlier work of that
        kind."""
        self.stop(session, work)
        with self.lock:
            self.requested.pop((session, work), None)  # the new one goes to the end
            new = self.requested[session, work] = Switch(asked)
            while len(self.requested) > self.MAX_REQUESTED:
                del self.requested[next(iter(self.requested))]
        return new

    @contextmanager
    def at_work(self, session: str, work: str) -> Iterator[Switch]:
        """Give the `switch` of the work that begins, for as long as it goes on; programs have
        none."""
        key = session, work
        with self.lock:
            switch = self.requested.pop(key, None) or self.running_work.get(key) or Switch()
            self.running_work[key] = switch
        try:
            yield switch
        finally:
            with self.lock:
                if self.running_work.get(key) is switch:
                    del self.running_work[key]

    @contextmanager
    def latest(self, session: str, work: str, asked: float) -> Iterator[Switch]:
        """Give a `switch` for work that takes the place of what the visitor asked for before, at
        whatever order requests come; raises Cancelled, at the end too, where later work took its
        own."""
        with self.lock:
            before = self.requested.get((session, work))
            if before and before.asked > asked:
                raise Cancelled
            switch = self.switch(session, work, asked)
        try:
            yield switch
        finally:
            if switch.is_set():
                raise Cancelled  # also in place of what failed: nobody waits for it

    def stop(self, session: str, work: str) -> None:
        """Stop the visitor's work of that kind, also where it still waits."""
        for switch in self.of(session, work):
            switch.set()

    def of(self, session: str, work: str) -> list[Switch]:
        """Return the switches of the visitor's work of that kind, waiting and running."""
        with self.lock:
            both = [s.get((session, work)) for s in (self.requested, self.running_work)]
        return [switch for switch in both if switch]


def wire_work(
    running: CancelSwitches, work: str, buttons: list[gr.Button], function: Callable[..., Any],
    inputs: Any, outputs: Any, starts: Sequence[Any] = (),
    stopped: dict[Any, Any] | None = None, **options: Any,
) -> Dependency:  # fmt: skip
    """Wire two `buttons`: the first starts `function`, as do the events `starts`, and the second
    stops it and is seen meanwhile. Returns the event of `function`.

    `function` works inside `running.at_work(session, work)`; where it raises Cancelled its event
    answers with the values of `stopped`. `options` are those of its event.
    """
    start, stop = buttons

    @functools.wraps(function)
    def until_stopped(*args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        except Cancelled:
            return stopped

    def begin(asked: float, request: gr.Request) -> list[Any]:
        """Swap the buttons; stops work that still waits in the queue."""
        running.switch(str(request.session_hash), work, asked)
        return [gr.Button(interactive=False), gr.Button(visible=True)]

    def end() -> list[Any]:
        return [gr.Button(interactive=True), gr.Button(visible=False)]

    def end_unless_begun(request: gr.Request) -> Any:
        """Leave the buttons to the work that was started again meanwhile."""
        return gr.skip() if running.of(str(request.session_hash), work) else end()

    at_once = {"queue": False, **HIDDEN_EVENT}

    def wire(events: list[Any], mode: str) -> Dependency:
        asked = gr.Number(visible=False)
        started = gr.on(events, begin, asked, buttons, js=PAGE_CLOCK, trigger_mode=mode, **at_once)
        ended = started.then(until_stopped, inputs, outputs, trigger_mode=mode, **options)
        ended.then(end_unless_begun, None, buttons, trigger_mode=mode, **at_once)
        # A failure triggers this alone; its switch may still wait for work that never began.
        ended.failure(end, None, buttons, trigger_mode=mode, **at_once)
        return ended

    if starts:
        wire(list(starts), "multiple")  # of choices the last one counts, of two clicks the first
    ended = wire([start.click], "once")

    def cancel(request: gr.Request) -> None:
        running.stop(str(request.session_hash), work)

    stop.click(cancel, None, None, queue=False, api_visibility="private")
    return ended


def show_one(modes: Sequence[str]) -> str:
    """Write what the page does, by itself and at once, when one of the `modes` is chosen: of their
    columns, in this order, it shows that one, and the others stay in it, unseen."""
    return f"""(mode) => {list(modes)}.map((one) => (
  {{ __type__: "update", elem_classes: one === mode ? [] : ["{OFFSCREEN}"] }}))"""


SHOW_STOP = "(input) => ({ __type__: 'update', visible: Boolean(input) })"
HIDE_STOP = "() => ({ __type__: 'update', visible: false })"


def wire_latest(
    running: CancelSwitches, work: str, starts: Sequence[Any], stop: gr.Button,
    function: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any], **options: Any,
) -> None:  # fmt: skip
    """Wire `function` to the events `starts`, each of which stops the work of those before it, as
    the button `stop` does, which is seen while there is work on the first of the `inputs`.

    `function` takes the page's clock before its inputs, works inside
    `running.latest(session, work, clock)` and gives a list of the values of `outputs`. `options`
    are those of its event.
    """

    @functools.wraps(function)
    def unless_stopped(*args: Any, **named: Any) -> Any:
        try:
            return [*function(*args, **named), gr.Button(visible=False)]
        except Cancelled:
            return gr.skip()

    gr.on(starts, None, inputs[0], stop, js=SHOW_STOP)
    ended = gr.on(
        starts, unless_stopped, [gr.Number(visible=False), *inputs], [*outputs, stop],
        js=PAGE_CLOCK, trigger_mode="multiple", show_progress_on=outputs[0],
        api_visibility="private", **options,
    )  # fmt: skip
    ended.failure(None, None, stop, js=HIDE_STOP)

    def cancel(request: gr.Request) -> Any:
        running.stop(str(request.session_hash), work)
        return gr.Button(visible=False)

    stop.click(cancel, None, stop, queue=False, **HIDDEN_EVENT)


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
