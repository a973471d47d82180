"""Translate, Tiles: many pictures, large ones, or videos, into a gallery and a ZIP."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from pix2pix.data.archive_readers import ArchiveLimits
from pix2pix.data.archives import unpack
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.numbers import result_suffix
from pix2pix.imaging.picture import save_png
from pix2pix.imaging.rasters import look_at_raster
from pix2pix.models.batch import (
    INPUT_SUFFIXES,
    PLACE_SUFFIXES,
    Job,
    file_job,
    list_jobs,
    results,
    run_job,
)
from pix2pix.models.folder import read_config
from pix2pix.models.map_tiles import count_mbtiles
from pix2pix.ui.events import CancelSwitches, results_folder, wire_work
from pix2pix.ui.limits import DISK_FULL, DiskFull, Limits, check_disk
from pix2pix.ui.model_view import ModelSource
from pix2pix.ui.translate.options import (
    fit_choice,
    norm_choice,
    parse_options,
    tile_progress,
    tint_choice,
)
from pix2pix.utils.files import write_atomically
from pix2pix.utils.progress import ShouldStop
from pix2pix.utils.text import escape_text, printable

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
LOOKS = "translated-looks"  # in the folder of a batch: what the gallery shows for other files
LOOK_SIDE = 1024  # pixels that the gallery shows of a GeoTIFF
STOPPED = "Stopped: nothing was translated."
UNPACKED = 2 * 10**9  # bytes of an archive: strangers may send them too
# So many at once: the pad has the larger share of the forwards.
BATCHES = {"concurrency_id": "batches", "concurrency_limit": 2}


def tiles_mode(models: ModelSource, name: gr.Textbox, first: Path, limits: Limits) -> list[Any]:
    """Lay out the mode; returns the choices that depend on the model: its norm and its tint."""
    with gr.Row(elem_classes="squares"):
        files = gr.File(
            file_count="multiple", height=240, elem_id="tiles",
            label="Pictures, a large mosaic, a ZIP, MBTiles, videos",
        )  # fmt: skip
        with gr.Column():
            run = gr.Button("Translate all", variant="primary", elem_id="translate-all")
            stop = gr.Button("Stop", visible=False, elem_id="stop")
            gr.Markdown(
                "Each comes back in its own size and under its own name, and all of them as a ZIP.",
                elem_classes="quiet",
            )
            with gr.Accordion("More", open=False):
                config = read_config(first)
                fit, norm = fit_choice(), norm_choice(config)
                seed = gr.Textbox("", label="Seed", info="A number gives noise.")
                tint = tint_choice(config)
    message = gr.Markdown(elem_classes=["quiet", "squares"], elem_id="said")
    with gr.Column(elem_classes="squares"):
        gallery = gr.Gallery(
            label="Translated", format="png", columns=6, height="auto", elem_id="translated"
        )
        archive = gr.File(label="All of them as a ZIP", interactive=False, elem_id="zip")
    running = CancelSwitches()

    def translate_batch(
        files: list[str] | None, model: str, seed: str = "", fit: str = "", norm: str = "",
        tint: str = "", request: gr.Request = None, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:  # fmt: skip
        with running.at_work(str(request.session_hash), "batch") as switch:
            check_count(files, limits)
            options = {**parse_options(seed, fit, norm, tint), "should_stop": switch.is_set}
            return batch_results(models.get(model), files, limits, options, progress)

    wire_work(
        running, "batch", [run, stop], translate_batch, [files, name, seed, fit, norm, tint],
        [gallery, archive, message], stopped={message: STOPPED}, api_name="translate_batch",
        **BATCHES,
    )  # fmt: skip
    return [norm, tint]


def batch_results(
    translator: Any, files: list[str], limits: Limits, options: dict[str, Any],
    progress: gr.Progress,
) -> tuple[Any, Any, str]:  # fmt: skip
    """Translate files into a temporary folder; returns what the gallery shows, the ZIP and the
    message. Raises UserError where nothing came out, unless the person stopped it: then what is
    shown stays."""
    folder = Path(tempfile.mkdtemp(dir=results_folder()))
    done, message = translate_files(translator, files, folder, limits, options, progress)
    said = "\n\n".join(escape_text(words) for words in message)
    if not done and options["should_stop"]():
        return gr.skip(), gr.skip(), said
    if not done:
        raise UserError(" ".join(message))
    return gallery_pictures(done, folder), str(pack(folder, done)), said


def check_count(files: list[str] | None, limits: Limits) -> None:
    """Raise UserError for no files, and for more than a visitor may send at a time."""
    if not files:
        raise UserError("Choose some pictures first: drop them into the box.")
    if len(files) > limits.files:
        raise UserError(f"At most {limits.files} pictures at a time: choose fewer.")


def translate_files(
    translator: Any, files: list[str], folder: Path, limits: Limits, options: dict[str, Any],
    progress: gr.Progress,
) -> tuple[list[Path], list[str]]:  # fmt: skip
    """Translate each file, and each picture of an archive, into `folder`; returns the files that
    came out and what to say: the count, then what looks like a pair or was refused."""
    refused: list[str] = []
    with tempfile.TemporaryDirectory(dir=results_folder()) as place:
        stop, suffix = options["should_stop"], result_suffix(translator.config.output_numbers)
        jobs = list_batch(files, Path(place), limits, stop, refused, suffix)
        pictures, frames, note, remarks, started = 0, 0, "", [], time.monotonic()
        for number, job in enumerate(jobs):
            part = "frame" if job.kind == "clip" else "tile"
            on_progress = tile_progress(progress, number, len(jobs), job.name, part, started)
            on_progress(0, 1)
            try:
                check_disk()
                outcome = run_job(
                    translator, job, folder, max_pixels=limits.pixels,
                    max_frames=limits.frames - frames, on_progress=on_progress, **options,
                )  # fmt: skip
                save_look(job, folder, translator.config.output_numbers)
                pictures += outcome.translated
                frames += outcome.frames
                remarks += outcome.remarks
                refused += [reason for _, reason in outcome.refused]
            except DiskFull as error:
                note = f" {error}"
                break
            except UserError as error:
                refused.append(str(error))
            except Cancelled:
                pictures += len(results_there(job, folder))
                note = " Stopped; what was done is kept."
                break
        done = [file for job in jobs for file in results_there(job, folder)]
        total = sum(job.tiles.count if job.tiles else 1 for job in jobs)
    message = f"{pictures} of {max(pictures, total)} translated.{note}"
    if stop() and not done:
        message = STOPPED
    return done, [message, *remarks, *refused]


def results_there(job: Job, folder: Path) -> list[Path]:
    """List the files that a job has written so far."""
    return [file for name, _ in results(job) if (file := folder / name).is_file()]


def save_look(job: Job, folder: Path, known: tuple[float, float, str] | None) -> None:
    """Save the gallery's picture of a result that browsers cannot show, if it is one: numbers,
    where the model's are `known`, or a GeoTIFF."""
    made = folder / job.result
    if job.kind == "geotiff":
        save_png(look_at_raster(made, LOOK_SIDE, known), look_of(made, folder))
    elif known and job.kind == "picture":
        save_png(open_picture(made).with_range(*known[:2]).to_pil(1), look_of(made, folder))


