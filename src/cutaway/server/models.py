"""The models that the server serves: found by name, loaded once, at most so many at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from cutaway.engine import Model, load
from cutaway.errors import UnknownModel, did_you_mean
from cutaway.sites.parameters import parameter_count
from cutaway.weights import catalog
from cutaway.wire.structures import ModelEntry, ModelList

# Rows of the embedding whose norms are taken at a time.
ROWS_AT_ONCE = 4096


class Models:
    """Loaded models by name. `given`: those that are open already and stay so (what `serve --model` named).

    A name from the network opens nothing but the catalog's and what was pulled: never a path that a page made up.
    """

    def __init__(
        self, given: Mapping[str, Model], default: str, most: int, on_close: Callable[[Model], None]
    ) -> None:
        self.default = default
        self._given = dict(given)
        self._most = most
        self._on_close = on_close
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._norms: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Model:
        """Raises `UnknownModel` where it has no such name or is not on this machine, and what `load` raises."""
        if name in self._given:
            return self._given[name]
        with self._lock:  # two tabs that ask for one model at once load it once
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name]
            self._refuse_unlisted(name)
            model = load(name, download=False)
            self._loaded[name] = model
            while len(self._loaded) > self._most:
                _, closed = self._loaded.popitem(last=False)
                self._norms.pop(id(closed.parameters), None)
                self._on_close(closed)
            return model

    def _refuse_unlisted(self, name: str) -> None:
        known = [*catalog.CATALOG, *(each.name for each in catalog.local_models())]
        if name not in known:
            near = did_you_mean(name[:80], [*known, *self._given]) or "."
            raise UnknownModel(
                f'this server has no model "{name[:80]}"{near} Bring one with `cutaway pull`, or serve a file with'
                " `cutaway serve --model FILE`."
            )

    @property
    def loaded(self) -> list[str]:
        return sorted({*self._given, *self._loaded})

    def listed(self) -> ModelList:
        """Those given, the catalog's, and what else is on this machine."""
        here = {each.name: each for each in catalog.local_models()}
        entries: dict[str, ModelEntry] = {}
        for name, model in self._given.items():
            if name not in catalog.CATALOG:
                n_params = parameter_count(model.config)
                title = model.config.name or name
                architecture = model.config.architecture
                entries[name] = ModelEntry(name, title, True, None, n_params, "", architecture, False, "")
        for entry in catalog.CATALOG.values():
            entries[entry.name] = ModelEntry(
                name=entry.name,
                title=entry.title,
                here=entry.name in here or entry.name in self._given,
                bytes=entry.bytes,
                n_params=entry.n_params,
                licence=entry.licence,
                architecture=entry.architecture,
                gated=entry.gated,
                note=entry.note,
            )
        for name, found in here.items():
            if name not in entries:
                entries[name] = ModelEntry(name, name, True, found.bytes, None, "", "", False, "")
        return ModelList(self.default, list(entries.values()))

    def embedding_norms(self, model: Model) -> np.ndarray:  # [vocab]
        """The length of every row of the embedding table; taken once a model."""
        key = id(model.parameters)
        found = self._norms.get(key)
        if found is None:
            table = model.parameters["W_E"]
            found = np.empty(len(table), dtype=np.float32)
            for at in range(0, len(table), ROWS_AT_ONCE):
                rows = table[at : at + ROWS_AT_ONCE]
                found[at : at + ROWS_AT_ONCE] = np.sqrt(np.einsum("vd,vd->v", rows, rows))
            self._norms[key] = found
        return found
