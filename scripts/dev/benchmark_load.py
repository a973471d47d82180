"""Many at once: visitors who draw, batches, a slow line, all at the real app on this machine; and
then as many whose own engines draw.

Each visitor draws a picture of their own, stroke by stroke, with one request on its way at a time
as the page has it, and PAUSE seconds after each answer. Everybody must get what the app answered
for the same drawing while nobody else was there, byte for byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from gradio_client import Client, handle_file
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pix2pix.imaging.picture import data_url
from pix2pix.imaging.strokes import Stroke, draw_strokes
from scripts.dev.benchmark_devices import draw_on_devices
from scripts.examples.faces import example_faces

ROOT = Path(__file__).resolve().parents[2]
MODEL = "face-sketch"
SIDE = 256
STATES = 4  # of each drawing, from its first strokes to all of them
PAUSE = 0.3  # seconds from an answer to the next request of the same visitor
AGAIN = 1.0  # seconds until one who was refused asks again, as the page does
PATIENCE = 120.0  # seconds for an answer; the page has less, and what it would miss is counted
PAGE_PATIENCE = 20.0
LOOK_EVERY = 5.0  # seconds between two who open the page
BATCH = [(256, 256), (320, 200), (700, 500)]  # 1, 2 and 12 tiles
PIECE, PIECE_EVERY = 64, 0.05  # bytes and seconds of the slow line
BUSY = "Many people"


@dataclass
class Tally:
    """What came back, from all threads; appending to a list needs no lock."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, kind: str, seconds: float) -> None:
        self.seconds.setdefault(kind, []).append(seconds)


@dataclass(frozen=True)
class Server:
    """The app's address, and the number of the component that is the pad."""

    url: str
    pad: int

    def body(self, session: str, image: str) -> dict:
        """Return what the page sends for a drawing."""
        request = {"model": MODEL, "image": image, "seed": None}
        payload = {"component_id": self.pad, "fn_name": "translate", "session_hash": session}
        return {**payload, "data": request}

    def draw(self, browser: httpx.Client, session: str, image: str) -> dict:
        """Send a drawing and return what the page gets."""
        url = f"{self.url}/gradio_api/component_server"
        reply = browser.post(url, json=self.body(session, image))
        reply.raise_for_status()
        return reply.json()


def load(minutes: float, visitors: int, batches: int) -> tuple[dict[str, object], bool]:
    """Let visitors draw on the server, then as many on engines of their own, so many minutes each.
    Returns the figures of both, and whether everybody got the right answers."""
    with tempfile.TemporaryDirectory() as place, app_at(Path(place)) as (app, client):
        components = client.config["components"]
        pad = next(c for c in components if "translate" in (c["props"].get("server_fns") or []))
        server = Server(client.src.rstrip("/"), pad["id"])
        seconds = 60 * minutes
        result, wrong = draw_on_server(app, client, server, Path(place), seconds, visitors, batches)
        before = processor_seconds(app.pid)
        own, problems = draw_on_devices(server.url, pad, visitors, seconds)
        own["app_processors"] = round((processor_seconds(app.pid) - before) / seconds, 3)
    for problem in (*wrong[:20], *problems[:20]):
        print(problem, file=sys.stderr)
    return {**result, "own_engines": own}, not (wrong or problems)


