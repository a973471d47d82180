"""Downloads from a server in this process that breaks off, forgets and lies as it is told."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.download import discard_download, download
from tests.support.models_and_servers import noise

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "download_dataset.py"
HALF = 40_000


@dataclass
class Answer:
    """How the server treats one request."""

    status: int = 0  # an error instead of the file
    cut: int | None = None  # so many bytes of the body, then the connection ends
    hold: bool = False  # ... but not before `release` is set
    length: bool = True  # whether the length is named
    short: bool = False  # the named length is that of the bytes before the cut
    range: str = ""  # a Content-Range that is not true


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.modified = body, '"one"', ""
        self.ranges, self.obeys_if_range = True, True
        self.plan: list[Answer] = []  # for the requests to come; then all goes well
        self.asked: list[tuple[str, str]] = []  # Range and If-Range of each request
        self.sent: list[int] = []  # body bytes of each answer
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/facades.tar.gz"

    def handle_error(self, *_: object) -> None:
        """Clients that are killed are meant."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        answer = server.plan.pop(0) if server.plan else Answer()
        asked, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        server.asked.append((asked, condition))
        if answer.status:
            return self.send_error(answer.status)
        same = condition in (server.etag, server.modified) or not server.obeys_if_range
        first = int(asked[6:-1]) if asked and server.ranges and same else 0
        if first and first >= len(server.body):
            return self.reply(416, answer, b"", f"bytes */{len(server.body)}")
        span = f"bytes {first}-{len(server.body) - 1}/{len(server.body)}" if first else ""
        self.reply(206 if first else 200, answer, server.body[first:], span)

    def reply(self, status: int, answer: Answer, body: bytes, span: str) -> None:
        server = self.server
        packs = "gzip" in self.headers.get("Accept-Encoding", "")  # as some do for who takes it
        body = gzip.compress(body) if packs else body
        self.send_response(status)
        headers = {"ETag": server.etag, "Last-Modified": server.modified}
        headers["Content-Range"] = answer.range or span
        headers["Content-Encoding"] = "gzip" if packs else ""
        named = body[: answer.cut] if answer.short else body
        headers["Content-Length"] = str(len(named)) if answer.length else ""
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        server.sent.append(len(body[: answer.cut]))
        self.wfile.write(body[: answer.cut])
        if answer.hold:
            server.release.wait(30)
        if answer.cut is not None or not answer.length:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def tar_gz(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def strip(seed: int) -> bytes:
    """An A|B picture as a PNG that does not compress."""
    file = io.BytesIO()
    noise(128, 64, seed=seed).save(file, "PNG")
    return file.getvalue()


PICTURES = {
    name: strip(seed)
    for seed, name in enumerate(["train/1.png", "train/2.png", "val/1.png", "test/1.png"])
}
ARCHIVE = tar_gz({f"facades/{name}": content for name, content in PICTURES.items()})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(ARCHIVE) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.release.set()
        server.shutdown()


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "new" / "facades.tar.gz"


def left(to: Path) -> list[str]:
    return sorted(file.name for file in to.parent.iterdir())


def arrived(to: Path) -> int:
    part = to.with_name(".facades.tar.gz.part")
    return part.stat().st_size if part.exists() else 0


def wait_until(condition: object, *arguments: object) -> None:
    deadline = time.monotonic() + 30
    while not condition(*arguments):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


# ---------------------------------------------------------------------- the transfer


def test_a_whole_file_arrives_with_progress_and_is_not_fetched_twice(server, to):
    heard = []
    sha256 = hashlib.sha256(ARCHIVE).hexdigest()
    done = download(
        *(server.url, to), size=len(ARCHIVE), sha256=sha256, on_progress=lambda *p: heard.append(p)
    )
    assert (done.bytes, done.resumed_from) == (len(ARCHIVE), 0)
    assert to.read_bytes() == ARCHIVE
    assert heard[0] == (0, len(ARCHIVE))
    assert heard[-1] == (len(ARCHIVE), len(ARCHIVE))
    assert heard == sorted(heard)
    assert download(server.url, to).resumed_from == len(ARCHIVE)
    assert len(server.asked) == 1
    discard_download(to)
    assert left(to) == []


def test_after_a_cut_only_the_rest_is_asked_for_and_sent(server, to):
    server.plan = [Answer(cut=HALF)]
    done = download(server.url, to, waits=[0])
    assert server.asked == [("", ""), (f"bytes={HALF}-", '"one"')]
    assert server.sent == [HALF, len(ARCHIVE) - HALF]
    assert to.read_bytes() == ARCHIVE
    assert done.resumed_from == 0  # all of it was fetched by this call


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, to):
    server.plan = [Answer(cut=HALF)]
    with pytest.raises(UserError, match="is kept"):
        download(server.url, to, waits=[])
    assert not to.exists()
    assert arrived(to) == HALF
    assert download(server.url, to).resumed_from == HALF
    assert sum(server.sent) == len(ARCHIVE)
    assert to.read_bytes() == ARCHIVE


