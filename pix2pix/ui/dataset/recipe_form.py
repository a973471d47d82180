"""Step 3 of the Dataset tab: how pairs are made. Every value is read by its component, never by
its position."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pix2pix.data.records import FORMATS, LABELS, Recipe, parse_shares
from pix2pix.errors import UserError
from pix2pix.ui.dataset.wording import AS_FOUND, DOUBT_CHOICES, FIT_TEXTS

SIZES = [("128", 128), ("256", 256), ("512", 512), ("1024", 1024), ("As they are", 0)]
SIDES = {"Find out": "auto", "None": "none", "Source": "source", "Target": "target", "Both": "both"}
RANGES = ("source_range", "target_range")
Values = dict[Any, Any]  # component -> value, as Gradio hands them to a handler


class RecipeForm:
    """The components of step 3 that say how pairs are made."""

    def __init__(self) -> None:
        """Lay out step 3's choices."""
        self.as_is = gr.Checkbox(
            False, label="Keep the files as they are", visible=False, elem_id="as-is",
            info="It is a dataset already: nothing is scaled or written anew.",
        )  # fmt: skip
        with gr.Row():
            self.size = gr.Dropdown(
                SIZES, value=256, label="Size", allow_custom_value=True, elem_id="size",
                min_width=80,
            )  # fmt: skip
            formats = [(name.upper(), name) for name in FORMATS]
            self.format = gr.Dropdown(formats, value="png", label="Format", min_width=80)
        self.fit = gr.Dropdown(
            list(FIT_TEXTS.items()), value="stretch", label="Pictures that are no square"
        )
        self.split = gr.Textbox(
            "0.8, 0.1, 0.1", label="Shares of train, val and test", elem_id="split"
        )
        with gr.Accordion("More", open=False, elem_id="more-making"):
            self.lay_out_more()

    def lay_out_more(self) -> None:
        """Lay out what few people need."""
        assert set(SIDES.values()) == set(LABELS)
        self.source_name = gr.Textbox(label="What a source is", placeholder="sketch")
        self.target_name = gr.Textbox(label="What a target is", placeholder="photo")
        self.leave_out = gr.CheckboxGroup(
            list(DOUBT_CHOICES.items()), label="Leave out doubtful pairs"
        )
        self.together = gr.Textbox(
            label="Keep together", placeholder=r"^t\d+",
            info="Names in which this pattern finds the same text stay in one split.",
        )  # fmt: skip
        self.seed = gr.Number(0, precision=0, label="Seed of the split")
        self.labels = gr.Dropdown(
            list(SIDES.items()), value="auto", label="Label maps",
            info="They are scaled without mixing their colours.",
        )  # fmt: skip
        self.keep = gr.Checkbox(False, label="Keep 16 bits, grey and transparency")
        words = "Of more than 8 bits: two numbers, or percentiles; empty is what was found."
        self.source_range, self.target_range = (
            gr.Textbox(
                label=f"Black and white of the {side}s", placeholder="0,4080", info=words,
                elem_id=f"{side}-range",
            )
            for side in ("source", "target")
        )  # fmt: skip
        self.quality = gr.Slider(1, 100, value=95, step=1, label="Quality of JPEG")

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
            split=typed_shares(values[self.split]),
            leave_out=tuple(values[self.leave_out] or ()),
        )


def whole_number(value: Any, what: str) -> int:
    """Read a whole number; raises UserError, which calls it `what`."""
    try:
        number = int(value)
        if number == float(value):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(f"{what} must be a whole number.")


def typed_shares(text: Any) -> tuple[float, float, float] | None:
    """Read the field of the shares; None where the folders or the CSV shall say the split."""
    words = str(text or "").strip()
    return None if words == AS_FOUND else parse_shares(words)
