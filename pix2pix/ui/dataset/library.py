"""Show the datasets of the workspace: choose, look, download, send to the Hub, delete."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.data.archives import pack_zip
from pix2pix.data.dataset import dataset_info, find_pairs, list_datasets, stored_ranges
from pix2pix.data.layout import find_splits
from pix2pix.data.npz import write_npz
from pix2pix.data.pair_doubts import dataset_doubts
from pix2pix.data.records import SPLITS
from pix2pix.data.report import format_pairs, format_splits, read_dataset_json
from pix2pix.data.sample import SAMPLE_NAME, make_sample_dataset
from pix2pix.errors import UserError
from pix2pix.hub.dataset_repo import dataset_card
from pix2pix.hub.datasets import push_dataset
from pix2pix.imaging.picture import data_url, resize
from pix2pix.training.run_folder import list_runs
from pix2pix.ui.custom_html import CHOOSE_CARD, custom_html, on_card
from pix2pix.ui.dataset.pairs_view import dataset_pair_views, join_pair, pairs_view
from pix2pix.ui.dataset.uploads import CONCURRENCY
from pix2pix.ui.events import HIDDEN_EVENT, page_progress, results_folder
from pix2pix.ui.hub_forms import upload_form
from pix2pix.utils.files import remove_folder
from pix2pix.utils.text import escape_text
from pix2pix.utils.workspace import workspace

WIDE_STYLE = """
.cards { justify-content: flex-start; }
.card { flex: none; width: 220px; max-width: 100%; padding: 6px; flex-direction: row;
  text-align: left; }
