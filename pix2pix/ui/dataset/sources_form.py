"""Step 1 of the Dataset tab: where pictures come from. Every value is read by its component, never
by its position."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from pix2pix.data.tables import TableLook
from pix2pix.errors import UserError
from pix2pix.hub.datasets import HUB_TABLES
from pix2pix.imaging.video import VIDEO_SUFFIXES
from pix2pix.ui.custom_html import custom_html
from pix2pix.ui.dataset.draw import draw_board
from pix2pix.ui.dataset.pairs_view import encode_pair, join_pictures
from pix2pix.ui.dataset.recipe_form import Values, whole_number
from pix2pix.ui.dataset.uploads import CONCURRENCY, UploadedInputs, look
from pix2pix.ui.dataset.wording import DERIVE_TEXTS
from pix2pix.ui.events import show_one
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
# The page alone answers these two, at once.
SHOW_HINT = f"""(mode) => [
  {json.dumps(HINTS)}[mode],
  {{ __type__: 'update', visible: ['archive', 'workspace'].includes(mode) }},
]"""
FORGET_COLUMNS = """(source, target) => {
  const update = (props) => ({ __type__: 'update', ...props });
  const none = update(source || target ? { choices: [], value: null } : {});
  return ['', update({ visible: false }), none, none, {}];
}"""
NOT_MADE = {"Nothing, both pictures are there": ""}
EXAMPLES = """{{#each value.pairs}}
<img src="{{image}}" alt="{{row}}" title="{{row}}">
{{/each}}"""
STYLE = "img { width: 100%; border-radius: 6px; margin-bottom: 6px; display: block; }"


class SourcesForm:
    """The components of step 1. `modes` are the columns of which one is shown."""

    def __init__(self) -> None:
        """Lay it out, with one of its modes in sight; `wire_columns` is left to do."""
        self.kind = gr.Radio(
            list(SOURCE_KINDS.items()), value="folders", label="Where pictures are", elem_id="kind",
            show_label=False, container=False, elem_classes=["modes", "wrapping"],
        )  # fmt: skip
        self.hint = gr.Markdown(HINTS["folders"], elem_classes="quiet")
        self.modes: dict[str, gr.Column] = {}
        self.lay_out_folders()
        self.lay_out_places()
        self.table_columns = TableColumns()
        self.lay_out_more()
        self.kind.change(None, self.kind, [*self.modes.values()], js=show_one([*self.modes]))
        hinted = [self.hint, self.table_columns.body]
        self.kind.change(None, self.kind, hinted, js=SHOW_HINT)

    def lay_out_folders(self) -> None:
        """Lay out the modes of uploaded folders."""
        folder = functools.partial(gr.File, file_count="directory", height=140)
        with gr.Column(min_width=0) as self.modes["folders"]:
            self.source = folder(label="Source pictures", elem_id="source")
            self.target = folder(label="Target pictures", elem_id="target")
        with gr.Column(elem_classes=OFFSCREEN, min_width=0) as self.modes["photos"]:
            self.photos = folder(label="Photos", elem_id="photos")
            self.clip = gr.File(
                label="Or a video", height=110, elem_id="clip", file_types=sorted(VIDEO_SUFFIXES)
            )
            self.every = gr.Number(
                0, precision=0, minimum=0, label="Every so many frames of a video",
                info="0 takes two a second. What looks like the frame before is left out.",
            )  # fmt: skip
            self.made = gr.Dropdown(list(DERIVE_TEXTS.items()), value="grey", label="Pairs of")

    def lay_out_places(self) -> None:
        """Lay out the modes of what lies elsewhere, and the board that pairs are drawn on."""
        away = {"elem_classes": OFFSCREEN, "min_width": 0}
        with gr.Column(**away) as self.modes["archive"]:
            self.archive = gr.File(
                label="ZIP, tar, .npz or .parquet", height=140, elem_id="archive",
                file_types=[".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".npz", ".parquet"],
            )  # fmt: skip
            self.repo = gr.Dropdown(
                [*HUB_TABLES], value=None, label="Or a dataset of the Hub: owner/name",
                allow_custom_value=True, elem_id="repo",
            )  # fmt: skip
            self.token = gr.Textbox(label="Token, for a private one", type="password")
        with gr.Column(**away) as self.modes["workspace"]:
            places = "Folder of the sources, or of a dataset", "Folder of the targets"
            self.source_path, self.target_path = (
                gr.Textbox(label=label, placeholder=f"photos/{side}", elem_id=f"{side}-path")
                for label, side in zip(places, ("source", "target"))
            )
        with gr.Column(elem_id="draw", **away) as self.modes["draw"]:
            self.board = draw_board()

    def lay_out_more(self) -> None:
        """Lay out what few people need."""
        with gr.Accordion("More", open=False, elem_id="more-sources"):
            self.table = gr.File(
                label="Table of pairs (CSV): source, target", height=110, elem_id="table",
                file_types=[".csv", ".txt", ".tsv"],
            )  # fmt: skip
            self.derive = gr.Dropdown(
                list((NOT_MADE | DERIVE_TEXTS).items()), value="",
                label="The source is made from the photo",
                info="For archives and workspace folders that hold only photos.",
            )  # fmt: skip
            self.subset = gr.Textbox(label="Folder of the table, where there are several")

    def wire_columns(self) -> None:
        """Wire the look at a table."""
        places = [self.archive, self.repo, self.source_path]
        self.table_columns.wire(
            places, self.inputs(), lambda values: look(self.read(values, "auto"))
        )

    def inputs(self) -> set[Any]:
        """List the components that say where pictures come from."""
        no_inputs = (self.hint, self.modes, self.table_columns)
        own = {part for part in vars(self).values() if part not in no_inputs}
        return own | self.table_columns.inputs()

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
        common |= {"subset": text[self.subset], **self.table_columns.read(values)}
        if kind == "archive":
            return UploadedInputs(
                archive=text[self.archive], repo=text[self.repo], token=text[self.token], **common
            )
        return UploadedInputs(
            source_path=text[self.source_path], target_path=text[self.target_path], **common
        )


class TableColumns:
    """The columns of a table of pictures: a look at it, three examples, and how many pairs to take;
    `body` holds it all."""

    def __init__(self) -> None:
        """Lay it out, hidden until there may be a table."""
        title = "Where it is a table of pictures"
        with gr.Accordion(title, open=False, visible=False, elem_id="table-columns") as self.body:
            self.look = gr.Button("Look at the table", size="md", elem_id="look-at-table")
            self.about = gr.Markdown(elem_classes="quiet", elem_id="about-table")
            with gr.Row(visible=False) as self.chosen:
                self.source, self.target = (
                    gr.Dropdown(
                        [], label=f"{side.capitalize()} column", elem_id=f"{side}-column",
                        min_width=80,
                    )
                    for side in ("source", "target")
                )  # fmt: skip
            self.examples = custom_html(EXAMPLES, [STYLE], value={}, elem_id="table-examples")
            self.limit = gr.Number(
                0, precision=0, minimum=0, label="Pairs of each split at most, 0 for all",
                elem_id="table-limit",
            )  # fmt: skip

    def inputs(self) -> set[Any]:
        """List the components that are read."""
        return {self.source, self.target, self.limit}

    def read(self, values: Values) -> dict[str, Any]:
        """Read the columns, none where nobody has looked, and the limit."""
        limit = values[self.limit] or 0
        if limit != int(limit) or limit < 0:
            raise UserError("The most pairs of a split is a whole number, 0 for all.")
        columns = tuple(values[part] for part in (self.source, self.target) if values[part])
        return {"columns": columns, "limit": int(limit)}

    def wire(
        self, places: list[Any], inputs: set[Any], look: Callable[[Values], TableLook]
    ) -> None:
        """Let the button and another column show examples of what `look` finds; another of the
        `places` forgets the columns."""

        def show(values: Values) -> dict[Any, Any]:
            return self.describe(look(values))

        def show_again(values: Values) -> dict[Any, Any]:
            """Leave the columns alone: another may have been chosen meanwhile."""
            shown = show(values)
            return {part: shown[part] for part in (self.about, self.examples)}

        outputs = [self.about, self.chosen, self.source, self.target, self.examples]
        options = {"show_progress_on": self.about, "api_visibility": "private", **CONCURRENCY}
        self.look.click(show, inputs, outputs, **options)
        gr.on(
            [self.source.input, self.target.input], show_again, inputs, [self.about, self.examples],
            trigger_mode="always_last", **options,
        )  # fmt: skip
        changes, chosen = [place.change for place in places], [self.source, self.target]
        gr.on(changes, None, chosen, outputs, js=FORGET_COLUMNS)

    def describe(self, found: TableLook) -> dict[Any, Any]:
        """Give the values of what shows a table that was looked at."""
        source, target = [*found.chosen, None, None][:2]
        counts = [f"{rows:,} {split or 'rows'}" for split, rows in found.counts.items()]
        if not found.chosen:
            words = "Choose the columns of the pairs."
        elif target is None:
            words = "The one column of pictures holds A and B side by side."
        else:
            words = "These columns are the pairs: change them if they are not."
        return {
            self.about: " ".join([words, f"{', '.join(counts)}." if counts else ""]),
            self.chosen: gr.Row(visible=True),
            self.source: gr.Dropdown(choices=found.columns, value=source),
            self.target: gr.Dropdown(choices=[*found.columns, ""], value=target or ""),
            self.examples: table_examples(found),
        }


def table_examples(found: TableLook) -> dict[str, Any]:
    """Return the pictures of the first rows for the page; one alone holds both halves."""
    return {
        "pairs": [
            {
                "row": f"row {number}",
                **encode_pair(pictures[0] if len(pictures) == 1 else join_pictures(*pictures)),
            }
            for number, pictures in enumerate(found.examples, 1)
        ]
    }
