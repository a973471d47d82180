"""Keep the pairs that a person draws: photos, and over each what was traced from it.

A set is a folder of the workspace. `photos/` holds the photos, framed square as the dataset will
have them, `strokes/` what was drawn so far over those of the same name, `drawings/` the drawings
that are done, and `traced.json` what they are: lines, or label maps with their palette.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.data.compose import fit_square
from pix2pix.data.records import FITS, Inputs, Recipe
from pix2pix.errors import UserError
from pix2pix.imaging.picture import Picture, save_png
from pix2pix.utils.files import (
    read_json_object,
    remove_folder,
    unused_name,
    write_atomically,
    write_errors,
    write_json,
)
from pix2pix.utils.text import natural_key
from pix2pix.utils.validation import check_palette

SIDE = 512  # pixels of photos and drawings; a dataset may be smaller
MAX_PHOTOS = 500  # of a set
MAX_STROKES = 4_000_000  # characters of a drawing's operations
FRAMES = tuple(fit for fit in FITS if fit != "tiles")
DESCRIPTION = "traced.json"
OPERATIONS = ("stroke", "shape", "fill", "clear")


@dataclass(frozen=True)
class TracedSet:
    """One set. `kind` is that of its drawings, "drawing" for lines or "labels"; the `palette` of
    label maps is a list of {"name", "color"}, the paper's colour first, else empty."""

    folder: Path
    kind: str
    palette: list[dict[str, str]]

    def photos(self) -> list[str]:
        """List the photos by name, without a suffix, in the order in which they came."""
        return sorted((f.stem for f in self.folder.glob("photos/*.png")), key=natural_key)

    def photo(self, name: Any) -> Path:
        """Return a photo's file; raises UserError where there is none of this name."""
        if name not in self.photos():
            raise UserError("This photo is gone: reload the page.")
        return self._file("photos", name, ".png")

    def state(self, name: str) -> str:
        """Return "done", "begun", or "" where nothing is drawn yet."""
        if self._file("drawings", name, ".png").exists():
            return "done"
        return "begun" if self._file("strokes", name, ".json").exists() else ""

    def strokes(self, name: str) -> list[Any]:
        """Return what was drawn so far, as the pad keeps it."""
        return list(read_json_object(self._file("strokes", name, ".json")).get("strokes", []))

    def add_photo(self, photo: Picture, name: str, frame: str) -> str:
        """Frame a photo, one of FRAMES, and keep it. Returns the name that it got after the
        file's; raises UserError where the set is full or the disk is."""
        if frame not in FRAMES:
            raise UserError(f"The frame is '{frame}': choose one of {', '.join(FRAMES)}.")
        there = self.photos()
        if len(there) >= MAX_PHOTOS:
            raise UserError(f"A set takes {MAX_PHOTOS} photos: begin another for the rest.")
        numbers = [int(found[1]) for found in map(re.compile(r"(\d+)-").match, there) if found]
        number = 1 + max(numbers, default=0)
        stem = re.sub(r"[^\w-]+", "_", Path(name).stem).strip("_")[:40] or "photo"
        new = f"{number:03}-{stem}"
        recipe = Recipe(size=SIDE, fit=frame)
        save_png(fit_square(photo.to_pil(3), recipe, False), self.folder / "photos" / f"{new}.png")
        return new

    def save(self, name: str, strokes: Any, drawing: Image.Image, done: bool) -> str:
        """Keep a drawing as it is now, and with `done` as one for the dataset, which it then is
        until it is empty. Returns its state; raises UserError for what is none."""
        self.photo(name)
        stored = self._file("strokes", name, ".json")
        finished = self._file("drawings", name, ".png")
        if not is_drawn(strokes):
            raise UserError("The drawing did not arrive: reload the page and try again.")
        if not strokes:
            finished.unlink(missing_ok=True)
            stored.unlink(missing_ok=True)
            return ""
        self.check_drawing(drawing)
        with write_errors(stored):
            text = json.dumps({"strokes": strokes}, separators=(",", ":"))
            write_atomically(stored, lambda file: file.write_text(text, encoding="utf-8"))
        if done or finished.exists():
            save_png(drawing, finished)
        return self.state(name)

    def check_drawing(self, drawing: Image.Image) -> None:
        """Raise UserError for a drawing of another size, or with colours that are no labels."""
        if drawing.size != (SIDE, SIDE):
            raise UserError(f"A drawing has {SIDE} pixels a side: reload the page and try again.")
        colours = drawing.convert("RGB").getcolors(len(self.palette) or 1) or [(0, None)]
        known = {tuple(bytes.fromhex(label["color"][1:])) for label in self.palette}
        if self.kind == "labels" and not {colour for _, colour in colours} <= known:
            raise UserError("The drawing has colours that are not in the palette: draw it again.")

    def remove(self, name: str) -> None:
        """Delete a photo and what was drawn over it."""
        self.photo(name)
        for folder, suffix in (("drawings", ".png"), ("strokes", ".json"), ("photos", ".png")):
            self._file(folder, name, suffix).unlink(missing_ok=True)

    def change(self, kind: str, palette: list[Any]) -> TracedSet:
        """Take another kind or palette; what is drawn keeps its kind, paper and colours. Raises
        UserError."""
        changed = checked_set(self.folder, kind, palette)
        drawn = [op for name in self.photos() for op in self.strokes(name)]
        if drawn and kind != self.kind:
            raise UserError("Something is drawn already: begin a new set.")
        if drawn and self.kind == "labels":
            colours = [label["color"] for label in changed.palette]
            used = {op.get("color") for op in drawn} - {None}
            if colours[0] != self.palette[0]["color"] or not used <= {*colours}:
                raise UserError("Something is drawn in this colour already: only add others.")
        changed.write()
        return changed

    def write(self) -> None:
        """Write what there is into its folder, whole or not at all."""
        with write_errors(self.folder):
            about = {"format_version": 1, "kind": self.kind, "palette": self.palette}
            write_json(self.folder / DESCRIPTION, about)

    def inputs(self) -> Inputs:
        """Return what a dataset is planned from; raises UserError where no drawing is done."""
        if not any(self.state(name) == "done" for name in self.photos()):
            raise UserError("No drawing is done yet: trace a photo, and press Save and next.")
        return Inputs(
            self.folder / "drawings", self.folder / "photos", "stem", source_kind=self.kind,
            palette=tuple(self.palette), title=self.folder.name,
        )  # fmt: skip

    def _file(self, folder: str, name: str, suffix: str) -> Path:
        return self.folder / folder / f"{name}{suffix}"


