"""Translate: draw, or give photos or tiles, and see the model's picture."""

from __future__ import annotations

import itertools
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.config import ModelConfig
from pix2pix.drawing import STYLES, line_drawing, looks_like_photo
from pix2pix.errors import Stopped, UserError
from pix2pix.images import MAX_PIXELS, data_url, from_data_url, open_picture, save_png
from pix2pix.models import read_config
from pix2pix.networks import has_stored_statistics
from pix2pix.strips import HINT, is_pair_strip
from pix2pix.ui.hub_part import hub_part
from pix2pix.ui.models_row import (
    Models,
    cards,
    known,
    models_row,
    pad_state,
    samples,
    to_begin_with,
)
from pix2pix.ui.pad import MAX_IMAGE_CHARS, pad
from pix2pix.ui.shared import (
    AWAY,
    QUIET,
    Switches,
    plain_text,
    pressed,
    resting,
    results_folder,
    sentences,
)
from pix2pix.ui.strip_part import strip_part

MODES = ("Draw", "Photo", "Tiles")
MAX_DRAWING_SIDE = 1024
MAX_SEED = 2**32 - 1
VARIATIONS = 4
# Of photos and of batches, so many at once: the pad has the larger share of the forwards.
PHOTOS = {"concurrency_id": "photos", "concurrency_limit": 2}
BATCHES = {"concurrency_id": "batches", "concurrency_limit": 2}
FITS = {"As the model prefers": "", "Scale the whole picture": "whole", "In tiles": "tiles"}
NORMS = {"As the model prefers": "", "The picture itself": "batch", "Training averages": "stored"}
LINES = {"Automatic": "auto", "Always": "yes", "Never": "no"}


@dataclass(frozen=True)
class Most:
    """What a visitor may ask for at a time."""

    files: int = 200  # of one batch
    pixels: int = MAX_PIXELS  # of one picture


PUBLIC = Most(files=50, pixels=25_000_000)  # where strangers share a server


@dataclass(frozen=True)
class Parts:
    """The parts that the rest of the page uses: the `row` of models, those that are the visitor's
    alone (`mine`, see ``known``), the chosen one's `name`, and `to_hub`, where it is sent from."""

    row: gr.HTML
    mine: gr.State
    name: gr.Textbox
    to_hub: gr.Accordion