def draw_on_server(
    app: subprocess.Popen,
    client: Client,
    server: Server,
    place: Path,
    seconds: float,
    visitors: int,
    batches: int,
) -> tuple[dict[str, object], list[str]]:
    """Return figures, and what went wrong."""
    people = [drawings(number) for number in range(visitors + 1)]
    alone = httpx.Client(timeout=PATIENCE)
    right = [[server.draw(alone, "alone", image)["image"] for image in p] for p in people]
    files = batch_files(place)
    expected = translated(client, files)
    tally, over, before = Tally(), threading.Event(), processor_seconds(app.pid)

    def start(name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
        return started(name, work, (*arguments, tally, over), tally, over)

    threads = [
        *(start(f"visitor {n}", visit, server, people[n], right[n]) for n in range(visitors)),
        *(start(f"batch {n}", batch, server.url, files, expected) for n in range(batches)),
        start("slow line", slow_line, server, people[-1][-1], right[-1][-1]),
        start("opening the page", open_page, server),
    ]
    memory, ended = watch_memory(app, seconds), time.monotonic()
    spent = processor_seconds(app.pid) - before
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    late = time.monotonic() - ended
    result = figures(tally, memory, seconds)
    result |= {"visitors": visitors, "batch_jobs": batches, "last_answer_after_s": round(late, 1)}
    result["app_processors"] = round(spent / seconds, 3)
    return result, [*tally.wrong, *tally.errors]


def started(
    name: str, work: Callable[..., None], arguments: tuple, tally: Tally, over: threading.Event
) -> threading.Thread:
    """Start a thread that does its work again and again until it is over, whatever fails."""

    def run() -> None:
        while not over.is_set():
            try:
                work(*arguments)
            except Exception as error:
                if not over.is_set():
                    tally.errors.append(f"{name}: {error!r}"[:300])
                    over.wait(AGAIN)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


# ------------------------------------------------------------------------------------ the app


@contextlib.contextmanager
def app_at(place: Path) -> Iterator[tuple[subprocess.Popen, Client]]:
    """Start the app in a process of its own; all that it writes lies below `place`."""
    folders = {"PIX2PIX_WORKSPACE": place / "workspace", "GRADIO_TEMP_DIR": place / "gradio"}
    (place / "temporary").mkdir()
    folders["TMPDIR"] = place / "temporary"
    environment = {**os.environ, "PIX2PIX_ON_DEVICE": "auto"}
    environment |= {name: str(folder) for name, folder in folders.items()}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, str(ROOT / "app.py"), "--port", port]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as app:
        try:
            yield app, connected(f"http://127.0.0.1:{port}", place)
        finally:
            app.kill()


def connected(url: str, place: Path) -> Client:
    """Return a client of the app as soon as that answers; its downloads lie below `place`."""
    for _ in range(300):
        with contextlib.suppress(OSError, ValueError, httpx.HTTPError):
            return Client(url, verbose=False, download_files=place / "downloads")
        time.sleep(0.2)
    raise SystemExit("The app did not start.")


# ------------------------------------------------------------------------------- who uses it


