"""Long work: how it tells its progress, how a terminal shows that, and how it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

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


class ProgressBar:
    """A `Progress` that draws a bar with speed and time left on standard error, where that is a
    terminal; `style` is tqdm's."""

    def __init__(self, title: str, unit: str = "file", **style: Any) -> None:
        self.style = {"desc": title, "unit": unit, "disable": None, **style}
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Move the bar; a new one is begun where the work starts over."""
        from tqdm import tqdm

        if self.bar is None or done < self.bar.n:
            self.close()
            self.bar = tqdm(total=total or None, initial=done, **self.style)
        self.bar.update(done - self.bar.n)
        if done == total:
            self.close()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
