"""Write the README.md of a model: of one that a run made, and of imported weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import DatasetInfo
from pix2pix.model_config import ModelConfig
from pix2pix.utils.text import escape_markdown, strip_folders
from pix2pix.utils.validation import setting_text

METRIC_FORMATS = {"l1": "{:.4f}", "psnr": "{:.2f}", "ssim": "{:.4f}", "perceptual": "{:.4f}"}
# Settings that say how long and where a run trained, and what its card tells in words.
HIDDEN_SETTINGS = {
    "epochs", "steps", "seed", "batch_size", "gradient_accumulation_steps", "source_name",
    "target_name", "source_channels", "target_channels", "save_every_steps", "sample_every_steps",
    "keep_every_epochs", "report_to", "compile", "channels_last", "precision", "ranges",
    "numbers",
}  # fmt: skip


def model_card(
    title: str,
    config: TrainConfig,
    data: DatasetInfo,
    license: Any,
    step: int,
    measures: Mapping[str, Any],
) -> str:
    """Write the card of a run's model after so many steps on the dataset `data`. `license` is
    that of its ``dataset.json``; `measures` is its line of ``validation.jsonl``, with the
    perceptual distances of the judge, and empty where there is none."""
    source = escape_markdown(config.source_name or "source")
    target = escape_markdown(config.target_name or "target")
    terms = (
        escape_markdown(strip_folders(license))
        or "not said in its `dataset.json`: look before you share"
    )
    shown = [(n, v) for n, v in config.changes().items() if n not in HIDDEN_SETTINGS]
    settings = ", ".join(f"`{name}={setting_text(value)}`" for name, value in shown)
    parts = [
        f"# {escape_markdown(title)}",
        f"From {source} to {target}: a pix2pix generator ({config.generator}) for {config.size} x "
        f"{config.size} pixels.",
        "## Data and licence",
        f"The dataset {escape_markdown(data.title)}: {data.counts['train']:,} pairs for training, "
        f"{data.counts['val']:,} for validation. Licence: {terms}.",
        "## Training",
        f"{step:,} steps at batch {config.effective_batch_size} of the preset `{config.preset}`, "
        f"seed {config.seed}" + (f", with {settings}." if settings else "."),
        "## Metrics",
        *_metrics_table(measures),
    ]
    return "\n\n".join(parts) + "\n"


def converted_model_card(config: ModelConfig, parameters: int) -> str:
    """Write the card of imported weights, so many `parameters`."""
    net = config.generator
    shape = f"U-Net {net.size}" if net.kind == "unet" else f"ResNet of {net.blocks} blocks"
    return (
        f"# {config.title}\n\n"
        f"A {shape} generator ({net.source_channels} to {net.target_channels} channels, "
        f"{net.ngf} filters, {net.norm} norm, {parameters:,} parameters), imported "
        f"from `{config.training['imported_from']}` in the layout of the PyTorch pix2pix "
        f"reference. It translates {config.source_name} to {config.target_name}.\n\n"
        "## Data and licence\n\n"
        "The file tells neither: those of its author hold.\n\n"
        "## Metrics\n\n"
        "Not measured. `scripts/evaluate.py` measures them on a dataset.\n"
    )


def _metrics_table(measures: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name in METRIC_FORMATS if isinstance(measures.get(name), float)]
    if not names:
        yield "Not measured: there were no pairs for validation."
        return
    apart = measures.get("perceptual_halves")
    yield (
        "On validation pairs, 32 of them at most. L1 is on a scale from 0 to 1; lower is better "
        "for it and for the perceptual distance, higher for PSNR and SSIM."
    )
    if "perceptual" in names:
        yield (
            f"The perceptual distance is on the features of {measures['judge']}, which had no part "
            "in choosing this model."
            + (f" Different real pictures are {apart:.4f} apart." if apart else "")
        )
    rows = (
        names,
        ["---:"] * len(names),
        [METRIC_FORMATS[name].format(measures[name]) for name in names],
    )
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
