"""`cutaway serve`, and `cutaway` alone: the page, on this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cutaway.cli.trace import ModelOption
from cutaway.cli.words import note
from cutaway.errors import CutawayError, Missing

if TYPE_CHECKING:
    from cutaway.engine import Model


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Let others in: where to listen (0.0.0.0: everywhere). The page is then behind a token.",
            show_default="this machine alone, without a token",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65535, help="The port.", show_default="8765, or a free one"),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", metavar="NAME", help="Another name that this server goes by.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    model: ModelOption = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            metavar="N",
            min=1,
            help="The most tokens of one text.",
            show_default="2048; 1024 with --host",
        ),
    ] = None,
    cache_mb: Annotated[
        int, typer.Option("--cache-mb", metavar="N", min=1, help="How much memory traces may hold.")
    ] = 512,
) -> None:
    """Serve the page on this machine and open it: type a sentence and see the model work on it.

    Ctrl-C ends it. Several tabs may use it at once; with --host a whole class: everybody opens the address that is
    printed, with its token, and a browser that has done so once needs it no more.

    \b
    Examples:
      cutaway
      cutaway serve --model gpt2 --no-open
      cutaway serve --port 9000 --max-tokens 4096
      cutaway serve --host 0.0.0.0
    """  # fmt: skip
    try:
        from cutaway.server.app import create_app
        from cutaway.server.door import new_token
        from cutaway.server.limits import Limits
        from cutaway.server.run import WILDCARDS, address, address_for_others, bind, hosts_for, is_loopback, run
    except ModuleNotFoundError as error:
        raise Missing(
            f"the page needs {error.name}, which is not installed; run: pip install 'cutaway[server]'"
        ) from None
    from cutaway.cli.reading import open_model

    loaded = open_model(model)
    token = None if host is None else new_token()
    listen = "127.0.0.1" if host in (None, "localhost") else str(host)
    sock = bind(listen, port)
    url = address(sock, token)
    others = address_for_others(sock, token)
    allowed = tuple(allow_host or ())
    limits = Limits(cache_bytes=cache_mb << 20)
    if token is not None:
        limits = limits.for_a_class()
    if max_tokens is not None:
        limits = replace(limits, max_tokens=max_tokens)
    if not is_loopback(listen):
        note(
            f"warning: listening on {listen}: whoever has the address with its token can use the model. Nothing is"
            " encrypted, so others on the network can read what is typed."
        )
    app = create_app(
        {loaded.name: loaded},
        default=loaded.name,
        limits=limits,
        hosts=hosts_for(listen, allowed),
        port=sock.getsockname()[1],
        any_address=listen in WILDCARDS,
        token=token,
    )

    def ready() -> None:
        typer.echo(f"Cutaway is at {url}  (Ctrl-C ends it)")
        if others is not None:
            typer.echo(f"Others open   {others}")
        sys.stdout.flush()
        threading.Thread(target=_warm, args=(loaded,), daemon=True).start()
        if open_browser and _has_screen():
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    with contextlib.suppress(KeyboardInterrupt):
        run(app, sock, ready)


def _warm(model: Model) -> None:
    """Weights are read on first use; most people's first sentence should not wait for that. What is wrong with them
    is told to whoever asks first."""
    with contextlib.suppress(CutawayError):
        model.parameters.read_all()
        model.trace([0]).logits()
        for text in ("a", "b"):  # the second builds the tokenizer's tables
            model.encode(text)


def _has_screen() -> bool:
    """Whether a browser would open a window, and not take over this terminal."""
    if sys.platform in ("win32", "darwin") or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
