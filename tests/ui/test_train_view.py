"""The view of a run alone, in a real browser, with answers that the test gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pix2pix.imaging.picture import data_url
from pix2pix.ui.theme import UI
from pix2pix.ui.web_files import WEB
from tests.support.models_and_servers import noise

pytestmark = pytest.mark.browser

MOUNT = """async ([html, module]) => {
  document.body.innerHTML = `<style>svg { width: 400px; height: 96px; }</style>
    <p id="away">elsewhere</p><div id="view">${html}</div>`;
  window.asked = [];
  window.told = { error: "nothing yet" };
  const server = {
    look: async () => {
      const told = window.told;
      window.told = { ...told, parts: {} }; // each part is told once, as the server does
      return told;
    },
    act: async (request) => {
      (window.acted ??= []).push(request);
      return { said: `'${request.run}' is deleted.` };
    },
    sample: async ({ step, small }) => small ? { image: "" } : new Promise((answer) => {
      window.asked.push({ step, answer });
    }),
  };
  const nothing = () => {};
  const element = document.getElementById("view");
  const { mount } = await import(module);
  mount({ element, server, trigger: nothing, watch: nothing, props: {} });
}"""
STATUS = {
    "state": "stopped", "word": "Stopped", "sentence": "", "share": 0.5, "facts": [],
    "active": False, "resumable": True, "has_model": True, "force": False,
}  # fmt: skip


def serve_module(route: Any) -> None:
    """The page's modules, and an empty page to import them on."""
    name = route.request.url.rpartition("/")[2]
    if name:
        route.fulfill(path=WEB / name, content_type="text/javascript")
    else:
        route.fulfill(body="", content_type="text/html")


class View:
    def __init__(self, page: Any) -> None:
        self.page = page
        page.route("http://modules/*", serve_module)
        page.goto("http://modules/")
        html = (UI / "train/live_view.html").read_text(encoding="utf-8")
        page.evaluate(MOUNT, [html, "http://modules/live_view.js"])

    def tell(self, run: str, **parts: Any) -> None:
        """What the server knows from now on; the view looks at once."""
        parts["runs"] = [{"name": run, "word": STATUS["word"], "state": STATUS["state"]}]
        parts = {name: json.dumps(part) for name, part in parts.items()}
        self.page.evaluate(
            "(told) => {"
            " window.told = told; document.dispatchEvent(new Event('visibilitychange')); }",
            {"run": run, "versions": {}, "parts": parts},
        )

    def until(self, code: str) -> None:
        self.page.wait_for_function(f"() => {code}")

    def answer(self, number: int, answer: dict[str, Any]) -> None:
        """The request for a picture of that number."""
        self.until(f"window.asked.length > {number}")
        self.page.evaluate("([n, told]) => window.asked[n].answer(told)", [number, answer])

    def slide(self, index: int) -> None:
        self.page.locator(".time input").fill(str(index))

    def caption(self) -> str:
        return self.page.locator(".which").inner_text()


@pytest.fixture()
def view(browser: Any) -> Iterator[View]:
    page, problems = browser.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_default_timeout(15_000)
    yield View(page)
    page.close()
    assert problems == []


def test_a_model_is_published_under_the_name_of_the_run_that_is_shown(view: View) -> None:
    for run in ("one", "two"):
        view.tell(run, status={"name": run, **STATUS})
        view.until(f"document.querySelector('.run > .head .name').textContent === '{run}'")
        assert view.page.locator(".as input").input_value() == run


def test_a_run_is_deleted_by_a_second_click_and_another_one_shown(view: View) -> None:
    view.tell("one", status={"name": "one", **STATUS})
    button = view.page.locator("[data-action=delete]")
    button.click()
    assert button.inner_text() == "Delete for good?"
    view.until("document.querySelector('[data-action=delete]').textContent === 'Delete'")  # no more
    assert view.page.evaluate("window.acted") is None
    button.click()
    button.click()
    view.until("!document.querySelector('.said').hidden")
    assert view.page.evaluate("window.acted") == [{"run": "one", "action": "delete"}]
    assert view.page.locator(".said").inner_text() == "'one' is deleted."
    view.tell("two", status={"name": "two", **STATUS})
    view.until("document.querySelector('.run > .head .name').textContent === 'two'")
    view.tell("two", status={"name": "two", **STATUS, "active": True})
    view.until("!document.querySelector('[data-action=delete]')")


