"""Handle text from strangers: safe file names, their order, and escapes for Markdown and HTML; put
durations and memory into words."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from pix2pix.errors import UserError

_MAX_PART, _MAX_NAME, _MAX_DEPTH = 255, 1000, 32  # bytes, characters, parts
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # control characters, undecodable bytes, line separators
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}  # devices of Windows
_RESERVED |= {f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"}
_MAX_STEM = 200  # bytes, which leaves room for numbers, a tile's place and a suffix
_SAFE_NAME = re.compile(r"[^\W_](?:[\w .-]{0,62}[\w-])?")


def printable(name: str) -> str:
    """Make a name fit for one line of text: no control characters, not endless."""
    return "".join(c if c.isprintable() else "?" for c in name)[:120] or "The file"


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a sort key by which `2.png` comes before `10.png`."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(p) if p.isdecimal() else p for p in parts], name


def fold_name(name: str) -> str:
    """Fold a name to what is the same on every disk: upper and lower case, and the two ways to
    write an accent or a syllable (NFC and NFD)."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def name_stem(path: str) -> str:
    """Fold a path without its file's suffix: `Photos/A1.JPG` -> `photos/a1`."""
    return fold_name(PurePosixPath(path).with_suffix("").as_posix())


def plain_stem(text: str) -> str:
    """Make the name of a file, without its suffix, of any text: letters, digits, ``-``, ``.`` and
    ``_``, as short as every disk takes it; empty where nothing is left."""
    name = re.sub(r"[^\w.-]+", "_", text).strip("._")[:120]
    return name.encode()[:_MAX_STEM].decode(errors="ignore")


def portable_name(name: str) -> str:
    """Rewrite a path from an archive so that every system can store it: / between folders, _ for
    colons, after the names of devices and for a part's last dot or space. What leads out of its
    folder, a drive and an absolute path stay as they are, for `unsafe_name_reason` to refuse."""
    name = name.replace("\\", "/")
    if re.match(r"[A-Za-z]:", name):
        return name
    parts = []
    for part in name.split("/"):
        part = part.replace(":", "_")
        if part not in ("", ".", "..") and part[-1] in ". ":
            part = part.rstrip(". ") + "_"
        if is_windows_device(part):
            stem, dot, rest = part.partition(".")
            part = f"{stem.rstrip(' ')}_{dot}{rest}"
        parts.append(part)
    return "/".join(parts)


def safe_name(name: str) -> str:
    """Check the name of a new folder and strip it; raises UserError where it is not safe."""
    name = unicodedata.normalize("NFC", str(name)).strip()
    if not _SAFE_NAME.fullmatch(name) or is_windows_device(name) or len(name.encode()) > 200:
        raise UserError(
            f"'{printable(name)[:64]}' is no name that every disk can hold: use 1 to 64 letters, "
            "digits, spaces, dots, - and _, with a letter or digit first and no dot last."
        )
    return name


def is_windows_device(part: str) -> bool:
    """Return whether Windows takes it for a device, whatever follows the first dot."""
    return part.partition(".")[0].rstrip(" ").upper() in _RESERVED


def unsafe_name_reason(name: str) -> str:
    """Say why a name with / between folders is unsafe as a path somewhere, empty where it is
    safe."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not name.isprintable() and any(unicodedata.category(c) in _NO_TEXT for c in name):
        return "a name with characters that are not text"
    if name.startswith("/") or ":" in name:
        return "a name that is no relative path"
    if "\\" in name:
        return "a name with a backslash"
    if ".." in parts:
        return "a name that leads out of its folder"
    if any(part.endswith((".", " ")) or is_windows_device(part) for part in parts):
        return "a name that Windows cannot store"
    longest = max((len(part.encode()) for part in parts), default=0)
    if longest > _MAX_PART or len(name) > _MAX_NAME or len(parts) > _MAX_DEPTH:
        return "a name that is too long"
    return ""


class PathTree:
    """The files and folders seen so far, as a disk holds them that knows neither upper and lower
    case nor the two ways to write an accent."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: dict[str, tuple[str, ...]] = {"": ()}
        self.known: set[tuple[str, ...]] = {()}  # spares looking at a folder's name twice

    def add(self, parts: tuple[str, ...], is_folder: bool) -> str:
        """Take in a path and its folders; returns why that cannot be, or nothing."""
        if not parts and not is_folder:
            return "a file without a name"
        folder = parts if is_folder else parts[:-1]
        if folder not in self.known:
            for depth in range(1, len(folder) + 1):
                if fault := self._add_folder(folder[:depth]):
                    return fault
            self.known.add(folder)
        if is_folder:
            return ""
        key = fold_name("/".join(parts))
        if key in self.folders:
            return "a file that is also a folder"
        if key in self.files:
            return "a name that is there twice (upper and lower case are the same on many disks)"
        self.files.add(key)
        return ""

    def _add_folder(self, folder: tuple[str, ...]) -> str:
        key = fold_name("/".join(folder))
        if key in self.files:
            return "a file that is also a folder"
        if self.folders.setdefault(key, folder) != folder:
            return "a folder's name that differs from another's by upper and lower case only"
        return ""


def strip_folders(value: Any) -> Any:
    """Return the same JSON with every absolute path in its texts cut to its last part."""
    if isinstance(value, dict):
        return {strip_folders(key): strip_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strip_folders(item) for item in value]
    if not isinstance(value, str):
        return value
    for kind in (PureWindowsPath, PurePosixPath):
        if kind(value).is_absolute():
            return kind(value).name
    return re.sub(r"(?<![\w./\\])(?:[A-Za-z]:|\\)?[\\/](?:[^\s\\/'\"]+[\\/])+", "", value)


def single_line(value: Any) -> str:
    """Return one line of plain text, whatever was given."""
    text = "" if value is None else str(value)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:2000]


def escape_markdown(value: Any) -> str:
    """Return one line for a Markdown file, in which nothing is markup or a link."""
    return re.sub(r"[\\`*_{}\[\]()#+!|<>~&:@$/=^.]|^-", r"\\\g<0>", single_line(value))


def escape_text(text: str) -> str:
    """Return text for the page, in which nothing becomes Markdown or HTML."""
    return "".join(f"&#{ord(c)};" if c in "<>&*_`[]()#|\\!~" else c for c in text)


def format_memory(mib: int) -> str:
    """Format a number of MiB: 800 MiB, 1.1 GiB."""
    return f"{mib:,} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def format_duration(seconds: float) -> str:
    """Format a duration: 50 s, 12 min, 1 h 5 min, 2 days 3 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} day{'s' * (days > 1)} {hours} h"
