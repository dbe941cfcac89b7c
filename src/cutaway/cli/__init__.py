"""The command line: `cutaway trace`, `generate`, `params`, `models`, `pull`, `bench`.

`main` is the entry point. It alone turns errors into sentences on standard error and exit codes.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from cutaway.cli.words import note
from cutaway.errors import CutawayError

USAGE, INTERRUPTED, NOBODY_READS = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (`arguments`, else those of the process) and gives its exit code. Prints no traceback unless
    CUTAWAY_TRACEBACK is set."""
    gc.set_threshold(50_000, 20, 100)  # a vocabulary is 100,000 objects that stay: looking through them takes 50 ms
    if os.environ.get("CUTAWAY_TRACEBACK"):
        return _run(arguments)
    import typer

    # typer brings its own copy of click in newer versions; both call their root ClickException
    refused = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # click has its own way with a broken pipe
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        return _nobody_reads()
    except CutawayError as error:
        note(_sentence(str(error)))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        note("stopped by Ctrl-C.")
        return INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except MemoryError:
        note("there is not enough memory for this; give a shorter text or a smaller model.")
        return 1
    except RecursionError:
        note("the input is nested too deeply to be read.")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        note(_sentence(f"{where}{error.strerror or error}"))
        return 1
    except Exception as error:
        if isinstance(error, refused):
            return _usage(error)
        raise_hint = "set CUTAWAY_TRACEBACK=1 to see where, and please report it"
        note(f"something unexpected went wrong ({type(error).__name__}: {error}); {raise_hint}.")
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    from typer.main import get_command

    from cutaway.cli.app import COMMANDS, application
    from cutaway.cli.values import take_plain_values

    given = list(sys.argv[1:] if arguments is None else arguments)
    # A shell that asks what could follow (it says so in a variable) needs them all, and so does a list of commands.
    known = bool(given) and given[0] in COMMANDS and "_CUTAWAY_COMPLETE" not in os.environ
    command = get_command(application(given[0] if known else None))
    take_plain_values(command)
    code = command.main(None if arguments is None else given, prog_name="cutaway", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _nobody_reads() -> int:
    """`| head` has seen enough. The interpreter flushes standard output once more at exit: into nothing."""
    if sys.__stdout__ is not None:
        sys.stdout = sys.__stdout__  # click put a wrapper there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NOBODY_READS


def _usage(error: Exception) -> int:
    """One sentence for what typer refused."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "cutaway"
    note(f"{_sentence(message)} See: {path} --help")
    return USAGE


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else text + "."