def test_the_slider_asks_for_one_picture_at_a_time_and_the_last_wins(view: View) -> None:
    sheet = {"image": data_url(noise(20, 30)), "count": 2}
    checkpoints = [{"step": step, "sample": True} for step in (10, 20, 30, 40, 50)]
    view.tell("one", status={"name": "one", **STATUS}, checkpoints=checkpoints)
    view.answer(0, sheet)
    shown = "document.querySelector('.cells').dataset.step"
    view.until(f"{shown} === '50'")
    for index in (3, 2, 1, 0):
        view.slide(index)
    steps = "window.asked.map(({ step }) => step)"
    assert view.page.evaluate(steps) == [50, 40] and view.caption() == "step 50"
    view.answer(1, sheet)
    view.until("window.asked.length === 3")
    assert view.page.evaluate(steps) == [50, 40, 10] and view.caption() == "step 40"
    view.answer(2, {"error": "gone"})
    view.slide(4)
    view.until(f"{shown} === '50'")
    view.slide(1)
    view.answer(3, {"error": "gone"})
    view.slide(2)  # what failed keeps nothing from being asked
    view.until("window.asked.length === 5")
    assert view.page.evaluate(steps)[3:] == [20, 30] and view.caption() == "step 50"


def test_the_measures_of_a_checkpoint_are_said_and_drawn(view: View) -> None:
    measures = {"step": 50, "l1": 0.1234, "psnr": 18.246, "ssim": 0.4567, "perceptual": 0.3}
    checkpoints = [
        {**measures, "model": True, "sample": False},
        {"step": 60, "model": True, "psnr": 9},
    ]
    validation = {"step": [40, 50], "psnr": [17.0, 18.246], "ssim": [-0.2, 0.4567]}
    view.tell(
        "one", status={"name": "one", **STATUS}, checkpoints=checkpoints, validation=validation
    )
    view.until("document.querySelectorAll('.checkpoint').length === 2")
    figures = view.page.locator(".checkpoint .figures").all_inner_texts()
    assert figures == ["PSNR 9.00", "L1 0.123, PSNR 18.2, SSIM 0.457, perceptual 0.300"]
    charts = view.page.locator(".charts figure")
    titles = charts.locator("h4").evaluate_all("all => all.map((h) => h.firstChild.textContent)")
    assert titles == ["PSNR, in dB", "SSIM"]
    for path in view.page.locator(".charts path.line").all():  # all of it is in the drawing
        points = [float(y) for _, y in re.findall(r"([\d.]+) (-?[\d.]+)", path.get_attribute("d"))]
        assert len(points) == 2 and 0 <= min(points) < max(points) <= 96


@pytest.mark.parametrize(
    "values", [[0.07312, 0.07347], [0.99991, 0.99993], [14.2, 15.9], [0.5, 0.5]]
)
def test_an_axis_tells_its_values_apart(view: View, values: list[float]) -> None:
    validation = {"step": [40, 50], "perceptual": values}
    view.tell("one", status={"name": "one", **STATUS}, validation=validation)
    scale = "[...document.querySelectorAll('.scale span')].map((each) => each.textContent)"
    view.until(f"({scale}).length > 0")
    ticks = [float(text) for text in reversed(view.page.evaluate(scale))]
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= 6 and steps.min() > 0 and np.allclose(steps, steps[0])
    assert ticks[0] <= min(values) and max(values) <= ticks[-1]
    shown = view.page.locator(".charts .key b").inner_text()
    assert float(shown) == pytest.approx(values[-1], abs=steps[0] / 20)


def test_curves_wait_while_a_value_is_read_and_then_go_on(view: View) -> None:
    def tell(steps: int) -> None:
        curves = {"step": list(range(steps)), "g_l1": [0.5] * steps}
        view.tell("one", status={"name": "one", **STATUS, "share": steps / 100}, curves=curves)
        view.until(f"document.querySelector('.bar').getAttribute('aria-valuenow') === '{steps}'")

    tell(20)
    at = "document.querySelector('.charts .at').textContent"
    view.until(f"{at} === 'step 19'")
    view.page.locator(".plot svg").hover()
    view.until(f"{at} === 'step 10'")
    tell(30)
    assert view.page.evaluate(at) == "step 10"
    view.page.locator("#away").hover()
    view.until(f"{at} === 'step 29'")
