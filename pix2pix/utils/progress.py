"""Types of long work: how it tells its progress, and how it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pix2pix.errors import Cancelled

Progress = Callable[[int, int], None]  # hears (done, total)
Item = TypeVar("Item")
ShouldStop = Callable[[], bool]  # asked often: the work raises Cancelled soon after it is true


def part_of(on_progress: Progress, begin: int, end: int) -> Progress:
    """Make a progress that runs from the thousandth `begin` to `end` of another."""
    return lambda done, total: on_progress(begin + (end - begin) * done // max(1, total), 1000)


def each(
    items: Sequence[Item], should_stop: ShouldStop, on_progress: Progress = lambda done, total: None
) -> Iterator[Item]:
    """Yield the items for work on one after the other, and tell the progress after each. Raises
    Cancelled where the work is to stop."""
    for done, item in enumerate(items, 1):
        if should_stop():
            raise Cancelled
        yield item
        on_progress(done, len(items))
