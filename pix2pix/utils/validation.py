"""Read settings from text and check their values; a fault is a UserError with the field's name."""

from __future__ import annotations

import dataclasses
import re
from argparse import ArgumentTypeError
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pix2pix.errors import UserError
from pix2pix.utils.files import is_finite

MAX_TEXT = 200  # characters of a title or a name
MAX_COLOURS = 256  # of a palette
NUMBER_TYPES = frozenset(
    f"{kind}{bits}" for kind, sizes in (("uint", (8, 16, 32, 64)), ("int", (8, 16, 32, 64)),
    ("float", (16, 32, 64))) for bits in sizes
)  # fmt: skip


def setting_text(value: Any) -> str:
    """Write a setting as ``train_config`` and ``--set`` read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def split_setting(text: str) -> tuple[str, str]:
    """Split ``key=value`` into its two parts: the ``type`` of the commands' ``--set``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"'{text}' is not of the form key=value")
    return key, value


def count(text: str) -> int:
    """Read a whole number from 1: the ``type`` of the commands' counts."""
    if (number := int(text)) < 1:  # argparse says what a ValueError means
        raise ArgumentTypeError("must be 1 or more")
    return number


def parse_value(key: str, text: str, kind: Any) -> Any:
    """Read ``text`` as the type of the setting ``key``; raises UserError."""
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise UserError(f"{key} must be true or false, not '{text}'.")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            number = "a whole number" if kind is int else "a number"
            raise UserError(f"{key} must be {number}, not '{text}'.") from error
    return text


def check_types(config: Any) -> None:
    """Raise UserError where a field's value is not of its annotated type or one of its choices."""
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        origin = get_origin(kind)
        if origin is Literal:
            if value not in get_args(kind):
                choices = ", ".join(map(str, get_args(kind)))
                raise UserError(f"{name} must be one of {choices}, not '{value}'.")
        elif kind is float:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UserError(f"{name} must be a number, not '{value}'.")
        else:
            plain = origin or kind
            if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
                raise UserError(f"{name} must be of type {plain.__name__}, not '{value}'.")


def check_text_length(config: Any, *names: str) -> None:
    """Raise UserError where one of these fields is too long to be shown on a card."""
    for name in names:
        if len(getattr(config, name)) > MAX_TEXT:
            raise UserError(f"{name} is longer than {MAX_TEXT} characters: shorten it.")


def check_palette(palette: list[Any]) -> None:
    """Raise UserError for what is no list of {"name", "color": "#rrggbb"}."""
    if len(palette) > MAX_COLOURS:
        raise UserError(f"The palette has more than {MAX_COLOURS} colours: take some out.")
    for label in palette:
        words = list(label.values()) if isinstance(label, dict) else []
        known = words and label.keys() == {"name", "color"}
        if not known or not all(isinstance(w, str) and len(w) <= MAX_TEXT for w in words):
            raise UserError("Each colour of the palette needs a name and a color, both as text.")
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", label["color"]):
            raise UserError("The colours of the palette must be of the form #rrggbb.")


def check_number_ranges(ranges: dict[str, Any], numbers: dict[str, Any]) -> None:
    """Raise UserError for what are no ranges {"source": [low, high], "target": ...}, or no numbers
    {"source": {"type": "float32", "channels": 1}, ...}."""
    for side, ends in ranges.items():
        good = isinstance(ends, (list, tuple)) and len(ends) == 2
        good = good and all(map(is_finite, ends))
        if side not in ("source", "target") or not good or not ends[0] < ends[1]:
            raise UserError("ranges must hold two numbers for source or target, the smaller first.")
    for side, kind in numbers.items():
        good = side in ("source", "target") and isinstance(kind, dict)
        good = good and isinstance(kind.get("type"), str) and kind["type"] in NUMBER_TYPES
        if not good or kind.get("channels") not in (1, 3):
            raise UserError("numbers must name a type, such as float32, and 1 or 3 channels.")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UserError unless ``low <= value <= high`` (NaN is outside)."""
    if not (is_finite(value) and low <= value <= high):
        raise UserError(f"{name} must be from {low} to {high}, not {value}.")


def checked_fields(cls: type, data: Any) -> dict[str, Any]:
    """Return ``data`` as keyword arguments of the dataclass ``cls``.

    Raises UserError for other keys.
    """
    if not isinstance(data, dict):
        raise UserError("config.json must hold an object with named fields.")
    unknown = sorted(set(map(str, data)) - {f.name for f in dataclasses.fields(cls)})
    if unknown:
        raise UserError(f"config.json has a field this version does not know: {unknown[0]}.")
    return data