def test_a_date_serves_where_there_is_no_etag(server, to):
    server.etag, server.modified = "", "Sun, 02 Sep 2018 15:58:00 GMT"
    server.plan = [Answer(cut=HALF)]
    download(server.url, to, waits=[0])
    assert server.asked[1] == (f"bytes={HALF}-", server.modified)
    assert to.read_bytes() == ARCHIVE


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_nothing_is_resumed_without_a_name_for_exactly_these_bytes(server, to, etag):
    server.etag = etag
    server.plan = [Answer(cut=HALF)]
    download(server.url, to, waits=[0])
    assert server.asked == [("", "")] * 2
    assert to.read_bytes() == ARCHIVE


def test_a_server_without_ranges_starts_over(server, to):
    server.ranges = False
    server.plan = [Answer(cut=HALF)]
    with pytest.raises(UserError):
        download(server.url, to, waits=[])
    assert download(server.url, to).resumed_from == 0
    assert server.sent == [HALF, len(ARCHIVE)]
    assert to.read_bytes() == ARCHIVE


@pytest.mark.parametrize("obeys_if_range", [True, False])
def test_a_file_that_changed_starts_over(server, to, obeys_if_range):
    server.plan = [Answer(cut=HALF)]
    with pytest.raises(UserError):
        download(server.url, to, waits=[])
    server.body, server.etag = bytes(reversed(ARCHIVE)), '"two"'
    server.obeys_if_range = obeys_if_range
    done = download(server.url, to, waits=[0])
    assert server.asked[1] == (f"bytes={HALF}-", '"one"')
    assert to.read_bytes() == server.body
    assert done.resumed_from == 0


def test_another_address_starts_over(server, to):
    server.plan = [Answer(cut=HALF)]
    with pytest.raises(UserError):
        download(server.url, to, waits=[])
    assert download(server.url + "?mirror", to).resumed_from == 0
    assert server.asked[1] == ("", "")
    assert to.read_bytes() == ARCHIVE


def test_an_answer_with_another_range_than_asked_is_not_appended(server, to):
    server.plan = [Answer(cut=HALF), Answer(range=f"bytes 7-9/{len(ARCHIVE)}")]
    download(server.url, to, waits=[0, 0])
    assert to.read_bytes() == ARCHIVE


def test_a_part_that_turns_out_to_be_whole_is_taken(server, to):
    server.plan = [Answer(length=False, hold=True)]
    with pytest.raises(Cancelled):
        download(server.url, to, should_stop=lambda: arrived(to) == len(ARCHIVE))
    assert download(server.url, to).resumed_from == len(ARCHIVE)  # the answer is 416
    assert server.asked[1][0] == f"bytes={len(ARCHIVE)}-"
    assert to.read_bytes() == ARCHIVE


def test_a_part_longer_than_the_file_starts_over(server, to):
    server.plan = [Answer(length=False, hold=True)]
    with pytest.raises(Cancelled):
        download(server.url, to, should_stop=lambda: arrived(to) == len(ARCHIVE))
    server.body = ARCHIVE[:HALF]
    assert download(server.url, to, waits=[0]).bytes == HALF
    assert to.read_bytes() == server.body


def test_a_length_that_the_server_does_not_name_is_no_hindrance(server, to):
    server.plan = [Answer(length=False)]
    assert download(server.url, to).bytes == len(ARCHIVE)
    assert to.read_bytes() == ARCHIVE


def test_a_stop_keeps_what_has_arrived(server, to):
    server.plan = [Answer(cut=HALF, hold=True)]
    with pytest.raises(Cancelled):
        download(server.url, to, should_stop=lambda: arrived(to) == HALF)
    assert download(server.url, to).resumed_from == HALF
    assert to.read_bytes() == ARCHIVE


