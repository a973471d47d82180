"""What a person fills in for a run. Every value is read by its component, never by its position."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import gradio as gr

from pix2pix.config import PRESETS, WITHOUT, TrainConfig, as_text
from pix2pix.data import steps_per_epoch
from pix2pix.datasets import Description, describe, find_pairs, list_datasets
from pix2pix.devices import free_memory, pick_device
from pix2pix.errors import UserError
from pix2pix.files import free_name
from pix2pix.pairing import SPLITS
from pix2pix.runs import known_pace, runs_folder
from pix2pix.settings import direction_on
from pix2pix.summary import training_memory
from pix2pix.ui.dataset_pictures import shown, strip_of
from pix2pix.ui.dataset_shelf import changed, chosen_folder, datasets_folder
from pix2pix.ui.dataset_words import pairs, splits
from pix2pix.ui.shared import inert, plain_text
from pix2pix.ui.train_start import (
    model_of,
    preset_values,
    read_overrides,
    settable,
    settings_of,
    starting_points,
)
from pix2pix.ui.train_words import PRESETS_IN_WORDS, duration, room

HERE = Path(__file__).parent
FIRST = "recommended"  # preset
SCRATCH = ("From scratch", "")
SIZES = [64, 128, 256, 512, 1024]
WIDTHS = [("64, the paper's", 64), ("32, several times faster", 32), ("16, for a first try", 16)]
HINTS = {"colour_hints": 0.85, "recolour": 0.5}
SHOWN = 4  # pairs of the preview
FIXED_WIDTH = "The small U-Net's is fixed."
NO_DATASET = "No dataset yet: build one in the Dataset tab."
Values = dict[Any, Any]  # component -> value, as Gradio hands them to a handler


@dataclass(frozen=True)
class Form:
    """The components. Those of `fields` are settings of TrainConfig by name."""

    dataset: gr.Dropdown
    preview: gr.HTML
    preset: gr.Dropdown
    name: gr.Textbox
    proposed: gr.State  # the name that was proposed last: one that was typed is kept
    direction: gr.Radio
    start_from: gr.Dropdown
    epochs: gr.Number
    size: gr.Dropdown
    width: gr.Dropdown
    batch_size: gr.Number
    lr: gr.Textbox
    mirror: gr.Checkbox
    hints: gr.Checkbox
    length: gr.Markdown
    more: gr.Textbox
    table: gr.HTML
    start: gr.Button

    def inputs(self) -> set[Any]:
        outputs_only = (self.preview, self.length, self.table, self.start)
        return {part for part in vars(self).values() if part not in outputs_only}

    def overrides(self, values: Values) -> dict[str, Any]:
        """Settings as they were filled in; `key=value` lines win. Raises a UserError."""
        names = "epochs", "batch_size", "lr", "mirror"
        fields = {name: values[getattr(self, name)] for name in names}
        fields |= {"size": values[self.size], "direction": values[self.direction]}
        fields |= {"ngf": values[self.width], "ndf": values[self.width]}
        for name, value in fields.items():
            if value is None or value == "":
                raise UserError(f"Give a value for {name}, or choose the preset again.")
        more = read_overrides(values[self.more])
        generator = str(more.get("generator", preset_values(values[self.preset] or "").generator))
        if values[self.hints]:
            fields |= HINTS
        if values[self.start_from]:  # these come with the model
            del fields["size"], fields["ngf"]
        elif "ngf" in WITHOUT["generator"].get(generator, ()):
            del fields["ngf"]
        return {**fields, **more}


def training_form() -> Form:
    first = preset_values(FIRST)
    dataset = gr.Dropdown([], value=None, label="Dataset", info=NO_DATASET, elem_id="train-dataset")
    preview = filled("train_preview.html", {}, elem_id="train-preview")
    presets = [(f"{PRESETS_IN_WORDS[key][0]} ({key})", key) for key in PRESETS]
    preset = gr.Dropdown(
        presets, value=FIRST, label="Preset", info=PRESETS_IN_WORDS[FIRST][1], elem_id="preset"
    )
    direction = gr.Radio(directions(None), value="AtoB", label="Direction", elem_id="direction")
    start_from = gr.Dropdown([SCRATCH], value="", label="Start from", elem_id="start-from")
    name = gr.Textbox(label="Name of the run", elem_id="run-name", max_length=64)
    with gr.Row():
        epochs = gr.Number(first.epochs, precision=0, label="Epochs", elem_id="epochs", min_width=0)
        batch = gr.Number(first.batch_size, precision=0, label="Batch size", min_width=0)
    with gr.Row():
        size = gr.Dropdown(SIZES, value=first.size, label="Size", elem_id="train-size", min_width=0)
        lr = gr.Textbox(as_text(first.lr), label="Learning rate", elem_id="lr", min_width=0)
    width = gr.Dropdown(
        WIDTHS, value=first.ngf, label="Network width", allow_custom_value=True, elem_id="width"
    )
    mirror = gr.Checkbox(
        first.mirror, label="Mirror pairs at random", elem_id="mirror",
        info="Not where left and right differ: writing, maps with names, traffic.",
    )  # fmt: skip
    hints = gr.Checkbox(
        False, label="Colour hints for drawings", elem_id="colour-hints",
        info="Strokes of the target's colours lie under the lines: the pad then has ink.",
    )  # fmt: skip
    length = gr.Markdown(elem_classes="quiet", elem_id="length")
    with gr.Accordion("More settings", open=False, elem_id="more-settings"):
        more = gr.Textbox(
            label="One a line, as key=value", lines=3, placeholder="lambda_l1=50\nmirror=false",
            elem_id="overrides",
        )  # fmt: skip
        table = filled("train_settings.html", settings_table(FIRST))
    start = gr.Button("Start training", variant="primary", elem_id="start-training")
    return Form(
        dataset, preview, preset, name, gr.State(""), direction, start_from, epochs, size, width,
        batch, lr, mirror, hints, length, more, table, start,
    )  # fmt: skip


def filled(template: str, value: dict[str, Any], **options: Any) -> gr.HTML:
    return gr.HTML(
        value=value, html_template=_read(template), css_template=_read("train_preview.css"),
        apply_default_css=False, **options,
    )  # fmt: skip


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


# --------------------------------------------------------------------------------- what it shows


def dataset_choices(chosen: str | None, sent: str) -> Any:
    """The datasets as they are now. What is chosen stays as it is; where that is none, it becomes
    the one that was sent from elsewhere, or the first."""
    names = list(list_datasets(datasets_folder()))
    info = "" if names else NO_DATASET
    if chosen in names:
        return gr.Dropdown(names, info=info)
    return gr.Dropdown(names, value=sent if sent in names else next(iter(names), None), info=info)


def start_choices(chosen: str) -> Any:
    """The models as they are now; a choice that is gone is taken back."""
    names = list(starting_points())
    return gr.Dropdown(start_named(names), **({} if chosen in ["", *names] else {"value": ""}))


def start_with(name: str) -> Any:
    """That model chosen, among those that there are now."""
    names = list(starting_points())
    return gr.Dropdown(start_named(names), value=name if name in names else "")


def start_named(names: list[str]) -> list[tuple[str, str]]:
    return [SCRATCH, *((f"Fine-tune {name}", name) for name in names)]


def preview_of(name: str | None) -> dict[str, Any]:
    """A few pairs and the counts, every word inert."""
    if not name:
        return {}
    try:
        folder = chosen_folder(name)
        return glimpse_of_pairs(folder, changed(folder))
    except UserError as error:
        return inert({"words": str(error)})


@functools.lru_cache(maxsize=32)
def glimpse_of_pairs(folder: Path, times: tuple[int, ...]) -> dict[str, Any]:
    """`times` only tell when to look again."""
    said = describe(folder)
    found = [pair for split in SPLITS for pair in find_pairs(folder, split)]
    pictures = []
    for pair in found[:: max(1, len(found) // SHOWN)][:SHOWN]:
        try:
            strip = strip_of(pair)
            strip.thumbnail((256, 256))
            pictures.append({**shown(strip), "name": pair.name})
        except UserError:
            continue  # the Dataset tab says what is wrong with it
    words = [f"{pairs(said.total)}: {splits(said.counts)}."]
    if not said.counts.get("val"):
        words.append("Without val pairs, samples show training pairs.")
    return inert({"pairs": pictures, "words": " ".join(words)})


def description(name: str | None) -> Description | None:
    try:
        return describe(chosen_folder(name)) if name else None
    except UserError:
        return None


def direction_field(form: Form, values: Values) -> Any:
    """The directions of the dataset as it is now. With a model to start from, the one that is its
    own here is chosen."""
    said = description(values[form.dataset])
    try:
        model = model_of(values[form.start_from] or "")
    except UserError:
        model = None  # it is gone, which the start says
    return gr.Radio(directions(said), **({"value": direction_on(model, said)} if model else {}))


def directions(said: Description | None) -> list[tuple[str, str]]:
    """The two directions in the dataset's own words."""
    a, b = (said.source_name, said.target_name) if said else ("A", "B")
    return [(f"{a} to {b}", "AtoB"), (f"{b} to {a}", "BtoA")]


