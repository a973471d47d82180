"""The form of a run. Every value is read by its component, never by its position."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.data.dataset import DatasetInfo, dataset_info, find_pairs, list_datasets
from pix2pix.data.loader import steps_per_epoch
from pix2pix.data.plausibility import dataset_doubts
from pix2pix.data.ranges import folder_ranges
from pix2pix.data.records import SPLITS
from pix2pix.errors import UserError
from pix2pix.nn.device import pick_device
from pix2pix.nn.training_memory import training_memory
from pix2pix.presets import PRESETS, UNUSED_SETTINGS
from pix2pix.training.resolve_config import describe_losses, matching_direction
from pix2pix.training.run_control import past_step_time
from pix2pix.training.run_folder import runs_folder
from pix2pix.ui.components.pairs_view import encode_pair, join_pair
from pix2pix.ui.dataset.library import chosen_folder, dataset_version, datasets_folder
from pix2pix.ui.dataset.wording import format_pairs, format_splits
from pix2pix.ui.gradio_patches import escape_template
from pix2pix.ui.theme import read_asset
from pix2pix.ui.train.launch import (
    form_config,
    model_config_of,
    preset_values,
    read_overrides,
    settings_table,
    start_models,
)
from pix2pix.ui.train.wording import PRESET_TEXTS, format_duration, format_memory_need
from pix2pix.utils.files import unused_name
from pix2pix.utils.memory import free_memory
from pix2pix.utils.text import escape_text
from pix2pix.utils.validation import setting_text

FIRST = "recommended"  # preset
SCRATCH = ("From scratch", "")
SIZES = [64, 128, 256, 512, 1024]
WIDTHS = [("64, the paper's", 64), ("32, several times faster", 32), ("16, for a first try", 16)]
HINTS = {"colour_hints": 0.85, "recolour": 0.5}
REPORTS = {
    "Nowhere else": "",
    "TensorBoard": "tensorboard",
    "trackio": "trackio",
    "Weights & Biases": "wandb",
}
FIXED_WIDTH = "The small U-Net's is fixed."
PREVIEW_PAIRS = 4  # pairs of the preview
TRY_IT = "Try it in two minutes"
NO_DATASET = "No dataset yet: build one in the Dataset tab."
Values = dict[Any, Any]  # component -> value, as Gradio hands them to a handler


@dataclass(frozen=True)
class TrainForm:
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
    report: gr.Dropdown
    more: gr.Textbox
    table: gr.HTML
    start: gr.Button
    trial: gr.Button  # seen while there are no runs

    def inputs(self) -> set[Any]:
        """List the components that a person fills in."""
        outputs_only = (self.preview, self.length, self.table, self.start, self.trial)
        return {part for part in vars(self).values() if part not in outputs_only}

    def overrides(self, values: Values) -> dict[str, Any]:
        """Read the settings as they were filled in; `key=value` lines win. Raises UserError."""
        names = "epochs", "batch_size", "lr", "mirror"
        fields = {name: values[getattr(self, name)] for name in names}
        fields |= {"size": values[self.size], "direction": values[self.direction]}
        fields |= {"ngf": values[self.width], "ndf": values[self.width]}
        for name, value in fields.items():
            if value is None or value == "":
                raise UserError(f"Give a value for {name}, or choose the preset again.")
        more = read_overrides(values[self.more])
        generator = str(more.get("generator", preset_values(values[self.preset] or "").generator))
        fields["report_to"] = values[self.report] or ""
        if values[self.hints]:
            fields |= HINTS
        if values[self.start_from]:  # these come with the model
            del fields["size"], fields["ngf"]
        elif "ngf" in UNUSED_SETTINGS["generator"].get(generator, ()):
            del fields["ngf"]
        return {**fields, **more}


def training_form() -> TrainForm:
    """Lay out the set-up of a run: its title with the button that starts it, which stays in sight,
    what people choose, and the settings that come with the preset."""
    with gr.Row(elem_id="new-run"):
        gr.HTML("<h2 class='step-title'>New run</h2>", elem_classes="bare")
        start = gr.Button(
            "Start training", variant="primary", size="md", min_width=0, elem_id="start-training"
        )
    trial = gr.Button(TRY_IT, size="md", visible=False, elem_id="trial")
    dataset = gr.Dropdown([], value=None, label="Dataset", info=NO_DATASET, elem_id="train-dataset")
    preview = read_template("train/preview.html", {}, elem_id="train-preview")
    presets = [(f"{PRESET_TEXTS[key][0]} ({key})", key) for key in PRESETS]
    preset = gr.Dropdown(
        presets, value=FIRST, label="Preset", info=PRESET_TEXTS[FIRST][1], elem_id="preset"
    )
    direction = gr.Radio(directions(None), value="AtoB", label="Direction", elem_id="direction")
    start_from = gr.Dropdown([SCRATCH], value="", label="Start from", elem_id="start-from")
    name = gr.Textbox(label="Name of the run", elem_id="run-name", max_length=64)
    return TrainForm(
        dataset, preview, preset, name, gr.State(""), direction, start_from, start=start,
        trial=trial, **setting_fields(),
    )  # fmt: skip


def setting_fields() -> dict[str, Any]:
    """Lay out the settings, as the first preset has them."""
    first = preset_values(FIRST)
    with gr.Row():
        epochs = gr.Number(first.epochs, precision=0, label="Epochs", elem_id="epochs", min_width=0)
        size = gr.Dropdown(SIZES, value=first.size, label="Size", elem_id="train-size", min_width=0)
    length = gr.Markdown(elem_classes="quiet", elem_id="length")
    with gr.Accordion("More settings", open=False, elem_id="more-settings"):
        with gr.Row():
            batch = gr.Number(first.batch_size, precision=0, label="Batch size", min_width=0)
            lr = gr.Textbox(
                setting_text(first.lr), label="Learning rate", elem_id="lr", min_width=0
            )
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
        report = gr.Dropdown(
            list(REPORTS.items()), value="", label="Report to", elem_id="report-to",
            info="Losses, measures and samples go there too; the package must be installed.",
        )  # fmt: skip
        more = gr.Textbox(
            label="One a line, as key=value", lines=3, placeholder="lambda_l1=50\nmirror=false",
            elem_id="overrides",
        )  # fmt: skip
        table = read_template("train/settings.html", settings_table(FIRST))
    return {
        "epochs": epochs, "batch_size": batch, "size": size, "lr": lr, "width": width,
        "mirror": mirror, "hints": hints, "length": length, "report": report,
        "more": more, "table": table,
    }  # fmt: skip


def read_template(template: str, value: dict[str, Any], **options: Any) -> gr.HTML:
    """Lay out one of the tab's templates with their common style."""
    return gr.HTML(
        value=value,
        html_template=read_asset(template),
        css_template=read_asset("train/preview.css"),
        apply_default_css=False,
        **options,
    )