def test_a_silent_server_is_asked_again(server, to):
    server.plan = [Answer(cut=HALF, hold=True)]
    said = []
    download(server.url, to, timeout=3, waits=[0], on_wait=said.append)
    assert said == ["127.0.0.1 does not answer: trying again in 0 s."]
    assert server.sent == [HALF, len(ARCHIVE) - HALF]
    assert to.read_bytes() == ARCHIVE


def test_errors_that_may_pass_are_waited_out_longer_and_longer(server, to):
    naps, said = [], []
    server.plan = [Answer(status=500), Answer(status=503)]
    download(server.url, to, waits=[1, 2, 4], pause=naps.append, on_wait=said.append)
    assert to.read_bytes() == ARCHIVE
    assert sum(naps) == 1 + 2
    assert max(naps) <= 0.5  # so that a stop is noticed
    assert said == [
        "127.0.0.1 answers with error 500: trying again in 1 s.",
        "127.0.0.1 answers with error 503: trying again in 2 s.",
    ]


def test_bytes_that_arrive_start_the_tries_anew(server, to):
    server.plan = [Answer(cut=HALF // 4) for _ in range(5)]
    download(server.url, to, waits=[0])
    assert to.read_bytes() == ARCHIVE


def test_a_server_that_always_starts_over_and_breaks_off_is_given_up(server, to):
    server.ranges = False
    server.plan = [Answer(cut=HALF) for _ in range(50)]
    with pytest.raises(UserError, match="breaks off the transfer, 3 times"):
        download(server.url, to, waits=[0, 0])
    assert len(server.asked) == 3


def test_a_server_that_sends_nothing_more_is_given_up(server, to):
    server.plan = [Answer(cut=HALF), *(Answer(cut=0, short=True) for _ in range(50))]
    with pytest.raises(UserError, match="3 times"):
        download(server.url, to, waits=[0, 0])
    assert len(server.asked) == 3
    assert arrived(to) == HALF


def test_a_server_that_is_away_is_named(to):
    with Server(b"") as away:
        pass
    with pytest.raises(UserError, match=r"127\.0\.0\.1 cannot be reached, 2 times"):
        download(away.url, to, waits=[0])
    assert left(to) == []


def test_a_missing_file_is_refused_at_once_and_leaves_nothing(server, to):
    server.plan = [Answer(status=404)]
    with pytest.raises(UserError, match="404 Not Found"):
        download(server.url, to)
    assert len(server.asked) == 1
    assert left(to) == []


def test_a_wrong_checksum_deletes_the_file(server, to):
    right = hashlib.sha256(ARCHIVE).hexdigest()
    with pytest.raises(UserError, match=f"{right} where {'0' * 64} was expected: it was deleted"):
        download(server.url, to, sha256="0" * 64)
    assert left(to) == []
    download(server.url, to)
    with pytest.raises(UserError, match="it was deleted"):  # also when it is there already
        download(server.url, to, sha256="0" * 64)
    assert left(to) == []


def test_a_length_other_than_the_published_one_is_refused_before_the_transfer(server, to):
    with pytest.raises(UserError, match=f"{len(ARCHIVE):,} bytes where 12,345 were published"):
        download(server.url, to, size=12_345)
    assert left(to) == []


def test_a_disk_without_room_is_noticed_before_the_transfer(server, to, monkeypatch):
    free = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(UserError, match="free some space"):
        download(server.url, to)
    assert left(to) == []


def test_two_at_once_do_not_write_one_file(server, to):
    server.plan = [Answer(cut=HALF, hold=True)]
    first = threading.Thread(target=download, args=(server.url, to), kwargs={"waits": [0]})
    first.start()
    wait_until(lambda: arrived(to) == HALF)
    with pytest.raises(UserError, match="another program"):
        download(server.url, to)
    server.release.set()
    first.join()
    assert to.read_bytes() == ARCHIVE


@pytest.mark.parametrize(
    "url", ["facades.tar.gz", "ftp://host/a", "file:///etc/passwd", "http://host:port/a"]
)
def test_what_is_no_web_address_is_refused(to, url):
    with pytest.raises(UserError, match="no address"):
        download(url, to)
    assert not to.parent.exists()


# ---------------------------------------------------------------------- the command


def command(server: Server, out: Path, *more: str) -> list[str]:
    words = [sys.executable, SCRIPT, "facades", "--from", server.url, "--out", out, *more]
    return list(map(str, words))


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def assert_dataset(folder: Path) -> None:
    for name, content in PICTURES.items():
        assert (folder / name).read_bytes() == content


def test_the_command_ends_with_a_dataset_and_nothing_else(server, tmp_path):
    out = tmp_path / "houses"
    done = run(command(server, out))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        **{"dataset": str(out), "pairs": 4, "train": 2, "val": 1, "test": 1},
        **{"bytes": len(ARCHIVE), "resumed_from": 0},
    }
    assert "facades.tar.gz: 100%" in done.stderr
    assert "licence" in done.stderr
    assert_dataset(out)
    assert [file.name for file in tmp_path.iterdir()] == ["houses"]
    again = run(command(server, out))
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr
    assert len(server.asked) == 1


def ended_by(victim: subprocess.Popen, blow: signal.Signals) -> str:
    """What it said in the end. Python swallows an interrupt that falls into a destructor: then a
    person presses Ctrl+C again."""
    for _ in range(5):
        victim.send_signal(blow)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return victim.communicate(timeout=10)[1]
    victim.kill()
    pytest.fail(f"{blow.name} did not end it")


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process on Windows")
def test_interrupted_and_then_killed_the_same_command_finishes_byte_for_byte(server, tmp_path):
    out = tmp_path / "facades"
    words = command(server, out, "--keep-archive")
    server.plan = [Answer(cut=HALF, hold=True), Answer(cut=HALF, hold=True)]
    for number, blow in enumerate([signal.SIGINT, signal.SIGKILL], 1):
        victim = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        wait_until(lambda n=number: arrived(out) == n * HALF)
        said = ended_by(victim, blow)
        assert victim.returncode == (1 if blow == signal.SIGINT else -signal.SIGKILL)
        assert ("the same command goes on" in said) == (blow == signal.SIGINT)
        assert "Traceback" not in said
    assert arrived(out) == 2 * HALF
    done = run(words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["resumed_from"] == 2 * HALF
    assert [asked for asked, _ in server.asked] == ["", f"bytes={HALF}-", f"bytes={2 * HALF}-"]
    assert server.sent[-1] == len(ARCHIVE) - 2 * HALF
    assert (tmp_path / "facades.tar.gz").read_bytes() == ARCHIVE
    assert_dataset(out)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["facades", "facades.tar.gz"]


def test_an_archive_that_waits_to_be_unpacked_is_not_fetched_again(server, tmp_path):
    download(server.url, tmp_path / ".facades.tar.gz")  # as if killed while unpacking
    done = run(command(server, tmp_path / "facades"))
    assert json.loads(done.stdout.splitlines()[-1])["resumed_from"] == len(ARCHIVE)
    assert len(server.asked) == 1
    assert_dataset(tmp_path / "facades")
    assert [file.name for file in tmp_path.iterdir()] == ["facades"]


def test_a_hostile_archive_is_refused_and_deleted(server, tmp_path):
    server.body = tar_gz({"facades/train/1.png": strip(0), "facades/../../evil.png": strip(1)})
    done = run(command(server, tmp_path / "in" / "facades"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "evil.png" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


def test_what_an_author_wrote_of_files_left_out_may_be_anything(server, tmp_path):
    said = ["old.png", {"file": "a\x1b[2J.png", "reason": ["blank"]}, {"file": 3}, None]
    about = {"facades/dataset.json": json.dumps({"refused": said}).encode()}
    server.body = tar_gz({f"facades/{name}": content for name, content in PICTURES.items()} | about)
    done = run(command(server, tmp_path / "facades"))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("left out")] == [
        "left out a?[2J.png: ['blank']", "left out 3: ?"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words", [[], ["faces"], ["maps", "--from", "ftp://a/b"], ["maps", "--sha256", "12"]]
)
def test_wrong_arguments_are_told_apart(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2


def test_the_list_names_every_set_with_its_size():
    done = run([sys.executable, str(SCRIPT), "--list"])
    heads = [line.split("  ") for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert heads == [
        *(["facades", "30.2 MB"], ["maps", "250.2 MB"], ["cityscapes", "103.4 MB"]),
        *(["edges2shoes", "about 2.1 GB"], ["edges2handbags", "about 8.6 GB"]),
        ["night2day", "about 2.0 GB"],
        *([f"hub:huggan/{name}"] for name in ("facades", "maps", "edges2shoes", "night2day")),
    ]
    assert done.stdout.count("licence") == 10
