"""Translate, Tiles: many pictures, or large ones, into a gallery and a ZIP."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.ab_pairs import AB_PAIR_HINT, is_ab_pair
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.numbers import picture_suffix, save_picture
from pix2pix.imaging.picture import save_png
from pix2pix.models.folder import read_config
from pix2pix.ui.components.model_cards import ModelSource
from pix2pix.ui.events import user_errors
from pix2pix.ui.limits import DISK_FULL, DiskFull, check_disk
from pix2pix.ui.long_work import CancelSwitches, results_folder, wire_work
from pix2pix.ui.translate.options import (
    FITS,
    Limits,
    norm_choice,
    notice_of,
    parse_fit,
    parse_seed,
    tile_progress,
)
from pix2pix.utils.files import write_atomically
from pix2pix.utils.text import escape_text

# So many at once: the pad has the larger share of the forwards.
BATCHES = {"concurrency_id": "batches", "concurrency_limit": 2}


def tiles_mode(models: ModelSource, name: gr.Textbox, first: Path, limits: Limits) -> gr.Radio:
    """Lay out the mode; returns the choice of the norm, which depends on the model."""
    with gr.Row(elem_classes="squares"):
        files = gr.File(
            file_count="multiple", label="Tiles, or one large mosaic: any image files", height=240,
            elem_id="tiles",
        )  # fmt: skip
        with gr.Column():
            run = gr.Button("Translate all", variant="primary", elem_id="translate-all")
            stop = gr.Button("Stop", visible=False, elem_id="stop")
            with gr.Accordion("More", open=False):
                fits = list(FITS.items())
                fit = gr.Radio(fits, value="", label="Pictures larger than the model's size")
                norm = norm_choice(read_config(first))
                seed = gr.Textbox("", label="Seed", info="A number gives noise.")
    message = gr.Markdown(elem_classes=["quiet", "squares"], elem_id="said")
    with gr.Column(elem_classes="squares"):
        gallery = gr.Gallery(
            label="Translated", format="png", columns=6, height="auto", elem_id="translated"
        )
        archive = gr.File(label="All of them as a ZIP", interactive=False, elem_id="zip")
    running = CancelSwitches()

    def translate_batch(
        files: list[str] | None, model: str, seed: str = "", fit: str = "", norm: str = "",
        request: gr.Request = None, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:  # fmt: skip
        with running.at_work(str(request.session_hash), "batch") as switch, user_errors():
            check_count(files, limits)
            options = {"seed": parse_seed(seed), "fit": parse_fit(fit), "norm": norm}
            options["should_stop"] = switch.is_set
            done, message = translate_files(models.get(model), files, limits, options, progress)
            if not done:
                raise UserError(" ".join(message))
            packed = pack(done)
            known = models.get(model).config.output_numbers
            pictures = [(str(shown_file(file, known)), file.name) for file in done]
        return pictures, str(packed), "\n\n".join(escape_text(words) for words in message)

    wire_work(
        running, "batch", [run, stop], translate_batch, [files, name, seed, fit, norm],
        [gallery, archive, message], api_name="translate_batch", **BATCHES,
    )  # fmt: skip
    return norm


def check_count(files: list[str] | None, limits: Limits) -> None:
    """Raise UserError for no files, and for more than a visitor may send at a time."""
    if not files:
        raise UserError("Choose some pictures first: drop them on the left.")
    if len(files) > limits.files:
        raise UserError(f"At most {limits.files} pictures at a time: choose fewer.")


def translate_files(
    translator: Any,
    files: list[str],
    limits: Limits,
    options: dict[str, Any],
    progress: gr.Progress,
) -> tuple[list[Path], list[str]]:
    """Translate each file into a folder of this batch; returns the pictures that came out and what
    to say: the count, and a sentence for each that looks like a pair or was refused."""
    folder = Path(tempfile.mkdtemp(dir=results_folder()))
    done, refused, note, strips = [], [], "", []
    for number, (file, stem) in enumerate(distinct_names(files)):
        on_progress = tile_progress(progress, number, len(files), Path(file).name)
        on_progress(0, 1)
        try:
            check_disk()
            picture = open_picture(file, max_pixels=limits.pixels)
            if is_ab_pair(picture):
                strips.append(f"{Path(file).name} {AB_PAIR_HINT}")
            if notice := notice_of(translator.config, picture, Path(file).name):
                strips.append(notice)
            made = translator.translate(picture, on_progress=on_progress, **options)
            result = folder / f"{stem}{picture_suffix(made)}"
            known = translator.config.output_numbers
            save_picture(made, result, known[2] if known else "")
            done.append(result)
        except DiskFull as error:
            note = f" {error}"
            break
        except UserError as error:
            refused.append(str(error))
        except Cancelled:
            note = " Stopped; what was done is kept."
            break
    return done, [f"{len(done)} of {len(files)} translated.{note}", *strips, *refused]


def shown_file(file: Path, known: tuple[float, float, str] | None) -> Path:
    """Return a picture for the gallery: the file, or 8 bits of one that holds numbers."""
    if known is None:
        return file
    looks = file.parent / "seen"
    look = open_picture(file).with_range(*known[:2]).to_pil(1)
    save_png(look, looks / f"{file.stem}.png")
    return looks / f"{file.stem}.png"


def pack(done: list[Path]) -> Path:
    """Pack a batch's pictures into a ZIP beside them; raises UserError, and drops both, where
    the disk is full."""
    packed = done[0].with_name("translated.zip")

    def write(partial: Path) -> None:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as zipped:  # PNG is compressed
            for file in done:
                zipped.write(file, file.name)

    try:
        write_atomically(packed, write)
    except OSError as error:
        shutil.rmtree(packed.parent, ignore_errors=True)
        raise DiskFull(DISK_FULL) from error
    return packed


def distinct_names(files: list[str]) -> list[tuple[str, str]]:
    """Yield (file, stem), with a number added where two files of one upload share a stem."""
    used: set[str] = set()
    names = []
    for file in files:
        stem = Path(file).stem
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        name = next(c for c in candidates if c not in used)
        used.add(name)
        names.append((file, name))
    return names
