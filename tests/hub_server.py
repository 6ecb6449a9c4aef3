"""A small Hub on this machine: enough of its HTTP interface for huggingface_hub to fetch and to publish."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "1" * 40


@dataclass
class Hub:
    """Files by repository and name, and what was asked of it."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuses: bool = False
    """Whether it forbids whatever is to be written."""

    def add_folder(self, repository: str, folder: Path) -> None:
        self.files[repository] = {path.name: path.read_bytes() for path in folder.iterdir()}

    def written(self) -> list[str]:
        return [request for request in self.requests if not request.startswith(("GET", "HEAD"))]


@contextmanager
def running_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """Runs a Hub, points huggingface_hub to it and gives it an empty cache."""
    from huggingface_hub import constants

    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._serve_file()

        def do_GET(self) -> None:
            self._serve_file()

        def do_POST(self) -> None:
            hub.requests.append(f"POST {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if hub.refuses:
                self._answer(403, b"")
            elif self.path == "/api/repos/create":
                name = "{organization}/{name}".format(**json.loads(body))
                hub.files.setdefault(name, {})
                self._answer(200, json.dumps({"url": f"{hub.address}/{name}", "id": name}).encode())
            elif self.path == "/api/validate-yaml":
                self._answer(200, json.dumps({"errors": [], "warnings": []}).encode())
            elif "/preupload/" in self.path:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for file in json.loads(body)["files"]
                ]
                self._answer(200, json.dumps({"files": files}).encode())
            else:
                self._commit(body)

        def _commit(self, body: bytes) -> None:
            repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    hub.files[repository][entry["value"]["path"]] = content
            url = f"{hub.address}/{repository}/commit/{COMMIT}"
            self._answer(200, json.dumps({"commitUrl": url, "commitOid": COMMIT, "success": True}).encode())

        def _serve_file(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            repository, _, rest = self.path.strip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            if self.path == "/":
                self._answer(200, b"a hub")
            elif self.path.removeprefix("/api/models/") in hub.files:
                self._answer(200, json.dumps({"sha": COMMIT, "siblings": [], "id": "x/y"}).encode())
            elif repository not in hub.files:
                self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif revision not in ("main", COMMIT):
                self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            elif name not in hub.files[repository]:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            else:
                content = hub.files[repository][name]
                etag = hashlib.sha256(content).hexdigest()
                self._answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    return Handler
