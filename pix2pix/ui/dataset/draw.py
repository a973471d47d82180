"""Draw pairs by hand: photos, each traced beside and under the paper, until they are a dataset.

The board is one component, whose value is {"set", "version"}: the set of drawings that is open, and
a number that changes with what of it is done. What it does it asks of server functions.
"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal

from pix2pix.data.records import Inputs
from pix2pix.data.traced import (
    SIDE,
    TracedSet,
    create_set,
    list_sets,
    open_set,
    remove_set,
)
from pix2pix.errors import UserError
from pix2pix.imaging.decode import from_data_url, open_picture
from pix2pix.imaging.example_houses import PALETTE
from pix2pix.imaging.picture import data_url
from pix2pix.models.folder import list_models, read_config
from pix2pix.ui.custom_html import Reply, Request, custom_html, server_function
from pix2pix.ui.limits import check_disk
from pix2pix.ui.translate.pad import MAX_IMAGE_BYTES
from pix2pix.utils.workspace import model_folders, workspace

THUMBNAIL = 72  # pixels
FAILED = "That did not work; the server's log says why."


def draw_board() -> gr.HTML:
    """Lay out the board. Its ``change`` event says that what is done is another."""
    return custom_html(
        "dataset/trace.html", ["translate/pad.css", "dataset/trace.css"], "trace.js",
        value={}, elem_id="draw-board",
        server_functions=[server_function(ask.__name__, ask, FAILED) for ask in FUNCTIONS],
    )  # fmt: skip


def drawn_inputs(value: Any) -> Inputs:
    """Return what the board's set is planned from; raises UserError where nothing is done."""
    name = value.get("set") if isinstance(value, dict) else None
    if not name:
        raise UserError("Add photos and trace them first.")
    return open_set(sets_folder(), name).inputs()


def sets_folder() -> Path:
    """Return the workspace folder of the sets."""
    return workspace() / "traced"


# ------------------------------------------------------------- what the page asks


def open_board(request: Request) -> Reply:
    """List the sets and palettes, and the photos of the set that is named, if it is there."""
    sets = []
    for name in list_sets(sets_folder()):
        with contextlib.suppress(UserError):
            sets.append(open_set(sets_folder(), name))
    chosen = [traced for traced in sets if traced.folder.name == request.get("set")]
    shown = describe_set(chosen[0]) if chosen else {"set": "", "photos": []}
    return {"sets": [count_set(traced) for traced in sets], "palettes": palettes(), **shown}


def open_photo(request: Request) -> Reply:
    """Return a photo as it is framed, and what was drawn over it."""
    traced, name = _place(request)
    photo = open_picture(traced.photo(name)).to_pil(3)
    return {"photo": data_url(photo), "strokes": traced.strokes(name)}


def add_photo(request: Request) -> Reply:
    """Add an uploaded file to the set that is named, or to a new one."""
    check_disk()
    file = _uploaded(request.get("file"))
    photo = open_picture(file)
    traced = _set(request) if request.get("set") else create_set(sets_folder(), *_kind(request))
    name = traced.add_photo(photo, file.name, request.get("frame"))
    return {"set": traced.folder.name, "photo": describe_photo(traced, name)}


def save_drawing(request: Request) -> Reply:
    """Keep a drawing as it is now."""
    traced, name = _place(request)
    drawing = from_data_url(request.get("image"), MAX_IMAGE_BYTES, SIDE * SIDE)
    state = traced.save(name, request.get("strokes"), drawing, request.get("done") is True)
    return {"state": state}


def remove_photo(request: Request) -> Reply:
    """Remove a photo with its drawing."""
    traced, name = _place(request)
    traced.remove(name)
    return {}


def change_set(request: Request) -> Reply:
    """Take another kind or palette for the set."""
    changed = _set(request).change(*_kind(request))
    return {"kind": changed.kind, "palette": changed.palette}


def delete_set(request: Request) -> Reply:
    """Delete a set with its photos and drawings."""
    remove_set(sets_folder(), request.get("set"))
    return {}


FUNCTIONS = (
    open_board, open_photo, add_photo, save_drawing, remove_photo, change_set, delete_set,
)  # fmt: skip


def _set(request: Request) -> TracedSet:
    return open_set(sets_folder(), request.get("set"))


def _place(request: Request) -> tuple[TracedSet, str]:
    """Return the set and the photo that a request names; raises UserError where one is gone."""
    traced, name = _set(request), request.get("name")
    traced.photo(name)
    return traced, str(name)


def _uploaded(file: Any) -> Path:
    """Return the file that was uploaded under this path; raises UserError for any other."""
    with contextlib.suppress(ValueError, OSError):
        is_ours = isinstance(file, str) and is_in_or_equal(file, get_upload_folder())
        if is_ours and Path(file).is_file():
            return Path(file)
    raise UserError("The photo did not arrive: add it again.")


def _kind(request: Request) -> tuple[Any, Any]:
    return request.get("kind"), request.get("palette")


# ---------------------------------------------------------------- what it gets


def describe_set(traced: TracedSet) -> dict[str, Any]:
    """Describe a set and its photos to the page."""
    photos = [describe_photo(traced, name) for name in traced.photos()]
    return {
        "set": traced.folder.name, "kind": traced.kind, "palette": traced.palette, "photos": photos,
    }  # fmt: skip


def describe_photo(traced: TracedSet, name: str) -> dict[str, Any]:
    """Describe a photo to the page: its name, how far its drawing is, and a small picture."""
    photo = traced.photo(name)
    small = thumbnail(photo, photo.stat().st_mtime_ns)
    return {"name": name, "state": traced.state(name), "thumbnail": small}


@functools.lru_cache(maxsize=2000)
def thumbnail(photo: Path, time: int) -> str:
    """Return a small JPEG of a photo as a data URL; the `time` only says when to look again."""
    picture = open_picture(photo).to_pil(3)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return data_url(picture, quality=80)


def palettes() -> list[dict[str, Any]]:
    """List the palettes on offer: the sample's, and those of the models that there are."""
    houses = [{"name": name, "color": color} for name, color in PALETTE.items()]
    found = [{"title": "Little houses", "palette": houses}]
    for name, folder in list_models(model_folders()).items():
        config = read_config(folder)
        if config.source_kind == "labels" and len(config.palette) > 1:
            found.append({"title": config.title or name, "palette": config.palette})
    return found


def count_set(traced: TracedSet) -> dict[str, Any]:
    """Count the photos of a set, and those whose drawing is done."""
    states = [traced.state(name) for name in traced.photos()]
    return {"name": traced.folder.name, "photos": len(states), "done": states.count("done")}
