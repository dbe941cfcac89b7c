"""Running the application: a socket of our own, uvicorn on it, and an end that is quick."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import threadpoolctl
import uvicorn

from cutaway.errors import BadInput
from cutaway.server.security import LOOPBACK

DEFAULT_PORT = 8765
WILDCARDS = ("0.0.0.0", "::", "")


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket. `port` None: the default, or any free one where that is taken. Raises `BadInput`."""
    try:
        return _listen(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return _listen(host, 0)
        if error.errno == errno.EADDRINUSE:
            raise BadInput(
                f"port {port} on {host} is taken by another program; choose another, or leave --port out."
            ) from None
        raise BadInput(f"cannot listen on {host} port {port}: {error.strerror or error}; try 127.0.0.1.") from None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # said outright: asyncio turns off Nagle's delay (40 ms an answer) only on sockets that say they are TCP
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_for(host: str, allowed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What `Host` may say for a server on `host`: loopback's names, the address itself, for a wildcard this machine's
    own name, and what was `allowed` by hand."""
    names = [*LOOPBACK, *allowed]
    if host in WILDCARDS:
        names.append(socket.gethostname())
    else:
        names.append(f"[{host}]" if ":" in host else host)
    return tuple(dict.fromkeys(names))


def address(sock: socket.socket) -> str:
    """The address to open in a browser on this machine."""
    host, port = sock.getsockname()[:2]
    if host in WILDCARDS:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run(app: Any, sock: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serves `app` (from `create_app`) until Ctrl-C, which raises KeyboardInterrupt once all is closed. `on_ready` is
    called when requests are answered."""
    with half_of_the_cores():
        server_for(app, on_ready).run(sockets=[sock])


def half_of_the_cores() -> AbstractContextManager[Any]:
    """Leaves cores to the browser that draws: OpenBLAS' threads wait for one another, and where one of them has to
    share its core a pass takes several times as long as with half the threads."""
    threads = max(1, (os.cpu_count() or 2) // 2)
    known = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    limited: AbstractContextManager[Any] = threadpoolctl.threadpool_limits(min([threads, *known]), user_api="blas")
    return limited


def server_for(app: Any, on_ready: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """uvicorn, set up for this application."""
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
        ws="none",
    )
    return _Server(config, on_ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # first the work, so that what waits for it is answered and nothing is waited for
        app: Any = self.config.app
        app.state.cutaway.desk.close()
        await super().shutdown(sockets)