def propose_name(typed: str | None, proposed: str, dataset: str | None) -> tuple[str, str]:
    """(name of the run, what was proposed): a typed name stays."""
    new = free_name(runs_folder(), dataset) if dataset else ""
    return (new if not typed or typed == proposed else typed), new


def length_of(form: Form, values: Values) -> str:
    """How many steps the run will take, how long if a run of the same work was here before, and
    how much memory; nothing while a value is wrong, which *Start* says."""
    try:
        folder, preset = chosen_folder(values[form.dataset] or ""), values[form.preset] or ""
        start_from = values[form.start_from] or ""
        config = settings_of(folder, preset, form.overrides(values), start_from)
        count = describe(folder).counts["train"]
    except UserError:
        return ""
    whole = steps_per_epoch(count, config.batch_size)
    _, steps = config.length(whole)
    device = pick_device()
    free = free_memory(device)
    before = known_pace({**asdict(config), "device": str(device)})
    length = f"{count:,} train pairs, {times(steps / whole)}: {steps:,} steps"
    if before:
        length += f", about {duration(steps * before[0])} at the pace of {plain_text(before[1])}"
    return f"{length}. {room(training_memory(config, count, free), free)}"


def times(passes: float) -> str:
    return f"{passes:,.0f} times" if passes >= 1.5 else "once" if passes >= 1 else "not all seen"


