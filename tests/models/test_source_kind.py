"""A picture of another kind than a model takes is told, and nothing else is."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from skimage import data

from pix2pix.errors import UserError
from pix2pix.imaging.decode import open_picture
from pix2pix.imaging.line_art import line_drawing
from pix2pix.imaging.picture import as_picture
from pix2pix.models.source_kind import kind_notice, wants_lines
from scripts.examples.sources import draw_sources
from tests.support.models_and_servers import tiny_config

PALETTE = [
    {"name": name, "color": color}
    for name, color in {
        "background": "#0000de", "wall": "#0030ff", "window": "#007fff", "door": "#00ceff",
        "molding": "#ff5000", "sill": "#74ff96", "cornice": "#28ffe4", "balcony": "#c0ff3e",
        "blind": "#fff000", "shop": "#aa0000",
    }.items()
]  # fmt: skip
CONFIGS = {
    "drawing": tiny_config(source_kind="drawing"),
    "labels": tiny_config(source_kind="labels", source_name="labels", palette=PALETTE),
    "photo": tiny_config(source_kind="photo"),
}
PHOTO = Image.fromarray(data.astronaut())


def painted(quality: int = 0) -> Image.Image:
    """A house front that our code draws, as a JPEG where it has a quality."""
    picture = draw_sources("facades", CONFIGS["labels"])[0].picture
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG" if quality else "PNG", quality=quality or None)
    return open_picture(file.getvalue()).to_pil(3)


@pytest.mark.parametrize(
    ("kind", "picture", "words"),
    [
        ("drawing", PHOTO, "cat.png looks like a photo"),
        ("drawing", line_drawing(PHOTO), ""),
        ("labels", PHOTO, "cat.png has few of the colours that stand for labels"),
        ("labels", painted(), ""),
        ("labels", painted(80), ""),
        ("photo", PHOTO, ""),
        ("photo", line_drawing(PHOTO), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_picture_of_another_kind_is_told(kind: str, picture: Image.Image, words: str) -> None:
    said = kind_notice(as_picture(picture), "cat.png", CONFIGS[kind])
    assert said.startswith(words) if words else said == ""


def test_who_says_so_gets_lines_or_none() -> None:
    photo, drawing = as_picture(PHOTO), CONFIGS["drawing"]
    assert wants_lines(photo, "auto", drawing) and wants_lines(photo, "yes", CONFIGS["photo"])
    assert not wants_lines(photo, "no", drawing) and not wants_lines(
        photo, "auto", CONFIGS["photo"]
    )
    with pytest.raises(UserError, match="auto, yes or no"):
        wants_lines(photo, "perhaps", drawing)
