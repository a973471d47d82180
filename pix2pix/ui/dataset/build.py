"""Check and build datasets, for the page and for programs: `/build_dataset`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pix2pix.data.build import build
from pix2pix.data.importing import import_dataset
from pix2pix.data.plan import make_plan
from pix2pix.data.reading import reading_options
from pix2pix.data.records import Plan, Recipe
from pix2pix.data.report import summarise_report
from pix2pix.errors import Cancelled, UserError
from pix2pix.ui.dataset.library import datasets_folder
from pix2pix.ui.dataset.recipe_form import typed_shares, whole_number
from pix2pix.ui.dataset.uploads import CONCURRENCY, TempDir, UploadedInputs, gather_inputs
from pix2pix.ui.events import CancelSwitches, page_progress
from pix2pix.utils.text import safe_name

MAX_CHECKS = 16
CHANGE_LAG = 500.0  # ms, that the page may take to tell of a change that was made before a click
MAX_PAIRS = 40_000  # in all checks together: the small pictures of a pair take 25 KB

ABOUT = """Build a dataset of A|B pictures in the workspace, all at once.

The pictures are `source` and `target` files, `source` files and a `derive`, an `archive` or a
table, or the workspace's folders `source_path` and `target_path`. Answers {"dataset", "pairs",
"train", "val", "test", "rule", "ranges", "refused": [{"file", "reason"}],
"doubts": [{"kind", "side", "files", "sentence"}]}. `reading` says how files are read, such as
{"strips": "stacked", "target-alpha": "mask", "source-classes": "colours", "pages": "all"}: what
settles a doubt is in its sentence. `source_range` and `target_range` are the numbers that are black
and white in files of more than 8 bits, as 0,4080, or percentiles. `columns` are those of a table
of pictures: source and target, or one of A|B pictures; without them their names tell."""


@dataclass(frozen=True)
class CheckedPlan:
    """A plan, and the folder that its files lie in: to be held as long as the plan is used;
    `asked` for at a moment of the page's clock."""

    plan: Plan
    temp_dir: TempDir
    asked: float = 0.0


class PlanCache:
    """The visitors' latest checks, and the switches that stop what they have running.

    The oldest check goes first when there are too many; whoever works with it still has it.
    """

    def __init__(self, max_checks: int = MAX_CHECKS, max_pairs: int = MAX_PAIRS) -> None:
        self.max_checks, self.max_pairs = max_checks, max_pairs
        self.checks: OrderedDict[str, CheckedPlan] = OrderedDict()
        self.running = CancelSwitches()
        self.lock = threading.Lock()

    def put(self, session: str, check: CheckedPlan) -> None:
        """Keep a visitor's check in the place of their last one."""
        with self.lock:
            self.checks.pop(session, None)
            self.checks[session] = check
            while len(self.checks) > 1 and self._too_many():
                self.checks.popitem(last=False)

    def _too_many(self) -> bool:
        pairs = sum(len(check.plan.pairs) for check in self.checks.values())
        return len(self.checks) > self.max_checks or pairs > self.max_pairs

    def get(self, session: str) -> CheckedPlan:
        """Return the visitor's check; raises UserError where there is none or it had to make
        room."""
        with self.lock:
            if session not in self.checks:
                raise UserError("Check the pairs first: the last check is no longer there.")
            return self.checks[session]

    def is_asked_since(self, session: str, moment: float) -> bool:
        """Whether the visitor asked for their latest check after a change at this moment of the
        page's clock, be it made or still to be made."""
        switches = self.running.of(session, "check")
        with self.lock:
            made = [self.checks[session]] if session in self.checks else []
        return any(check.asked + CHANGE_LAG > moment for check in [*switches, *made])

    def leave(self, session: str) -> bool:
        """Drop the check of a visitor who left or chose other folders, and return whether there was
        one; a build goes on."""
        self.running.stop(session, "check")
        with self.lock:
            return self.checks.pop(session, None) is not None


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
    plans.put(session, CheckedPlan(plan, temp_dir, switch.asked))
    return plan


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


