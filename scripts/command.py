"""What all commands have in common: how their work ends, and what they print last."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

from pix2pix.errors import UserError
from pix2pix.imaging.picture import set_pillow_limits


def answer(result: dict[str, Any], well: bool = True) -> int:
    """Print what a command has to say as one JSON object, its last line; returns the exit code, 1
    where something was refused or did not go `well`."""
    print(json.dumps(result))
    return 0 if well and not result.get("refused") else 1


def command(stopped: str = "Stopped.") -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Let a function that does a command's work end with 1 and a sentence on standard error for a
    UserError, an error of a disk, and Ctrl+C, for which it is `stopped`."""

    def decorate(work: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(work)
        def main(*words: Any) -> int:
            set_pillow_limits()
            try:
                return work(*words)
            except UserError as error:
                print(error, file=sys.stderr)
            except OSError as error:
                place = f"{error.filename} cannot be used: {error.strerror}."
                print(place if error.filename else error, file=sys.stderr)
            except KeyboardInterrupt:
                print(stopped, file=sys.stderr)
            return 1

        return main

    return decorate