# --------------------------------------------------------------------------------- what it shows


def dataset_choices(chosen: str | None, sent: str) -> Any:
    """List the datasets as they are now. The choice stays; where it is gone, it becomes the one
    that was sent from elsewhere, or the first."""
    names = list(list_datasets(datasets_folder()))
    info = "" if names else NO_DATASET
    if chosen in names:
        return gr.Dropdown(names, info=info)
    return gr.Dropdown(names, value=sent if sent in names else next(iter(names), None), info=info)


def start_choices(chosen: str, sent: str | None = None) -> Any:
    """List the models as they are now, and choose the one that was `sent`; else the choice stays,
    unless it is gone."""
    names = list(start_models())
    choices = [SCRATCH, *((f"Fine-tune {name}", name) for name in names)]
    if sent is None and chosen in ["", *names]:
        return gr.Dropdown(choices)
    return gr.Dropdown(choices, value=sent if sent in names else "")


def description(name: str | None) -> DatasetInfo | None:
    """Describe a dataset; None where it is gone or broken."""
    try:
        return dataset_info(chosen_folder(name)) if name else None
    except UserError:
        return None


def dataset_preview(name: str | None) -> dict[str, Any]:
    """Show a few pairs and the counts, every text escaped."""
    if not name:
        return {}
    try:
        folder = chosen_folder(name)
        return preview_pairs(folder, dataset_version(folder))
    except UserError as error:
        return escape_template({"words": str(error)})


