"""Answers about finding and trying: the structures, filled in from what the analysis returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cutaway.wire import structures as s
from cutaway.wire.answers import PieceOf, token_answer
from cutaway.wire.json_text import number, numbers

if TYPE_CHECKING:
    from cutaway.analysis.compare import Cosines
    from cutaway.analysis.detectors import HeadDetectors
    from cutaway.analysis.neurons import LargestNeuron
    from cutaway.analysis.patching import PatchingSweep
    from cutaway.analysis.patching import SweepRow as Row

DETECTORS_NOTE = (
    "Mean attention on random tokens said twice, where only the order can be read: to the position before; to where"
    " the same token stood before; to what came after it then; to the first position. A habit, and not what the head"
    " does in every text."
)


def detectors_answer(found: HeadDetectors) -> s.DetectorsAnswer:
    n_layer, n_head = found.induction.shape
    heads = [
        s.DetectedHead(
            block=i,
            head=h,
            previous_token=float(found.previous_token[i, h]),
            duplicate_token=float(found.duplicate_token[i, h]),
            induction=float(found.induction[i, h]),
            first_token=float(found.first_token[i, h]),
        )
        for i in range(n_layer)
        for h in range(n_head)
    ]
    return s.DetectorsAnswer(heads, found.seed, found.n_sequences, found.length, DETECTORS_NOTE)


def largest_answer(
    found: Sequence[LargestNeuron], piece: PieceOf, *, position: int, token: int, against: int | None
) -> s.LargestNeuronsAnswer:
    neurons = [
        s.LargestNeuron(
            each.layer, each.neuron, number(each.activation), number(each.per_activation), number(each.value)
        )
        for each in found
    ]
    other = None if against is None else token_answer(piece(against))
    return s.LargestNeuronsAnswer(position, token_answer(piece(token)), other, neurons)


def compare_answer(found: Cosines) -> s.CompareAnswer:
    pairs = [s.ComparedPair(a, b, numbers(cosine)) for (a, b), cosine in zip(found.pairs, found.cosine, strict=True)]
    return s.CompareAnswer(list(found.depths), pairs)


def sweep_start(sweep: PatchingSweep, ids: Sequence[int], piece: PieceOf) -> s.SweepStart:
    """`ids`: of the corrupted text."""
    return s.SweepStart(
        n_layer=sweep.n_layer,
        n_pos=sweep.n_pos,
        clean=number(sweep.clean),
        corrupted=number(sweep.corrupted),
        tokens=[token_answer(piece(each)) for each in ids],
        pairs=[[a, b] for a, b in sweep.pairs],
    )


def sweep_row(row: Row) -> s.SweepRow:
    return s.SweepRow(row.layer, numbers(row.values))
