"""Keep loaded translators for a server: by name, the newest few, loaded once for all who ask."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from pix2pix.errors import UserError
from pix2pix.models.folder import CONFIG, WEIGHTS, list_models
from pix2pix.models.translator import Translator


class TranslatorCache:
    """Loaded translators by name; the last few used stay in memory."""

    def __init__(
        self,
        folders: Callable[[], list[Path]],
        device: str = "auto",
        keep: int = 3,
        unlisted: Callable[[], list[Path]] = list,
    ) -> None:
        """`folders` hold the models; those in `unlisted` are found by whoever knows their name."""
        self.folders, self.device, self.keep, self.unlisted = folders, device, keep, unlisted
        self._loaded: dict[tuple[Path, int, int], Future[Translator]] = {}
        self._lock = threading.Lock()

    def models(self) -> dict[str, Path]:
        """List the models that everybody may see now: name -> folder."""
        return list_models(self.folders())

    def get(self, name: str) -> Translator:
        """Return the translator of a name; raises UserError for a name that no model has: people's
        words are no paths."""
        folder = self.models().get(name)
        if folder is None:
            folder = list_models(self.unlisted()).get(name)
            if folder is None:
                raise UserError(f"There is no model '{name[:80]}': choose one of the list.")
            with contextlib.suppress(OSError):
                os.utime(folder)  # it was used: others go first where room is made
        # A model that was published anew under its old name has newer files.
        try:
            weights, config = ((folder / file).stat().st_mtime_ns for file in (WEIGHTS, CONFIG))
        except OSError as error:
            raise UserError(f"The model '{name[:80]}' is gone: choose another.") from error
        key = folder, weights, config
        with self._lock:
            known = self._loaded.pop(key, None)
            translator = self._loaded[key] = known or Future()  # the newest at the end
            while len(self._loaded) > self.keep:
                del self._loaded[next(iter(self._loaded))]
        if not known:  # who asks for other models meanwhile does not wait
            try:
                translator.set_result(Translator.load(folder, self.device))
            except BaseException as error:
                with self._lock:
                    self._loaded.pop(key, None)
                translator.set_exception(error)
        return translator.result()
