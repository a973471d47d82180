"""Translate, Photo: one picture, compared before and after; an A|B picture is cut first."""

from __future__ import annotations

import tempfile
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
from pix2pix.imaging.line_art import LINE_STYLES, line_drawing, looks_like_photo
from pix2pix.imaging.numbers import picture_of, picture_suffix, png_of, save_picture
from pix2pix.imaging.picture import save_png
from pix2pix.models.folder import read_config
from pix2pix.ui.events import HIDDEN_EVENT, results_folder
from pix2pix.ui.gradio_patches import keep_file
from pix2pix.ui.limits import Limits, check_disk
from pix2pix.ui.model_view import ModelSource, sample_photos
from pix2pix.ui.translate.options import (
    fit_choice,
    norm_choice,
    parse_fit,
    parse_seed,
    seeds_from,
    tile_progress,
)


def ab_pair_notice(photo: gr.Image, max_pixels: int) -> None:
    """Lay out what is seen while `photo` looks like an A|B picture: a button puts one half in
    its place."""
    with gr.Column(visible=False, elem_classes="squares", elem_id="strip") as part:
        gr.Markdown(
            "This looks like a pair, two pictures side by side, and the model takes one of them.",
            elem_classes="quiet",
        )
        with gr.Row():
            buttons: dict[Half, gr.Button] = {
                "left": gr.Button("Use the left half", size="md", elem_id="left-half"),
                "right": gr.Button("Use the right half", size="md", elem_id="right-half"),
            }

    def look(file: str | None) -> gr.Column:
        is_visible = False
        with suppress(UserError):  # said by what translates it
            is_visible = bool(file) and is_ab_pair(open_picture(file, max_pixels=max_pixels))
        return gr.Column(visible=is_visible)

    def cut(half: Half) -> Callable[[str | None], str]:
        def use(file: str | None) -> str:
            picture = open_picture(file, max_pixels=max_pixels) if file else None
            if picture is None or not is_ab_pair(picture):
                raise UserError("There is no pair to cut: drop one on the left square.")
            folder = Path(tempfile.mkdtemp(dir=results_folder()))
            made = folder / f"{Path(file).stem}-{half}.png"
            save_png(crop_half(picture, half), made)
            return str(made)

        return use

    photo.change(look, photo, part, **HIDDEN_EVENT)
    for half, button in buttons.items():
        button.click(cut(half), photo, photo, **HIDDEN_EVENT)


# So many at once: the pad has the larger share of the forwards.
PHOTOS = {"concurrency_id": "photos", "concurrency_limit": 2}
LINES = {"Automatic": "auto", "Always": "yes", "Never": "no"}
# Browsers show no TIFF, and a sign of a broken picture where one lies.
MARK_UNSEEN = """async () => {
  await new Promise(requestAnimationFrame);
  const frame = document.querySelector('#photo .image-frame');
  const isSeen = frame && await frame.querySelector('img').decode().then(() => true, () => false);
  frame?.toggleAttribute('data-unseen', !isSeen);
}"""


