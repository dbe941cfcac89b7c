"""The traces that the server holds: an LRU bound by bytes, under ids that never change their meaning."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cutaway.engine import Model
from cutaway.errors import BadInput
from cutaway.server.refusals import TraceGone
from cutaway.tap import SILENT, Tap
from cutaway.trace.trace import Trace
from cutaway.wire.frames import Ranges
from cutaway.wire.structures import ChangeAnswer

ROWS_OF_LOGITS = 16
# A run stands beside the unchanged one, or beside another sentence's: two are held however long they are, or each
# would push out the other.
AT_LEAST = 2

MEASURED = ("resid_pre", "attn_out", "resid_mid", "mlp_out")


class Gauge:
    """A tap beside the pass: takes the length of every position's vector as it goes by, and stops the pass at a
    block's door when `check` raises."""

    def __init__(self, n_layer: int, n_pos: int, check: Callable[[], None]) -> None:
        self.norms = {name: np.zeros((n_layer, n_pos), dtype=np.float32) for name in MEASURED}
        self._check = check

    def __call__(self, site: str, value: Any) -> Any:
        return value

    def wants(self, site: str) -> bool:
        return False

    def only_reads(self) -> None:
        return None

    def within(self, prefix: str) -> Tap:
        if not prefix.startswith("blocks."):
            return SILENT
        self._check()
        return _BlockGauge(self.norms, int(prefix.split(".")[1]))


class _BlockGauge:
    def __init__(self, norms: dict[str, np.ndarray], block: int) -> None:
        self._norms = norms
        self._block = block

    def __call__(self, site: str, value: Any) -> Any:
        if site in self._norms:
            self._norms[site][self._block] = np.sqrt(np.einsum("pd,pd->p", value, value))
        return value

    def wants(self, site: str) -> bool:
        return site in self._norms

    def only_reads(self) -> Collection[str]:
        return self._norms.keys()

    def within(self, prefix: str) -> Tap:
        return SILENT


@dataclass
class Held:
    """A trace with what was computed about it once: its manifest's numbers, norms, ranges, some rows of logits.
    `changes` and `python`: what was asked for, said again."""

    id: str
    model: Model
    trace: Trace
    text: str
    norms: dict[str, np.ndarray]
    seconds: float
    changes: Sequence[ChangeAnswer] = ()
    python: str = ""
    ranges: Ranges = field(default_factory=dict)
    _logits: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def logits(self, row: int) -> np.ndarray:
        """[vocab]; the last few rows are kept, since a slider asks for the same one again and again.

        Raises `BadInput` where a change that somebody made has left no numbers.
        """
        with self._lock:
            found = self._logits.get(row)
            if found is not None:
                self._logits.move_to_end(row)
                return found
        logits = self.trace.logits(row)
        if self.trace.interventions and not np.isfinite(logits.max()):
            raise BadInput("with these changes the logits are no longer finite numbers; make the changes smaller.")
        with self._lock:
            self._logits[row] = logits
            while len(self._logits) > ROWS_OF_LOGITS:
                self._logits.popitem(last=False)
        return logits

    @property
    def nbytes(self) -> int:
        with self._lock:
            rows = sum(each.nbytes for each in self._logits.values())
        said = 2 * len(self.python)  # its lines, and the values that they say
        return self.trace.nbytes + rows + sum(each.nbytes for each in self.norms.values()) + said


class Watched:
    """A trace whose every read first asks whether it is still wanted, so that an analysis of many blocks can stop."""

    def __init__(self, trace: Trace, check: Callable[[], None]) -> None:
        self._trace = trace
        self._check = check

    def __getattr__(self, name: str) -> Any:
        if name in ("read", "read_many", "gather"):
            self._check()
        return getattr(self._trace, name)

    def __getitem__(self, name: str) -> np.ndarray:
        self._check()
        return self._trace[name]

    def __len__(self) -> int:
        return len(self._trace)


class Traces:
    """Id -> `Held`, the least recently used going first when all together hold more than `most_bytes`.

    An id is a keyed hash of model, tokens and changes: the same work has the same id, so that two tabs share a trace
    and one that was evicted comes back under its old id; and nobody can guess one of another run of the server.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held: OrderedDict[str, tuple[Held, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._key = secrets.token_bytes(32)

    def id_of(self, model: str, ids: Sequence[int], interventions: Sequence[dict[str, Any]]) -> str:
        meaning = json.dumps([model, list(ids), list(interventions)], sort_keys=True).encode()
        return hashlib.blake2b(meaning, digest_size=16, key=self._key).hexdigest()

    def find(self, id: str) -> Held | None:
        with self._lock:
            if id not in self._held:
                return None
            self._held.move_to_end(id)
            return self._held[id][0]

    def get(self, id: str) -> Held:
        """Raises `TraceGone`."""
        held = self.find(id)
        if held is None:
            raise TraceGone(f'the trace "{id[:40]}" is not here (any more); send its text again to make it.')
        return held

    def keep(self, held: Held) -> None:
        """Puts it in, or weighs it again (a trace grows as it is read), and lets the oldest go."""
        size = held.nbytes
        with self._lock:
            _, before = self._held.pop(held.id, (held, 0))
            self._held[held.id] = (held, size)
            self._bytes += size - before
            while self._bytes > self._most and len(self._held) > AT_LEAST:
                _, (_, gone) = self._held.popitem(last=False)
                self._bytes -= gone

    def weigh(self, held: Held) -> None:
        """`keep`, unless it has been evicted since."""
        if self.find(held.id) is not None:
            self.keep(held)

    def forget_model(self, model: Model) -> None:
        """Lets go of every trace of a model that is closed: each would keep its weights in memory."""
        with self._lock:
            for id in [id for id, (held, _) in self._held.items() if held.model.parameters is model.parameters]:
                self._bytes -= self._held.pop(id)[1]

    @property
    def nbytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._held)
