"""Who may talk to the server, and what its page may do.

A server on loopback can be reached by every page that a browser on this machine has open. Three things keep them out:

Host     A page of evil.example can point its own name at 127.0.0.1 (DNS rebinding) and is then of the same origin;
         but its requests still say `Host: evil.example`. Only the names that this server is known by are answered.
Origin   A page elsewhere can send requests here all the same; the browser says so in Origin, and in Sec-Fetch-Site
         where it sends no Origin (images, plain GETs). No CORS header is ever sent, so nothing can be read either.
CSP      The page loads scripts, styles, fonts and data from here alone, and no inline script runs. `style-src` has no
         'unsafe-inline': KaTeX's `render` and Svelte's `style:` directives set styles through the DOM (CSSOM), which
         no policy governs; `style="…"` in markup would need it, and is what a text inserted as HTML would bring.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders

from cutaway.server.answer import error_response
from cutaway.server.limits import App, Receive, Scope, Send
from cutaway.server.refusals import Refused

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def names_of(hosts: Iterable[str], port: int | None) -> frozenset[str]:
    """What `Host` may say for these names: with the port, and without where it is HTTP's own. `None`: any port (an
    app that is tested without one)."""
    names = {each.lower() for each in hosts}
    if port is None:
        return frozenset(names)
    return frozenset({f"{each}:{port}" for each in names} | (names if port == 80 else set()))


class OnlyOurPage:
    """Checks Host, Origin and Sec-Fetch-Site before anything else, and adds the headers to every answer.

    `any_address`: a plain IP address in `Host` will do, whichever it is. A page that points a name of its own here
    sends that name; and this machine cannot know under which addresses others reach it.
    """

    def __init__(self, app: App, hosts: Iterable[str], port: int | None, any_address: bool = False) -> None:
        self._app = app
        self._hosts = names_of(hosts, port)
        self._port = port
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Scope) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(Headers(scope=scope), scope)
        if refused is not None:
            await error_response(refused)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refused(self, headers: Headers, scope: Scope) -> Refused | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._known(hosts[0]):
            return Refused(
                "this server answers to its own address alone; open the address that `cutaway serve` printed, or"
                " allow another name with --allow-host."
            )
        origin = headers.get("origin")
        if origin is not None and not self._same(origin, hosts[0]):
            return Refused("this request comes from another site; only the page that this server serves may ask.")
        site = headers.get("sec-fetch-site", "none")
        # a link from elsewhere may open the page, and no more than that
        opens_page = headers.get("sec-fetch-mode") == "navigate" and not scope["path"].startswith("/api")
        if site not in ("none", "same-origin") and not (opens_page and scope["method"] == "GET"):
            return Refused("this request comes from another site; only the page that this server serves may ask.")
        return None

    def _known(self, host: str) -> bool:
        if self._named(host):
            return True
        name = _without_port(host)
        return self._any_address and _is_address(name) and host in names_of([name], self._port)

    def _named(self, host: str) -> bool:
        host = host.lower()
        return (_without_port(host) if self._port is None else host) in self._hosts

    def _same(self, origin: str, host: str) -> bool:
        # among bare addresses, only the one that this very request went to
        scheme, _, theirs = origin.partition("://")
        return scheme in ("http", "https") and (theirs == host or self._named(theirs))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not name.endswith(":") else host
