"""Fetch and push model repositories of the Hugging Face Hub.

Nothing in a repository is trusted. Of one commit its `config.json` comes first, then weights of a
size that fits it; they are safetensors or nothing, and must fill the network that the config names.
How the token is meant: see `hub.client`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from pix2pix.errors import Cancelled, UserError
from pix2pix.hub.client import Token, byte_progress, connect, hub_errors, parse_repo, push_files
from pix2pix.imaging.decode import IMAGE_SUFFIXES, list_images
from pix2pix.imaging.picture import MODES
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import (
    CARD,
    CONFIG,
    EXAMPLES,
    GRAPH,
    MAX_CONFIG_BYTES,
    SAMPLES,
    WEIGHTS,
    load_model,
    read_config,
    sample_files,
)
from pix2pix.models.saving import refresh_graph
from pix2pix.nn.generators import construct_generator
from pix2pix.nn.summary import multiply_adds
from pix2pix.utils.files import atomic_folder
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import strip_folders

MAX_WEIGHTS_BYTES = 300_000_000
MAX_MODELS = 8  # that stay fetched; the least recently used go first
LIMITS = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES}
_CACHE_LOCK = threading.Lock()


def fetch_model(
    repo: str,
    cache_folder: Path,
    *,
    token: Token = None,
    most_work: float = math.inf,
    visitor_models: Iterable[Path] = (),
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Fetch the model of the repository `repo` (see `parse_repo`) as a folder in `cache_folder`.

    It is called `owner--name@` and 12 digits of its commit, and appears whole or not at all. One
    that not everybody may read has a word after it that nobody can guess, and is shared with
    nobody: of those, only `visitor_models`, which the visitor was given before, are used again.
    What is there is not fetched again, but the Hub is asked each time whether the token may read
    it. MAX_MODELS folders are kept. `on_progress` hears bytes. Raises UserError for what is no
    model that can be used, is too large, or takes more than `most_work` multiply-adds for a picture
    of its own size, while all others wait; and Cancelled.
    """
    repo_id, revision = parse_repo(repo, "model")
    with hub_errors(repo_id, "read", token, should_stop, "model"):
        api = connect(token)
        api.auth_check(repo_id)  # everybody may see what commits a repository with terms has
        commit = api.model_info(repo_id, revision=revision, timeout=30, expand=["sha"]).sha
    folder = cache_folder / f"{repo_id.replace('/', '--')}@{commit[:12]}"
    if token and not _is_public(repo_id):
        matching = (
            f for f in visitor_models if f.name.startswith(f"{folder.name}-") and f.is_dir()
        )
        folder = next(matching, folder.with_name(f"{folder.name}-{secrets.token_hex(8)}"))
    if not folder.exists():
        try:
            _download(api, repo_id, commit, folder, token, most_work, should_stop, on_progress)
        except UserError:
            if not folder.exists():  # else another visitor's fetch was faster
                raise
    _prune_cache(folder)
    return folder


def fetch_for_owner(repo: str, token: Token = None) -> Path:
    """Fetch a model for the person who runs this program, beside the Hub's own downloads.

    Raises UserError as `fetch_model` does.
    """
    from huggingface_hub.constants import HF_HOME

    cache = Path(HF_HOME) / "pix2pix-studio"
    own = list(cache.iterdir()) if cache.is_dir() else []
    return fetch_model(repo, cache, token=token, visitor_models=own)


def _is_public(repo_id: str) -> bool:
    """Return whether the Hub lets everybody read it; False also where it does not answer."""
    try:
        with hub_errors(repo_id, "read", None, kind="model"):
            connect(None).auth_check(repo_id)
        return True
    except UserError:
        return False


def _download(
    api: Any,
    repo_id: str,
    commit: str,
    into: Path,
    token: Token,
    most_work: float,
    should_stop: ShouldStop,
    on_progress: Progress,
) -> None:
    with hub_errors(repo_id, "read", token, should_stop, "model"):
        entries = api.get_paths_info(repo_id, list(LIMITS), revision=commit)
    sizes = _check_sizes({entry.path: getattr(entry, "size", None) for entry in entries}, repo_id)
    total = sum(sizes.values())
    with atomic_folder(into) as folder:

        def take(name: str, before: int) -> None:
            def look(so_far: int) -> None:
                if should_stop():
                    raise Cancelled
                if so_far > LIMITS[name]:
                    raise UserError(_size_error(repo_id, name))
                on_progress(min(before + so_far, total), total)

            look(0)
            with hub_errors(repo_id, "read", token, should_stop, "model"):
                api.hf_hub_download(
                    repo_id, name, revision=commit, local_dir=folder, tqdm_class=byte_progress(look)
                )
            if (folder / name).stat().st_size != sizes[name]:
                raise UserError(_size_error(repo_id, name))

        take(CONFIG, 0)
        _check_weights(read_config(folder, repo_id), sizes[WEIGHTS], most_work, repo_id)
        take(WEIGHTS, sizes[CONFIG])
        load_model(folder, repo_id)
        refresh_graph(folder)  # our own: the repository's is not trusted
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of huggingface_hub
    on_progress(total, total)


