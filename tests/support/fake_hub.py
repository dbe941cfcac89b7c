"""A Hugging Face hub of one process, on the loopback address, that can be told to misbehave.

It answers what a download asks: ``/api/models/{repo}/revision/{revision}?blobs=true`` and ``GET|HEAD
/{repo}/resolve/{revision}/{file}`` with ETag, X-Repo-Commit, X-Linked-Size and byte ranges. Large files are listed
as on the hub, with the SHA-256 of LFS; small ones with git's SHA-1.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False  # listed for everybody, files only with a token, as on the hub
    lfs: tuple[str, ...] = (".safetensors", ".gguf", ".bin")
    corrupt: set[str] = field(default_factory=set)  # sent with a byte changed, though listed truly
    odd_names: list[str] = field(default_factory=list)  # listed beside the files


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    token: str | None


class FakeHub:
    """Set `repos`; read `requests`. Faults: `cut_after` (file -> bytes sent before the connection is cut, once),
    `cut_always`, `answers` (status codes that the next requests get), `ignore_ranges`, `login_page` (what a hotel's
    network answers), `hold` (file -> an event that
    the server waits for after the first half)."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.cut_after: dict[str, int] = {}
        self.cut_always = False
        self.answers: list[int] = []
        self.ignore_ranges = False
        self.login_page = False
        self.hold: dict[str, threading.Event] = {}
        self.half_sent = threading.Event()
        self.tokens = {"hf_good"}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def gets(self, file: str) -> list[Request]:
        return [each for each in self.requests if each.method == "GET" and each.path.endswith("/" + file)]

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeHub]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            for event in self.hold.values():
                event.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None: ...

            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_GET

        return Handler

    def _answer(self, http: BaseHTTPRequestHandler) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(http.path).path)
        token = (http.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.requests.append(Request(http.command, path, http.headers.get("Range"), token))
        if self.answers:
            status = self.answers.pop(0)
            return self._refuse(http, status, "")
        if self.login_page:
            page = b"<html>please log in</html>"
            http.send_response(200)
            http.send_header("Content-Length", str(len(page)))
            http.end_headers()
            http.wfile.write(page)
            return None
        if token is not None and token not in self.tokens:
            return self._refuse(http, 401, "", "Invalid credentials in Authorization header")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._list(http, match[1], match[2] or "main")
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._send(http, match[1], match[3], token)
        return self._refuse(http, 404, "")

    def _refuse(self, http: BaseHTTPRequestHandler, status: int, code: str, message: str = "") -> None:
        http.send_response(status)
        for name, value in (("X-Error-Code", code), ("X-Error-Message", message)):
            if value:
                http.send_header(name, value)
        http.send_header("Content-Length", "0")
        http.end_headers()

    def _list(self, http: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        repo = self.repos.get(name)
        if repo is None:
            return self._refuse(http, 401, "RepoNotFound")  # what the hub says to a caller without a token
        if revision not in ("main", repo.commit):
            return self._refuse(http, 404, "RevisionNotFound")
        siblings: list[dict[str, Any]] = [{"rfilename": odd, "size": 1, "blobId": "0" * 40} for odd in repo.odd_names]
        for file, content in repo.files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            sibling: dict[str, Any] = {"rfilename": file, "size": len(content), "blobId": git}
            if file.endswith(repo.lfs):
                sha256 = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(sibling)
        body = json.dumps(
            {
                "id": name,
                "modelId": name,
                "sha": repo.commit,
                "gated": "manual" if repo.gated else False,
                "private": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": siblings,
            }
        ).encode()
        http.send_response(200)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def _send(self, http: BaseHTTPRequestHandler, name: str, file: str, token: str | None) -> None:
        repo = self.repos.get(name)
        if repo is None:
            return self._refuse(http, 401, "RepoNotFound")
        if repo.gated and token is None:
            return self._refuse(http, 401, "GatedRepo")
        if file not in repo.files:
            return self._refuse(http, 404, "EntryNotFound")
        content = repo.files[file]
        if file in repo.corrupt:
            content = bytes([content[0] ^ 1]) + content[1:]
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", http.headers.get("Range") or "")
        if asked and not self.ignore_ranges:
            start = int(asked[1])
            if start >= len(content):
                return self._refuse(http, 416, "")
        http.send_response(206 if start else 200)
        http.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        http.send_header("X-Repo-Commit", repo.commit)
        http.send_header("X-Linked-Size", str(len(content)))
        http.send_header("Accept-Ranges", "bytes")
        if start:
            http.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        http.send_header("Content-Length", str(len(content) - start))
        http.end_headers()
        if http.command == "HEAD":
            return
        if file in self.cut_after:
            end = start + (self.cut_after[file] if self.cut_always else self.cut_after.pop(file))
            http.wfile.write(content[start:end])
            http.wfile.flush()
            http.close_connection = True
            http.connection.shutdown(2)
            return
        if file in self.hold:
            half = start + (len(content) - start) // 2
            http.wfile.write(content[start:half])
            http.wfile.flush()
            self.half_sent.set()
            self.hold[file].wait(20)
            start = half
        with contextlib.suppress(OSError):  # a client that was killed
            http.wfile.write(content[start:])
