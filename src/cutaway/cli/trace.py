"""`cutaway trace`: a sentence goes in, what happened inside comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutaway.cli.completion import complete_model, complete_site
from cutaway.cli.words import note
from cutaway.errors import BadInput, BadSelection

if TYPE_CHECKING:
    from cutaway.cli.overview import Overview
    from cutaway.trace.explain import Explanation

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="Catalog name, owner/name on the hub, a folder or a file.",
                 show_default="smollm2-135m", autocompletion=complete_model),
]  # fmt: skip
TextArgument = Annotated[str, typer.Argument(metavar="TEXT", help="The text; - reads it from standard input.")]
IdsOption = Annotated[bool, typer.Option("--ids", help="TEXT is token ids, such as '5127 15171'.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The machine's form, on standard output.")]
ZeroOption = Annotated[
    list[str] | None,
    typer.Option("--zero", metavar="SITE[:AXIS=I,…]", help="Set a site, or a part of it, to 0. May be repeated.",
                 autocompletion=complete_site),
]  # fmt: skip
InterveneOption = Annotated[
    list[str] | None,
    typer.Option("--intervene", metavar="JSON|FILE", help="Changes as data (see docs/cli.md). May be repeated."),
]


def trace(
    text: TextArgument,
    model: ModelOption = None,
    ids: IdsOption = False,
    position: Annotated[
        int,
        typer.Option("--position", "-p", metavar="N", help="The piece to look from; negative counts from the end."),
    ] = -1,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many next pieces to show.")] = 10,
    layer: Annotated[int | None, typer.Option("--layer", metavar="N", min=0, help="With --head: one head.")] = None,
    head: Annotated[int | None, typer.Option("--head", metavar="N", min=0, help="See --layer.")] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            "--site",
            metavar="GLOB",
            help="Shape, range and picture of these sites. May be repeated.",
            autocompletion=complete_site,
        ),
    ] = None,
    explain: Annotated[
        list[str] | None,
        typer.Option("--explain", metavar="SITE:I,J,K", help="Where one number came from. May be repeated."),
    ] = None,
    zero: ZeroOption = None,
    intervene: InterveneOption = None,
    json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save the trace (with --site: these sites in full).")
    ] = None,
) -> None:
    """Run TEXT through a model and show what happened inside.

    Without options: the pieces, the strongest attention, how the prediction forms block by block, the likeliest next
    pieces, and a short continuation. The default model is brought the first time (93 MB).

    \b
    Examples:
      cutaway trace "The robots will bring peace. The robots will bring"
      cutaway trace "The cat sat on the" --layer 3 --head 2
      cutaway trace "The cat sat on the" --site "blocks.*.attn_out"
      cutaway trace "The cat sat on the" --explain blocks.3.attn.qk:2,4,3
      cutaway trace "The cat sat on the" --zero blocks.3.attn.z:head=2
      echo "The cat sat on the" | cutaway trace - --json
    """  # fmt: skip
    if (layer is None) != (head is None):
        raise BadSelection("--layer and --head go together: give both, such as --layer 3 --head 2.")
    if json and out is not None:
        raise BadInput("--json and --out cannot go together: the one writes to standard output, the other to a file.")
    from cutaway.cli.overview import explanation_values, overview, site_values, to_dict
    from cutaway.cli.reading import changed, given_ids, given_text, open_model, site_and_index

    given = given_text(text)
    asked = [site_and_index(each) for each in explain or []]
    loaded = changed(open_model(model), zero or [], intervene or [])
    loaded_ids = loaded.ids(given_ids(given) if ids else given)
    if out is not None:
        loaded.trace(loaded_ids).save(out, site or ())
        note(f"the trace is in {out} (cutaway.load_trace reads it).")
        return
    found = overview(loaded, _text(given, ids, loaded, loaded_ids), loaded_ids, position, top)
    names = _names(found, site or [])
    pattern = f"blocks.{layer}.attn.pattern"
    # All that can be refused is asked for before the first line is written.
    if layer is not None and head is not None:
        found.trace.read(pattern, head=head, q_pos=0)
    explanations = [found.trace.explain(*each) for each in asked]
    if json:
        from cutaway.cli.machine import plain_values, write_json

        values = to_dict(found)
        if names:
            values["sites"] = {name: site_values(found.trace, name) for name in names}
        if layer is not None and head is not None:
            weights = plain_values(found.trace.read(pattern, head=head))
            values["pattern"] = {"site": pattern, "head": head, "values": weights}
        if explanations:
            values["explanations"] = [explanation_values(each) for each in explanations]
        write_json(values)
        return
    _show(found, names, layer, head, explanations)


def _names(found: Overview, patterns: list[str]) -> list[str]:
    from cutaway.sites import matching

    return matching(found.model.config, patterns) if patterns else []


def _text(given: str, as_ids: bool, model: object, ids: list[int]) -> str:
    if not as_ids:
        return given
    tokenizer = getattr(model, "tokenizer", None)
    return " ".join(str(each) for each in ids) if tokenizer is None else str(tokenizer.decode(ids))


def _show(
    found: Overview, names: list[str], layer: int | None, head: int | None, explanations: list[Explanation]
) -> None:
    from cutaway.cli import render_sites, render_trace
    from cutaway.cli.terminal import screen

    where = screen()
    if layer is None and not names and not explanations:
        render_trace.show_overview(where, found)
        if where.console.is_terminal:
            render_trace.hints(where, found)
        return
    render_trace.show_changes(where, found)
    if layer is not None and head is not None:
        where.heading(
            f"blocks.{layer}.attn.pattern, head {head}", "Rows are queries, columns keys; a row sums to 100%."
        )
        render_trace.show_pattern(where, found.trace, layer, head)
    for name in names:
        render_sites.show_site(where, found.trace, name, found.position)
    for each in explanations:
        render_sites.show_explanation(where, each)
