"""`cutaway models` and `cutaway pull`: what is here, what can be had, and bringing it."""

from __future__ import annotations

from typing import Annotated

import typer

from cutaway.cli.completion import complete_model
from cutaway.cli.trace import JsonOption
from cutaway.cli.words import plural, size


def models(json: JsonOption = False) -> None:
    """List the models on this machine and those that can be brought, with sizes and licences.

    Any owner/name on the Hugging Face hub, owner/name:file.gguf, folder and .gguf or .safetensors file works as well.

    \b
    Examples:
      cutaway models
      cutaway models --json
    """
    from cutaway.weights.catalog import CATALOG, DEFAULT, local_models

    here = {each.name: each for each in local_models()}
    if json:
        from cutaway.cli.machine import write_json

        listed = [
            {
                "name": entry.name,
                "title": entry.title,
                "default": entry.name == DEFAULT,
                "here": entry.name in here,
                "path": str(here[entry.name].path) if entry.name in here else None,
                "bytes": here[entry.name].bytes if entry.name in here else entry.bytes,
                "n_params": entry.n_params,
                "licence": entry.licence,
                "architecture": entry.architecture,
                "source": entry.source,
                "repo": entry.repo,
                "gated": entry.gated,
                "note": entry.note,
            }
            for entry in CATALOG.values()
        ]
        others = [
            {"name": each.name, "here": True, "path": str(each.path), "bytes": each.bytes, "source": each.source}
            for name, each in here.items()
            if name not in CATALOG
        ]
        write_json({"default": DEFAULT, "models": listed + others})
        return

    from cutaway.cli.terminal import CHOSEN, FAINT, STRONG, ink, screen

    where = screen()
    header = "name".ljust(16) + "parameters".rjust(15) + "size".rjust(10) + "  licence".ljust(14)
    where.heading("On this machine" if here else "On this machine: nothing yet")
    if here:
        where.line(ink("  " + header, FAINT))
    for name, each in here.items():
        if each.entry is None:
            where.line(ink("  " + where.text(name), CHOSEN) + ink(f"  {size(each.bytes)}", FAINT))
            continue
        entry = each.entry
        line = ink("  " + where.fit(name, 16), CHOSEN) + ink(f"{entry.n_params:>15,}{size(each.bytes):>10}  ")
        line.append(where.fit(entry.licence, 12))
        where.line(line + ink("  default" if name == DEFAULT else "", STRONG))
    away = [entry for entry in CATALOG.values() if entry.name not in here]
    if away:
        where.heading("To be had", "cutaway pull NAME brings one.")
        where.line(ink("  " + header, FAINT))
    for entry in away:
        line = ink("  " + where.fit(entry.name, 16)) + ink(f"{entry.n_params:>15,}{size(entry.bytes):>10}  ")
        line.append(where.fit(entry.licence, 12))
        remark = "accept its licence first" if entry.gated else entry.note
        where.line(line + ink(where.fit("  " + remark, where.width - 57).rstrip(), FAINT))
    where.line()
    where.say(
        "Also: any owner/name of the Hugging Face hub, owner/name:file.gguf, a folder, a .gguf file.", style=FAINT
    )


def pull(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="As cutaway models lists it, or owner/name.",
            show_default="smollm2-135m",
            autocompletion=complete_model,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Bring a model to this machine: checked, resumable, and there whole or not at all.

    Ctrl-C is safe: the next pull goes on where this one stopped.

    \b
    Examples:
      cutaway pull
      cutaway pull gpt2
      cutaway pull owner/name
      cutaway pull owner/name:file.Q4_K_M.gguf
    """
    from cutaway.cli.downloads import ProgressOnStderr
    from cutaway.cli.words import harmless
    from cutaway.weights import catalog

    name = catalog.DEFAULT if name is None else name
    before = catalog.find(name)
    path = catalog.pull(name, progress=ProgressOnStderr())
    if json:
        from cutaway.cli.machine import write_json

        write_json({"name": name, "path": str(path), "was_here": before is not None})
        return
    n_bytes = sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())
    state = "was here already" if before is not None else "is here now"
    typer.echo(harmless(f"{name} {state}: {path} ({size(n_bytes)}, {plural(n_bytes, 'byte')})"))
