"""The form of a dataset: step 1, where pictures come from, and step 3, how pairs are made of
them. Every value is read by its component, never by its position."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pix2pix.data.records import DEFAULT_SHARES, FORMATS, LABELS, Recipe
from pix2pix.errors import UserError
from pix2pix.hub.datasets import PUBLISHED
from pix2pix.imaging.video import VIDEO_SUFFIXES
from pix2pix.ui.dataset.draw import draw_board
from pix2pix.ui.dataset.table_form import TableForm, table_form
from pix2pix.ui.dataset.uploads import UploadedInputs, look
from pix2pix.ui.dataset.wording import AS_FOUND, DERIVE_TEXTS, DOUBT_CHOICES, FIT_TEXTS
from pix2pix.ui.events import HIDDEN_EVENT
from pix2pix.ui.theme import OFFSCREEN

SOURCE_KINDS = {
    "Two folders": "folders",
    "Photos": "photos",
    "Archive or Hub": "archive",
    "Workspace": "workspace",
    "Draw them": "draw",
}
HINTS = {
    "folders": "Names may differ: the check finds which belong together.",
    "photos": "One folder, or a video: the source picture is made from each photo or frame.",
    "archive": "A ZIP or tar of two folders or of a dataset, an .npz, a table (Parquet, WebDataset)"
    " or a dataset of the Hub.",
    "workspace": "Folders that are on the server already, without uploading them.",
    "draw": "Trace photos by hand: each drawing and its photo are a pair.",
}
NOT_MADE = {"Nothing, both pictures are there": ""}
SIZES = [("128", 128), ("256", 256), ("512", 512), ("1024", 1024), ("As they are", 0)]
SIDES = {"Find out": "auto", "None": "none", "Source": "source", "Target": "target", "Both": "both"}
RANGES = ("source_range", "target_range")
Values = dict[Any, Any]  # component -> value, as Gradio hands them to a handler


@dataclass(frozen=True)
class SourcesForm:
    """The components of step 1. `modes` are the columns of which one is shown."""

    kind: gr.Radio
    hint: gr.Markdown
    modes: dict[str, gr.Column]
    source: gr.File
    target: gr.File
    photos: gr.File
    clip: gr.File
    every: gr.Number
    made: gr.Dropdown
    archive: gr.File
    repo: gr.Textbox
    token: gr.Textbox
    source_path: gr.Textbox
    target_path: gr.Textbox
    derive: gr.Dropdown
    table: gr.File
    subset: gr.Textbox
    columns: TableForm
    board: gr.HTML

    def inputs(self) -> set[Any]:
        """List the components that say where pictures come from."""
        no_inputs = (self.hint, self.modes, self.columns)
        return {p for p in vars(self).values() if p not in no_inputs} | self.columns.inputs()

    def read(self, values: Values, match: str) -> UploadedInputs:
        """Read what was given in the mode that is shown; other modes may hold more."""
        kind = values[self.kind]
        text = {part: values[part] or "" for part in self.inputs()}
        if kind == "photos":
            files = [*text[self.photos], *filter(None, [text[self.clip]])]
            if not files:
                raise UserError("Choose a folder of photos, or a video, first.")
            every = whole_number(values[self.every] or 0, "Every so many frames")
            return UploadedInputs(files, derive=text[self.made], every=every)
        if kind == "draw":
            return UploadedInputs(drawn=values[self.board] or {})
        common: dict[str, Any] = {"table": text[self.table], "match": match}
        if kind == "folders":
            return UploadedInputs(text[self.source], text[self.target], **common)
        common["derive"] = text[self.derive]
        common |= {"subset": text[self.subset], **self.columns.read(values)}
        if kind == "archive":
            return UploadedInputs(
                archive=text[self.archive], repo=text[self.repo], token=text[self.token], **common
            )
        return UploadedInputs(
            source_path=text[self.source_path], target_path=text[self.target_path], **common
        )


def sources_form() -> SourcesForm:
    """Lay out step 1, with one of its modes in sight."""
    kind = gr.Radio(
        list(SOURCE_KINDS.items()), value="folders", label="Where pictures are", elem_id="kind",
        show_label=False, container=False, elem_classes=["modes", "wrapping"],
    )  # fmt: skip
    hint = gr.Markdown(HINTS["folders"], elem_classes="quiet")
    folder = functools.partial(gr.File, file_count="directory", height=140)
    modes, away = {}, {"elem_classes": OFFSCREEN, "min_width": 0}
    with gr.Column(min_width=0) as modes["folders"]:
        source = folder(label="Source pictures", elem_id="source")
        target = folder(label="Target pictures", elem_id="target")
    with gr.Column(**away) as modes["photos"]:
        photos = folder(label="Photos", elem_id="photos")
        clip = gr.File(
            label="Or a video", height=110, elem_id="clip", file_types=sorted(VIDEO_SUFFIXES)
        )
        every = gr.Number(
            0, precision=0, minimum=0, label="Every so many frames of a video",
            info="0 takes two a second. What looks like the frame before is left out.",
        )  # fmt: skip
        made = gr.Dropdown(list(DERIVE_TEXTS.items()), value="grey", label="Pairs of")
    with gr.Column(**away) as modes["archive"]:
        archive = gr.File(
            label="ZIP, tar, .npz or .parquet", height=140, elem_id="archive",
            file_types=[".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".npz", ".parquet"],
        )  # fmt: skip
        repo = gr.Dropdown(
            [*PUBLISHED], value=None, label="Or a dataset of the Hub: owner/name",
            allow_custom_value=True, elem_id="repo",
        )  # fmt: skip
        token = gr.Textbox(label="Token, for a private one", type="password")
    with gr.Column(**away) as modes["workspace"]:
        places = "Folder of the sources, or of a dataset", "Folder of the targets"
        source_path, target_path = (
            gr.Textbox(label=label, placeholder=f"photos/{side}", elem_id=f"{side}-path")
            for label, side in zip(places, ("source", "target"))
        )
    with gr.Column(elem_id="draw", **away) as modes["draw"]:
        board = draw_board()
    form = SourcesForm(
        kind, hint, modes, source, target, photos, clip, every, made, archive, repo, token,
        source_path, target_path, columns=table_form(), board=board,
        **more_sources(),
    )  # fmt: skip
    wire_sources(form)
    return form


def more_sources() -> dict[str, Any]:
    """Lay out what few people need of step 1."""
    with gr.Accordion("More", open=False, elem_id="more-sources"):
        table = gr.File(
            label="Table of pairs (CSV): source, target", file_types=[".csv", ".txt", ".tsv"],
            height=110, elem_id="table",
        )  # fmt: skip
        derive = gr.Dropdown(
            list((NOT_MADE | DERIVE_TEXTS).items()),
            value="",
            label="The source is made from the photo",
            info="For archives and workspace folders that hold only photos.",
        )
        subset = gr.Textbox(label="Folder of the table, where there are several")
    return {"derive": derive, "table": table, "subset": subset}


def wire_sources(form: SourcesForm) -> None:
    """Wire the choice of the mode, and the look at a table."""

    def show(chosen: str) -> list[Any]:
        shown = [
            gr.Column(elem_classes=[] if mode == chosen else [OFFSCREEN]) for mode in form.modes
        ]
        return [HINTS[chosen], *shown, gr.Accordion(visible=chosen in ("archive", "workspace"))]

    outputs = [form.hint, *form.modes.values(), form.columns.body]
    form.kind.change(show, form.kind, outputs, **HIDDEN_EVENT)
    places = [form.archive, form.repo, form.source_path]
    form.columns.wire(places, form.inputs(), lambda values: look(form.read(values, "auto")))


@dataclass(frozen=True)
class RecipeForm:
    """The components of step 3 that say how pairs are made."""

    as_is: gr.Checkbox
    size: gr.Dropdown
    fit: gr.Dropdown
    split: gr.Textbox
    format: gr.Dropdown
    source_name: gr.Textbox
    target_name: gr.Textbox
    leave_out: gr.CheckboxGroup
    together: gr.Textbox
    seed: gr.Number
    labels: gr.Dropdown
    keep: gr.Checkbox
    source_range: gr.Textbox
    target_range: gr.Textbox
    quality: gr.Slider

    def inputs(self) -> set[Any]:
        """List all components."""
        return set(vars(self).values())

    def seen(self) -> list[Any]:
        """List the components that change how pairs look."""
        chosen = [self.source_range, self.target_range]
        return [self.as_is, self.size, self.fit, self.labels, self.keep, self.leave_out, *chosen]

    def ranges(self, values: Values, proposed: str = "") -> dict[str, str]:
        """Read what is black and white, after a `proposed` option, as "target-range=0,4080", was
        taken."""
        typed = {name: values[getattr(self, name)] or "" for name in RANGES}
        key, _, chosen = proposed.partition("=")
        return {**typed, key.replace("-", "_"): chosen} if proposed else typed

    def look(self, values: Values) -> Recipe:
        """Read the recipe as far as it can be seen: in PNG, whatever the split."""
        if values[self.as_is]:
            return Recipe(size=0, keep=True)
        options = {name: values[getattr(self, name)] for name in ("fit", "labels", "keep")}
        options |= self.ranges(values)
        left_out = tuple(values[self.leave_out] or ())
        return Recipe(
            size=whole_number(values[self.size], "The size"), leave_out=left_out, **options
        )

    def recipe(self, values: Values) -> Recipe:
        """Read the recipe; raises UserError for values that make no sense."""
        chosen = ("fit", "format", "labels", "keep")
        typed = ("together", "source_name", "target_name")  # None where nothing was
        return Recipe(
            **{name: values[getattr(self, name)] for name in chosen},
            **{name: values[getattr(self, name)] or "" for name in typed},
            **self.ranges(values),
            size=whole_number(values[self.size], "The size"),
            quality=whole_number(values[self.quality], "The JPEG quality"),
            seed=whole_number(values[self.seed], "The seed"),
            split=shares(values[self.split]),
            leave_out=tuple(values[self.leave_out] or ()),
        )


def recipe_form() -> RecipeForm:
    """Lay out step 3's choices."""
    as_is = gr.Checkbox(
        False, label="Keep the files as they are", visible=False, elem_id="as-is",
        info="It is a dataset already: nothing is scaled or written anew.",
    )  # fmt: skip
    with gr.Row():
        size = gr.Dropdown(
            SIZES, value=256, label="Size", allow_custom_value=True, elem_id="size", min_width=80
        )
        format = gr.Dropdown(
            [(name.upper(), name) for name in FORMATS], value="png", label="Format", min_width=80
        )
    fit = gr.Dropdown(list(FIT_TEXTS.items()), value="stretch", label="Pictures that are no square")
    split = gr.Textbox("0.8, 0.1, 0.1", label="Shares of train, val and test", elem_id="split")
    with gr.Accordion("More", open=False, elem_id="more-making"):
        return RecipeForm(as_is, size, fit, split, format, **more_recipe())


