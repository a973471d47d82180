"""Download one large file over HTTP: a broken transfer goes on where it stopped.

While ``NAME`` is on its way its folder holds ``.NAME.part``, what has arrived, and
``.NAME.part.json``, which says of which file of which server that is the beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.files import hold_lock, read_json_object, write_json
from pix2pix.utils.progress import Progress, ShouldStop

RETRY_WAITS = (1, 2, 4, 8, 16, 30)  # seconds before each further try
RETRY_STATUSES = {408, 425, 429, 500, 502, 503, 504}  # answers that may be different in a moment


@dataclass(frozen=True)
class Download:
    """Size of the whole file, and how much of it an earlier try had fetched, in bytes."""

    bytes: int
    resumed_from: int


class ConnectionLost(Exception):
    """The transfer broke in a way that another request may mend; says what the server did."""


def download(
    url: str,
    to: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
    on_wait: Callable[[str], None] = lambda sentence: None,
    waits: Sequence[float] = RETRY_WAITS,
    timeout: float = 30.0,
    pause: Callable[[float], None] = time.sleep,
) -> Download:
    """Fetch ``url`` as the file ``to``; called again with the same two it goes on, or has nothing
    to do. ``discard_download(to)`` ends that.

    ``size`` in bytes and ``sha256`` in hex are those of the right file, where they are known.
    ``on_progress`` gets bytes, with a total of 0 while it is unknown. After a passing failure the
    transfer tells ``on_wait`` why and waits for the next of ``waits`` seconds; whatever arrives
    starts them anew. ``timeout`` is the longest silence of the server in seconds.
    Raises UserError and Cancelled, which both keep what has arrived (but a file with the wrong
    checksum is deleted), and OSError where it cannot be written.
    """
    host = url_host(url)
    to.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(to):
        part = _Part(url, host, to, size, should_stop, on_progress)
        if not part.placed:
            # A new connection for each try: one that the server has closed would fail it unheard.
            fresh = httpx.Limits(max_keepalive_connections=0)
            with httpx.Client(timeout=timeout, limits=fresh, follow_redirects=True) as client:
                _fetch(part, client, waits, on_wait, pause)
        if sha256:
            _verify_checksum(part, sha256.lower())
        part.place()
        return Download(to.stat().st_size, part.kept)


@contextlib.contextmanager
def _only_one(to: Path) -> Iterator[None]:
    """Let one program at a time fetch a file; where nothing came, nothing is left behind."""
    name = to.name.lstrip(".")
    busy = f"{name} is being downloaded by another program: wait until it is done."
    with hold_lock(_sidecar(to, ".lock"), busy):
        try:
            yield
        finally:
            if not (to.exists() or _sidecar(to, ".part").exists()):
                discard_download(to)


def discard_download(to: Path) -> None:
    """Delete the file of a download with all that belongs to it, finished or not."""
    for path in (to, *(_sidecar(to, end) for end in (".part", ".part.json", ".lock"))):
        with contextlib.suppress(FileNotFoundError, PermissionError):  # Windows keeps open files
            path.unlink()


class _Part:
    """What has arrived of the file at ``url``, on its way or ``placed`` as ``to``, and how the rest
    is asked for.

    ``validator`` is the ETag or date by which the server tells whether the file is still the same
    ("" where it names none: nothing can be resumed then) and ``total`` the length in bytes.
    ``kept`` is what an earlier try had fetched; it falls to 0 when the transfer starts over.
    """

    def __init__(
        self, url: str, host: str, to: Path, size: int | None, should_stop: ShouldStop,
        on_progress: Progress,
    ) -> None:  # fmt: skip
        self.url, self.host, self.to, self.size = url, host, to, size
        self.should_stop, self.on_progress = should_stop, on_progress
        self.path, self.note = _sidecar(to, ".part"), _sidecar(to, ".part.json")
        note = read_json_object(self.note)
        if note.get("url") != url:
            self.path.unlink(missing_ok=True)
            note = {}
        self.validator, self.total = note.get("validator", ""), note.get("total")
        self.placed = note.get("placed", False) and to.exists()
        self.kept = to.stat().st_size if self.placed else self.length()

    def length(self) -> int:
        """Return the bytes that have arrived and are not placed yet."""
        return self.path.stat().st_size if self.path.exists() else 0

    def is_complete(self) -> bool:
        """Return whether all bytes have arrived; False while their number is unknown."""
        return self.path.exists() and self.length() == self.total

    def begin(self, validator: str, total: int | None) -> None:
        """Start over with the file that the server has now."""
        # First the bytes go, then the note changes: a crash between leaves no bytes of one file
        # under the name of another.
        self.path.unlink(missing_ok=True)
        self.validator, self.total, self.kept = validator, total, 0
        self.write_note()

    def place(self) -> None:
        """Give the file its name, once. Raises OSError."""
        if not self.placed:
            os.replace(self.path, self.to)
            self.placed = True
            self.write_note()

    def write_note(self) -> None:
        """Write which file this is the beginning of. Raises OSError."""
        names = ("url", "validator", "total", "placed")
        write_json(self.note, {name: getattr(self, name) for name in names})

    def ask(self, client: httpx.Client) -> None:
        """Ask for what is missing; raises ConnectionLost where another try may bring the rest."""
        # The file as it is: how many bytes of a packed answer have arrived says nothing about it.
        headers = {"Accept-Encoding": "identity", "User-Agent": "pix2pix-studio"}
        if self.validator and self.length():
            headers |= {"Range": f"bytes={self.length()}-", "If-Range": self.validator}
        try:
            with client.stream("GET", self.url, headers=headers) as response:
                self._open(response)
                if not self.is_complete():
                    self._receive(response)
        except httpx.TimeoutException:
            raise ConnectionLost("does not answer") from None
        except (httpx.ConnectError, httpx.ProxyError):
            raise ConnectionLost("cannot be reached") from None
        except httpx.RequestError:
            raise ConnectionLost("breaks off the transfer") from None

    def _open(self, response: httpx.Response) -> None:
        """Bring the part to where the response's body begins. Raises ConnectionLost for an answer
        that may be another in a moment, and UserError for one that says no, or for a file of
        another size than was published, or than the disk holds."""
        code = response.status_code
        if code == 200:
            length = response.headers.get("Content-Length", "")
            self.begin(_validator(response), int(length) if length.isdigit() else None)
        elif code in (206, 416):
            start, total = _content_range(response)
            if code == 416 and total == self.length():  # nothing is missing
                start = total
            if start != self.length() or _validator(response) not in ("", self.validator):
                self.begin("", None)
                raise ConnectionLost("has another file now")
            if self.total is None and total is not None:
                self.total = total
                self.write_note()
        elif code in RETRY_STATUSES:
            raise ConnectionLost(f"answers with error {code}")
        else:
            reason = f"{code} {response.reason_phrase}".strip()
            raise UserError(f"{self.host} does not give {self.url} ({reason}): try another one.")
        if self.size is not None and self.total not in (None, self.size):
            raise UserError(
                f"{self.host} offers a file of {self.total:,} bytes where {self.size:,} were "
                "published: it is not the same file, so try another address."
            )
        missing, free = (self.total or 0) - self.length(), shutil.disk_usage(self.to.parent).free
        if missing > free:
            raise UserError(
                f"{format_size(missing)} are still to come and {self.to.parent} has room for "
                f"{format_size(free)}: free some space or choose another folder."
            )

    def _receive(self, response: httpx.Response) -> None:
        """Append the response's body. Raises Cancelled, ConnectionLost where it ends too early, and
        OSError."""
        done = self.length()
        self.on_progress(done, self.total or 0)
        with self.path.open("ab") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                file.flush()  # what has arrived outlives this process
                done += len(chunk)
                self.on_progress(done, self.total or 0)
                if self.should_stop():
                    raise Cancelled
        if self.total is None:  # the server named no length, and closed in good order
            self.total = done
            self.write_note()
        if done != self.total:
            raise ConnectionLost("breaks off the transfer")


def _fetch(
    part: _Part,
    client: httpx.Client,
    waits: Sequence[float],
    on_wait: Callable[[str], None],
    pause: Callable[[float], None],
) -> None:
    """Ask until the part is whole; raises UserError after too many tries in vain."""
    tries, best = 0, part.length()
    while not part.is_complete():
        if part.should_stop():
            raise Cancelled
        try:
            part.ask(client)
        except ConnectionLost as cut:
            # A server that always starts over and always breaks off gets no nearer: only more
            # bytes than ever before count as progress.
            if part.length() > best:
                best, tries = part.length(), 0
            if tries == len(waits):
                raise UserError(
                    f"{part.host} {cut}, {tries + 1} times in a row: what has arrived is kept, so "
                    "try again later."
                ) from None
            wait = waits[tries]
            on_wait(f"{part.host} {cut}: trying again in {wait:g} s.")
            while wait > 0 and not part.should_stop():  # in naps, to notice a stop
                pause(min(wait, 0.5))
                wait -= 0.5
            tries += 1


def _verify_checksum(part: _Part, sha256: str) -> None:
    """Delete the file and raise UserError where this is not its SHA-256."""
    digest = hashlib.sha256()
    with (part.to if part.placed else part.path).open("rb") as file:
        while block := file.read(1 << 20):
            if part.should_stop():
                raise Cancelled
            digest.update(block)
    if digest.hexdigest() != sha256:
        discard_download(part.to)
        raise UserError(
            f"The file from {part.host} has the SHA-256 {digest.hexdigest()} where {sha256} was "
            "expected: it was deleted, so try again or choose another address."
        )


def url_host(url: str) -> str:
    """Return the host of an address; raises UserError unless it is http or https."""
    with contextlib.suppress(httpx.InvalidURL):
        host = httpx.URL(url).host
        if host and url.lower().startswith(("http://", "https://")):
            return host
    raise UserError(f"{url} is no address of a file: give one that begins with http://.")


def _validator(response: httpx.Response) -> str:
    """Return what identifies the file later: a strong ETag, else its date, else nothing."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak one does not promise equal bytes
        return etag
    return response.headers.get("Last-Modified", "")


def _content_range(response: httpx.Response) -> tuple[int, int | None]:
    """Parse ``Content-Range: bytes 5-9/10`` as (first byte, total); -1 and None where not given."""
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    return int(first) if first.isdigit() else -1, int(total) if total.isdigit() else None


def _sidecar(to: Path, end: str) -> Path:
    """Name the hidden file beside `to` that ends so: `a.zip`, ".part" -> `.a.zip.part`."""
    return to.with_name(f".{to.name.lstrip('.')}{end}")


def format_size(count: int) -> str:
    """Format bytes for people: 30.2 MB, 8.6 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
