"""Write a page of static files that draws with models in the visitor's browser. No gradio."""

from __future__ import annotations

import contextlib
import html
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pix2pix.errors import UserError
from pix2pix.models.folder import (
    CARD,
    EXAMPLES,
    GRAPH,
    SAMPLES,
    WEIGHTS,
    read_config,
    sample_files,
)
from pix2pix.models.saving import write_onnx
from pix2pix.models.weights import pack_weights
from pix2pix.ui.device_engine import (
    INSTALLED,
    RUNTIME_FILES,
    compressed,
    engine_files,
    has_graph,
    has_runtime,
    runtime_addresses,
)
from pix2pix.ui.model_view import MAX_SAMPLES, UI, card_words, pad_state, read_asset, thumbnail
from pix2pix.utils.files import copy_folder, write_atomically, write_errors
from pix2pix.utils.text import printable

SMALL_WEIGHTS = "model.int8"
NO_GRAPH = "'{name}' has no model.onnx: pip install onnx onnxruntime, then export it again."


def export_page(
    folders: dict[str, Path], out: Path, runtime: Path | None = None, small: bool = False
) -> dict[str, Any]:
    """Write the page of these models, name -> folder, whole or not at all; what was at `out` is
    replaced if it is such a page or empty.

    `runtime` is the `dist` folder of onnxruntime-web, npm's unless told; without one the page
    takes the runtime from a public CDN. With `small` the weights are int8 by channel, half as
    large. Returns {"files", "bytes", "models", "runtime"}. Raises
    UserError for a model without a graph, an incomplete runtime and a folder that is not ours.
    """
    if runtime and not has_runtime(runtime):
        raise UserError(
            f"{runtime} lacks {' or '.join(RUNTIME_FILES[:2])}: give npm's dist folder."
        )
    if out.exists() and any(out.iterdir()) and not (out / "web" / "static_page.js").is_file():
        raise UserError(f"{out} holds something else: name a new folder.")
    runtime = runtime or (INSTALLED if has_runtime() else None)
    with write_errors(out), tempfile.TemporaryDirectory() as place:
        stage = Path(place) / "page"
        write_page(folders, stage, runtime, small)
        copy_folder(stage, out)
    files = [file for file in out.rglob("*") if file.is_file()]
    return {
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "models": list(folders),
        "runtime": "own" if runtime else "cdn",
    }


def write_page(folders: dict[str, Path], stage: Path, runtime: Path | None, small: bool) -> None:
    """Write the page into a new folder."""
    stage.mkdir()
    shutil.copytree(UI / "web", stage / "web", ignore=lambda _, names: app_modules(names))
    addresses = runtime_addresses("runtime" if runtime else None)
    if runtime:
        addresses = copy_runtime(runtime, stage / "runtime", addresses)
    models = [copy_model(name, folder, stage, addresses, small) for name, folder in folders.items()]
    title = models[0]["title"] if len(models) == 1 else "Pix2Pix Studio"
    page = read_asset("static_page.html")
    # As JSON in a script: only `<` could end it.
    listed = json.dumps(models, ensure_ascii=False, separators=(",", ":"))
    listed = listed.replace("<", "\\u003c")
    texts = {
        "{title}": html.escape(title),
        "{pad}": read_asset("translate/pad.html"),
        "{models}": listed,
    }
    page = re.sub("{(?:title|pad|models)}", lambda mark: texts[mark[0]], page)
    (stage / "index.html").write_text(page, encoding="utf-8")
    nested = f"#studio {{\n{read_asset('translate/pad.css')}\n}}\n"
    styles = "\n".join([read_asset("static_page.css"), read_asset("cards.css"), nested])
    (stage / "page.css").write_text(styles, encoding="utf-8")


def write_space_card(page: Path, name: str) -> None:
    """Write the README that makes an exported page the static Space `name` ("owner/name")."""
    title = name.rpartition("/")[2]
    head = {"title": title, "sdk": "static", "app_file": "index.html", "license": "other"}
    lines = [f"{key}: {json.dumps(value)}" for key, value in head.items()]
    text = "A page of Pix2Pix Studio: it draws in your browser. The models' cards lie in `models/`."
    card = "\n".join(["---", *lines, "emoji: ✏️", "pinned: false", "---", "", text, ""])
    write_atomically(page / "README.md", lambda file: file.write_text(card, encoding="utf-8"))


def app_modules(names: list[str]) -> list[str]:
    """List the modules that only the app's other tabs use."""
    others = {"charts.js", "samples.js", "live_view.js", "run_cards.js", "pairs_view.js"}
    others |= {"trace.js", "reopen_board.js", "drafts.js", "palette_editor.js", "photo_upload.js"}
    return [name for name in names if name in others]


def copy_runtime(runtime: Path, to: Path, addresses: dict[str, Any]) -> dict[str, Any]:
    """Copy the runtime, its binaries as gzip: not every static host compresses them."""
    to.mkdir()
    copied = {}
    for kind, parts in addresses.items():
        code, binary = (Path(parts[part]["url"]).name for part in ("code", "binary"))
        # Not every static host knows .mjs for a script.
        shutil.copyfile(runtime / code, to / f"{Path(code).stem}.js")
        packed = compressed(runtime / binary, to)
        copied[kind] = {
            "code": {"url": f"runtime/{Path(code).stem}.js"},
            "binary": {"url": f"runtime/{packed.name}"},
        }
    return copied


def copy_model(
    name: str, folder: Path, stage: Path, runtime: dict[str, Any], small: bool
) -> dict[str, Any]:
    """Copy what the page needs of a model and return how the page lists it."""
    if not has_graph(folder):
        try:
            write_onnx(folder)
        except ImportError as error:
            raise UserError(NO_GRAPH.format(name=printable(name))) from error
    config, to, place = read_config(folder), stage / "models" / name, f"models/{quote(name)}"
    files = engine_files(folder, config, place, runtime)
    if files is None:
        raise UserError(f"'{printable(name)}' has no graph of its weights: save it anew.")
    to.mkdir(parents=True)
    for file in (GRAPH, CARD, *([] if small else [WEIGHTS])):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(folder / file, to / file)
    if small:
        packed = pack_weights(folder / WEIGHTS)
        (to / SMALL_WEIGHTS).write_bytes(packed)
        files |= {"weights": f"{place}/{SMALL_WEIGHTS}", "bytes": len(packed)}
    samples = copy_samples(folder, to, place)
    state = pad_state(name, folder, files)
    state |= {"noise": False, "opensPhotos": True, "samples": samples}
    examples = json.dumps(state.pop("examples"), ensure_ascii=False, separators=(",", ":"))
    (to / EXAMPLES).write_text(examples, encoding="utf-8")
    # The preview is as large as all else of the list: the card's picture stands for it.
    state["preview"] = thumbnail(folder)
    shown = {"title": config.title or name, "card": card_words(name, config), "state": state}
    return {**shown, "examples": f"{place}/{EXAMPLES}"}


def copy_samples(folder: Path, to: Path, place: str) -> list[dict[str, str]]:
    """Copy the photos that a model may be tried on; returns {"name", "url"} of each."""
    files = sample_files(folder)[:MAX_SAMPLES]
    if files:
        (to / SAMPLES).mkdir()
    for file in files:
        shutil.copyfile(file, to / SAMPLES / file.name)
    return [{"name": f.stem, "url": f"{place}/{SAMPLES}/{quote(f.name)}"} for f in files]
