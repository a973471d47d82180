"""The form of a run. Every value is read by its component, never by its position."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, get_args, get_origin, get_type_hints

import gradio as gr

from pix2pix.config import TrainConfig, train_config
from pix2pix.data.dataset import DatasetInfo, dataset_info
from pix2pix.data.loader import steps_per_epoch
from pix2pix.data.report import DatasetFacts
from pix2pix.errors import UserError
from pix2pix.model_config import Direction, ModelConfig
from pix2pix.nn.device import pick_device
from pix2pix.nn.training_memory import training_memory
from pix2pix.presets import FIRST_PRESET, PRESETS, UNUSED_SETTINGS
from pix2pix.training.resolve_config import (
    HINTED_SHARE,
    describe_losses,
    preset_direction,
)
from pix2pix.training.run_control import past_step_time
from pix2pix.training.run_folder import runs_folder
from pix2pix.ui.custom_html import custom_html
from pix2pix.ui.dataset.library import chosen_folder, dataset_version
from pix2pix.ui.dataset.pairs_view import preview_pairs
from pix2pix.ui.train.launch import form_config, model_config_of, read_overrides
from pix2pix.utils.files import unused_name
from pix2pix.utils.machine import free_memory
from pix2pix.utils.text import escape_text, format_duration, format_memory
from pix2pix.utils.validation import setting_text

PRESET_TEXTS = {
    "recommended": ("Any pairs", "Begin with this: the best pictures in the time there is."),
    "quick": ("A first try", "Small and soon there: 64 pixels, two minutes without a GPU."),
    "maps": ("Photos and maps", "The paper's network and losses, with mirror and jitter."),
    "cityscapes": ("Label maps to scenes", "A small, fast network; the label map is on the right."),
    "scratch": ("Wide patches", "The paper's U-Net against a discriminator that sees 142 pixels."),
    "colorize": ("Grey to colour", "The grey source is made of the colour picture."),
    "face-sketch": ("Sketch to photo", "From B to A; the model is drawn for on the pad."),
}
SCRATCH = ("From scratch", "")
SIZES = [64, 128, 256, 512, 1024]
WIDTHS = [("64, the paper's", 64), ("32, several times faster", 32), ("16, for a first try", 16)]
REPORTS = {
    "Nowhere else": "",
    "TensorBoard": "tensorboard",
    "trackio": "trackio",
    "Weights & Biases": "wandb",
}
# Settings that are not for people to set.
NOT_SHOWN = ("preset", "source_channels", "target_channels", "ranges", "numbers")
FIXED_WIDTH = "The small U-Net's is fixed."
STYLE = ["train/preview.css"]  # of the templates
TRY_IT = "Try it in two minutes"
NO_DATASET = "No dataset yet: build one in the Dataset tab."
Values = dict[Any, Any]  # component -> value, as Gradio hands them to a handler


class TrainForm:
    """The components of a run's set-up."""

    def __init__(self) -> None:
        """Lay out its title with the button that starts it, which stays in sight, what people
        choose, and the settings that come with the preset."""
        with gr.Row(elem_id="new-run"):
            gr.HTML("<h2 class='step-title'>New run</h2>", elem_classes="bare")
            self.start = gr.Button(
                "Start training", variant="primary", size="md", min_width=0,
                elem_id="start-training",
            )  # fmt: skip
        # Seen while there are no runs.
        self.trial = gr.Button(TRY_IT, size="md", visible=False, elem_id="trial")
        self.dataset = gr.Dropdown(
            [], value=None, label="Dataset", info=NO_DATASET, elem_id="train-dataset"
        )
        self.preview = custom_html("train/preview.html", STYLE, value={}, elem_id="train-preview")
        presets = [(f"{PRESET_TEXTS[key][0]} ({key})", key) for key in PRESETS]
        self.preset = gr.Dropdown(
            presets,
            value=FIRST_PRESET,
            label="Preset",
            info=PRESET_TEXTS[FIRST_PRESET][1],
            elem_id="preset",
        )
        self.direction = gr.Radio(
            directions(None), value="AtoB", label="Direction", elem_id="direction"
        )
        self.start_from = gr.Dropdown([SCRATCH], value="", label="Start from", elem_id="start-from")
        self.name = gr.Textbox(label="Name of the run", elem_id="run-name", max_length=64)
        self.proposed = gr.State("")  # the name that was proposed last: one that was typed is kept
        self.lay_out_settings()

    def lay_out_settings(self) -> None:
        """Lay out the settings, as the first preset has them."""
        first = preset_values(FIRST_PRESET)
        with gr.Row():
            self.epochs = gr.Number(
                first.epochs, precision=0, label="Epochs", elem_id="epochs", min_width=0
            )
            self.size = gr.Dropdown(
                SIZES, value=first.size, label="Size", elem_id="train-size", min_width=0
            )
        self.length = gr.Markdown(elem_classes="quiet", elem_id="length")
        with gr.Accordion("More settings", open=False, elem_id="more-settings"):
            with gr.Row():
                self.batch_size = gr.Number(
                    first.batch_size, precision=0, label="Batch size", min_width=0
                )
                self.lr = gr.Textbox(
                    setting_text(first.lr), label="Learning rate", elem_id="lr", min_width=0
                )
            self.width = gr.Dropdown(
                WIDTHS, value=first.ngf, label="Network width", allow_custom_value=True,
                elem_id="width",
            )  # fmt: skip
            self.mirror = gr.Checkbox(
                first.mirror, label="Mirror pairs at random", elem_id="mirror",
                info="Not where left and right differ: writing, maps with names, traffic.",
            )  # fmt: skip
            self.hints = gr.Checkbox(
                False, label="Colour hints for drawings", elem_id="colour-hints",
                info="Strokes of the target's colours lie under the lines: the pad then has ink. "
                "Where most targets are brown or black, add recolour=0.5 below.",
            )  # fmt: skip
            self.report = gr.Dropdown(
                list(REPORTS.items()), value="", label="Report to", elem_id="report-to",
                info="Losses, measures and samples go there too; the package must be installed.",
            )  # fmt: skip
            self.more = gr.Textbox(
                label="One a line, as key=value", lines=3, elem_id="overrides",
                placeholder="lambda_l1=50\nmirror=false",
            )  # fmt: skip
            self.table = custom_html(
                "train/settings.html", STYLE, value=settings_table(FIRST_PRESET)
            )

    def inputs(self) -> set[Any]:
        """List the components that a person fills in."""
        outputs_only = (self.preview, self.length, self.table, self.start, self.trial)
        return {part for part in vars(self).values() if part not in outputs_only}

    def read(self, values: Values) -> dict[str, Any]:
        """Read the run that was set up, as `prepared_run` takes it. Raises UserError."""
        chosen = {"dataset": self.dataset, "preset": self.preset, "name": self.name}
        chosen["start_from"] = self.start_from
        run = {key: values[part] or "" for key, part in chosen.items()}
        return {**run, "overrides": self.overrides(values)}

    def overrides(self, values: Values) -> dict[str, Any]:
        """Read the settings that differ from the preset's, the direction, and the `key=value`
        lines, which win. What was left as the preset has it is not given: a dataset of label maps
        may change it. Raises UserError."""
        preset = preset_values(values[self.preset] or "")
        names = "epochs", "batch_size", "lr", "mirror", "size"
        fields = {name: values[getattr(self, name)] for name in names}
        fields |= {"ngf": values[self.width], "ndf": values[self.width]}
        for name, value in fields.items():
            if value is None or value == "":
                raise UserError(f"Give a value for {name}, or choose the preset again.")
        fields = {
            name: value
            for name, value in fields.items()
            if setting_text(value) != setting_text(getattr(preset, name))
        }
        fields |= {"direction": values[self.direction], "report_to": values[self.report] or ""}
        more = read_overrides(values[self.more])
        generator = str(more.get("generator", preset.generator))
        if values[self.hints]:
            fields["colour_hints"] = HINTED_SHARE
        if values[self.start_from]:  # these come with the model
            for name in ("size", "ngf"):
                fields.pop(name, None)
        elif "ngf" in UNUSED_SETTINGS["generator"].get(generator, ()):
            fields.pop("ngf", None)
        return {**fields, **more}

    def describe_length(self, values: Values) -> str:
        """Say how many steps the run will take, how long if a run of the same work was here before,
        and how much memory; empty while a value is wrong, which *Start* says."""
        try:
            run = self.read(values)
            folder = chosen_folder(run["dataset"])
            config = form_config(folder, run["preset"], run["overrides"], run["start_from"])
            count = dataset_info(folder).counts["train"]
        except UserError:
            return ""
        if not count:
            return ""
        pass_steps = steps_per_epoch(count, config.effective_batch_size)
        _, steps = config.length(pass_steps)
        device = pick_device()
        free = free_memory(device)
        before = past_step_time({**asdict(config), "device": str(device)})
        passes = steps / pass_steps
        times = (
            f"{passes:,.0f} times" if passes >= 1.5 else "once" if passes >= 1 else "not all seen"
        )
        length = f"{count:,} train pairs, {times}: {steps:,} steps"
        if config.steps_per_epoch:
            epochs = steps / config.steps_per_epoch
            length += f" in {epochs:,.3g} epochs of {config.steps_per_epoch:,}"
        if before:
            pace, name = before
            duration = format_duration(steps * pace)
            length += f", about {duration} at the pace of {escape_text(name)}"
        need = format_memory_need(training_memory(config, count, free), free)
        return f"{length}. {need} {describe_losses(config, folder)}".rstrip()

    def direction_field(self, values: Values) -> Any:
        """Show the directions of the dataset as it is now, and choose the one that the model to
        start from or the preset has on it."""
        info = description(values[self.dataset])
        try:
            model = model_config_of(values[self.start_from] or "")
        except UserError:
            model = None  # it is gone, which the start says
        found = own_direction(model, values[self.preset] or "", info)
        return gr.Radio(directions(info), **({"value": found} if found else {}))

    def preset_fields(self, values: Values) -> dict[Any, Any]:
        """Fill in the preset's values; direction, size and width are those of the model to start
        from, if any."""
        preset = values[self.preset]
        config = preset_values(preset)
        return {
            self.preset: gr.Dropdown(info=escape_text(PRESET_TEXTS[config.preset][1])),
            self.epochs: config.epochs,
            self.batch_size: config.batch_size,
            self.lr: setting_text(config.lr),
            self.mirror: config.mirror,
            self.table: settings_table(preset),
            **self.start_fields(values),
        }

    def preset_outputs(self) -> list[Any]:
        """List the components that `preset_fields` fills in."""
        return [
            *(self.preset, self.direction, self.epochs, self.batch_size, self.lr, self.table),
            *(self.mirror, self.size, self.width),
        ]

    def start_fields(self, values: Values) -> dict[Any, Any]:
        """Fill in what comes with the model to start from, or with the preset without one."""
        start_from, preset = values[self.start_from] or "", values[self.preset] or ""
        model, free = model_config_of(start_from), preset_values(preset)
        if model:
            size, width = model.generator.size, model.generator.ngf
            why = "They come with the model."
        else:
            fixed = "ngf" in UNUSED_SETTINGS["generator"][free.generator]
            size, width, why = free.size, free.ngf, FIXED_WIDTH if fixed else ""
        info = description(values[self.dataset])
        return {
            self.direction: own_direction(model, preset, info) or "AtoB",
            self.size: gr.Dropdown(value=size, interactive=model is None),
            self.width: gr.Dropdown(value=width, info=why, interactive=not why),
        }