def list_batch(
    files: list[str],
    place: Path,
    limits: Limits,
    should_stop: ShouldStop,
    refused: list[str],
    suffix: str,
) -> list[Job]:
    """List the jobs of an upload; archives are unpacked into `place`, and the tree of one comes
    back below its name where there is more than it. What cannot be unpacked is in `refused`."""
    jobs, count = [], 0

    def leave_out(name: str, reason: str) -> None:
        refused.append(f"{printable(name)} is left out ({reason}): rename it.")

    for number, (file, stem) in enumerate(distinct_names(files)):
        try:
            if not file.lower().endswith(ARCHIVES):
                job = file_job(Path(file), stem + Path(file).suffix, suffix)
                count += count_mbtiles(Path(file)) if job.kind == "mbtiles" else 1
                jobs.append(job)
                continue
            inside = place / str(number)
            most = ArchiveLimits(entries=20 * limits.files, bytes=UNPACKED)
            kept = INPUT_SUFFIXES | PLACE_SUFFIXES
            unpack(
                Path(file), inside, limits=most, suffixes=kept, should_stop=should_stop,
                on_left_out=leave_out,
            )  # fmt: skip
            below = f"{stem}/" if len(files) > 1 else ""
            found = [replace(job, result=below + job.result) for job in list_jobs([inside], suffix)]
            jobs += found
            count += sum(job.tiles.count if job.tiles else 1 for job in found)
        except UserError as error:
            refused.append(str(error))
    if count > limits.files:
        raise UserError(
            f"These are {count:,} pictures, and at most {limits.files} are taken at a time: choose "
            "fewer, or use scripts/translate.py."
        )
    return jobs


def gallery_pictures(done: list[Path], folder: Path) -> list[tuple[str, str]]:
    """Return (file, name) of what the gallery shows: PNGs, videos, and the looks of GeoTIFFs and of
    pictures that hold numbers. MBTiles, which are many pictures, are in the ZIP alone."""
    shown = []
    for file in done:
        look = look_of(file, folder)
        if look.is_file() or file.suffix in (".png", ".mp4"):
            shown.append((str(look if look.is_file() else file), file.name))
    return shown


def look_of(file: Path, folder: Path) -> Path:
    """Return where the gallery's picture of a result lies that browsers cannot show."""
    return folder / LOOKS / f"{file.relative_to(folder)}.png"


def pack(folder: Path, done: list[Path]) -> Path:
    """Pack a batch's files into a ZIP beside them, with the folders that they are in; raises
    UserError, and drops both, where the disk is full."""
    packed = folder / "translated.zip"

    def write(partial: Path) -> None:
        beside = (p for p in sorted(folder.rglob("*")) if p.suffix in PLACE_SUFFIXES)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as zipped:  # PNG is compressed
            for file in (*done, *beside):
                zipped.write(file, file.relative_to(folder).as_posix())

    try:
        write_atomically(packed, write)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
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
