"""Translate, Tiles: many pictures, or large ones, into a gallery and a ZIP."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.errors import Stopped, UserError
from pix2pix.files import write_atomically
from pix2pix.images import open_picture, save_png
from pix2pix.models import read_config
from pix2pix.strips import HINT, is_pair_strip
from pix2pix.ui.limits import DISK_FULL, disk_is_short
from pix2pix.ui.models_row import Models
from pix2pix.ui.shared import (
    QUIET,
    Switches,
    plain_text,
    pressed,
    resting,
    results_folder,
    sentences,
)
from pix2pix.ui.translate_options import FITS, Most, as_fit, as_seed, norm_choice, report

# So many at once: the pad has the larger share of the forwards.
BATCHES = {"concurrency_id": "batches", "concurrency_limit": 2}


def tiles_mode(models: Models, name: gr.Textbox, first: Path, most: Most) -> gr.Radio:
    """Returns the choice of the norm, which depends on the model."""
    with gr.Row(elem_classes="squares"):
        files = gr.File(
            file_count="multiple",
            label="Tiles, or one large mosaic: any image files",
            height=240,
            elem_id="tiles",
        )
        with gr.Column():
            run = gr.Button("Translate all", variant="primary", elem_id="translate-all")
            stop = gr.Button("Stop", visible=False, elem_id="stop")
            with gr.Accordion("More", open=False):
                fit = gr.Radio(
                    list(FITS.items()), value="", label="Pictures larger than the model's size"
                )
                norm = norm_choice(read_config(first))
                seed = gr.Textbox("", label="Seed", info="A number gives noise.")
    said = gr.Markdown(elem_classes=["quiet", "squares"], elem_id="said")
    with gr.Column(elem_classes="squares"):
        gallery = gr.Gallery(
            label="Translated", format="png", columns=6, height="auto", elem_id="translated"
        )
        archive = gr.File(label="All of them as a ZIP", interactive=False, elem_id="zip")
    running = Switches()

    def translate_batch(
        files: list[str] | None, model: str, seed: str = "", fit: str = "", norm: str = "",
        request: gr.Request = None, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:  # fmt: skip
        with running.at_work(str(request.session_hash), "batch") as switch, sentences():
            if not files:
                raise UserError("Choose some pictures first: drop them on the left.")
            if len(files) > most.files:
                raise UserError(f"At most {most.files} pictures at a time: choose fewer.")
            options = {"seed": as_seed(seed), "fit": as_fit(fit), "norm": norm}
            options["should_stop"] = switch.is_set
            done, said = translate_files(models.get(model), files, most, options, progress)
            if not done:
                raise UserError(" ".join(said))
            packed = pack(done)
        pictures = [(str(file), file.name) for file in done]
        return pictures, str(packed), "\n\n".join(plain_text(words) for words in said)

    def stop_batch(request: gr.Request) -> None:
        running.stop(str(request.session_hash), "batch")

    buttons = [run, stop]
    begun = run.click(pressed(running, "batch"), None, buttons, queue=False, **QUIET)
    ended = begun.then(
        translate_batch, [files, name, seed, fit, norm], [gallery, archive, said],
        api_name="translate_batch", **BATCHES,
    )  # fmt: skip
    for after in (ended.then, ended.failure):
        after(resting, None, buttons, queue=False, **QUIET)
    stop.click(stop_batch, None, None, queue=False, api_visibility="private")
    return norm


def translate_files(
    translator: Any, files: list[str], most: Most, options: dict[str, Any], progress: gr.Progress
) -> tuple[list[Path], list[str]]:
    """Translate each file into a folder of this batch; returns the pictures that came out and what
    to say: the count, and a sentence for each that looks like a pair or was refused."""
    folder = Path(tempfile.mkdtemp(dir=results_folder()))
    done, refused, note, strips = [], [], "", []
    for number, (file, stem) in enumerate(distinct_names(files)):
        if disk_is_short():
            note = f" {DISK_FULL}"
            break
        on_progress = report(progress, number, len(files), Path(file).name)
        on_progress(0, 1)
        try:
            picture = open_picture(file, max_pixels=most.pixels)
            if is_pair_strip(picture):
                strips.append(f"{Path(file).name} {HINT}")
            made = translator.translate(picture, on_progress=on_progress, **options)
            save_png(made, folder / f"{stem}.png")
            done.append(folder / f"{stem}.png")
        except UserError as error:
            refused.append(str(error))
        except Stopped:
            note = " Stopped; what was done is kept."
            break
    return done, [f"{len(done)} of {len(files)} translated.{note}", *strips, *refused]


def pack(done: list[Path]) -> Path:
    """A ZIP beside the pictures of a batch, which go with it where the disk is full (UserError)."""
    packed = done[0].with_name("translated.zip")

    def write(partial: Path) -> None:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as zipped:  # PNG is compressed
            for file in done:
                zipped.write(file, file.name)

    try:
        write_atomically(packed, write)
    except OSError as error:
        shutil.rmtree(packed.parent, ignore_errors=True)
        raise UserError(DISK_FULL) from error
    return packed


def distinct_names(files: list[str]) -> list[tuple[str, str]]:
    """(file, stem), with a number added where two files of one upload share a stem."""
    taken: set[str] = set()
    named = []
    for file in files:
        stem = Path(file).stem
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        name = next(c for c in candidates if c not in taken)
        taken.add(name)
        named.append((file, name))
    return named
