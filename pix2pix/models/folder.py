"""Load and find model folders: ``model.safetensors``, ``config.json``, ``README.md`` (the card),
``model.onnx`` (the graph over those weights)."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from pix2pix.errors import UserError
from pix2pix.imaging.decode import list_images
from pix2pix.model_config import ModelConfig
from pix2pix.nn.extra_inputs import AddTint
from pix2pix.nn.generators import construct_generator
from pix2pix.utils.files import write_atomically
from pix2pix.utils.workspace import model_folders

WEIGHTS, CONFIG, CARD, GRAPH = "model.safetensors", "config.json", "README.md", "model.onnx"
# What a model folder may hold besides the model.
THUMBNAIL, EXAMPLES, SAMPLES = "thumbnail.png", "examples.json", "samples"
MAX_CONFIG_BYTES = 1_000_000


def check_finite(tensors: dict[str, torch.Tensor], name: str) -> None:
    """Raise UserError where a weight is no number: the network would paint plain black."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(
                f"The weights of '{name}' are not all numbers ({key}), as after a training that "
                "failed: take an earlier checkpoint."
            )


def read_config(folder: Path, name: str = "") -> ModelConfig:
    """Read a model's config. Raises UserError, which calls the model by `name` or its folder's,
    where the folder holds no model that this version can run."""
    path, name = folder / CONFIG, name or folder.name
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UserError(f"{name}/{CONFIG} is too large to be a model's: remove it.")
        return ModelConfig.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(
            f"There is no model in '{name}': a model folder holds {CONFIG} and {WEIGHTS}."
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise UserError(f"The model '{name}' cannot be used: {error}") from error
        raise UserError(
            f"{name}/{CONFIG} is not valid JSON: take the model anew from its source."
        ) from error


def save_examples(
    folder: Path, drawings: list[tuple[str, list[dict]]], answer: Image.Image
) -> None:
    """Write drawings to begin with, each a name and its operations of the pad, and the thumbnail,
    which is the model's answer to the first of them. Raises OSError."""
    named = [{"name": name, "strokes": operations} for name, operations in drawings]
    text = json.dumps(named, separators=(",", ":")) + "\n"
    write_atomically(folder / EXAMPLES, lambda file: file.write_text(text, encoding="utf-8"))
    write_atomically(folder / THUMBNAIL, lambda file: answer.save(file, "PNG"))


def sample_files(folder: Path) -> list[Path]:
    """List the pictures in the model's folder to try it on."""
    return list_images(folder / SAMPLES) if (folder / SAMPLES).is_dir() else []


def load_model(folder: Path, name: str = "") -> tuple[nn.Module, ModelConfig]:
    """Load the generator in float32 on the CPU, in ``eval()`` mode, and its config.

    Layers are laid out without memory and take the file's tensors, so a config that asks for a
    giant network costs nothing. Raises UserError for unsafe, broken or mismatched files, which
    calls the model by `name` or its folder's.
    """
    config, name = read_config(folder, name), name or folder.name
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{name}/{WEIGHTS} is missing or not a safetensors file: "
            "take the model anew from its source."
        ) from error
    check_finite(tensors, name)
    with torch.device("meta"):
        generator = construct_generator(config.generator)
    tensors = {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
    try:
        generator.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise UserError(
            f"The weights of '{name}' do not fit its {CONFIG}: take the model anew from its source."
        ) from error
    return generator.eval(), config


def tints(folder: Path, count: int) -> list[str]:
    """List `count` colours, as "#rrggbb", of pictures that a model with a tint was trained with:
    those first that differ most."""
    tint = AddTint()
    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        tint.colours.copy_(weights.get_tensor("tint.colours"))
    chosen = torch.cat([tint.chosen(seed) for seed in range(count)])
    return [f"#{bytes(rgb).hex()}" for rgb in ((chosen + 1) * 127.5).round().byte().tolist()]


# ------------------------------------------------------------------------------------ finding them


def list_models(folders: list[Path]) -> dict[str, Path]:
    """Name -> folder of every readable model directly in ``folders``; earlier folders win."""
    models: dict[str, Path] = {}
    for parent in folders:
        for config in sorted(parent.glob(f"*/{CONFIG}")):
            folder = config.parent
            if (folder / WEIGHTS).is_file() and _is_readable(folder, file_version(config)):
                models.setdefault(folder.name, folder)
    return models


def file_version(file: Path) -> tuple[int, ...]:
    """Return what tells a file from what is written in its place; nothing where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@functools.lru_cache(1024)
def _is_readable(folder: Path, version: tuple[int, ...]) -> bool:
    """Say whether a config, in the version that is on disk, is one of a model: each request of the
    page asks for all of them."""
    try:
        read_config(folder)
    except UserError:
        return False  # the picker lists what works; loading by name says why one does not
    return True


def find_model(model: str | os.PathLike[str], folders: list[Path] | None = None) -> Path:
    """Find the folder of a model by its name in ``checkpoints/`` or the workspace, or in these
    `folders`; by its path or that of a run. Raises UserError naming the others."""
    name, models = os.fspath(model), list_models(model_folders() if folders is None else folders)
    if name in models:
        return models[name]
    folder = Path(name)
    if folder.is_dir():
        is_run = (folder / "model").is_dir() and not (folder / WEIGHTS).exists()
        return folder / "model" if is_run else folder
    if not models:
        raise UserError(
            f"There is no model '{name}' here: give a model's folder or its owner/name on the "
            "Hugging Face Hub, or start where the checkpoints/ of Pix2Pix Studio lie."
        )
    known = ", ".join(models)
    raise UserError(f"There is no model '{name}': choose from {known}, or give a model folder.")


def find_models(names: list[str]) -> dict[str, Path]:
    """Find every model named, as name -> folder; a run's folder stands for all its checkpoints,
    which are called by their run and step. Raises UserError for one that is not there or no
    model."""
    models: dict[str, Path] = {}
    for name in names:
        checkpoints = sorted(Path(name).glob("checkpoints/step-*/config.json"))
        for folder in [file.parent for file in checkpoints] or [find_model(name)]:
            read_config(folder)
            folder = folder.resolve()
            run, inside = folder.parent.parent, folder.match("checkpoints/step-*")
            short = f"{run.name} {folder.name}" if inside else folder.name
            if folder not in models.values():
                models[str(folder) if short in models else short] = folder
    return models