@functools.lru_cache(maxsize=32)
def preview_pairs(folder: Path, times: tuple[int, ...]) -> dict[str, Any]:
    """Encode a few pairs; `times` only say when to look again."""
    info = dataset_info(folder)
    pairs = [pair for split in SPLITS for pair in find_pairs(folder, split)]
    pictures, ranges = [], folder_ranges(folder)
    for pair in pairs[:: max(1, len(pairs) // PREVIEW_PAIRS)][:PREVIEW_PAIRS]:
        try:
            picture = join_pair(pair, ranges)
            picture.thumbnail((256, 256))
            pictures.append({**encode_pair(picture), "name": pair.name})
        except UserError:
            continue  # the Dataset tab says what is wrong with it
    words = [f"{format_pairs(info.total)}: {format_splits(info.counts)}."]
    if not info.counts.get("val"):
        words.append("Without val pairs, samples show training pairs.")
    words += [f"Look at {d.file}: it {d.reason}." for d in dataset_doubts(folder)]
    return escape_template({"pairs": pictures, "words": " ".join(words)})


def direction_field(form: TrainForm, values: Values) -> Any:
    """Show the directions of the dataset as it is now. With a model to start from, its own
    direction here is chosen."""
    info = description(values[form.dataset])
    try:
        model = model_config_of(values[form.start_from] or "")
    except UserError:
        model = None  # it is gone, which the start says
    return gr.Radio(
        directions(info), **({"value": matching_direction(model, info)} if model else {})
    )


def directions(info: DatasetInfo | None) -> list[tuple[str, str]]:
    """List the two directions in the dataset's own words."""
    a, b = (info.source_name, info.target_name) if info else ("A", "B")
    return [(f"{a} to {b}", "AtoB"), (f"{b} to {a}", "BtoA")]


def propose_name(typed: str | None, proposed: str, dataset: str | None) -> tuple[str, str]:
    """Return (name of the run, what was proposed): a typed name stays."""
    new = unused_name(runs_folder(), dataset) if dataset else ""
    return (new if not typed or typed == proposed else typed), new


def describe_length(form: TrainForm, values: Values) -> str:
    """Say how many steps the run will take, how long if a run of the same work was here before,
    and how much memory; empty while a value is wrong, which *Start* says."""
    try:
        folder, preset = chosen_folder(values[form.dataset] or ""), values[form.preset] or ""
        start_from = values[form.start_from] or ""
        config = form_config(folder, preset, form.overrides(values), start_from)
        count = dataset_info(folder).counts["train"]
    except UserError:
        return ""
    pass_steps = steps_per_epoch(count, config.effective_batch_size)
    _, steps = config.length(pass_steps)
    device = pick_device()
    free = free_memory(device)
    before = past_step_time({**asdict(config), "device": str(device)})
    passes = steps / pass_steps
    times = f"{passes:,.0f} times" if passes >= 1.5 else "once" if passes >= 1 else "not all seen"
    length = f"{count:,} train pairs, {times}: {steps:,} steps"
    if before:
        length += (
            f", about {format_duration(steps * before[0])} at the pace of {escape_text(before[1])}"
        )
    need = format_memory_need(training_memory(config, count, free), free)
    return f"{length}. {need} {describe_losses(config, folder)}".rstrip()


def preset_fields(form: TrainForm, values: Values) -> dict[Any, Any]:
    """Fill in the preset's values; direction, size and width are those of the model to start
    from, if any."""
    preset = values[form.preset]
    config = preset_values(preset)
    return {
        form.preset: gr.Dropdown(info=escape_text(PRESET_TEXTS[config.preset][1])),
        form.epochs: config.epochs,
        form.batch_size: config.batch_size,
        form.lr: setting_text(config.lr),
        form.mirror: config.mirror,
        form.table: settings_table(preset),
        **start_fields(form, values),
    }


def preset_outputs(form: TrainForm) -> list[Any]:
    """List the components that `preset_fields` fills in."""
    return [
        *(form.preset, form.direction, form.epochs, form.batch_size, form.lr, form.table),
        *(form.mirror, form.size, form.width),
    ]


def start_fields(form: TrainForm, values: Values) -> dict[Any, Any]:
    """Fill in what comes with the model to start from, or with the preset without one."""
    start_from, preset = values[form.start_from] or "", values[form.preset] or ""
    model, free = model_config_of(start_from), preset_values(preset)
    if model:
        size, width, why = model.generator.size, model.generator.ngf, "They come with the model."
        direction = matching_direction(model, description(values[form.dataset]))
    else:
        fixed = "ngf" in UNUSED_SETTINGS["generator"][free.generator]
        size, width, why = free.size, free.ngf, FIXED_WIDTH if fixed else ""
        direction = free.direction
    return {
        form.direction: direction,
        form.size: gr.Dropdown(value=size, interactive=model is None),
        form.width: gr.Dropdown(value=width, info=why, interactive=not why),
    }
