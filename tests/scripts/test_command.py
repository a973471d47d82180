"""How every command ends: one JSON object and an exit code, or a sentence and never a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pix2pix.errors import UserError
from scripts.command import answer, command


def interrupted() -> int:
    raise KeyboardInterrupt


def refusing() -> int:
    raise UserError("Give another folder.")


def without_a_card() -> int:
    return len(Path("/nowhere/card.md").read_text())


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (interrupted, "Stopped: nothing was written."),
        (refusing, "Give another folder."),
        (without_a_card, "/nowhere/card.md cannot be used: No such file or directory."),
    ],
)
def test_what_ends_a_command_early_is_a_sentence(
    work: Callable[[], int], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    assert command(stopped="Stopped: nothing was written.")(work)() == 1
    assert capsys.readouterr() == ("", f"{sentence}\n")


@pytest.mark.parametrize(
    ("result", "well", "code"),
    [({"pairs": 1, "refused": []}, True, 0), ({"refused": ["x"]}, True, 1), ({}, False, 1)],
)
def test_the_last_line_is_an_object_and_the_code_says_whether_all_went_well(
    result: dict, well: bool, code: int, capsys: pytest.CaptureFixture
) -> None:
    assert answer(result, well) == code
    assert json.loads(capsys.readouterr().out) == result