def preset_fields(form: Form, values: Values) -> dict[Any, Any]:
    """The preset's values; direction, size and width are those of the model to start from, if
    any."""
    preset = values[form.preset]
    config = preset_values(preset)
    return {
        form.preset: gr.Dropdown(info=plain_text(PRESETS_IN_WORDS[config.preset][1])),
        form.epochs: config.epochs,
        form.batch_size: config.batch_size,
        form.lr: as_text(config.lr),
        form.mirror: config.mirror,
        form.table: settings_table(preset),
        **start_fields(form, values),
    }


def start_fields(form: Form, values: Values) -> dict[Any, Any]:
    """What comes with the model to start from, or with the preset where there is none."""
    start_from, preset = values[form.start_from] or "", values[form.preset] or ""
    model, free = model_of(start_from), preset_values(preset)
    if model:
        size, width, why = model.generator.size, model.generator.ngf, "They come with the model."
        direction = direction_on(model, description(values[form.dataset]))
    else:
        fixed = "ngf" in WITHOUT["generator"][free.generator]
        size, width, why = free.size, free.ngf, FIXED_WIDTH if fixed else ""
        direction = free.direction
    return {
        form.direction: direction,
        form.size: gr.Dropdown(value=size, interactive=model is None),
        form.width: gr.Dropdown(value=width, info=why, interactive=not why),
    }


def settings_table(preset: str) -> dict[str, Any]:
    """Every setting with the preset's value and what else it may be."""
    config, hints = preset_values(preset), get_type_hints(TrainConfig)

    def row(name: str) -> dict[str, str]:
        choices = get_args(hints[name]) if get_origin(hints[name]) else ()
        if hints[name] is bool:
            choices = ("true", "false")
        return {
            "name": name, "value": as_text(getattr(config, name)),
            "choices": ", ".join(map(str, choices)),
        }  # fmt: skip

    return inert({"settings": [row(field.name) for field in settable()]})
