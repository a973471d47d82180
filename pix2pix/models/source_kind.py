"""Tell whether a picture is what a model takes: photos are no drawings, and no label maps."""

from __future__ import annotations

import numpy as np

from pix2pix.errors import UserError
from pix2pix.imaging.line_art import looks_like_photo
from pix2pix.imaging.numbers import nearest_labels
from pix2pix.imaging.picture import Picture, parse_colour
from pix2pix.model_config import ModelConfig

LINES = {"Automatic": "auto", "Always": "yes", "Never": "no"}  # to draw a photo's lines first
LOOK = 64  # pixels of the side that label maps are judged by
# So far from a label's colour, of 255, JPEG moves a pixel; so many of a label map's are nearer: 57
# to 99 % of those of drawn ones, 0 to 25 % of the photos that come with scikit-image.
NEAR, MOST = 24, 0.5


def wants_lines(picture: Picture, lines: str, config: ModelConfig) -> bool:
    """Return whether the lines of a picture are to be drawn first: as the person chose in LINES,
    else where it looks like a photo and the model takes drawings."""
    if lines not in LINES.values():
        raise UserError("lines must be auto, yes or no.")
    if lines == "auto":
        return config.source_kind == "drawing" and looks_like_photo(picture.to_pil(3))
    return lines == "yes"


def kind_notice(picture: Picture, name: str, config: ModelConfig) -> str:
    """Say where a picture, called `name`, is a photo and the model takes drawings, or has few of
    the colours of the label maps that it takes; empty where it suits."""
    if wants_lines(picture, "auto", config):
        return (
            f"{name} looks like a photo, and this model takes drawings: Photo, in the app, draws "
            "its lines first."
        )
    if config.source_kind == "labels" and config.palette and not _has_labels(picture, config):
        return (
            f"{name} has few of the colours that stand for {config.source_name or 'labels'}: this "
            "model takes label maps, which are painted under Draw in the app."
        )
    return ""


def _has_labels(picture: Picture, config: ModelConfig) -> bool:
    small = picture.resize((LOOK, LOOK), labels=True).to_pil(3)
    pixels = np.asarray(small, np.float64).reshape(-1, 3)
    palette = np.array([parse_colour(entry["color"]) for entry in config.palette], np.float64)
    apart = np.abs(pixels - palette[nearest_labels(pixels, palette)]).max(axis=1)
    return float((apart <= NEAR).mean()) >= MOST