def list_sets(root: Path) -> list[str]:
    """List the sets in a folder by name."""
    return sorted((file.parent.name for file in root.glob(f"*/{DESCRIPTION}")), key=natural_key)


def open_set(root: Path, name: Any) -> TracedSet:
    """Open a set; raises UserError where there is none of this name, or it is damaged."""
    if name not in list_sets(root):
        raise UserError("This set of drawings is gone: reload the page.")
    about: Mapping[str, Any] = read_json_object(root / name / DESCRIPTION)
    return checked_set(root / name, about.get("kind", ""), about.get("palette", []))


def create_set(root: Path, kind: str, palette: list[Any]) -> TracedSet:
    """Begin a set; raises UserError where kind and palette are none, or the disk is full."""
    new = checked_set(root / unused_name(root, "drawings"), kind, palette)
    with write_errors(root):
        new.folder.mkdir(parents=True)  # fails where another began one at the same moment
    new.write()
    return new


def remove_set(root: Path, name: Any) -> None:
    """Delete a set with its photos and drawings; raises UserError where there is none, and where
    the disk refuses."""
    remove_folder(open_set(root, name).folder)


def checked_set(folder: Path, kind: Any, palette: Any) -> TracedSet:
    """Make a set of what came from a page or a file; raises UserError."""
    if kind not in ("drawing", "labels") or not isinstance(palette, list):
        raise UserError("Drawings are lines or label maps: choose one of them.")
    if kind == "drawing":
        return TracedSet(folder, kind, [])
    check_palette(palette)
    colours = [label["color"].lower() for label in palette]
    if len({*colours}) < max(2, len(colours)):
        raise UserError("A palette needs two colours or more, and no two that are the same.")
    if not all(label["name"].strip() for label in palette):
        raise UserError("Each colour of the palette needs a name.")
    named = [{"name": p["name"].strip(), "color": c} for p, c in zip(palette, colours)]
    return TracedSet(folder, kind, named)


def is_drawn(strokes: Any) -> bool:
    """Return whether it is a list of the pad's operations, and not endless."""
    if not isinstance(strokes, list) or not all(isinstance(op, dict) for op in strokes):
        return False
    known = all(op.get("kind") in OPERATIONS for op in strokes)
    return known and len(json.dumps(strokes)) <= MAX_STROKES
