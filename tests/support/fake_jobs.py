"""A small Hub of ours with a private bucket and jobs, whose storage is a folder of this machine."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from huggingface_hub import HfApi

OWNER, READER = "hf_ownerSecret", "hf_readerSecret"
BUCKET = "ann/work"
HARDWARE = {
    "name": "t4-small", "prettyName": "Nvidia T4 - small", "cpu": "4 vCPU", "ram": "15 GB",
    "accelerator": {"type": "gpu", "model": "T4", "quantity": "1", "vram": "16 GB",
                    "manufacturer": "Nvidia"},
    "unitCostMicroUSD": 6667, "unitCostUSD": 0.006667, "unitLabel": "minute",
}  # fmt: skip
BASIC = {**HARDWARE, "name": "cpu-basic", "prettyName": "CPU Basic", "accelerator": None}
BASIC |= {"unitCostUSD": 0.01, "unitLabel": "hour"}


class FakeHub(ThreadingHTTPServer):
    """Keeps what it is asked, the bucket's files by their hashes, and the jobs."""

    def __init__(self, storage: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.storage = storage
        self.asked: list[tuple[str, str, str]] = []  # method, path, authorization
        self.sent: list[bytes] = []  # bodies
        self.buckets: dict[str, bool] = {}  # name -> private
        self.files: dict[str, str] = {}  # path -> hash
        self.sizes: dict[str, int] = {}  # hash -> bytes
        self.jobs: dict[str, dict] = {}  # id -> what was asked for
        self.status = {"stage": "SCHEDULING", "message": None}
        self.ran = 5  # seconds
        self.refuse: dict[str, int] = {}  # part of a path -> status
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.url, token=OWNER)

    def paths(self, method: str) -> list[str]:
        return [path for asked, path, _ in self.asked if asked == method]

    def prefix(self) -> str:
        """The folder of the newest job in the bucket."""
        return list(self.jobs.values())[-1]["volumes"][0]["path"]

    def put(self, folder: Path, top: str = "run") -> None:
        """What the job does: a folder's files go into the bucket, gone ones leave it."""
        top = f"{self.prefix()}/{top}"
        files = {f"{top}/{f.relative_to(folder)}": f for f in folder.rglob("*") if f.is_file()}
        gone = [name for name in self.files if name.startswith(f"{top}/") and name not in files]
        self.api.batch_bucket_files(
            BUCKET, add=[(file, name) for name, file in files.items()], delete=gone
        )

    def read(self, name: str) -> bytes:
        return self.content(self.files[name])

    def content(self, digest: str) -> bytes:
        from hf_xet import XetFileInfo
        from huggingface_hub.utils._xet import get_xet_session

        address = f"{self.url}/api/buckets/{BUCKET}/xet-read-token"
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "file")
            with get_xet_session().new_file_download_group(
                token_refresh_url=address, token_refresh_headers={}, custom_headers={}
            ) as group:
                group.start_download_file(XetFileInfo(digest, None), file)
            return Path(file).read_bytes()

    def info(self, job: str) -> dict:
        owner = {"id": "1", "name": "ann", "type": "user"}
        durations = {"schedulingSecs": 1, "runningSecs": self.ran, "totalSecs": 1 + self.ran}
        return {"id": job, "owner": owner, "status": self.status, "durations": durations}


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *args: object) -> None:
        pass

    def route(self) -> None:
        hub, path = self.server, unquote(self.path.partition("?")[0])
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/xet-" in path:
            expires = int(time.time()) + 3600
            storage = {"casUrl": f"local://{hub.storage}", "exp": expires, "accessToken": "x"}
            return self.answer(200, storage)
        hub.asked.append((self.command, path, token))
        hub.sent.append(body)
        refused = next((status for part, status in hub.refuse.items() if part in path), 0)
        writes = self.command == "POST" and token == READER
        if refused or writes or token not in (OWNER, READER):
            return self.answer(refused or (403 if writes else 401), {"error": "no"})
        kind, *rest = path.removeprefix("/api/").removeprefix("/").split("/")
        return getattr(self, f"{kind}_{self.command.lower()}")(rest, body)

    do_GET = do_POST = do_HEAD = route

    def jobs_get(self, rest: list[str], body: bytes) -> None:
        if rest == ["hardware"]:
            return self.answer(200, [HARDWARE, BASIC])
        if rest[1] not in self.server.jobs:
            return self.answer(404, {"error": "no such job"})
        return self.answer(200, self.server.info(rest[1]))

    def jobs_post(self, rest: list[str], body: bytes) -> None:
        hub = self.server
        if rest[-1] == "cancel":
            hub.status = {"stage": "CANCELED", "message": None}
            return self.answer(200, {})
        job = f"job{len(hub.jobs)}"
        hub.jobs[job] = json.loads(body)
        hub.status = {"stage": "SCHEDULING", "message": None}
        return self.answer(200, hub.info(job))

    def buckets_get(self, rest: list[str], body: bytes) -> None:
        hub, name = self.server, "/".join(rest[:2])
        if name not in hub.buckets:
            return self.answer(404, {"error": "no bucket"}, X_Error_Code="RepoNotFound")
        if "tree" not in rest:
            made = "2026-01-01T00:00:00.000Z"
            numbers = {"size": 0, "totalFiles": 0, "createdAt": made}
            return self.answer(200, {"id": name, "private": hub.buckets[name], **numbers})
        top = "/".join(rest[3:])
        found = {path: digest for path, digest in hub.files.items() if path.startswith(top)}
        for digest in found.values():
            if digest not in hub.sizes:
                hub.sizes[digest] = len(hub.content(digest))
        entries = [
            {"type": "file", "path": path, "size": hub.sizes[digest], "xetHash": digest}
            for path, digest in found.items()
        ]
        return self.answer(200, [{"type": "directory", "path": top}, *entries])

    def buckets_post(self, rest: list[str], body: bytes) -> None:
        hub, name = self.server, "/".join(rest[:2])
        if rest[2:] == ["batch"]:
            for line in map(json.loads, body.splitlines()):
                if line["type"] == "deleteFile":
                    del hub.files[line["path"]]
                else:
                    hub.files[line["path"]] = line["xetHash"]
            return self.answer(200, {})
        status = 409 if name in hub.buckets else 200
        hub.buckets.setdefault(name, json.loads(body).get("visibility") == "private")
        return self.answer(status, {"url": f"{hub.url}/buckets/{name}"})

    def buckets_head(self, rest: list[str], body: bytes) -> None:
        hub, path = self.server, "/".join(rest[3:])
        route = f"{hub.url}/api/buckets/{BUCKET}/xet-read-token"
        headers = {"X_Xet_Hash": hub.files[path], "X_Xet_Refresh_Route": route}
        return self.answer(200, {}, **headers, X_Linked_Size="1")

    def answer(self, status: int, content: object, **headers: str) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