# -------------------------------------------------------------------------------- for programs


def build_dataset(
    name: str, source: list[str] | None = None, target: list[str] | None = None,
    archive: str | None = None, source_path: str = "", target_path: str = "",
    csv: str | None = None, match: str = "auto", derive: str = "", size: float = 256,
    fit: str = "stretch", split: str = "", seed: float = 0, format: str = "png",
    labels: str = "auto", keep: bool = False, together: str = "",
    leave_out: list[str] | None = None, source_range: str = "", target_range: str = "",
    reading: dict[str, str] | None = None,
    columns: list[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Build a dataset for a program, which is told ABOUT."""
    options = [f"{key}={value}" for key, value in (reading or {}).items()]
    uploads = UploadedInputs(
        source=source or (), target=target or (), archive=archive or "", table=csv or "",
        source_path=source_path or "", target_path=target_path or "", derive=derive or "",
        match=match or "auto", reading=reading_options(options),
        columns=tuple(columns or ()),
    )  # fmt: skip
    name = safe_name(name or "")
    recipe = Recipe(
        size=whole_number(size, "The size"), fit=fit, split=typed_shares(split),
        format=format, keep=keep, seed=whole_number(seed, "The seed"), labels=labels,
        together=together or "", leave_out=tuple(leave_out or ()),
        source_range=source_range or "", target_range=target_range or "",
    )  # fmt: skip
    if (datasets_folder() / name).exists():
        raise UserError(f"'{name}' is there already: choose another name.")
    temp_dir = TempDir()
    never, silent = lambda: False, lambda done, total: None
    inputs = gather_inputs(uploads, temp_dir.folder, never, silent)
    plan = make_plan(inputs, source_range=recipe.source_range, target_range=recipe.target_range)
    made = build(plan, recipe, datasets_folder() / name)
    return {"dataset": name, **summarise_report(made)}


def dataset_api() -> None:
    """Offer it; its components are there for the API alone and are not seen."""
    hidden = {"visible": False}
    files = {"file_count": "multiple", **hidden}
    inputs = [
        gr.Textbox(label="Name of the new dataset", **hidden),
        gr.File(label="Source pictures", **files),
        gr.File(label="Target pictures", **files),
        gr.File(label="ZIP, tar or .npz instead of pictures", **hidden),
        gr.Textbox("", label="Folder in the workspace instead of source pictures", **hidden),
        gr.Textbox("", label="Folder in the workspace instead of target pictures", **hidden),
        gr.File(label="CSV of pairs", **hidden),
        gr.Textbox("auto", label="Rule: auto, stem, affix, name, order or csv", **hidden),
        gr.Textbox(
            "", label="What the source is made from: grey, lines, small, holes ...", **hidden
        ),
        gr.Number(256, label="Side of each half in pixels, 0 keeps sizes", **hidden),
        gr.Textbox("stretch", label="Fit: stretch, pad, crop or tiles", **hidden),
        gr.Textbox("", label="Shares of train, val, test, as 0.8,0.1,0.1", **hidden),
        gr.Number(0, label="Seed of the split", **hidden),
        gr.Textbox("png", label="Format: png or jpg", **hidden),
        gr.Textbox("auto", label="Label maps: auto, none, source, target or both", **hidden),
        gr.Checkbox(False, label="Keep 16 bits, grey and alpha", **hidden),
        gr.Textbox("", label="Pattern of names that stay in one split", **hidden),
        gr.JSON([], label="Doubts to leave out: aspect, misaligned", **hidden),
        gr.Textbox("", label="Black and white of the sources, as 0,4080", **hidden),
        gr.Textbox("", label="Black and white of the targets, as 0,4080", **hidden),
        gr.JSON({}, label="How files are read: strips, source-alpha ...", **hidden),
        gr.JSON([], label="Columns of a table: source, target", **hidden),
    ]
    answer = gr.JSON(label="What was built", **hidden)
    gr.Button(**hidden).click(
        build_dataset, inputs, answer, api_name="build_dataset", api_description=ABOUT,
        **CONCURRENCY,
    )  # fmt: skip