def _check_sizes(listed: dict[str, int | None], repo_id: str) -> dict[str, int]:
    """Return the bytes of the two files; raises UserError where one is over its limit."""
    sizes = {}
    for name, limit in LIMITS.items():
        size = listed.get(name)
        if size is None:
            raise UserError(f"{repo_id} holds no {name}: choose a model of Pix2Pix Studio.")
        if size > limit:
            raise UserError(
                f"{repo_id}/{name} is {size / 1e6:,.0f} MB and at most {limit / 1e6:.0f} MB are "
                "taken: choose a smaller model."
            )
        sizes[name] = size
    return sizes


def _size_error(repo_id: str, name: str) -> str:
    return f"{repo_id}/{name} is not as large as the Hub says: try again later."


def _check_weights(config: ModelConfig, size: int, most_work: float, repo_id: str) -> None:
    """Raise UserError where weights of `size` bytes cannot make a model of pictures, or one that
    takes more multiply-adds than `most_work`."""
    network = config.generator
    if {network.source_channels, network.target_channels} - MODES.keys():
        raise UserError(
            f"{repo_id} is not made for pictures of 1, 3 or 4 channels: choose another."
        )
    with torch.device("meta"):
        tensors = construct_generator(network).state_dict().values()
    if sum(tensor.numel() for tensor in tensors) > size:  # one byte a number is the least
        raise UserError(
            f"The weights of {repo_id} are too small a file for its {CONFIG}: choose another model."
        )
    if most_work < math.inf and (work := multiply_adds(network)) > most_work:
        raise UserError(
            f"{repo_id} takes {work / 1e9:,.0f} billion multiplications a picture and here the "
            f"limit is {most_work / 1e9:,.0f}: choose a smaller model, or run the app yourself."
        )


def _prune_cache(used: Path) -> None:
    """Mark a folder as used now, and remove those that were not used for longest."""
    with _CACHE_LOCK:
        os.utime(used)
        folders = [path for path in used.parent.iterdir() if not path.name.startswith(".")]
        for old in sorted(folders, key=lambda path: path.stat().st_mtime_ns)[:-MAX_MODELS]:
            shutil.rmtree(old, ignore_errors=True)


# ------------------------------------------------------------------------------------------ pushing


def push_model(
    folder: Path,
    repo: str,
    *,
    token: Token,
    private: bool = True,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> str:
    """Make the model repository `repo` hold the model folder, in one commit on its main branch,
    and return the address of its page.

    Weights, graph, config, card, the pictures beside them, examples and samples are sent, without
    the absolute paths in the config; samples of an older push that are gone from the folder leave
    the newest state. A repository that is there and public is refused unless `private` is False.
    Raises UserError, and Cancelled before the commit.
    """
    _, config = load_model(folder)
    with contextlib.suppress(OSError):  # a folder that cannot be written to is sent as it is
        refresh_graph(folder)
    beside = [*list_images(folder), folder / EXAMPLES, folder / GRAPH, *sample_files(folder)]
    sent = sorted(path for path in [folder / WEIGHTS, *beside] if path.is_file())
    files: dict[str, str | bytes] = {p.relative_to(folder).as_posix(): str(p) for p in sent}
    files[CONFIG] = json.dumps(strip_folders(config.to_json()), indent=2).encode() + b"\n"
    files[CARD] = hub_model_card(folder, config).encode()
    return push_files(
        files, repo, "model", token=token, private=private, is_part=_is_sample,
        should_stop=should_stop, on_progress=on_progress,
    )  # fmt: skip


def _is_sample(name: str) -> bool:
    return name.startswith(f"{SAMPLES}/") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def hub_model_card(folder: Path, config: ModelConfig) -> str:
    """Return the folder's card with front matter by which the Hub finds it; its own text stays.
    Raises UserError where that is no text or its front matter no YAML."""
    from huggingface_hub import ModelCard

    try:
        body = (folder / CARD).read_text(encoding="utf-8")
    except FileNotFoundError:
        body = f"# {config.title or folder.name}\n"
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.name}/{CARD} cannot be read: save it as UTF-8 text.") from error
    try:
        card = ModelCard(body)
    except Exception as error:  # whatever YAML finds
        raise UserError(
            f"The front matter of {folder.name}/{CARD} is no YAML: mend what is between its ---."
        ) from error
    card.data.license = card.data.license or "other"
    card.data.pipeline_tag = card.data.pipeline_tag or "image-to-image"
    tags = card.data.tags or []
    card.data.tags = tags + [tag for tag in ("pix2pix", "image-to-image") if tag not in tags]
    return str(card)
