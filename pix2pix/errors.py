"""Errors that are shown to a person, and how long work tells its progress and is stopped."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # hears (done, total)
ShouldStop = Callable[[], bool]  # asked often: the work raises Cancelled soon after it is true


class UserError(ValueError):
    """One sentence for the person that says what to do."""


class Cancelled(Exception):
    """Long work ended because the person asked for it."""


def part_of(on_progress: Progress, begin: int, end: int) -> Progress:
    """Make a progress that runs from the thousandth `begin` to `end` of another."""
    return lambda done, total: on_progress(begin + (end - begin) * done // max(1, total), 1000)
