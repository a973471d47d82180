"""Lay out the Dataset tab: folders, check and build, and the datasets that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from pix2pix.data.build import build
from pix2pix.data.importing import import_dataset
from pix2pix.data.plan import make_plan
from pix2pix.data.reading import reading_options
from pix2pix.data.records import Plan, Recipe
from pix2pix.errors import Cancelled
from pix2pix.ui.components.pairs_view import pairs_view, planned_pair_views
from pix2pix.ui.dataset.api import dataset_api
from pix2pix.ui.dataset.form import RecipeForm, SourcesForm, Values, recipe_form, sources_form
from pix2pix.ui.dataset.library import (
    DatasetLibrary,
    dataset_library,
    datasets_folder,
    show_dataset,
)
from pix2pix.ui.dataset.plan_cache import CONCURRENCY, CheckedPlan, PlanCache, TempDir
from pix2pix.ui.dataset.uploads import UploadedInputs, gather_inputs
from pix2pix.ui.dataset.wording import (
    HEADERS,
    RULE_TEXTS,
    default_shares,
    doubt_kinds,
    doubt_rows,
    fix_choices,
    range_choices,
    report_items,
)
from pix2pix.ui.events import HIDDEN_EVENT, user_errors
from pix2pix.ui.long_work import page_progress, wire_work
from pix2pix.ui.theme import read_asset
from pix2pix.utils.files import unused_name
from pix2pix.utils.text import escape_text, safe_name

EMPTY = "The pairs appear here. Choose the folders first, then check the pairs."
CHANGED = "Something in step 1 has changed: check the pairs again."
STOPPED = "Stopped: nothing was written."


@dataclass(frozen=True)
class CheckResults:
    """The components that show a check, and the buttons whose turn changes with it."""

    check: gr.Button
    stop_check: gr.Button
    checked: gr.Markdown
    match: gr.Dropdown
    report: gr.HTML
    fixes: gr.CheckboxGroup
    proposed: gr.Radio
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
    plans = PlanCache()
    with gr.Row(elem_classes="steps", elem_id="steps"):
        with gr.Column(min_width=0, elem_classes="step"):
            gr.HTML("<h2 class='step-title'><b>1</b> Folders</h2>")
            sources = sources_form()
            check = gr.Button("Check the pairs", variant="primary", elem_id="check")
            stop_check = gr.Button("Stop", visible=False, elem_id="stop-check")
            checked = gr.Markdown(elem_classes="quiet", elem_id="checked")
        with gr.Column(min_width=0, elem_classes="step"):
            gr.HTML("<h2 class='step-title'><b>2</b> Check</h2>")
            parts = check_results()
        with gr.Column(min_width=0, elem_classes="step"):
            gr.HTML("<h2 class='step-title'><b>3</b> Build</h2>")
            name = gr.Textbox(label="Name", placeholder="faces", elem_id="dataset-name")
            form = recipe_form()
            start = gr.Button("Build the dataset", interactive=False, elem_id="build")
            stop_build = gr.Button("Stop", visible=False, elem_id="stop-build")
            built = gr.Markdown(elem_classes="quiet", elem_id="built")
    results = CheckResults(check, stop_check, checked, *parts, name, start, stop_build, built)
    library = dataset_library(page, train)
    wire_check(plans, sources, form, results)
    wire_changes(plans, sources, results)
    wire_preview(plans, form, results)
    wire_build(plans, form, results, library)
    dataset_api()

    def leave(request: gr.Request) -> None:
        plans.leave(request.session_hash)

    page.unload(leave)


def check_results() -> tuple[Any, ...]:
    """Lay out step 2; returns its components in the order of `CheckResults`."""
    report = gr.HTML(
        value={},
        html_template=read_asset("dataset/report.html"),
        css_template=read_asset("dataset/report.css"),
        apply_default_css=False,
        elem_id="report",
    )
    match = gr.Dropdown(
        list(RULE_TEXTS.items()), value="auto", label="Pair by", visible=False, elem_id="match"
    )
    fixes = gr.CheckboxGroup(
        [], label="What to do about it", visible=False, elem_id="fixes",
        info="The pairs are checked again with what is chosen.",
    )  # fmt: skip
    proposed = gr.Radio(
        [], label="What is black and white", visible=False, elem_id="proposed-range",
        info="The pairs are checked again; step 3 has it under More.",
    )  # fmt: skip
    pictures = pairs_view(EMPTY, elem_id="pairs")
    with gr.Column(visible=False, elem_id="problems", min_width=0) as problems:
        kind = gr.Dropdown([""], value="", label="Files to look at")
        table = gr.Dataframe(
            headers=HEADERS, datatype="str", wrap=True, interactive=False, max_height=320,
            column_widths=["30%", "25%", "45%"], show_label=False, buttons=[],
        )  # fmt: skip
    return match, report, fixes, proposed, pictures, problems, kind, table


# -------------------------------------------------------------------------------------- the check


def wire_check(
    plans: PlanCache, sources: SourcesForm, form: RecipeForm, results: CheckResults
) -> None:
    """Wire the check."""

    def check(
        values: Values, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        try:
            with user_errors():
                uploads = sources.read(values, values[results.match])
                uploads = replace(uploads, reading=reading_options(values[results.fixes] or ()))
                ranges = form.ranges(values, values[results.proposed] or "")
                plan = make_checked_plan(plans, request.session_hash, uploads, ranges, progress)
        except Cancelled:
            return {results.checked: STOPPED}
        shown = {getattr(form, name): text for name, text in ranges.items()}
        return {**show_check(plan, {**values, **shown}, form, results), **shown}

    outputs = [
        *(results.checked, results.report, results.match, results.fixes, results.pictures),
        *(results.problems, results.kind, results.table, results.name, results.build),
        *(results.check, form.split, form.as_is, results.proposed),
        *(form.source_range, form.target_range),
    ]
    # The rule can be chosen only by a person who has seen a check, so that makes another one.
    wire_work(
        plans.running, "check", [results.check, results.stop_check], check,
        {
            *sources.inputs(), *form.inputs(), results.match, results.fixes, results.proposed,
            results.name,
        },
        outputs, [results.match.input, results.fixes.input, results.proposed.input],
        show_progress_on=results.checked, api_visibility="private", **CONCURRENCY,
    )  # fmt: skip


def wire_changes(plans: PlanCache, sources: SourcesForm, results: CheckResults) -> None:
    """Wire another choice in step 1, which takes the check back."""

    def touch(request: gr.Request) -> list[Any]:
        was_checked = plans.leave(request.session_hash)
        build = gr.Button(variant="secondary", interactive=False)
        fixes = gr.CheckboxGroup([], value=[], visible=False)
        proposed = gr.Radio([], value=None, visible=False)
        said = CHANGED if was_checked else gr.skip()
        return [gr.Button(variant="primary"), build, said, fixes, proposed]

    gr.on(
        [part.change for part in sources.inputs()], touch, None,
        [results.check, results.build, results.checked, results.fixes, results.proposed],
        queue=False, **HIDDEN_EVENT,
    )  # fmt: skip


def make_checked_plan(
    plans: PlanCache, session: str, uploads: UploadedInputs, ranges: dict[str, str],
    progress: gr.Progress,
) -> Plan:  # fmt: skip
    """Make the plan, by the `ranges` that were chosen, and cache it."""
    temp_dir = TempDir()
    with plans.running.at_work(session, "check") as switch:
        options = {"should_stop": switch.is_set}
        inputs = gather_inputs(
            uploads, temp_dir.folder, on_progress=page_progress(progress, "Opening"), **options
        )
        reading = page_progress(progress, "Reading", "pictures")
        plan = make_plan(inputs, on_progress=reading, **ranges, **options)
        if switch.is_set():
            raise Cancelled
    plans.put(session, CheckedPlan(plan, temp_dir))
    return plan


def show_check(
    plan: Plan, values: Values, form: RecipeForm, results: CheckResults
) -> dict[Any, Any]:
    """Give the values of what shows a plan, and of step 3, which may follow."""
    is_dataset, ready = plan.inputs.is_dataset_as_is, bool(plan.pairs)
    fixes, proposed = fix_choices(plan), range_choices(plan)
    chosen = [option for _, option in fixes if option in (values.get(results.fixes) or ())]
    values = {**values, form.as_is: is_dataset}
    with user_errors():
        pictures = planned_pair_views(plan, form.look(values))
    choices = doubt_kinds(plan)
    return {
        results.checked: "",
        results.report: report_items(plan),
        results.match: gr.Dropdown(visible=plan.inputs.needs_matching),
        results.fixes: gr.CheckboxGroup(fixes, value=chosen, visible=bool(fixes)),
        results.proposed: gr.Radio(proposed, value=None, visible=bool(proposed)),
        results.pictures: pictures,
        results.problems: gr.Column(visible=bool(choices)),
        results.kind: gr.Dropdown(choices, value=""),
        results.table: doubt_rows(plan),
        results.name: values.get(results.name) or unused_name(datasets_folder(), "pairs"),
        results.build: gr.Button(variant="primary" if ready else "secondary", interactive=ready),
        results.check: gr.Button(variant="secondary" if ready else "primary"),
        form.split: default_shares(plan),
        form.as_is: gr.Checkbox(is_dataset, visible=is_dataset),
    }


# ------------------------------------------------------------------------- looking at a check


def wire_preview(plans: PlanCache, form: RecipeForm, results: CheckResults) -> None:
    """Wire what looks at the pairs again: step 3's choices, other pairs, one kind of doubts."""

    def look(values: Values, request: gr.Request) -> Any:
        """Show the first dozen again, as the pairs look now; nothing without a check."""
        if request.session_hash not in plans.checks:
            return gr.skip()
        with user_errors():
            checked = plans.get(request.session_hash)
            return planned_pair_views(checked.plan, form.look(values))

    gr.on(
        [part.input for part in form.seen()], look, set(form.seen()), results.pictures,
        trigger_mode="always_last", show_progress="minimal", api_visibility="private",
    )  # fmt: skip

    def turn(values: Values, request: gr.Request, event: gr.EventData) -> Any:
        with user_errors():
            checked = plans.get(request.session_hash)
            return planned_pair_views(checked.plan, form.look(values), int(event.value))

    results.pictures.select(turn, set(form.seen()), results.pictures, **HIDDEN_EVENT)

    def filtered(kind: str, request: gr.Request) -> list[list[str]]:
        with user_errors():
            return doubt_rows(plans.get(request.session_hash).plan, kind or "")

    results.kind.input(filtered, results.kind, results.table, **HIDDEN_EVENT)