def translate_tab(models: Models, queued: Models, most: Most) -> Parts | None:
    """Lay out the tab inside the current ``gr.Blocks`` and wire it to ``models``, the same ones
    as ``queued`` for what waits in the queue.

    Returns None where there is no model to show.
    """
    names = models.models()
    if not names:
        gr.Markdown(
            "There is no model yet. Train one with `scripts/train.py`, or put a model folder "
            "into `checkpoints/`, and start the app again."
        )
        return None
    first = to_begin_with(names)
    row, mine = models_row(names, first), gr.State({})
    name = gr.Textbox(first, visible=False, label="Model")
    labels = {"elem_classes": "modes", "show_label": False, "container": False}
    drawn = read_config(names[first]).source_kind != "photo"
    mode = gr.Radio(
        MODES, value=MODES[0 if drawn else 1], label="What goes in", interactive=True, **labels
    )
    with gr.Column(elem_classes=[] if drawn else AWAY) as draw:
        drawing = pad(*live_functions(models), pad_state(first, names[first]))
    with gr.Column(elem_classes=AWAY if drawn else []) as photo:
        photo_parts = photo_mode(queued, name, names[first], most)
    with gr.Column(elem_classes=AWAY) as tiles:
        tiles_norm = tiles_mode(queued, name, names[first], most)

    def show(mode: str) -> list[Any]:
        return [gr.Column(elem_classes=[] if mode == m else [AWAY]) for m in MODES]

    mode.change(show, mode, [draw, photo, tiles], show_progress="hidden", api_visibility="private")

    before = gr.State(first)  # the textbox on the page lags behind quick clicks

    def show_model(chosen: str, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        found = known(models, mine)
        state, norm = state_of(chosen, found), norm_choice(read_config(found[chosen]))
        kind, kind_before = (
            read_config(found[name]).source_kind if name in found else ""
            for name in (chosen, before)
        )
        now, then = kind == "photo", kind_before == "photo"
        way: Any = gr.skip()  # what a person chooses in the meantime stays
        if now != then:  # begin where its sources come from; the other ways stay on offer
            way = (MODES[1] if mode == MODES[0] else mode) if now else MODES[0]
        some = samples(found[chosen])
        shown = gr.Gallery(some, visible=bool(some))
        lines = gr.Button(visible=kind == "drawing")
        return [chosen, chosen, state, cards(found, chosen), way, shown, lines, norm, norm]

    def choose(event: gr.EventData, before: str, mode: str, mine: dict[str, str]) -> list[Any]:
        return show_model(str(event.value), before, mode, mine)

    outputs = [before, name, drawing, row, mode]
    outputs += [*map(photo_parts.get, ("samples", "to_pad", "norm")), tiles_norm]
    # Every quick click counts and the last one stays: answered one by one. ("always_last" would
    # repeat the first click, with its name.)
    row.select(
        choose, [before, mode, mine], outputs, trigger_mode="multiple", concurrency_limit=1,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    rasters = itertools.count(1)

    def to_pad(file: str | None, style: str, chosen: str, mine: dict[str, str]) -> list[Any]:
        with sentences():
            if not file:
                raise UserError("Choose a photo first.")
            opened = open_picture(file, max_pixels=most.pixels)
            picture = line_drawing(opened.to_pil(3), style)
        state = state_of(chosen, known(models, mine))
        side = state["size"]
        paper = Image.new("L", (side, side), 255)
        picture.thumbnail((side, side))
        paper.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        state["raster"] = {"id": next(rasters), "image": data_url(paper)}
        return [state, MODES[0], *show(MODES[0])]

    photo_parts["to_pad"].click(
        to_pad,
        [photo_parts["photo"], photo_parts["style"], name, mine],
        [drawing, mode, draw, photo, tiles],
        api_visibility="private",
    )

    def list_models() -> list[dict[str, Any]]:
        """The models there are, each {"name", "source", "target", "size"}: a picture of the source
        becomes one of the target; the size is that of the network in pixels."""
        return described(models)

    gr.api(list_models, api_name="list_models")
    return Parts(row, mine, name, hub_part(models, mine, [before, mode], outputs, show_model))


def state_of(chosen: str, found: dict[str, Path]) -> dict[str, Any]:
    """The pad's state for a model that may have been deleted since the page was loaded."""
    with sentences():
        if chosen not in found:
            raise UserError("This model is gone: reload the page.")
        return pad_state(chosen, found[chosen])


def described(models: Models) -> list[dict[str, Any]]:
    """Every model's name with what it turns into what."""
    found = []
    for name, folder in models.models().items():
        config = read_config(folder)
        found.append(
            {"name": name, "source": config.source_name, "target": config.target_name,
             "size": config.generator.size}
        )  # fmt: skip
    return found


# ------------------------------------------------------------------------------------- the pad


def live_functions(models: Models) -> tuple[Callable, Callable]:
    """The two server functions of the pad. They answer in data: {"image"} or {"error"}."""

    def answer(request: dict[str, Any], make: Callable[..., dict]) -> dict:
        try:
            translator = models.get(str(request.get("model", "")))
            image = from_data_url(request["image"], MAX_IMAGE_CHARS)
            if max(image.size) > MAX_DRAWING_SIDE:
                raise UserError(f"A drawing has at most {MAX_DRAWING_SIDE} pixels on a side.")
            return make(translator, image, as_seed(request.get("seed")))
        except UserError as error:
            return {"error": str(error)}

    def translate(request: dict[str, Any]) -> dict[str, Any]:
        def make(model: Any, image: Image.Image, seed: int | None) -> dict[str, Any]:
            return {"image": data_url(model.translate(image, seed=seed))}

        return answer(request, make)

    def variations(request: dict[str, Any]) -> dict[str, Any]:
        def make(model: Any, image: Image.Image, seed: int | None) -> dict[str, Any]:
            made = [(s, model.translate(image, seed=s)) for s in seeds_from(seed)]
            return {"images": [{"seed": s, "image": data_url(picture)} for s, picture in made]}

        return answer(request, make)

    return translate, variations


def as_seed(value: Any) -> int | None:
    """A seed from what a person typed: None for nothing; raises UserError for what is no seed."""
    if value is None or value == "":
        return None
    try:
        seed = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError("The seed must be a whole number, or empty for none.") from error
    if not 0 <= seed <= MAX_SEED or seed != float(value):
        raise UserError(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    return seed


def seeds_from(seed: int | None) -> list[int]:
    """The seeds of the variations: the one chosen, or 1, and those after it."""
    first = 1 if seed is None else seed
    return [(first + i) % (MAX_SEED + 1) for i in range(VARIATIONS)]


# --------------------------------------------------------------------------------------- photo


def photo_mode(models: Models, name: gr.Textbox, first: Path, most: Most) -> dict[str, Any]:
    with gr.Row(elem_classes="squares", equal_height=True):
        photo = gr.Image(
            type="filepath",
            format="png",  # of a sample, which comes as pixels: WebP would change them
            image_mode=None,  # the file as it is: the image boundary reads it, not gradio
            sources=["upload", "webcam", "clipboard"],
            label="Your photo or drawing",
            height=480,
            elem_id="photo",
        )
        keep_file(photo)
        result = gr.ImageSlider(
            format="png", type="pil", label="Before and after", max_height=480, interactive=False,
            elem_id="compared",
        )  # fmt: skip
    strip_part(photo, most.pixels)
    with gr.Row(elem_classes="squares"):
        run = gr.Button("Translate", variant="primary", elem_id="translate")
        config = read_config(first)
        drawn = config.source_kind == "drawing"
        to_pad = gr.Button("Edit its lines on the pad", visible=drawn, elem_id="to-pad")
    some = samples(first)
    shelf = gr.Gallery(
        some, visible=bool(some), label="Or try one of these", columns=6, height="auto",
        format="png", allow_preview=False, elem_classes="squares", elem_id="samples",
    )  # fmt: skip

    def pick(event: gr.SelectData, model: str) -> Image.Image:
        with sentences():
            folder = models.models().get(model)
            here = samples(folder) if folder else []
            if not 0 <= event.index < len(here):
                raise UserError("This sample is gone: reload the page.")
            return here[event.index][0]

    with gr.Accordion("More", open=False, elem_classes="squares"):
        lines = gr.Radio(
            list(LINES.items()),
            value="auto",
            label="Draw the lines of a photo first",
            info="For models that expect a drawing. Automatic tells photos from drawings.",
        )
        style = gr.Radio(list(STYLES), value=STYLES[1], label="Style of the lines")
        fit = gr.Radio(list(FITS.items()), value="", label="Pictures larger than the model's size")
        norm = norm_choice(config)
        seed = gr.Textbox("", label="Seed", info="A number gives noise: same seed, same picture.")
        several = gr.Button("Show four variations")
        gallery = gr.Gallery(label="Variations", format="png", columns=4, visible=False)

    def prepare(file: str | None, model: str, lines: str, style: str) -> tuple[Any, Any]:
        if not file:
            raise UserError("Choose a picture first: drop one on the left square.")
        if lines not in LINES.values():
            raise UserError("lines must be auto, yes or no.")
        picture, translator = open_picture(file, max_pixels=most.pixels), models.get(model)
        wanted = lines == "yes" or (
            lines == "auto"
            and translator.config.source_kind == "drawing"
            and looks_like_photo(picture.to_pil(3))
        )
        return translator, line_drawing(picture.to_pil(3), style) if wanted else picture

    def compare(
        image: str | None, model: str, seed: str, lines: str, style: str, fit: str, norm: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Image.Image, Image.Image] | None:  # fmt: skip
        if not image:
            return None
        with sentences():
            translator, source = prepare(image, model, lines, style)
            made = translator.translate(
                source, seed=as_seed(seed), fit=as_fit(fit), norm=norm, on_progress=report(progress)
            )
        return source if isinstance(source, Image.Image) else source.to_pil(3), made

    def translate(
        image: str | None, model: str, seed: str = "", lines: str = "auto",
        style: str = STYLES[1], fit: str = "", norm: str = "",
    ) -> Image.Image:  # fmt: skip
        """Translate a picture by a pix2pix model, such as a sketch of a face to a photo of it.

        Args:
            image: The source picture.
            model: A name of list_models.
            seed: A whole number gives noise, the same each time; empty is none.
            lines: Whether a photo becomes a line drawing first: auto, yes or no.
            style: The style of these lines.
            fit: Larger pictures: whole scales them, tiles does not, empty is the model's own way.
            norm: Normalised by: batch is the picture itself, stored are the averages of training.
        """
        with sentences():
            translator, source = prepare(image, model, lines, style)
            return translator.translate(source, seed=as_seed(seed), fit=as_fit(fit), norm=norm)

    def vary(
        image: str | None, model: str, seed: str, lines: str, style: str, fit: str, norm: str
    ) -> Any:
        with sentences():
            translator, source = prepare(image, model, lines, style)
            made = [
                (translator.translate(source, seed=s, fit=as_fit(fit), norm=norm), f"seed {s}")
                for s in seeds_from(as_seed(seed))
            ]
        return gr.Gallery(made, visible=True)

    options = [photo, name, seed, lines, style, fit, norm]
    shelf.select(pick, name, photo, show_progress="hidden", api_visibility="private")
    gr.on([run.click, photo.change], compare, options, result, api_visibility="private", **PHOTOS)
    several.click(vary, options, gallery, api_visibility="private", **PHOTOS)
    # The API's endpoint is a click on a button that nobody sees, so that its answer is one image.
    answer = gr.Image(format="png", type="pil", visible=False, label="Translation")
    gr.Button(visible=False).click(translate, options, answer, api_name="translate", **PHOTOS)
    return {"photo": photo, "to_pad": to_pad, "style": style, "samples": shelf, "norm": norm}


def keep_file(photo: gr.Image) -> None:
    """Gradio would open the file to learn its mode, and show a trace where it cannot; here
    `open_picture` says why."""
    opened = photo.preprocess
    photo.preprocess = lambda sent: sent.path if sent and sent.path else opened(sent)


def norm_choice(config: ModelConfig) -> gr.Radio:
    """Nothing to see where the model has one way only."""
    own = next(words for words, norm in NORMS.items() if norm == config.norm_mode)
    return gr.Radio(
        list(NORMS.items()),
        value="",
        label="Normalised by",
        info=f"This model's own: {own.lower()}. Training averages are the same for all tiles, so "
        "that tones do not jump in a large picture.",
        visible=has_stored_statistics(config.generator),
    )


def as_fit(value: str) -> str:
    if value not in FITS.values():
        raise UserError("fit must be whole, tiles, or empty for the model's own.")
    return value


# --------------------------------------------------------------------------------------- tiles


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
        packed = done[0].with_name("translated.zip")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as zipped:  # PNG is compressed
            for file in done:
                zipped.write(file, file.name)
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


def report(
    progress: gr.Progress, number: int = 0, count: int = 1, name: str = ""
) -> Callable[[int, int], None]:
    """A translator's ``on_progress`` that moves the page's bar over ``count`` pictures."""

    def on_progress(done: int, total: int) -> None:
        where = f"{name}, tile {done} of {total}" if total > 1 else name
        progress((number + done / total) / count, desc=where or "Translating")

    return on_progress