def drawings(number: int) -> list[str]:
    """One person's drawing as it grows, as PNG data URLs; no two people draw the same."""
    faces = list(example_faces().values())
    strokes = faces[number % len(faces)]
    x, y = np.random.default_rng(number).uniform(0.1, 0.9, 2)
    own = Stroke(0.01, ((0.02, 0.02), (float(x), 0.02 + 0.1 * float(y))))
    counts = [max(1, len(strokes) * (n + 1) // STATES) for n in range(STATES)]
    return [data_url(draw_strokes([own, *strokes[:count]], SIDE)) for count in counts]


def visit(server: Server, images: list[str], right: list[str], tally: Tally, over) -> None:
    """Draw until it is over."""
    session = secrets.token_hex(6)
    with httpx.Client(timeout=PATIENCE) as browser:
        while not over.is_set():
            for image, expected in zip(images, right):
                start = time.perf_counter()
                while (answer := server.draw(browser, session, image)).get("error"):
                    if BUSY not in answer["error"]:
                        raise RuntimeError(answer["error"])
                    tally.refused.append(session)
                    if over.wait(AGAIN):
                        return
                tally.add("drawings", time.perf_counter() - start)
                if answer["image"] != expected:
                    tally.wrong.append(f"{session} got another picture")
                if over.wait(PAUSE):
                    return


def batch_files(place: Path) -> list[Path]:
    """Pictures that the batches give."""
    rng = np.random.default_rng(1)
    files = []
    for number, (width, height) in enumerate(BATCH):
        files.append(place / f"given-{number}.png")
        pixels = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(files[-1])
    return files


def translated(client: Client, files: list[Path]) -> dict[str, bytes]:
    """One batch's pictures by name."""
    handles = [handle_file(file) for file in files]
    _, archive, _ = client.predict(handles, MODEL, "", "tiles", api_name="/translate_batch")
    with zipfile.ZipFile(archive) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def batch(url: str, files: list[Path], expected: dict[str, bytes], tally: Tally, over) -> None:
    client = connected(url, files[0].parent)
    while not over.is_set():
        started = time.perf_counter()
        pictures = translated(client, files)
        tally.add("batches", time.perf_counter() - started)
        if pictures != expected:
            tally.wrong.append(f"a batch of {len(pictures)} has other pictures")


def slow_line(server: Server, image: str, expected: str, tally: Tally, over) -> None:
    """Send a request a few bytes at a time, and read its answer as slowly."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps(server.body("slow", image)).encode()
    head = "POST /gradio_api/component_server HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    data, answer = head.encode() + body, b""
    started = time.perf_counter()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(PATIENCE)
        line.connect((host, int(port)))
        for start in range(0, len(data), PIECE):
            line.sendall(data[start : start + PIECE])
            if over.wait(PIECE_EVERY):
                return
        while more := line.recv(32 * PIECE):
            answer += more
            if over.wait(PIECE_EVERY):
                return
    tally.add("slow_lines", time.perf_counter() - started)
    reply = json.loads(answer.partition(b"\r\n\r\n")[2])
    if BUSY in reply.get("error", ""):
        tally.refused.append("slow")
    elif reply.get("image") != expected:
        tally.wrong.append("the slow line got another picture")


def open_page(server: Server, tally: Tally, over) -> None:
    """Someone new opens the page: its HTML, and a file that the server sends from a thread."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as browser:
        while not over.wait(LOOK_EVERY):
            started = time.perf_counter()
            for path in ("/", "/theme.css"):
                browser.get(path).raise_for_status()
            tally.add("pages", time.perf_counter() - started)


# -------------------------------------------------------------------------------- the figures


def processor_seconds(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


def watch_memory(app: subprocess.Popen, seconds: float) -> list[float]:
    """Resident MiB of the app's process, every second."""
    process, seen = psutil.Process(app.pid), []
    end = time.monotonic() + seconds
    while time.monotonic() < end and app.poll() is None:
        seen.append(process.memory_info().rss / 2**20)
        time.sleep(1.0)
    return seen


def figures(tally: Tally, memory: list[float], seconds: float) -> dict[str, object]:
    result: dict[str, object] = {"seconds": seconds}
    for kind, samples in sorted(tally.seconds.items()):
        result[f"{kind}_per_second"] = round(len(samples) / seconds, 2)
        result[f"{kind}_median_s"] = round(statistics.median(samples), 3)
        result[f"{kind}_99th_percentile_s"] = round(float(np.percentile(samples, 99)), 3)
    drawn = tally.seconds.get("drawings", [])
    asked = len(drawn) + len(tally.refused)
    warm = memory[len(memory) // 4 :]
    slope = np.polyfit(np.arange(len(warm)) / 60, warm, 1)[0] if len(warm) > 1 else 0.0
    return result | {
        "requests_per_second": round(asked / seconds, 2),  # for drawings alone
        "drawings_later_than_the_page_waits": sum(s > PAGE_PATIENCE for s in drawn),
        "refusals": len(tally.refused),
        "wrong_answers": len(tally.wrong),
        "errors": len(tally.errors),
        "memory_first_mib": round(memory[0]),
        "memory_last_mib": round(memory[-1]),
        "memory_most_mib": round(max(memory)),
        "memory_mib_per_minute_when_warm": round(float(slope), 2),
    }
