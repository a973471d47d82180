"""The columns of a table of pictures: a look at it, three examples, and how many pairs to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.data.tables import TableLook
from pix2pix.errors import UserError
from pix2pix.imaging.picture import resize
from pix2pix.ui.components.pairs_view import encode_pair
from pix2pix.ui.dataset.plan_cache import CONCURRENCY
from pix2pix.ui.events import HIDDEN_EVENT, user_errors
from pix2pix.ui.gradio_patches import escape_template

EXAMPLES = """{{#each value.pairs}}
<img src="{{image}}" alt="{{row}}" title="{{row}}">
{{/each}}"""
STYLE = "img { width: 100%; border-radius: 6px; margin-bottom: 6px; display: block; }"
Values = dict[Any, Any]


@dataclass(frozen=True)
class TableForm:
    """Its components; `body` holds them all."""

    body: gr.Accordion
    look: gr.Button
    about: gr.Markdown
    chosen: gr.Row
    source: gr.Dropdown
    target: gr.Dropdown
    limit: gr.Number
    examples: gr.HTML

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
            with user_errors():
                return self.describe(look(values))

        outputs = [self.about, self.chosen, self.source, self.target, self.examples]
        gr.on(
            [self.look.click, self.source.input, self.target.input], show, inputs, outputs,
            show_progress_on=self.about, api_visibility="private", **CONCURRENCY,
        )  # fmt: skip

        def forget() -> list[Any]:
            no_column = gr.Dropdown(choices=[], value=None)
            return ["", gr.Row(visible=False), no_column, no_column, {}]

        gr.on([place.change for place in places], forget, None, outputs, **HIDDEN_EVENT)

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
            self.examples: examples(found),
        }


def table_form() -> TableForm:
    """Lay it out, hidden until there may be a table."""
    title = "Where it is a table of pictures"
    with gr.Accordion(title, open=False, visible=False, elem_id="table-columns") as body:
        look = gr.Button("Look at the table", size="md", elem_id="look-at-table")
        about = gr.Markdown(elem_classes="quiet", elem_id="about-table")
        with gr.Row(visible=False) as chosen:
            source = gr.Dropdown([], label="Source column", elem_id="source-column", min_width=80)
            target = gr.Dropdown([], label="Target column", elem_id="target-column", min_width=80)
        shown = gr.HTML(
            value={}, html_template=EXAMPLES, css_template=STYLE, apply_default_css=False,
            elem_id="table-examples",
        )  # fmt: skip
        limit = gr.Number(
            0, precision=0, minimum=0, label="Pairs of each split at most, 0 for all",
            elem_id="table-limit",
        )  # fmt: skip
    return TableForm(body, look, about, chosen, source, target, limit, shown)


def examples(found: TableLook) -> dict[str, Any]:
    """Return the pictures of the first rows for the page."""
    return escape_template(
        {
            "pairs": [
                {"row": f"row {number}", **encode_pair(joined(pictures))}
                for number, pictures in enumerate(found.examples, 1)
            ]
        }
    )


def joined(pictures: tuple[Image.Image, ...]) -> Image.Image:
    """Join a source and a target, this at the other's size; one picture alone is both halves."""
    if len(pictures) == 1:
        return pictures[0]
    source, target = pictures
    pair = Image.new("RGB", (2 * source.width, source.height))
    pair.paste(source, (0, 0))
    pair.paste(resize(target, source.size), (source.width, 0))
    return pair