def settings_table(preset: str) -> dict[str, Any]:
    """Return every setting with the preset's value and its choices."""
    config, hints = preset_values(preset), get_type_hints(TrainConfig)

    def row(name: str) -> dict[str, str]:
        choices = get_args(hints[name]) if get_origin(hints[name]) else ()
        if hints[name] is bool:
            choices = ("true", "false")
        return {
            "name": name, "value": setting_text(getattr(config, name)),
            "choices": ", ".join(map(str, choices)),
        }  # fmt: skip

    return {
        "settings": [
            row(field.name) for field in fields(TrainConfig) if field.name not in NOT_SHOWN
        ]
    }


def preset_values(preset: str) -> TrainConfig:
    """Return a preset's settings; those of `maps` for a name that is none."""
    return train_config(preset if preset in PRESETS else "maps")


# --------------------------------------------------------------------------------- what it shows


def description(name: str | None) -> DatasetInfo | None:
    """Describe a dataset; None where it is gone or broken."""
    try:
        return dataset_info(chosen_folder(name)) if name else None
    except UserError:
        return None


def dataset_preview(name: str | None) -> dict[str, Any]:
    """Show a few pairs and the counts."""
    if not name:
        return {}
    try:
        folder = chosen_folder(name)
        return preview_pairs(folder, dataset_version(folder))
    except UserError as error:
        return {"words": str(error)}