# -------------------------------------------------------------------------------------- the build


def wire_build(
    plans: PlanCache, form: RecipeForm, results: CheckResults, library: DatasetLibrary
) -> None:
    """Wire the build, which shows the new dataset."""

    def make(
        values: Values, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        try:
            with user_errors():
                name = safe_name(values[results.name] or "")
                recipe = None if values[form.as_is] else form.recipe(values)
                build_checked(plans, request.session_hash, name, recipe, progress)
        except Cancelled:
            return {results.built: STOPPED}
        updates = dict(zip(library.outputs(), show_dataset(name)))
        if library.trains:  # that is the next step, and the one primary button
            updates[results.build] = gr.Button(variant="secondary")
        return {results.built: f"{escape_text(name)} is ready, see below.", **updates}

    ended = wire_work(
        plans.running, "build", [results.build, results.stop_build], make,
        {*form.inputs(), results.name}, [results.built, results.build, *library.outputs()],
        show_progress_on=results.built, api_visibility="private", **CONCURRENCY,
    )  # fmt: skip
    ended.success(None, results.built, None, js=SCROLL)


def build_checked(
    plans: PlanCache, session: str, name: str, recipe: Recipe | None, progress: gr.Progress
) -> None:
    """Build what was checked; without a recipe the files of a dataset are taken as they are."""
    checked = plans.get(session)  # its files stay
    with plans.running.at_work(session, "build") as switch:
        options = {"should_stop": switch.is_set}
        if recipe is None:
            copying, here = page_progress(progress, "Copying"), datasets_folder()
            import_dataset(checked.plan.inputs.source, here, name, on_progress=copying, **options)
        else:
            building = page_progress(progress, "Building", "pairs")
            build(checked.plan, recipe, datasets_folder() / name, on_progress=building, **options)