.card .wide { width: 72px; }
.none { margin: 0; }"""
# The file has arrived in the page's state: a link to it is clicked as a person would.
DOWNLOAD = """(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


class DatasetLibrary:
    """The components: `cards` of all datasets, and below them `detail`, the chosen one, whose name
    `name` holds. The button `train` is wired by the page, for it leads to another tab."""

    def __init__(self, page: gr.Blocks) -> None:
        """Lay it out in `page` and wire it."""
        gr.HTML("<h2 class='step-title'>Your datasets</h2>", elem_classes="bare")
        self.cards = custom_html(
            "dataset/library.html", ["cards.css", WIDE_STYLE], js_on_load=CHOOSE_CARD,
            value={"datasets": []},  # everybody gets what a page begins with: see below
            elem_id="datasets", elem_classes="bare",
        )  # fmt: skip
        self.sample = gr.Button(
            "Make a sample dataset", visible=False, size="md", elem_id="make-sample"
        )
        self.name = gr.Textbox("", visible=False, label="Dataset")
        # A callable value would be called as the page is built, and be in its public configuration.
        self.refresh_on(page.load)
        with (
            gr.Column(visible=False, elem_id="dataset") as self.detail,
            gr.Row(elem_classes="shelf"),
        ):
            with gr.Column(min_width=0):
                self.lay_out_detail()
            with gr.Column(min_width=0):
                self.pictures = pairs_view("", elem_id="dataset-pairs")
        self.wire()

    def refresh_on(self, event: Callable[..., Any]) -> None:
        """List the datasets anew at an event: the Train tab may have made one."""
        event(library_items, self.name, [self.cards, self.sample], **HIDDEN_EVENT)

    def lay_out_detail(self) -> None:
        """Lay out what can be done with the chosen dataset."""
        self.about = gr.Markdown(elem_id="dataset-about")
        self.train = gr.Button("Train on this dataset", variant="primary")
        with gr.Row():
            self.to_zip, self.to_npz = (
                gr.Button(f"Download {words}", size="md", elem_id=f"dataset-{kind}", min_width=0)
                for kind, words in (("zip", "ZIP"), ("npz", ".npz"))
            )
        with gr.Accordion("Send to the Hugging Face Hub", open=False):
            upload_form(self.name, push, "dataset-push")
        with gr.Accordion("Delete", open=False):
            gr.Markdown("Its pictures are gone then; runs and models that were trained on it stay.")
            self.delete = gr.Button("Delete this dataset for good", variant="stop", size="md")
        self.message = gr.Markdown(elem_classes="quiet")

    def outputs(self) -> list[Any]:
        """List what `show_dataset` gives the values of."""
        chosen = [self.name, self.detail, self.pictures, self.about, self.message]
        return [*chosen, self.cards, self.sample]

    def wire(self) -> None:
        """Wire the cards, the pairs of the chosen dataset, and its downloads."""

        def make(progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
            return show_dataset(ready_sample(progress).name)

        self.sample.click(
            make, None, self.outputs(), show_progress_on=self.cards, api_visibility="private",
            **CONCURRENCY,
        )  # fmt: skip

        def choose(event: gr.EventData) -> list[Any]:
            return show_dataset(str(event.value))

        on_card(self.cards, choose, None, self.outputs(), trigger_mode="multiple", **HIDDEN_EVENT)

        def turn(chosen: str, event: gr.EventData) -> dict[str, Any]:
            return dataset_pair_views(chosen_folder(chosen), int(event.value))

        self.pictures.select(turn, self.name, self.pictures, **HIDDEN_EVENT)
        self.delete.click(
            delete_dataset, self.name, [self.name, self.detail, self.cards, self.sample],
            show_progress_on=self.cards, api_visibility="private",
        )  # fmt: skip
        packed = gr.File(visible="hidden", label="Packed dataset")
        kinds = (self.to_zip, packing(".zip", pack_zip)), (self.to_npz, packing(".npz", pack_npz))
        for button, pack in kinds:
            button.click(
                pack, self.name, [packed, self.message], show_progress_on=self.message,
                api_visibility="private",
            ).success(None, packed, None, js=DOWNLOAD)  # fmt: skip


def datasets_folder() -> Path:
    """Return the folder of the workspace that all datasets lie in."""
    return workspace() / "datasets"


def workspace_datasets() -> dict[str, Path]:
    """Name -> folder of all datasets."""
    return list_datasets(datasets_folder())


def chosen_folder(name: str) -> Path:
    """Return the folder of a dataset that the page named; it may be gone by now."""
    datasets = workspace_datasets()
    if name not in datasets:
        raise UserError(
            f"There is no dataset '{name}': choose another." if name else "Choose a dataset."
        )
    return datasets[name]


def show_dataset(name: str) -> list[Any]:
    """Give the values of a library's `outputs` for a dataset."""
    folder = chosen_folder(name)
    view, words = dataset_pair_views(folder), about_dataset(folder)
    return [name, gr.Column(visible=True), view, words, "", *library_items(name)]


def delete_dataset(name: str) -> list[Any]:
    """Delete a dataset that no run is trained on now; returns what the page shows then."""
    folder = chosen_folder(name)
    for run in list_runs():
        if run.is_active and same_place(run.config.get("data"), folder):
            raise UserError(f"'{run.name}' trains on it: let it finish or stop it first.")
    remove_folder(folder)
    gr.Info(f"'{escape_text(name)}' is deleted.")
    return ["", gr.Column(visible=False), *library_items()]


def same_place(data: Any, folder: Path) -> bool:
    """Return whether what a run's config calls its dataset is this folder."""
    return isinstance(data, str) and Path(data).resolve() == folder.resolve()


def push(chosen: str, repo: str, **options: Any) -> str:
    """Send a dataset with its card to the Hub; returns the address of its page."""
    folder = chosen_folder(chosen)
    splits = [split for split in SPLITS if find_pairs(folder, split)]
    card = dataset_card({"name": chosen, "repo_id": repo}, read_dataset_json(folder), splits)
    return push_dataset(folder, repo, card=card, **options)


def packing(suffix: str, write: Callable[..., Any]) -> Callable[..., tuple[str, str]]:
    """Make what packs a dataset into a temporary file; it returns that and a message."""

    def pack(name: str, progress: gr.Progress = gr.Progress()) -> tuple[str, str]:  # noqa: B008
        folder = chosen_folder(name)
        file = Path(tempfile.mkdtemp(dir=results_folder())) / f"{name}{suffix}"
        write(folder, file, on_progress=page_progress(progress, "Packing"))
        return str(file), f"{escape_text(file.name)} is packed and comes as a download."

    return pack


def pack_npz(folder: Path, file: Path, **options: Any) -> None:
    """Pack a dataset's pairs as arrays, those of several sizes at 256 pixels."""
    size = dataset_info(folder).size
    square = size is not None and size[0] == size[1]
    write_npz(folder, file, size=size[0] if square else 256, **options)


def ready_sample(progress: gr.Progress) -> Path:
    """Return the folder of the sample dataset, made if it is not there."""
    folder = datasets_folder() / SAMPLE_NAME
    if not folder.exists():
        make_sample_dataset(folder, on_progress=page_progress(progress, "Drawing", "pairs"))
    return folder


def library_items(chosen: str = "") -> list[Any]:
    """List the datasets' cards, and the button that makes the first where there are none."""
    cards = []
    for name, folder in workspace_datasets().items():
        about, thumbnail = dataset_thumbnail(folder, dataset_version(folder))
        is_chosen = "true" if name == chosen else "false"
        cards.append({"name": name, "about": about, "thumbnail": thumbnail, "chosen": is_chosen})
    return [{"datasets": cards}, gr.Button(visible=not cards)]


def dataset_version(folder: Path) -> tuple[int, ...]:
    """Return times that differ when pictures come or go, or `dataset.json` changes."""
    places = [folder, *(place.a for place in find_splits(folder).values())]
    return tuple(place.stat().st_mtime_ns if place.exists() else 0 for place in places)


@functools.lru_cache(maxsize=256)
def dataset_thumbnail(folder: Path, times: tuple[int, ...]) -> tuple[str, str]:
    """Return a dataset's line and small picture; `times` only say when to look again."""
    try:
        info = dataset_info(folder)
    except UserError as error:
        return str(error), ""
    about = f"{format_pairs(info.total)}, {info.source_name} to {info.target_name}"
    try:
        first = next(found[0] for split in SPLITS if (found := find_pairs(folder, split)))
        return about, data_url(resize(join_pair(first, stored_ranges(folder)), (96, 48)))
    except (UserError, StopIteration):
        return about, ""


def about_dataset(folder: Path) -> str:
    """Say in one line what the dataset holds, and what its building warned of."""
    facts, info = dataset_info(folder), read_dataset_json(folder)
    direction = f"{facts.source_name} to {facts.target_name}"
    size = f" of {facts.size[0]} x {facts.size[1]} pixels" if facts.size else ""
    lines = [f"### {escape_text(facts.name)}"]
    lines.append(f"{format_pairs(facts.total)}{size}, {escape_text(direction)}.")
    lines.append(f"{format_splits(facts.counts)}.")
    lines += [f"Look at {escape_text(f'{d.file}: it {d.reason}')}." for d in dataset_doubts(folder)]
    refused, warnings = info.get("refused"), info.get("warnings")
    if isinstance(refused, list) and refused:
        lines.append(f"{len(refused)} files were left out; `dataset.json` names them.")
    if isinstance(warnings, list):
        lines += [escape_text(str(warning)) for warning in warnings[:5]]
    return "\n\n".join(lines)