def more_recipe() -> dict[str, Any]:
    """Lay out what few people need of step 3."""
    assert set(SIDES.values()) == set(LABELS)
    words = "Of more than 8 bits: two numbers, or percentiles; empty is what was found."
    return {
        "source_name": gr.Textbox(label="What a source is", placeholder="sketch"),
        "target_name": gr.Textbox(label="What a target is", placeholder="photo"),
        "leave_out": gr.CheckboxGroup(
            list(DOUBT_CHOICES.items()), label="Leave out doubtful pairs"
        ),
        "together": gr.Textbox(
            label="Keep together", placeholder=r"^t\d+",
            info="Names in which this pattern finds the same text stay in one split.",
        ),
        "seed": gr.Number(0, precision=0, label="Seed of the split"),
        "labels": gr.Dropdown(
            list(SIDES.items()), value="auto", label="Label maps",
            info="They are scaled without mixing their colours.",
        ),
        "keep": gr.Checkbox(False, label="Keep 16 bits, grey and transparency"),
        **{
            f"{side}_range": gr.Textbox(
                label=f"Black and white of the {side}s", placeholder="0,4080", info=words,
                elem_id=f"{side}-range",
            )
            for side in ("source", "target")
        },
        "quality": gr.Slider(1, 100, value=95, step=1, label="Quality of JPEG"),
    }  # fmt: skip


def whole_number(value: Any, what: str) -> int:
    """Read a whole number; raises UserError, which calls it `what`."""
    try:
        number = int(value)
        if number == float(value):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(f"{what} must be a whole number.")


def shares(text: Any) -> tuple[float, float, float] | None:
    """Parse three numbers; None where the folders or the CSV shall say the split."""
    words = str(text or "").strip()
    if words in ("", AS_FOUND):
        return None
    try:
        train, val, test = (float(part) for part in words.split(","))
    except ValueError as error:
        example = ", ".join(map(str, DEFAULT_SHARES))
        raise UserError(
            f"The shares of train, val and test are three numbers, as {example}."
        ) from error
    return train, val, test
