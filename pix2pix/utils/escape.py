"""Escape text from strangers, and cut folders of this machine out of it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any


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
