"""Cards, as README.md: of a dataset repository, and of a model that a run made."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from pix2pix.config import TrainConfig, as_text, train_config
from pix2pix.datasets import Description

FITS = {  # how pictures got to a square
    "stretch": "stretched",
    "pad": "padded with white",
    "crop": "cut from the middle",
    "tiles": "cut into tiles",
}
MEASURED = {"l1": "{:.4f}", "psnr": "{:.2f}", "ssim": "{:.4f}", "perceptual": "{:.4f}"}
# Settings that say how long and where a run trained, and what its card tells in words.
OWN_PART = {
    *("epochs", "steps", "seed", "batch_size", "source_name", "target_name", "source_channels"),
    *("target_channels", "save_every_steps", "sample_every_steps", "keep_every_epochs"),
    *("tensorboard", "compile", "channels_last", "precision"),
}


def dataset_card(description: dict[str, Any], dataset_json: dict[str, Any]) -> str:
    """The README.md of a dataset repository: front matter for the Hub, then what the pairs are.

    `description` is what the person says, all of it optional: `name` (else the dataset's title),
    `about`, `license` (an identifier of the Hub's, else it is `other`), `repo_id`. `dataset_json`
    is what the file of that name holds, {} where there is none. Neither can bring markup or
    absolute paths into the card.
    """
    said, made = without_folders(description), without_folders(dataset_json)
    license_id = str(said.get("license") or "").lower()
    license_id = license_id if re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", license_id) else "other"
    title = said.get("name") or made.get("title") or "Pairs"
    front = {
        "pretty_name": _line(title),
        "license": license_id,
        "task_categories": ["image-to-image"],
        "tags": ["pix2pix", "image-to-image", "paired"],
    }
    head = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    a, b = (inert(made.get(f"{end}_name")) or end for end in ("source", "target"))
    lines = [f"# {inert(title)}", "", inert(said.get("about")), ""]
    lines += [f"Pairs of pictures for image-to-image translation: {a} -> {b}. Every file holds one"]
    lines += [f"pair side by side, A ({a}) in the left half and B ({b}) in the right one.", ""]
    lines += [*_counts(made), *_facts(made), "", "## How to load it", ""]
    repo_id = _line(said.get("repo_id"))
    name = f"`{repo_id}`" if re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id) else "this page's address"
    lines += [f"In Pix2Pix Studio, open the Dataset tab, choose the Hub and give {name}."]
    lines += ["Any other program: cut each picture in `train`, `val` and `test` in the middle."]
    return re.sub(r"\n{3,}", "\n\n", f"---\n{head}\n---\n\n" + "\n".join(lines) + "\n")


def _counts(made: dict[str, Any]) -> Iterator[str]:
    if counts := _part(made, "counts", dict):
        yield from ("| split | pairs |", "|---|---|")
        rows = {("all" if key == "pairs" else inert(key)): value for key, value in counts.items()}
        yield from (f"| {split} | {inert(count)} |" for split, count in rows.items())
        yield ""


def _facts(made: dict[str, Any]) -> Iterator[str]:
    recipe, inputs = _part(made, "recipe", dict), _part(made, "inputs", dict)
    if side := recipe.get("size"):
        fit = FITS.get(str(recipe.get("fit")), "scaled")
        yield f"- Size of each half: {inert(side)} x {inert(side)} pixels, {fit}."
    elif recipe:
        yield "- Size: as the originals have it."
    if inputs.get("derive"):
        yield f"- The source is made from the target: {inert(inputs['derive'])}."
    elif made.get("rule"):
        explained = inert(made.get("explanation"))
        yield f"- Matched by the rule {inert(made['rule'])}" + (
            f": {explained}" if explained else "."
        )
    if shares := _part(recipe, "split", list):
        shown = ", ".join(inert(share) for share in shares)
        seed, alike = inert(recipe.get("seed")), "pairs that look alike stay in one split"
        yield f"- Split by chance into shares of {shown} (train, val, test; seed {seed}); {alike}."
    elif recipe:
        yield "- Split: as the originals say, else by chance 0.8, 0.1, 0.1 (train, val, test)."
    for key, words in (("refused", "Left out"), ("doubts", "Kept, with a doubt")):
        kinds = Counter(
            str(item.get("kind")) for item in _part(made, key, list) if isinstance(item, dict)
        )
        if kinds:
            listed = ", ".join(f"{count} {inert(kind)}" for kind, count in kinds.most_common())
            yield f"- {words}: {listed}; `dataset.json` names them."


def _part(json_object: dict[str, Any], key: str, kind: type) -> Any:
    """What others' files hold under a name, empty where it is of another kind."""
    value = json_object.get(key)
    return value if isinstance(value, kind) else kind()


def without_folders(value: Any) -> Any:
    """The same JSON with every absolute path in its texts cut down to its last part."""
    if isinstance(value, dict):
        return {without_folders(key): without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    if not isinstance(value, str):
        return value
    for kind in (PureWindowsPath, PurePosixPath):
        if kind(value).is_absolute():
            return kind(value).name
    return re.sub(r"(?<![\w./\\])(?:[A-Za-z]:|\\)?[\\/](?:[^\s\\/'\"]+[\\/])+", "", value)


def _line(value: Any) -> str:
    """One line of plain text, whatever was given."""
    text = "" if value is None else str(value)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:2000]


def inert(value: Any) -> str:
    """The same for Markdown: nothing in it is markup or a link."""
    return re.sub(r"[\\`*_{}\[\]()#+!|<>~&:@$/=^.]|^-", r"\\\g<0>", _line(value))


def run_card(
    title: str,
    config: TrainConfig,
    data: Description,
    license: Any,
    step: int,
    measures: Mapping[str, Any],
) -> str:
    """The card of a run's model after so many steps on the dataset `data`, whose `license` is what
    its ``dataset.json`` says of it; `measures` is its line of ``validation.jsonl``, with the
    perceptual distances of the judge, and empty where there is none."""
    source, target = config.source_name or "source", config.target_name or "target"
    terms = (
        inert(without_folders(license)) or "not said in its `dataset.json`: look before you share"
    )
    changes = dataclasses.asdict(config)
    for name, value in dataclasses.asdict(train_config(config.preset)).items():
        if changes[name] == value or name in OWN_PART:
            del changes[name]
    settings = ", ".join(f"`{name}={as_text(value)}`" for name, value in changes.items())
    parts = [
        f"# {inert(title)}",
        f"From {inert(source)} to {inert(target)}: a pix2pix generator ({config.generator}) for "
        f"{config.size} x {config.size} pixels.",
        "## Data and licence",
        f"The dataset {inert(data.title)}: {data.counts['train']:,} pairs for training, "
        f"{data.counts['val']:,} for validation. Licence: {terms}.",
        "## Training",
        f"{step:,} steps at batch {config.batch_size} of the preset `{config.preset}`, seed "
        f"{config.seed}" + (f", with {settings}." if settings else "."),
        "## Metrics",
        *_measured(measures),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(measures: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name in MEASURED if isinstance(measures.get(name), float)]
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
    rows = names, ["---:"] * len(names), [MEASURED[name].format(measures[name]) for name in names]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
