"""Dataset: three steps in sight of each other, folders, check and build, and what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pix2pix.build import Recipe, build
from pix2pix.datasets import import_dataset
from pix2pix.errors import Stopped
from pix2pix.files import free_name
from pix2pix.names import safe_name
from pix2pix.plan import Plan, make_plan
from pix2pix.ui.dataset_api import dataset_api
from pix2pix.ui.dataset_desk import FEW_AT_ONCE, Check, Desk, Scratch
from pix2pix.ui.dataset_form import Making, Sources, Values, making_form, sources_form
from pix2pix.ui.dataset_pictures import pairs_view, planned_pairs
from pix2pix.ui.dataset_shelf import HERE, Shelf, datasets_folder, shelf
from pix2pix.ui.dataset_sources import Given, gather
from pix2pix.ui.dataset_words import HEADERS, RULES, kinds, report, rows, shares_of
from pix2pix.ui.shared import QUIET, paced, plain_text, pressed, resting, sentences

EMPTY = "The pairs appear here. Choose the folders first, then check the pairs."
CHANGED = "Something in step 1 has changed: check the pairs again."
STOPPED = "Stopped: nothing was written."


@dataclass(frozen=True)
class Results:
    """The components that show a check, and the buttons whose turn changes with it."""

    check: gr.Button
    stop_check: gr.Button
    checked: gr.Markdown
    match: gr.Dropdown
    report: gr.HTML
    pictures: gr.HTML
    problems: gr.Column
    kind: gr.Dropdown
    table: gr.Dataframe
    name: gr.Textbox
    build: gr.Button
    stop_build: gr.Button
    built: gr.Markdown


# To what was built, which lies below: a failed or stopped build leaves the page where it is.
SCROLL = """(said) => {
  if (said && said.includes('is ready')) {
    document.getElementById('dataset')?.scrollIntoView({ behavior: 'smooth' });
  }
}"""


def dataset_tab(page: gr.Blocks, train: Callable[..., None] | None = None) -> None:
    """Lay out the tab inside the current ``gr.Blocks``, which is `page`.

    `train(button, name)` wires a button "Train on this dataset" to where training is set up;
    `name` is a textbox that holds the dataset's name. Without `train` there is no such button.
    """
    desk = Desk()
    with gr.Row(elem_classes="steps", elem_id="steps"):
        with gr.Column(min_width=0, elem_classes="step"):
            gr.HTML("<h2 class='step-title'><b>1</b> Folders</h2>")
            sources = sources_form()
            check = gr.Button("Check the pairs", variant="primary", elem_id="check")
            stop_check = gr.Button("Stop", visible=False, elem_id="stop-check")
            checked = gr.Markdown(elem_classes="quiet", elem_id="checked")
        with gr.Column(min_width=0, elem_classes="step"):
            gr.HTML("<h2 class='step-title'><b>2</b> Check</h2>")
            seen = check_parts()
        with gr.Column(min_width=0, elem_classes="step"):
            gr.HTML("<h2 class='step-title'><b>3</b> Build</h2>")
            name = gr.Textbox(label="Name", placeholder="faces", elem_id="dataset-name")
            making = making_form()
            start = gr.Button("Build the dataset", interactive=False, elem_id="build")
            stop_build = gr.Button("Stop", visible=False, elem_id="stop-build")
            built = gr.Markdown(elem_classes="quiet", elem_id="built")
    results = Results(check, stop_check, checked, *seen, name, start, stop_build, built)
    there = shelf(page, train)
    wire_check(desk, sources, making, results)
    wire_preview(desk, making, results)
    wire_build(desk, making, results, there)
    dataset_api()

    def leave(request: gr.Request) -> None:
        desk.leave(request.session_hash)

    page.unload(leave)


def check_parts() -> tuple[Any, ...]:
    found = gr.HTML(
        value={},
        html_template=(HERE / "dataset_report.html").read_text(encoding="utf-8"),
        css_template=(HERE / "dataset_report.css").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="report",
    )
    match = gr.Dropdown(
        list(RULES.items()), value="auto", label="Pair by", visible=False, elem_id="match"
    )
    pictures = pairs_view(EMPTY, elem_id="pairs")
    with gr.Column(visible=False, elem_id="problems", min_width=0) as problems:
        kind = gr.Dropdown([""], value="", label="Files to look at")
        table = gr.Dataframe(
            headers=HEADERS, datatype="str", wrap=True, interactive=False, max_height=320,
            column_widths=["30%", "25%", "45%"], show_label=False, buttons=[],
        )  # fmt: skip
    return match, found, pictures, problems, kind, table


# -------------------------------------------------------------------------------------- the check


def wire_check(desk: Desk, sources: Sources, making: Making, results: Results) -> None:
    def check(
        values: Values, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        session = request.session_hash
        try:
            with sentences():
                given = sources.read(values, values[results.match])
                plan = checked(desk, session, given, progress)
        except Stopped:
            return {results.checked: STOPPED}
        return show_check(plan, values, making, results)

    outputs = [
        *(results.checked, results.report, results.match, results.pictures, results.problems),
        *(results.kind, results.table, results.name, results.build, results.check),
        *(making.split, making.as_is),
    ]
    buttons = [results.check, results.stop_check]
    # The rule can be chosen only by a person who has seen a check, so that makes another one.
    begun = gr.on(
        [results.check.click, results.match.input], pressed(desk.running, "check"), None, buttons,
        queue=False, **QUIET,
    )  # fmt: skip
    ended = begun.then(
        check, {*sources.inputs(), *making.inputs(), results.match, results.name}, outputs,
        show_progress_on=results.checked, api_visibility="private", **FEW_AT_ONCE,
    )  # fmt: skip
    for after in (ended.then, ended.failure):  # a failure triggers only the latter
        after(resting, None, buttons, queue=False, **QUIET)

    def stop(request: gr.Request) -> None:
        desk.running.stop(request.session_hash, "check")

    results.stop_check.click(stop, None, None, queue=False, api_visibility="private")

    def touch(request: gr.Request) -> list[Any]:
        desk.leave(request.session_hash)
        build = gr.Button(variant="secondary", interactive=False)
        return [gr.Button(variant="primary"), build, CHANGED]

    gr.on(
        [part.change for part in sources.inputs()], touch, None,
        [results.check, results.build, results.checked], queue=False, **QUIET,
    )  # fmt: skip


def checked(desk: Desk, session: str, given: Given, progress: gr.Progress) -> Plan:
    """Make the plan and put it on the desk."""
    scratch = Scratch()
    with desk.running.at_work(session, "check") as switch:
        asked = {"should_stop": switch.is_set}
        inputs = gather(given, scratch.folder, on_progress=paced(progress, "Opening"), **asked)
        reading = paced(progress, "Reading", "pictures")
        plan = make_plan(inputs, on_progress=reading, **asked)
        if switch.is_set():
            raise Stopped
    desk.put(session, Check(plan, scratch))
    return plan


def show_check(plan: Plan, values: Values, making: Making, results: Results) -> dict[Any, Any]:
    is_dataset, ready = plan.inputs.kind == "dataset", bool(plan.pairs)
    values = {**values, making.as_is: is_dataset}
    with sentences():
        pictures = planned_pairs(plan, making.look(values))
    choices = kinds(plan)
    return {
        results.checked: "",
        results.report: report(plan),
        results.match: gr.Dropdown(visible=plan.inputs.kind == "folders"),
        results.pictures: pictures,
        results.problems: gr.Column(visible=bool(choices)),
        results.kind: gr.Dropdown(choices, value=""),
        results.table: rows(plan),
        results.name: values.get(results.name) or free_name(datasets_folder(), "pairs"),
        results.build: gr.Button(variant="primary" if ready else "secondary", interactive=ready),
        results.check: gr.Button(variant="secondary" if ready else "primary"),
        making.split: shares_of(plan),
        making.as_is: gr.Checkbox(is_dataset, visible=is_dataset),
    }


# ------------------------------------------------------------------------- looking at a check


def wire_preview(desk: Desk, making: Making, results: Results) -> None:
    def look(values: Values, request: gr.Request) -> Any:
        """The first dozen again, as the pairs look now; nothing where nothing was checked."""
        if request.session_hash not in desk.checks:
            return gr.skip()
        with sentences():
            held = desk.get(request.session_hash)
            return planned_pairs(held.plan, making.look(values))

    gr.on(
        [part.input for part in making.seen()], look, set(making.seen()), results.pictures,
        trigger_mode="always_last", show_progress="minimal", api_visibility="private",
    )  # fmt: skip

    def turn(values: Values, request: gr.Request, event: gr.EventData) -> Any:
        with sentences():
            held = desk.get(request.session_hash)
            return planned_pairs(held.plan, making.look(values), int(event.value))

    results.pictures.select(turn, set(making.seen()), results.pictures, **QUIET)

    def filtered(kind: str, request: gr.Request) -> list[list[str]]:
        with sentences():
            return rows(desk.get(request.session_hash).plan, kind or "")

    results.kind.input(filtered, results.kind, results.table, **QUIET)


# -------------------------------------------------------------------------------------- the build


def wire_build(desk: Desk, making: Making, results: Results, there: Shelf) -> None:
    def make(
        values: Values, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        try:
            with sentences():
                name = safe_name(values[results.name] or "")
                recipe = None if values[making.as_is] else making.recipe(values)
                built(desk, request.session_hash, name, recipe, progress)
        except Stopped:
            return {results.built: STOPPED}
        shown = dict(zip(there.outputs, there.show(name)))
        if there.trains:  # that is the next step, and the one primary button
            shown[results.build] = gr.Button(variant="secondary")
        return {results.built: f"{plain_text(name)} is ready, see below.", **shown}

    buttons = [results.build, results.stop_build]
    at_once = pressed(desk.running, "build")
    begun = results.build.click(at_once, None, buttons, queue=False, **QUIET)
    ended = begun.then(
        make, {*making.inputs(), results.name}, [results.built, results.build, *there.outputs],
        show_progress_on=results.built, api_visibility="private", **FEW_AT_ONCE,
    )  # fmt: skip
    for after in (ended.then, ended.failure):
        after(resting, None, buttons, queue=False, **QUIET)
    ended.success(None, results.built, None, js=SCROLL)

    def stop(request: gr.Request) -> None:
        desk.running.stop(request.session_hash, "build")

    results.stop_build.click(stop, None, None, queue=False, api_visibility="private")


def built(
    desk: Desk, session: str, name: str, recipe: Recipe | None, progress: gr.Progress
) -> None:
    """Build what was checked; without a recipe the files of a dataset are taken as they are."""
    held = desk.get(session)  # its files stay
    with desk.running.at_work(session, "build") as switch:
        asked = {"should_stop": switch.is_set}
        if recipe is None:
            copying, here = paced(progress, "Copying"), datasets_folder()
            import_dataset(held.plan.inputs.source, here, name, on_progress=copying, **asked)
        else:
            building = paced(progress, "Building", "pairs")
            build(held.plan, recipe, datasets_folder() / name, on_progress=building, **asked)
