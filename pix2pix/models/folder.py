"""Save and load model folders: ``model.safetensors``, ``config.json``, ``README.md`` (the card)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pix2pix.errors import UserError
from pix2pix.imaging.decode import list_images
from pix2pix.model_config import ModelConfig
from pix2pix.nn.generators import construct_generator
from pix2pix.utils.files import write_atomically, write_json

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
# What a model folder may hold besides the model.
THUMBNAIL, EXAMPLES, SAMPLES = "thumbnail.png", "examples.json", "samples"
MAX_CONFIG_BYTES = 1_000_000


def save_model(
    folder: Path, generator: nn.Module, config: ModelConfig, card: str, half: bool = True
) -> None:
    """Write the folder, each file atomically and ``config.json`` last: it is what makes a model.

    With ``half`` the weights are stored as float16; running statistics can exceed its range and
    stay float32. Raises OSError where it cannot be written.
    """
    tensors = {}
    for name, tensor in generator.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        small = half and tensor.is_floating_point() and "running_" not in name
        tensors[name] = tensor.half() if small else tensor

    def write(file: Path) -> None:
        try:
            save_file(tensors, file)
        except SafetensorError as error:  # so safetensors says that the disk is full
            raise OSError(str(error)) from error

    write_atomically(folder / WEIGHTS, write)
    write_atomically(folder / CARD, lambda f: f.write_text(card, encoding="utf-8"))
    write_json(folder / CONFIG, config.to_json())


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


def list_models(folders: list[Path]) -> dict[str, Path]:
    """Name -> folder of every readable model directly in ``folders``; earlier folders win."""
    models: dict[str, Path] = {}
    for parent in folders:
        for config in sorted(parent.glob(f"*/{CONFIG}")):
            try:
                read_config(config.parent)
            except UserError:
                continue  # the picker lists what works; loading by name says why one does not
            if (config.parent / WEIGHTS).is_file():
                models.setdefault(config.parent.name, config.parent)
    return models


def find_model(name: str, folders: list[Path]) -> Path:
    """Find the folder of a model by its name, its path or that of a run; raises UserError naming
    the others."""
    models = list_models(folders)
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