class PhotoMode:
    """The mode's components, and what happens to a photo: translated, compared, varied."""

    def __init__(self, models: ModelSource, name: gr.Textbox, first: Path, limits: Limits) -> None:
        """Lay the mode out; `name` holds the model, which is that of `first` now."""
        self.models, self.limits = models, limits
        self.lay_out_photo()
        ab_pair_notice(self.photo, limits.pixels)
        config, some = read_config(first), sample_photos(first)
        drawn = config.source_kind == "drawing"
        with gr.Row(elem_classes="squares"):
            self.run = gr.Button("Translate", variant="primary", elem_id="translate")
            self.to_pad = gr.Button("Edit its lines on the pad", visible=drawn, elem_id="to-pad")
        self.samples = gr.Gallery(
            some, visible=bool(some), label="Or try one of these", columns=6, height="auto",
            format="png", allow_preview=False, elem_classes="squares", elem_id="samples",
        )  # fmt: skip
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
            self.several = gr.Button("Show four variations")
            self.gallery = gr.Gallery(label="Variations", format="png", columns=4, visible=False)
        self.wire(name)

    def lay_out_photo(self) -> None:
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
                format="png", type="pil", label="Before and after", max_height=480,
                interactive=False, elem_id="compared",
            )  # fmt: skip
        self.numbers = gr.File(
            label="The numbers themselves, in the model's unit", visible=False, interactive=False,
            elem_classes="squares", elem_id="numbers",
        )  # fmt: skip

    def wire(self, name: gr.Textbox) -> None:
        """Wire the mode, and the API's `/translate`."""
        options = [self.photo, name, self.seed, *self.of_lines, self.fit, self.norm, self.hints]
        self.samples.select(self.pick, name, self.photo, **HIDDEN_EVENT)
        gr.on(
            [self.run.click, self.photo.change], self.compare, options,
            [self.result, self.numbers], api_visibility="private", **PHOTOS,
        )  # fmt: skip
        self.photo.change(None, None, None, js=MARK_UNSEEN)
        self.several.click(self.vary, options, self.gallery, api_visibility="private", **PHOTOS)
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

    def prepare(
        self, file: str | None, model: str, lines: str, style: str, hints: bool
    ) -> tuple[Any, Any]:
        """Return the model and the source it will see; raises UserError."""
        if not file:
            raise UserError("Choose a picture first: drop one on the left square.")
        if lines not in LINES.values():
            raise UserError("lines must be auto, yes or no.")
        check_disk()
        picture = open_picture(file, max_pixels=self.limits.pixels)
        translator = self.models.get(model)
        as_lines = lines == "yes" or (
            lines == "auto"
            and translator.config.source_kind == "drawing"
            and looks_like_photo(picture.to_pil(3))
        )
        if not as_lines:
            return translator, picture
        photo = picture.to_pil(3)
        drawn = line_drawing(photo, style)
        if hints and translator.config.generator.hints:
            drawn = over_hints(drawn, photo_hints(photo))
        return translator, drawn

    def compare(
        self, image: str | None, model: str, seed: str, lines: str, style: str, fit: str,
        norm: str, hints: bool, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[tuple[Image.Image, Image.Image] | None, Any]:  # fmt: skip
        """Translate a photo; returns it and the result to compare, and its numbers as a file."""
        if not image:
            return None, gr.File(visible=False)
        translator, source = self.prepare(image, model, lines, style, hints)
        made = translator.translate(
            source,
            seed=parse_seed(seed),
            fit=parse_fit(fit),
            norm=norm,
            on_progress=tile_progress(progress),
        )
        if not isinstance(source, Image.Image):
            if notice := translator.range_notice(source, Path(image).name):
                gr.Warning(notice)
            source = translator.by_range(source).to_pil(3)
        known = translator.config.output_numbers
        file = numbers_file(made, Path(image).stem, known)
        return (source, picture_of(made, known)), file

    def translate(
        self, image: str | None, model: str, seed: str = "", lines: str = "auto",
        style: str = LINE_STYLES[1], fit: str = "", norm: str = "", hints: bool = True,
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
        """
        translator, source = self.prepare(image, model, lines, style, hints)
        made = translator.translate(source, seed=parse_seed(seed), fit=parse_fit(fit), norm=norm)
        return png_of(made, translator.config.output_numbers)

    def vary(
        self, image: str | None, model: str, seed: str, lines: str, style: str, fit: str,
        norm: str, hints: bool,
    ) -> Any:  # fmt: skip
        """Translate a photo with several seeds, for the gallery."""
        translator, source = self.prepare(image, model, lines, style, hints)
        made, known = [], translator.config.output_numbers
        for s in seeds_from(parse_seed(seed)):
            variation = translator.translate(source, seed=s, fit=parse_fit(fit), norm=norm)
            made.append((picture_of(variation, known), f"seed {s}"))
        return gr.Gallery(made, visible=True)


def numbers_file(made: Image.Image, stem: str, known: tuple[float, float, str] | None) -> Any:
    """Offer a result in its own unit and type as a file; nothing of a plain picture."""
    if known is None:
        return gr.File(visible=False)
    file = Path(tempfile.mkdtemp(dir=results_folder())) / f"{stem}{picture_suffix(made)}"
    save_picture(made, file, known[2])
    low, high, kind = known
    words = f"The numbers themselves, {low:g} to {high:g} ({kind})"
    return gr.File(str(file), label=words, visible=True)
