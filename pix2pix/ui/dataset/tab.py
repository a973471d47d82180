"""Lay out the Dataset tab: folders, check and build, and the datasets that there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from pix2pix.data.reading import reading_options
from pix2pix.data.records import Plan
from pix2pix.ui.custom_html import custom_html
from pix2pix.ui.dataset.build import PlanCache, build_checked, dataset_api, make_checked_plan
from pix2pix.ui.dataset.library import DatasetLibrary, datasets_folder, show_dataset
from pix2pix.ui.dataset.pairs_view import pairs_view, planned_pair_views
from pix2pix.ui.dataset.recipe_form import RecipeForm, Values
from pix2pix.ui.dataset.sources_form import SourcesForm
from pix2pix.ui.dataset.uploads import CONCURRENCY
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
from pix2pix.ui.events import HIDDEN_EVENT, PAGE_CLOCK, wire_work
from pix2pix.utils.files import unused_name
from pix2pix.utils.text import escape_text, safe_name

EMPTY = "The pairs appear here. Choose the folders first, then check the pairs."
CHANGED = "Something in step 1 has changed: check the pairs again."
STOPPED = "Stopped: nothing was written."
# To what was built, which lies below: a failed or stopped build leaves the page where it is.
SCROLL = """(said) => {
  if (said && said.includes('is ready')) {
    document.getElementById('dataset')?.scrollIntoView({ behavior: 'smooth' });
  }
}"""


class DatasetTab:
    """The components of the three steps, and the `library` of what was built."""

    def __init__(self, page: gr.Blocks) -> None:
        """Lay out the tab inside the current ``gr.Blocks``, which is `page`, and wire it."""
        self.plans = plans = PlanCache()
        with gr.Row(elem_classes="steps", elem_id="steps"):
            with gr.Column(min_width=0, elem_classes="step"):
                gr.HTML("<h2 class='step-title'><b>1</b> Folders</h2>")
                self.sources = SourcesForm()
                self.check = gr.Button("Check the pairs", variant="primary", elem_id="check")
                self.stop_check = gr.Button("Stop", visible=False, elem_id="stop-check")
                self.checked = gr.Markdown(elem_classes="quiet", elem_id="checked")
            with gr.Column(min_width=0, elem_classes="step"):
                gr.HTML("<h2 class='step-title'><b>2</b> Check</h2>")
                self.lay_out_results()
            with gr.Column(min_width=0, elem_classes="step"):
                gr.HTML("<h2 class='step-title'><b>3</b> Build</h2>")
                self.name = gr.Textbox(label="Name", placeholder="faces", elem_id="dataset-name")
                self.recipe = RecipeForm()
                self.build = gr.Button("Build the dataset", interactive=False, elem_id="build")
                self.stop_build = gr.Button("Stop", visible=False, elem_id="stop-build")
                self.built = gr.Markdown(elem_classes="quiet", elem_id="built")
        self.library = DatasetLibrary(page)
        self.wire_check()
        self.wire_changes()
        self.sources.wire_columns()  # of what a change starts, the later ones wait for the earlier
        self.wire_preview()
        self.wire_build()
        dataset_api()

        def leave(request: gr.Request) -> None:
            plans.leave(request.session_hash)

        page.unload(leave)

    def lay_out_results(self) -> None:
        """Lay out step 2, what a check finds."""
        self.report = custom_html(
            "dataset/report.html", ["dataset/report.css"], value={}, elem_id="report"
        )
        self.match = gr.Dropdown(
            list(RULE_TEXTS.items()), value="auto", label="Pair by", visible=False, elem_id="match"
        )
        self.fixes = gr.CheckboxGroup(
            [], label="What to do about it", visible=False, elem_id="fixes",
            info="The pairs are checked again with what is chosen.",
        )  # fmt: skip
        self.proposed = gr.Radio(
            [], label="What is black and white", visible=False, elem_id="proposed-range",
            info="The pairs are checked again; step 3 has it under More.",
        )  # fmt: skip
        self.pictures = pairs_view(EMPTY, elem_id="pairs")
        with gr.Column(visible=False, elem_id="problems", min_width=0) as self.problems:
            self.kind = gr.Dropdown([""], value="", label="Files to look at")
            self.table = gr.Dataframe(
                headers=HEADERS, datatype="str", wrap=True, interactive=False, max_height=320,
                column_widths=["30%", "25%", "45%"], show_label=False, buttons=[],
            )  # fmt: skip

    # ---------------------------------------------------------------------------------- the check

    def wire_check(self) -> None:
        """Wire the check."""
        sources, recipe = self.sources, self.recipe

        def check(
            values: Values, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
        ) -> dict[Any, Any]:  # fmt: skip
            uploads = sources.read(values, values[self.match])
            uploads = replace(uploads, reading=reading_options(values[self.fixes] or ()))
            ranges = recipe.ranges(values, values[self.proposed] or "")
            plan = make_checked_plan(self.plans, request.session_hash, uploads, ranges, progress)
            shown = {getattr(recipe, name): text for name, text in ranges.items()}
            return {**self.show_check(plan, {**values, **shown}), **shown}

        outputs = [
            *(self.checked, self.report, self.match, self.fixes, self.pictures, self.problems),
            *(self.kind, self.table, self.name, self.build, self.check, self.proposed),
            *(recipe.split, recipe.as_is, recipe.source_range, recipe.target_range),
        ]
        chosen = {self.match, self.fixes, self.proposed}
        # The rule can be chosen only by a person who has seen a check, so that makes another one.
        wire_work(
            self.plans.running, "check", [self.check, self.stop_check], check,
            {*sources.inputs(), *recipe.inputs(), *chosen, self.name}, outputs,
            # A dropdown tells of its input twice.
            [self.match.select, self.fixes.input, self.proposed.input],
            stopped={self.checked: STOPPED},
            show_progress_on=self.checked, api_visibility="private", **CONCURRENCY,
        )  # fmt: skip

    def wire_changes(self) -> None:
        """Wire another choice in step 1, which takes the check back, except one that was asked for
        since and was heard first."""

        def touch(moment: float, request: gr.Request) -> Any:
            session = str(request.session_hash)
            if self.plans.is_asked_since(session, moment):
                return gr.skip()
            was_checked = self.plans.leave(session)
            build = gr.Button(variant="secondary", interactive=False)
            fixes = gr.CheckboxGroup([], value=[], visible=False)
            proposed = gr.Radio([], value=None, visible=False)
            said = CHANGED if was_checked else gr.skip()
            return [gr.Button(variant="primary"), build, said, fixes, proposed]

        gr.on(
            [part.change for part in self.sources.inputs()], touch, gr.Number(visible=False),
            [self.check, self.build, self.checked, self.fixes, self.proposed],
            js=PAGE_CLOCK, trigger_mode="multiple", queue=False, **HIDDEN_EVENT,
        )  # fmt: skip

    def show_check(self, plan: Plan, values: Values) -> dict[Any, Any]:
        """Give the values of what shows a plan, and of step 3, which may follow."""
        recipe = self.recipe
        is_dataset, ready = plan.inputs.is_dataset_as_is, bool(plan.pairs)
        fixes, proposed = fix_choices(plan), range_choices(plan)
        chosen = [option for _, option in fixes if option in (values.get(self.fixes) or ())]
        choices = doubt_kinds(plan)
        return {
            self.checked: "",
            self.report: report_items(plan),
            self.match: gr.Dropdown(visible=plan.inputs.needs_matching),
            self.fixes: gr.CheckboxGroup(fixes, value=chosen, visible=bool(fixes)),
            self.proposed: gr.Radio(proposed, value=None, visible=bool(proposed)),
            self.pictures: planned_pair_views(
                plan, recipe.look({**values, recipe.as_is: is_dataset})
            ),
            self.problems: gr.Column(visible=bool(choices)),
            self.kind: gr.Dropdown(choices, value=""),
            self.table: doubt_rows(plan),
            self.name: values.get(self.name) or unused_name(datasets_folder(), "pairs"),
            self.build: gr.Button(variant="primary" if ready else "secondary", interactive=ready),
            self.check: gr.Button(variant="secondary" if ready else "primary"),
            recipe.split: default_shares(plan),
            recipe.as_is: gr.Checkbox(is_dataset, visible=is_dataset),
        }

    # ---------------------------------------------------------------------- looking at a check

    def wire_preview(self) -> None:
        """Wire what looks at the pairs again: step 3's choices, other pairs, one kind of doubts."""
        seen = self.recipe.seen()

        def show(values: Values, session: str, start: int = 0) -> dict[str, Any]:
            checked = self.plans.get(session)
            return planned_pair_views(checked.plan, self.recipe.look(values), start)

        def look(values: Values, request: gr.Request) -> Any:
            """Show the first dozen again, as the pairs look now; nothing without a check."""
            session = request.session_hash
            return show(values, session) if session in self.plans.checks else gr.skip()

        gr.on(
            [part.input for part in seen], look, set(seen), self.pictures,
            trigger_mode="always_last", show_progress="minimal", api_visibility="private",
        )  # fmt: skip

        def turn(values: Values, request: gr.Request, event: gr.EventData) -> Any:
            return show(values, request.session_hash, int(event.value))

        self.pictures.select(turn, set(seen), self.pictures, **HIDDEN_EVENT)

        def filtered(kind: str, request: gr.Request) -> list[list[str]]:
            return doubt_rows(self.plans.get(request.session_hash).plan, kind or "")

        self.kind.input(filtered, self.kind, self.table, trigger_mode="always_last", **HIDDEN_EVENT)

    # ---------------------------------------------------------------------------------- the build

    def wire_build(self) -> None:
        """Wire the build, which shows the new dataset."""
        library = self.library

        def make(
            values: Values, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
        ) -> dict[Any, Any]:  # fmt: skip
            name = safe_name(values[self.name] or "")
            recipe = None if values[self.recipe.as_is] else self.recipe.recipe(values)
            build_checked(self.plans, request.session_hash, name, recipe, progress)
            return {
                self.built: f"{escape_text(name)} is ready, see below.",
                self.build: gr.Button(variant="secondary"),  # training is the next step
                **dict(zip(library.outputs(), show_dataset(name))),
            }

        ended = wire_work(
            self.plans.running, "build", [self.build, self.stop_build], make,
            {*self.recipe.inputs(), self.name}, [self.built, self.build, *library.outputs()],
            stopped={self.built: STOPPED}, show_progress_on=self.built, api_visibility="private",
            **CONCURRENCY,
        )  # fmt: skip
        ended.success(None, self.built, None, js=SCROLL)