def own_direction(
    model: ModelConfig | None, preset: str, info: DatasetInfo | None
) -> Direction | None:
    """Find the direction that the model to start from, or the preset without one, has on the
    dataset; None where it is open."""
    facts = info.facts if info else DatasetFacts()
    if model:
        return facts.direction_of(model)
    return preset_direction(preset_values(preset), facts)


def directions(info: DatasetInfo | None) -> list[tuple[str, str]]:
    """List the two directions in the dataset's own words."""
    a, b = (info.source_name, info.target_name) if info else ("A", "B")
    return [(f"{a} to {b}", "AtoB"), (f"{b} to {a}", "BtoA")]


def propose_name(typed: str | None, proposed: str, dataset: str | None) -> tuple[str, str]:
    """Return (name of the run, what was proposed): a typed name stays."""
    new = unused_name(runs_folder(), dataset) if dataset else ""
    return (new if not typed or typed == proposed else typed), new


def format_memory_need(need: int, free: int) -> str:
    """Say how many bytes a run will take, and how many are free."""
    need_text = f"About {format_memory(need // 2**20)} of memory"
    if need <= free:
        return f"{need_text}; {format_memory(free // 2**20)} are free."
    return (
        f"**{need_text}, and {format_memory(free // 2**20)} are free: lower Size, Network width or "
        "Batch size; gradient_accumulation_steps makes up for smaller batches.**"
    )
