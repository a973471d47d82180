"""A small Hub of our own: a server that speaks the part of the Hub's protocol that we use."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

READER, WRITER = "hf_readerSecret", "hf_writerSecret"
PAGE = 3  # files in one answer of the server's listing


class Hub:
    """Repositories as lists of commits, each {name: content}; keeps what it was asked."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}  # of repositories that were made through the API
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: dict[str, bool] = {}
        self.gated: set[str] = set()
        self.agreed: set[str] = set()  # tokens of those who accepted the terms
        self.blobs: dict[str, bytes] = {}  # uploaded by LFS
        self.large = 10**9  # bytes from which an upload goes by LFS
        self.forbidden = ""  # a file whose transfer answers 403
        self.broken = 0  # status with which the API answers all
        self.after_info = lambda: None
        self.ranges = 0  # bytes that were asked for by ranges
        self.listed: dict[str, int] = {}  # sizes that the listing tells wrongly
        self.asked: list[tuple[str, str, str]] = []  # method, path, authorization
        self.sent: list[list[dict]] = []  # lines of each commit

    def commit(self, repo: str, files: dict[str, bytes], private: bool = False) -> str:
        sha = hashlib.sha1(f"{repo} {len(self.commits.get(repo, []))}".encode()).hexdigest()
        self.commits.setdefault(repo, []).append((sha, files))
        self.private.setdefault(repo, private)
        return sha

    def files(self, repo: str = "ann/faces") -> dict[str, bytes]:
        return self.commits[repo][-1][1]

    def find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[repo][-1]
        return next((c for c in self.commits[repo] if c[0] == revision), None)

    def paths(self, pattern: str) -> list[str]:
        return [path for _, path, _ in self.asked if re.search(pattern, path)]

    def apply(self, repo: str, lines: list[dict]) -> str:
        self.sent.append(lines)
        files = dict(self.files(repo))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return self.commit(repo, files)


