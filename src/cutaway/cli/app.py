"""The command line's table of contents: one file a group of commands."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

EPILOG = """\b
Exit codes:
  0 done   1 other trouble   2 wrong usage or input   3 a bad file or bad numbers
  4 no such model   5 a download failed   6 something is not installed
  130 stopped by Ctrl-C   141 whoever read the output stopped reading

\b
Environment:
  CUTAWAY_HOME       where models are kept (default ~/.cache/cutaway)
  CUTAWAY_OFFLINE=1  never use the network
  NO_COLOR=1         no colours
  CUTAWAY_TRACEBACK=1  on an error show where in the code it arose
"""

# Command -> its module, and a sentence that fits the list of commands; the docstrings say more.
COMMANDS = {
    "serve": ("serve", "The page: the same, to look at and to change (also without a command)."),
    "trace": ("trace", "What happened inside, from the pieces to the next one."),
    "generate": ("generate", "The text goes on; --why says why each piece."),
    "params": ("params", "Where a model's parameters are, and what it costs."),
    "models": ("models", "What is here, and what can be had."),
    "pull": ("models", "Bring a model to this machine."),
    "bench": ("bench", "How fast this machine is."),
}


def application(only: str | None = None) -> typer.Typer:
    """The commands; `only` one of them is made (and imported) where it is known which."""
    app = typer.Typer(
        name="cutaway",
        rich_markup_mode=None,  # plain help: the same in every terminal, in the docs, and there at once
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    )
    app.callback(invoke_without_command=True, epilog=EPILOG)(cutaway)
    for name, (module, sentence) in COMMANDS.items():
        if only in (None, name):
            command = getattr(import_module(f"cutaway.cli.{module}"), name)
            app.command(short_help=sentence)(command)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from cutaway import __version__

        typer.echo(f"cutaway {__version__}")
        raise typer.Exit()


def cutaway(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A Transformer language model with its side removed, while it still runs.

    Without a command it serves the page and opens it.

    \b
    Examples:
      cutaway
      cutaway trace "The robots will bring peace. The robots will bring"
      cutaway generate "The robots will bring" --why
      cutaway params gpt3
    """
    if context.invoked_subcommand is None:
        from cutaway.cli.serve import serve

        serve()
