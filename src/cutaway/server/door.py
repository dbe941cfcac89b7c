"""The door of a server that others can reach: the address with its token opens it once, a cookie from then on.

Whoever has the address that `cutaway serve --host` prints may come in; nobody else is told anything. The token
stands in the address of the first visit alone: the answer to it sets a cookie and leads on to the same address
without it, so that neither a screen nor a link that is passed on shows it. (It leads by a page and not by a redirect:
a browser that follows a link from another site sends no `SameSite=Strict` cookie along a redirect.) Programs send
`Authorization: Bearer TOKEN`.

A cookie is a random name and its keyed hash, so that each browser is a reader of its own whose name nobody else can
take, and the server remembers none of them. The page itself uses `?token=` for a token of the text: only a value that
is the server's token is taken out.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, Response

from cutaway.server.answer import error_response
from cutaway.server.limits import READER, App, Receive, Scope, Send
from cutaway.server.refusals import Unauthorized

NO_TOKEN = (
    "this server asks for its token; open the whole address that `cutaway serve` printed, with ?token= at its end."
)
WRONG_TOKEN = (
    "the token in this address is not this server's (each start makes a new one); ask for the address that it printed"
    " last."
)
NOTHING_KEPT = {"cache-control": "no-store"}

REFUSAL = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Cutaway: a token is needed</title>
<h1>A token is needed</h1>
<p>{sentence}</p>
<p>If you have been here before with this browser: <a href="{here}">open the page</a>.</p>
</html>
"""

WELCOME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="0;url={here}">
<title>Cutaway</title>
<p><a href="{here}">Open the page</a></p>
</html>
"""


def new_token() -> str:
    """192 bits that nobody can guess."""
    return secrets.token_hex(24)


class Door:
    """Lets in who has the token or its cookie, and says in the scope whose request it is."""

    def __init__(self, app: App, token: str, port: int | None) -> None:
        self._app = app
        self._token = token
        # cookies know no ports: two servers on one machine must not take each other's
        self.cookie = f"cutaway-{port or 0}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._welcome(scope, headers)
        if answer is None:
            reader = self._known(headers) or self._program(scope, headers)
            if reader is not None:
                scope[READER] = reader
                await self._app(scope, receive, send)
                return
            answer = self._refused(scope, headers)
        await answer(scope, receive, send)

    # -- who comes -----------------------------------------------------------------------------------------------

    def _known(self, headers: Headers) -> str | None:
        """The reader that a cookie names, if it is one of ours."""
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        name, _, seal = cookie.partition(".")
        return name if _same(seal, self._seal(name)) else None

    def _program(self, scope: Scope, headers: Headers) -> str | None:
        """A program's requests are told apart by the machine that they come from."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() in ("bearer", "token") and _same(token.strip(), self._token):
            return f"program at {(scope.get('client') or ('?',))[0]}"
        return None

    def _seal(self, name: str) -> str:
        return hmac.new(self._token.encode(), name.encode(), hashlib.sha256).hexdigest()

    # -- what is answered ----------------------------------------------------------------------------------------

    def _welcome(self, scope: Scope, headers: Headers) -> Response | None:
        """The first visit: a cookie, and on to the address without the token."""
        if not _opens_page(scope):
            return None
        query = _query(scope)
        rest = [(key, value) for key, value in query if key != "token" or not _same(value, self._token)]
        if len(rest) == len(query):
            return None
        here = html.escape(_address(scope, rest), quote=True)
        response = HTMLResponse(WELCOME.format(here=here), headers=NOTHING_KEPT)
        name = self._known(headers) or secrets.token_urlsafe(12)
        response.set_cookie(
            self.cookie, f"{name}.{self._seal(name)}", path="/", httponly=True, samesite="strict", max_age=None
        )
        return response

    def _refused(self, scope: Scope, headers: Headers) -> Response:
        tried = "authorization" in headers or (_opens_page(scope) and any(key == "token" for key, _ in _query(scope)))
        error = Unauthorized(WRONG_TOKEN if tried else NO_TOKEN)
        response: Response
        if _opens_page(scope) and "text/html" in headers.get("accept", ""):
            here = html.escape(_address(scope, []), quote=True)
            sentence = html.escape(str(error)[:1].upper() + str(error)[1:])
            response = HTMLResponse(
                REFUSAL.format(sentence=sentence, here=here), status_code=error.http_status, headers=NOTHING_KEPT
            )
        else:
            response = error_response(error)
        response.headers["www-authenticate"] = "Bearer"
        return response


def _opens_page(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and scope["path"] == "/"


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _address(scope: Scope, query: list[tuple[str, str]]) -> str:
    return quote(scope["path"]) + (f"?{urlencode(query)}" if query else "")


def _same(given: str, wanted: str) -> bool:
    """Takes as long whatever is given."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