class Handler(BaseHTTPRequestHandler):
    """What datasets and models need of the Hub's protocol; large uploads by LFS, not by Xet."""

    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # head and content in one packet: two would wait for each other
    hub: Hub

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, content: bytes | dict | list = b"", **headers: str) -> None:
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that stopped amid a file
            super().handle()

    def may(self, repo: str) -> bool:
        """Answers itself where the repository may not be read."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in (READER, WRITER):
            self.answer(401, X_Error_Message="Invalid credentials in Authorization header")
        elif repo not in self.hub.commits or (self.hub.private[repo] and not token):
            self.answer(404 if token else 401, X_Error_Code="RepoNotFound")
        elif repo in self.hub.gated and token not in self.hub.agreed:
            self.answer(403, X_Error_Code="GatedRepo")
        else:
            return True
        return False

    def route(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.hub.asked.append((self.command, path, self.headers.get("Authorization", "")))
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.broken:
            return self.answer(self.hub.broken)
        for pattern, answer in ROUTES:
            if match := re.fullmatch(pattern, path):
                return answer(self, *match.groups())
        return self.answer(404, {"error": f"no route {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = route

    def info(self, repo: str, revision: str | None) -> None:
        if not self.may(repo):
            return
        found = self.hub.find(repo, revision or "main")
        if not found:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        self.answer(200, {"id": repo, "sha": found[0], "private": self.hub.private[repo]})
        self.hub.after_info()

    def auth_check(self, repo: str) -> None:
        if self.may(repo):
            self.answer(200)

    def paths_info(self, repo: str, revision: str) -> None:
        if not self.may(repo):
            return
        files = self.hub.find(repo, revision)[1]
        wanted = parse_qs(self.body.decode())["paths"]
        sizes = {name: len(files[name]) for name in wanted if name in files} | self.hub.listed
        about = {"type": "file", "oid": "0" * 40}
        self.answer(200, [{**about, "path": name, "size": size} for name, size in sizes.items()])

    def tree(self, repo: str, revision: str) -> None:
        if not self.may(repo):
            return
        revision, _, folder = revision.partition("/")
        files = self.hub.find(repo, revision)[1]
        if folder:
            files = {name: data for name, data in files.items() if name.startswith(f"{folder}/")}
        start = int(dict(re.findall(r"(cursor)=(\d+)", self.path)).get("cursor", 0))
        page = [
            {"type": "file", "path": name, "size": len(files[name]), "oid": "0" * 40}
            for name in sorted(files)[start : start + PAGE]
        ]
        folder = {"type": "directory", "path": "train", "oid": "0" * 40}
        more = {}
        if start + PAGE < len(files):
            address = f"http://{self.headers['Host']}{urlsplit(self.path).path}"
            more = {"Link": f'<{address}?recursive=true&cursor={start + PAGE}>; rel="next"'}
        self.answer(200, [folder, *page], **more)

    def resolve(self, repo: str, revision: str, name: str) -> None:
        if not self.may(repo):
            return
        if name == self.hub.forbidden:
            return self.answer(403)
        sha, files = self.hub.find(repo, revision)
        tag = hashlib.sha1(files[name]).hexdigest()
        headers = {"X_Repo_Commit": sha, "ETag": f'"{tag}"'}
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not part:
            return self.answer(200, files[name], **headers)
        first, last = int(part[1]), int(part[2])
        self.hub.ranges += last + 1 - first
        self.answer(206, files[name][first : last + 1], **headers)

    def create(self) -> None:
        wanted = json.loads(self.body)
        repo = f"{wanted['organization']}/{wanted['name']}"
        if self.headers["Authorization"] != f"Bearer {WRITER}":
            return self.answer(403, {"error": "no rights"})
        if repo in self.hub.commits:
            return self.answer(409, {"url": self.page(repo)})
        self.hub.kinds[repo] = wanted["type"]
        self.hub.commit(repo, {".gitattributes": b"*"}, wanted["visibility"] == "private")
        self.answer(200, {"url": self.page(repo)})

    def page(self, repo: str) -> str:
        return f"http://{self.headers['Host']}/{repo}"

    def preupload(self, repo: str) -> None:
        files = json.loads(self.body)["files"]
        modes = ["lfs" if file["size"] >= self.hub.large else "regular" for file in files]
        said = [
            {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            for file, mode in zip(files, modes)
        ]
        self.answer(200, {"files": said})

    def lfs_batch(self, repo: str) -> None:
        objects = json.loads(self.body)["objects"]
        base = f"http://{self.headers['Host']}/lfs/"
        actions = [
            {**wanted, "actions": {"upload": {"href": base + wanted["oid"]}}} for wanted in objects
        ]
        self.answer(200, {"transfer": "basic", "objects": actions})

    def lfs_put(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.blobs[oid] = self.body
        self.answer(200)

    def take_commit(self, repo: str) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        sha = self.hub.apply(repo, lines)
        self.answer(200, {"commitUrl": f"{self.page(repo)}/commit/{sha}", "commitOid": sha})


REPO = r"(\w+/[\w.-]+)"
API, FILES = rf"/api/(?:datasets|models)/{REPO}", rf"/(?:datasets/)?{REPO}"
ROUTES = [
    (rf"{API}(?:/revision/(.+))?", Handler.info),
    (rf"{API}/auth-check", Handler.auth_check),
    (rf"{API}/tree/(.+)", Handler.tree),
    (rf"{API}/paths-info/(\w+)", Handler.paths_info),
    (rf"{FILES}/resolve/(\w+)/(.+)", Handler.resolve),
    (r"/api/repos/create", Handler.create),
    (r"/api/validate-yaml", lambda self: self.answer(200, {})),
    (rf"{API}/preupload/main", Handler.preupload),
    (rf"{FILES}.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"/lfs/(\w+)", Handler.lfs_put),
    (rf"{API}/commit/main", Handler.take_commit),
]


@contextlib.contextmanager
def asking(endpoint: str) -> Iterator[None]:
    """Let the Hub's library ask another server than the Hub."""
    url = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url)
        yield


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A Hub without repositories, which this process asks meanwhile; `endpoint` is its address."""
    hub = Hub()
    handler = type("OneHub", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    with asking(hub.endpoint):
        yield hub
    server.shutdown()
    thread.join()
    server.server_close()
