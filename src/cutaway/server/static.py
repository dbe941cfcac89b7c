"""The page's own files, as Vite built them into `cutaway/server/static`; a clear word where they are not there."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from cutaway.server.answer import error_response
from cutaway.server.refusals import NotFound

FOLDER = Path(__file__).parent / "static"

# Said here, since the system's own table may call a script text/plain (and nosniff would then stop it).
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".ttf": "font/ttf",
    ".webmanifest": "application/manifest+json",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}

UNBUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Cutaway: the page is not built yet</title>
<h1>The page is not built yet</h1>
<p>The server runs, and its API answers under <code>/api</code>; but the page itself is made from
<code>web/</code> and is not in this checkout.</p>
<p>Run <code>make page</code> (it needs Node 20 or newer), then load this address again.</p>
</html>
"""


class PageRoute(Route):
    """A route that leaves everything under /api alone, so that a wrong method there is told from a wrong address."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["path"].split("/", 2)[1:2] == ["api"]:
            return Match.NONE, {}
        return super().matches(scope)


def routes(folder: Path = FOLDER) -> list[Route]:
    """`/` and everything below it that is a file of the build."""

    async def serve(request: Request) -> Response:
        path = request.path_params.get("path", "") or "index.html"
        found = _file(folder, path)
        if found is not None:
            # Vite puts the content's hash in the names under assets/
            hashed = path.startswith("assets/")
            # browsers ask for the icon again at every address
            kept = "max-age=86400" if path.endswith(".svg") else "no-cache"
            caching = "public, max-age=31536000, immutable" if hashed else kept
            return FileResponse(found, media_type=TYPES[found.suffix], headers={"cache-control": caching})
        if path == "index.html":
            return HTMLResponse(UNBUILT, status_code=503, headers={"cache-control": "no-store"})
        return error_response(NotFound(f"there is nothing at /{path[:80]}; the page is at / and the API under /api."))

    return [PageRoute("/", serve, methods=["GET"]), PageRoute("/{path:path}", serve, methods=["GET"])]


def _file(folder: Path, path: str) -> Path | None:
    """The file at `path` below `folder`; None for anything else, `..` and links out of it included."""
    parts = PurePosixPath(path).parts
    if any(part in ("..", "/") or "\\" in part or "\0" in part for part in parts):
        return None
    found = folder.joinpath(*parts)
    try:
        found = found.resolve(strict=True)
    except (OSError, ValueError):
        return None
    if not found.is_relative_to(folder.resolve()) or not found.is_file() or found.suffix not in TYPES:
        return None
    return found
