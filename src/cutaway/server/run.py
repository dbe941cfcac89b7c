"""Running the application: a socket of our own, uvicorn on it, and an end that is quick."""

from __future__ import annotations

import contextlib
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
from cutaway.kernels import native
from cutaway.server.security import LOOPBACK

DEFAULT_PORT = 8765
# Bytes of a request's head. The page's address holds the text, the changes and what they take from other texts: a
# link to 4,000 tokens has 25,000 bytes, in other scripts three times as many.
MOST_HEAD = 256 << 10
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
        sock.listen(1024)  # a class opens its pages in the same second
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


def address(sock: socket.socket, token: str | None = None) -> str:
    """The address to open in a browser on this machine."""
    host, port = sock.getsockname()[:2]
    return _address("127.0.0.1" if host in WILDCARDS else host, port, token)


def address_for_others(sock: socket.socket, token: str | None = None) -> str | None:
    """The address that others on this network open, for a server that listens on every address. None where this
    machine is on no network."""
    host, port = sock.getsockname()[:2]
    if host not in WILDCARDS:
        return None
    with socket.socket(sock.family, socket.SOCK_DGRAM) as probe:
        try:
            # sends nothing: it asks the system which of its addresses it would send from
            probe.connect(("2001:db8::1" if ":" in host else "192.0.2.1", 9))
        except OSError:
            return None
        own: str = probe.getsockname()[0]
    return _address(own, port, token) if not is_loopback(own) else None


def _address(host: str, port: int, token: str | None) -> str:
    query = f"?token={token}" if token is not None else ""
    return f"http://[{host}]:{port}/{query}" if ":" in host else f"http://{host}:{port}/{query}"


def run(app: Any, sock: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serves `app` (from `create_app`) until Ctrl-C, which raises KeyboardInterrupt once all is closed. `on_ready` is
    called when requests are answered."""
    allow_connections()
    state = app.state.cutaway
    if not state.models.local:
        share_cores(state.limits.workers)
    with half_of_the_cores():
        server_for(app, on_ready).run(sockets=[sock])


def allow_connections(wanted: int = 4096) -> None:
    """A hundred browsers hold six connections each, and some systems allow a process 256 open files unless it asks
    for more."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def share_cores(workers: int) -> None:
    """Each worker's native products on cores of their own: with a class in line all workers are busy, and threads
    that wait for one another would keep the cores from them (and from whoever sends the answers)."""
    if native.MODULE is not None and not os.environ.get("CUTAWAY_THREADS"):
        native.MODULE.set_threads(max(1, (os.cpu_count() or 2) // workers))


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
        h11_max_incomplete_event_size=MOST_HEAD,
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
