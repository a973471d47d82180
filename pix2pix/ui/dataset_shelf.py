"""The datasets of the workspace: chosen from cards, looked at, downloaded, sent to the Hub."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.archives import pack_zip
from pix2pix.datasets import describe, find_pairs, list_datasets, read_info, write_npz
from pix2pix.errors import UserError
from pix2pix.hub import dataset_card, push_dataset
from pix2pix.images import data_url, resize
from pix2pix.pairing import SPLITS
from pix2pix.ui.dataset_pictures import dataset_pairs, pairs_view, strip_of
from pix2pix.ui.dataset_words import pairs, splits
from pix2pix.ui.hub_send import send_form
from pix2pix.ui.models_row import CHOOSE
from pix2pix.ui.shared import QUIET, inert, paced, plain_text, results_folder, sentences
from pix2pix.workspace import workspace

HERE = Path(__file__).parent
WIDE = ".card .wide { width: 80px; }\n.cards { justify-content: flex-start; }\n.none { margin: 0; }"
# The file has arrived in the page's state: a link to it is clicked as a person would.
DOWNLOAD = """(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


@dataclass(frozen=True)
class Shelf:
    """The parts that the rest of the tab fills: `cards` shows all datasets, `name` holds the
    chosen one's, and `show(name)` gives the values of `outputs` for it."""

    cards: gr.HTML
    name: gr.Textbox
    outputs: list[Any]
    show: Callable[[str], list[Any]]
    trains: bool


def datasets_folder() -> Path:
    return workspace() / "datasets"


def chosen_folder(name: str) -> Path:
    """The folder of a dataset that the page named; it may be gone by now."""
    found = list_datasets(datasets_folder())
    if name not in found:
        raise UserError("This dataset is gone: reload the page." if name else "Choose a dataset.")
    return found[name]


def shelf(page: gr.Blocks, train: Callable[..., None] | None) -> Shelf:
    """Lay it out in `page`; `train(button, name)` wires the button that takes a dataset to
    training, and without it there is no such button."""
    gr.HTML("<h2 class='step-title'>Your datasets</h2>", elem_classes="bare")
    row = gr.HTML(
        value={"datasets": []},  # everybody gets what a page begins with: see below
        html_template=(HERE / "dataset_cards.html").read_text(encoding="utf-8"),
        css_template=(HERE / "cards.css").read_text(encoding="utf-8") + WIDE,
        js_on_load=CHOOSE,
        apply_default_css=False,
        elem_id="datasets",
        elem_classes="bare",
    )
    # A callable value would be called as the page is built, and be in its public configuration.
    page.load(cards, None, row, **QUIET)
    name = gr.Textbox("", visible=False, label="Dataset")
    with gr.Column(visible=False, elem_id="dataset") as detail, gr.Row(elem_classes="shelf"):
        with gr.Column(min_width=0):
            about = gr.Markdown(elem_id="dataset-about")
            if train:
                train(gr.Button("Train on this dataset", variant="primary"), name)
            with gr.Row():
                to_zip = gr.Button("Download ZIP", size="md", elem_id="dataset-zip", min_width=0)
                to_npz = gr.Button("Download .npz", size="md", elem_id="dataset-npz", min_width=0)
            with gr.Accordion("Send to the Hugging Face Hub", open=False):
                send_form(name, push, "dataset-push")
            said = gr.Markdown(elem_classes="quiet")
        with gr.Column(min_width=0):
            pictures = pairs_view("", elem_id="dataset-pairs")
    packed = gr.File(visible="hidden", label="Packed dataset")

    def show(chosen: str) -> list[Any]:
        with sentences():
            folder = chosen_folder(chosen)
            view, words = dataset_pairs(folder), about_dataset(folder)
        return [chosen, gr.Column(visible=True), view, words, "", cards(chosen)]

    outputs = [name, detail, pictures, about, said, row]

    def choose(event: gr.EventData) -> list[Any]:
        return show(str(event.value))

    row.select(choose, None, outputs, show_progress="hidden", api_visibility="private")

    def turn(chosen: str, event: gr.EventData) -> dict[str, Any]:
        with sentences():
            return dataset_pairs(chosen_folder(chosen), int(event.value))

    pictures.select(turn, name, pictures, show_progress="hidden", api_visibility="private")
    for button, pack in ((to_zip, pack_as_zip), (to_npz, pack_as_npz)):
        packing = button.click(
            pack, name, [packed, said], show_progress_on=said, api_visibility="private"
        )
        packing.success(None, packed, None, js=DOWNLOAD)
    return Shelf(row, name, outputs, show, train is not None)


def push(chosen: str, repo: str, **options: Any) -> str:
    folder = chosen_folder(chosen)
    card = dataset_card({"name": chosen, "repo_id": repo}, read_info(folder))
    return push_dataset(folder, repo, card=card, **options)


def pack_as_zip(name: str, progress: gr.Progress = gr.Progress()) -> tuple[str, str]:  # noqa: B008
    return packed_dataset(name, ".zip", pack_zip, progress)


def pack_as_npz(name: str, progress: gr.Progress = gr.Progress()) -> tuple[str, str]:  # noqa: B008
    def write(folder: Path, file: Path, **asked: Any) -> None:
        size = describe(folder).size
        square = size is not None and size[0] == size[1]
        write_npz(folder, file, size=size[0] if square else 256, **asked)

    return packed_dataset(name, ".npz", write, progress)


def packed_dataset(
    name: str, suffix: str, write: Callable[..., Any], progress: gr.Progress
) -> tuple[str, str]:
    """A temporary file of the whole dataset, and what to say."""
    with sentences():
        folder = chosen_folder(name)
        file = Path(tempfile.mkdtemp(dir=results_folder())) / f"{name}{suffix}"
        write(folder, file, on_progress=paced(progress, "Packing"))
    return str(file), f"{plain_text(file.name)} is packed and comes as a download."


def cards(chosen: str = "") -> dict[str, Any]:
    """What the cards show, every word of it inert."""
    return inert({"datasets": [card(folder, chosen) for folder in all_datasets()]})


def all_datasets() -> list[Path]:
    return list(list_datasets(datasets_folder()).values())


def card(folder: Path, chosen: str) -> dict[str, str]:
    about, thumbnail = glimpse(folder, changed(folder))
    is_chosen = "true" if folder.name == chosen else "false"
    return {"name": folder.name, "about": about, "thumbnail": thumbnail, "chosen": is_chosen}


def changed(folder: Path) -> tuple[int, ...]:
    """Times that differ when pictures come or go, or `dataset.json` does."""
    places = [folder, *(folder / (split + side) for split in SPLITS for side in ("", "A"))]
    return tuple(place.stat().st_mtime_ns if place.exists() else 0 for place in places)


@functools.lru_cache(maxsize=256)
def glimpse(folder: Path, times: tuple[int, ...]) -> tuple[str, str]:
    """A dataset's line and small picture; `times` only tell when to look again."""
    try:
        said = describe(folder)
    except UserError as error:
        return str(error), ""
    about = f"{pairs(said.total)}, {said.source_name} to {said.target_name}"
    try:
        first = next(found[0] for split in SPLITS if (found := find_pairs(folder, split)))
        return about, data_url(resize(strip_of(first), (96, 48)))
    except (UserError, StopIteration):
        return about, ""


def about_dataset(folder: Path) -> str:
    """One line on what the dataset holds, and what its building warned of."""
    said, info = describe(folder), read_info(folder)
    direction = f"{said.source_name} to {said.target_name}"
    size = f" of {said.size[0]} x {said.size[1]} pixels" if said.size else ""
    lines = [f"### {plain_text(said.name)}"]
    lines.append(f"{pairs(said.total)}{size}, {plain_text(direction)}.")
    lines.append(f"{splits(said.counts)}.")
    refused, warnings = info.get("refused"), info.get("warnings")
    if isinstance(refused, list) and refused:
        lines.append(f"{len(refused)} files were left out; `dataset.json` names them.")
    if isinstance(warnings, list):
        lines += [plain_text(str(warning)) for warning in warnings[:5]]
    return "\n\n".join(lines)
