"""Translate, Photo: one picture, compared before and after; an A|B picture is cut first."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import Half, crop_half, is_ab_pair
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.hints import over_hints, photo_hints
from pix2pix.imaging.line_art import LINE_STYLES, line_drawing
from pix2pix.imaging.numbers import picture_of, picture_suffix, png_of, save_picture
from pix2pix.imaging.picture import Picture, save_png
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import read_config
from pix2pix.models.source_kind import LINES, kind_notice, wants_lines
from pix2pix.ui.events import HIDDEN_EVENT, CancelSwitches, results_folder, wire_latest
from pix2pix.ui.gradio_patches import LOOKALIKES, keep_file
from pix2pix.ui.limits import Limits, check_disk
from pix2pix.ui.model_view import ModelSource, sample_photos
from pix2pix.ui.translate.options import (
    VARIATIONS,
    fit_choice,
    norm_choice,
    parse_options,
    parse_seed,
    seeds_from,
    tile_progress,
    tint_choice,
)

# So many at once: the pad has the larger share of the forwards.
PHOTOS = {"concurrency_id": "photos", "concurrency_limit": 2}
# Browsers show no TIFF, and a sign of a broken picture where one lies.
MARK_UNSEEN = """async () => {
  await new Promise(requestAnimationFrame);
  const frame = document.querySelector('#photo .image-frame');
  const isSeen = frame && await frame.querySelector('img').decode().then(() => true, () => false);
  frame?.toggleAttribute('data-unseen', !isSeen);
}"""


class PhotoMode:
    """The mode's components, and what happens to a photo: translated, compared, varied."""

    def __init__(
        self, models: ModelSource, name: gr.Textbox, first: Path, limits: Limits,
        of_examples: ModelSource,
    ) -> None:  # fmt: skip
        """Lay the mode out; `name` holds the model, which is that of `first` now. Examples, which
        nobody asked for, are translated by the models `of_examples`: a GPU may be dear."""
        self.models, self.limits, self.of_examples = models, limits, of_examples
        self.lay_out_photo(first)
        self.lay_out_halves()
        config, some = read_config(first), sample_photos(first)
        drawn = config.source_kind == "drawing"
        with gr.Row(elem_classes="squares"):
            self.run = gr.Button("Translate", variant="primary", elem_id="translate")
            self.stop = gr.Button("Stop", visible=False, elem_id="stop-photo")
            self.to_pad = gr.Button("Edit its lines on the pad", visible=drawn, elem_id="to-pad")
        self.samples = gr.Gallery(
            some, visible=bool(some), label="Or try one of these", columns=6, height="auto",
            format="png", allow_preview=False, elem_classes="squares", elem_id="samples",
        )  # fmt: skip
        self.lay_out_more(config)
        self.wire(name)

    def lay_out_photo(self, first: Path) -> None:
        """Lay out what goes in, what comes out, and the file of a result that has a unit."""
        with gr.Row(elem_classes="squares", equal_height=True):
            self.photo = gr.Image(
                type="filepath",
                format="png",  # of a sample, which comes as pixels: WebP would change them
                image_mode=None,  # the file as it is: the image boundary reads it, not gradio
                sources=["upload", "webcam", "clipboard"],
                label="Your photo or drawing",
                height=480,
                elem_id="photo",
            )
            keep_file(self.photo)
            self.result = gr.ImageSlider(
                self.example(first.name), format="png", type="pil", label="Before and after",
                max_height=480, slider_position=33, interactive=False, elem_id="compared",
            )  # fmt: skip
        self.numbers = gr.File(
            label="The numbers themselves, in the model's unit", visible=False, interactive=False,
            elem_classes="squares", elem_id="numbers",
        )  # fmt: skip

    def lay_out_halves(self) -> None:
        """Lay out what is seen while the photo looks like an A|B picture: a button puts one half in
        its place."""
        with gr.Column(visible=False, elem_classes="squares", elem_id="strip") as self.is_pair:
            gr.Markdown(
                "This looks like a pair, two pictures side by side, and the model takes one of "
                "them.",
                elem_classes="quiet",
            )
            with gr.Row():
                self.halves: dict[Half, gr.Button] = {
                    "left": gr.Button("Use the left half", size="md", elem_id="left-half"),
                    "right": gr.Button("Use the right half", size="md", elem_id="right-half"),
                }

    def lay_out_more(self, config: ModelConfig) -> None:
        """Lay out the options, as a model has them, and the variations."""
        drawn = config.source_kind == "drawing"
        with gr.Accordion("More", open=False, elem_classes="squares"):
            self.lines = gr.Radio(
                list(LINES.items()), value="auto", label="Draw the lines of a photo first",
                info="Automatic tells photos from drawings.", visible=drawn,
            )  # fmt: skip
            self.style = gr.Radio(
                list(LINE_STYLES), value=LINE_STYLES[1], label="Style of the lines", visible=drawn
            )
            self.of_lines = [self.lines, self.style]  # matter to a model of drawings alone
            self.hints = gr.Checkbox(
                True, visible=config.generator.hints and drawn, label="Keep its colours as hints",
                info="A few strokes of the photo's colours under its lines.",
                elem_id="keep-colours",
            )  # fmt: skip
            self.fit, self.norm = fit_choice(), norm_choice(config)
            self.seed = gr.Textbox(
                "", label="Seed", info="A number gives noise: same seed, same picture."
            )
            self.tint = tint_choice(config)
            with gr.Row():
                self.several = gr.Button("Show four variations", elem_id="vary")
                self.stop_several = gr.Button("Stop", visible=False, elem_id="stop-variations")
            self.gallery = gr.Gallery(label="Variations", format="png", columns=4, visible=False)

    def wire(self, name: gr.Textbox) -> None:
        """Wire the mode, and the API's `/translate`."""
        options = [self.photo, name, self.seed, *self.of_lines, self.fit, self.norm, self.hints]
        options += [self.tint]
        self.photo.change(None, None, None, js=MARK_UNSEEN)
        running = self.running = CancelSwitches()
        wire_latest(
            running, "photo", [self.run.click, self.photo.change, name.change], self.stop,
            self.compare, options, [self.result, self.numbers, self.is_pair], **PHOTOS,
        )  # fmt: skip
        wire_latest(
            running, "variations", [self.several.click], self.stop_several, self.vary, options,
            [self.gallery], **PHOTOS,
        )  # fmt: skip
        self.samples.select(self.pick, name, self.photo, **HIDDEN_EVENT)
        for half, button in self.halves.items():
            button.click(self.cutting(half), self.photo, self.photo, **HIDDEN_EVENT)
        # The endpoint is a click on a button that nobody sees, so that its answer is one image.
        answer = gr.Image(format="png", type="pil", visible=False, label="Translation")
        api = gr.Button(visible=False)
        api.click(self.translate, options, answer, api_name="translate", **PHOTOS)

    def pick(self, event: gr.SelectData, model: str) -> Image.Image:
        """Return the sample photo that was clicked on."""
        folder = self.models.models().get(model)
        here = sample_photos(folder) if folder else []
        if not 0 <= event.index < len(here):
            raise UserError("This sample is gone: reload the page.")
        return here[event.index][0]

    def open(self, file: str | None) -> Picture:
        """Open the visitor's picture; raises UserError."""
        if not file:
            raise UserError("Choose a picture first: drop one on the left square.")
        return open_picture(file, max_pixels=self.limits.pixels)

    def cutting(self, half: Half) -> Callable[[str | None], str]:
        """Make what writes one half of an A|B picture to a file, and returns its path."""

        def cut(file: str | None) -> str:
            picture = self.open(file)
            if not is_ab_pair(picture):
                raise UserError("There is no pair to cut: drop one on the left square.")
            made = Path(tempfile.mkdtemp(dir=results_folder())) / f"{Path(file).stem}-{half}.png"
            save_png(crop_half(picture, half), made)
            return str(made)

        return cut

    def example(self, model: str) -> tuple[Image.Image, Image.Image] | None:
        """Return the first of the model's samples and what the model makes of it, if it has any."""
        folder = self.of_examples.models().get(model)
        for photo, _ in sample_photos(folder, 1) if folder else []:
            with suppress(UserError):  # of a model that is broken: said when it is used
                translator = self.of_examples.get(model)
                return photo, picture_of(
                    translator.translate(photo), translator.config.output_numbers
                )
        return None

    def prepare(
        self, picture: Picture, model: str, lines: str, style: str, hints: bool
    ) -> tuple[Any, Any]:
        """Return the model and the source it will see; raises UserError."""
        check_disk()
        translator = self.models.get(model)
        if not wants_lines(picture, lines, translator.config):
            return translator, picture
        photo = picture.to_pil(3)
        drawn = line_drawing(photo, style)
        if hints and translator.config.generator.hints:
            drawn = over_hints(drawn, photo_hints(photo))
        return translator, drawn

    def compare(
        self, asked: float, image: str | None, model: str, seed: str, lines: str, style: str,
        fit: str, norm: str, hints: bool, tint: str, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        """Translate a photo; gives it and the result to compare, its numbers as a file, and whether
        it looks like a pair; without a photo an example. Another photo or model stops the
        variations of the one before."""
        session = str(request.session_hash)
        self.running.stop(session, "variations")
        with self.running.latest(session, "photo", asked) as switch:
            if not image:
                return [self.example(model), gr.File(visible=False), gr.Column(visible=False)]
            picture = self.open(image)
            translator, source = self.prepare(picture, model, lines, style, hints)
            made = translator.translate(
                source, **parse_options(seed, fit, norm, tint), should_stop=switch.is_set,
                on_progress=tile_progress(progress),
            )  # fmt: skip
            if not isinstance(source, Image.Image):
                name = Path(image).name
                notices = [translator.range_notice(source, name)]
                notices += [kind_notice(source, name, translator.config)] * (lines == "auto")
                for notice in filter(None, notices):
                    gr.Warning(notice.translate(LOOKALIKES))
                source = translator.by_range(source).to_pil(3)
            known = translator.config.output_numbers
            file = numbers_file(made, Path(image).stem, known)
            both = source, picture_of(made, known)
            return [both, file, gr.Column(visible=is_ab_pair(picture))]

    def translate(
        self, image: str | None, model: str, seed: str = "", lines: str = "auto",
        style: str = LINE_STYLES[1], fit: str = "", norm: str = "", hints: bool = True,
        tint: str = "",
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
            hints: Whether these lines keep strokes of its colours, for models that follow them.
            tint: A colour for what the source leaves open, #rrggbb or a name; empty is none.
        """
        translator, source = self.prepare(self.open(image), model, lines, style, hints)
        made = translator.translate(source, **parse_options(seed, fit, norm, tint))
        return png_of(made, translator.config.output_numbers)

    def vary(
        self, asked: float, image: str | None, model: str, seed: str, lines: str, style: str,
        fit: str, norm: str, hints: bool, tint: str, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        """Translate a photo with several seeds, for the gallery."""
        with self.running.latest(str(request.session_hash), "variations", asked) as switch:
            translator, source = self.prepare(self.open(image), model, lines, style, hints)
            made, known = [], translator.config.output_numbers
            started = time.monotonic()
            for number, s in enumerate(seeds_from(parse_seed(seed))):
                variation = translator.translate(
                    source, **parse_options(s, fit, norm, tint), should_stop=switch.is_set,
                    on_progress=tile_progress(
                        progress, number, VARIATIONS, f"seed {s}", started=started
                    ),
                )  # fmt: skip
                made.append((picture_of(variation, known), f"seed {s}"))
            return [gr.Gallery(made, visible=True)]


def numbers_file(made: Image.Image, stem: str, known: tuple[float, float, str] | None) -> Any:
    """Offer a result in its own unit and type as a file; nothing of a plain picture."""
    if known is None:
        return gr.File(visible=False)
    file = Path(tempfile.mkdtemp(dir=results_folder())) / f"{stem}{picture_suffix(made)}"
    save_picture(made, file, known[2])
    low, high, kind = known
    words = f"The numbers themselves, {low:g} to {high:g} ({kind})"
    return gr.File(str(file), label=words, visible=True)
