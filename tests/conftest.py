"""Fixtures shared by the tests: a real browser for the page."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from pix2pix.imaging.picture import set_pillow_limits
from tests.support.chromium import CHROMIUM_FLAGS, Visitors, chromium_path

# Several tests at a time share the cores: one thread each, in every process that a test starts, and
# threads that wait for work sleep.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Every server of the tests is on this machine.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

# The tests' own process decodes as the app's does.
set_pillow_limits()

# A shell that starts the tests in the background lets them ignore Ctrl+C, and all that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where pictures on the visitor's device are not tested, nothing is loaded for them.
os.environ["PIX2PIX_ON_DEVICE"] = "off"


# Three browsers at a time get into each other's way: the page's tests go to two processes, about
# half of their time to each.
FIRST_HALF = {"test_train_tab", "test_dataset_tab", "test_draw_pairs", "test_auth"}
# What takes long begins first.
ORDER = ("ui", "training", "hub", "tests", "evaluation")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a file, which may share a server, to one process, and order the files."""

    def place(item: pytest.Item) -> tuple[int, str]:
        folder = item.path.parent.name
        half = f"page-{1 if item.path.stem in FIRST_HALF else 2}"
        group = half if folder == "ui" else item.path.stem
        return ORDER.index(folder) if folder in ORDER else len(ORDER), group

    for item in items:
        item.add_marker(pytest.mark.xdist_group(place(item)[1]))
    # Of the page's halves both begin at once.
    items.sort(key=place)


def give_up(sentence: str) -> None:
    """Skip with a sentence; in CI, which must have everything, fail with it."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(sentence)


@pytest.fixture(autouse=True)
def the_same_numbers_each_time() -> None:
    """Random networks and pictures are those of the last run, whatever was tested before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium; skips where there is none, but fails in CI, which must have one."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        give_up("playwright is not installed, so the page is not tested in a browser")
    with sync_playwright() as playwright:
        path = chromium_path(playwright.chromium.executable_path)
        if path is None:
            give_up("no Chromium found: set PIX2PIX_CHROMIUM to one to test the page")
        chromium = playwright.chromium.launch(
            executable_path=path, args=CHROMIUM_FLAGS, timeout=120_000
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def visitors(browser: object) -> Visitors:
    """All who come to this browser."""
    return Visitors(browser)


@pytest.fixture
def visit(visitors: Visitors) -> Iterator[Callable[..., object]]:
    """Opens an address as another visitor each time; the tabs close with the test."""
    yield visitors.open
    visitors.leave()


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equivalences are judged in float32, also on machines where bfloat16 is fast."""
    monkeypatch.setattr("pix2pix.models.translator.has_fast_bfloat16", lambda device: False)


@pytest.fixture
def hub() -> Iterator[object]:
    """A Hub of our own, without repositories."""
    from tests.support.fake_hub import serving

    with serving() as hub:
        yield hub


@pytest.fixture(scope="session")
def forks() -> Iterator[object]:
    """Processes that have PyTorch when they start."""
    from tests.support.fork_server import ForkServer

    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def forked(forks: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process starts runs as forks; without, they start as people's do."""
    from pix2pix.training import run_control

    monkeypatch.setattr(run_control, "subprocess", forks.as_subprocess())
