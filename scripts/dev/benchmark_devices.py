"""Visitors whose own engines draw: each fetches the page, its modules, the runtime and the model
once, as a browser with an empty cache does. Their pictures ask the server nothing."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx
import numpy as np

PATIENCE = 60.0  # seconds for a file
MODULE = re.compile(r"studio/web/\w+/pad\.js")
IMPORTS = re.compile(r"""from\s+"(\./\w+\.js)"|URL\("(\./\w+\.js)\"""")


@dataclass
class Browser:
    """What one visitor has fetched; `kept` are the files that may never be asked for again."""

    http: httpx.Client
    kept: dict[str, str] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)  # bytes of each answer as they were sent

    def get(self, address: str, is_page: bool = False) -> str:
        """Fetch a file as text, or take it from what is kept. Every file but the page itself must
        come with the right to keep it for ever; else RuntimeError."""
        if address in self.kept:
            return self.kept[address]
        answer = self.http.get(address)
        answer.raise_for_status()
        self.asked.append(answer.num_bytes_downloaded)
        is_immutable = "immutable" in answer.headers.get("cache-control", "")
        if is_immutable == is_page:
            raise RuntimeError(f"{address} has the wrong Cache-Control")
        is_text = "javascript" in answer.headers["content-type"]
        text = answer.text if is_text else ""
        if is_immutable:
            self.kept[address] = text
        return text

    def open_page(self, module: str, engine: dict) -> None:
        """Fetch what a visitor's first strokes fetch, Gradio's own files left out."""
        self.get("/", is_page=True)
        found = [f"/{module}"]
        for address in found:  # grows meanwhile
            names = [a or b for a, b in IMPORTS.findall(self.get(address))]
            found += [new for name in names if (new := urljoin(address, name)) not in found]
        files = [engine["graph"], engine["weights"]]
        files += [part["url"] for part in engine["runtime"]["wasm"].values()]
        for file in files:
            if not file.startswith("http"):  # else the runtime is the CDN's
                self.get(f"/{file}")


def draw_on_devices(url: str, pad: dict, visitors: int, seconds: float) -> tuple[dict, list[str]]:
    """Let so many visitors come whose own engines draw; return figures, and what went wrong. Each
    opens the page at the beginning, and once more when half the time is over."""
    props = pad["props"]
    module, engine = MODULE.search(props["js_on_load"])[0], props["value"]["engine"]
    browsers, ready, problems = [], [], []

    def visit() -> None:
        with httpx.Client(base_url=url, timeout=PATIENCE) as http:
            browsers.append(browser := Browser(http))
            started = time.monotonic()
            try:
                browser.open_page(module, engine)
                ready.append(time.monotonic() - started)
                time.sleep(max(0.0, started + seconds / 2 - time.monotonic()))
                browser.open_page(module, engine)
            except (httpx.HTTPError, RuntimeError) as error:
                problems.append(f"own engine: {error!r}"[:300])

    end = time.monotonic() + seconds
    threads = [threading.Thread(target=visit, daemon=True) for _ in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 10 * PATIENCE)
    time.sleep(max(0.0, end - time.monotonic()))
    asked = [len(browser.asked) for browser in browsers]
    if not ready or len({*asked}) > 1 or asked[0] != len(browsers[0].kept) + 2:
        problems.append(
            f"visitors fetched {sorted({*asked})} files: some failed, or one came twice"
        )
    return (
        {
            "requests_per_second": round(sum(asked) / seconds, 2),
            "requests_to_load": asked[0] - 1,  # of each; one more opens the page again
            "mb_to_load": round(sum(browsers[0].asked[:-1]) / 1e6, 2),
            "loaded_median_s": round(float(np.median(ready or [np.nan])), 2),
            "loaded_99th_percentile_s": round(float(np.percentile(ready or [np.nan], 99)), 2),
        },
        problems,
    )
