"""The models that the server serves: found by name, loaded once, at most so many at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from cutaway.engine import Model, load
from cutaway.errors import UnknownModel, did_you_mean
from cutaway.server.refusals import Refused
from cutaway.sites.parameters import parameter_count
from cutaway.weights import catalog
from cutaway.wire.structures import ModelEntry, ModelList


def bytes_of(path: Path) -> int | None:
    """Of a file, or of a folder's weights; None where it cannot be read."""
    try:
        if path.is_file():
            return path.stat().st_size
        weights = [*path.glob("*.safetensors"), *path.glob("*.gguf")]
        return sum(each.stat().st_size for each in weights) or None
    except OSError:
        return None


# Rows of the embedding whose norms are taken at a time.
ROWS_AT_ONCE = 4096


class Models:
    """Loaded models by name. `given`: those that are open already and stay so (what `serve --model` named).

    A name from the network opens nothing but the catalog's, what was pulled, and paths that this machine's own reader
    has opened (`open`, on a `local` server alone): never a path that a page made up.
    """

    def __init__(
        self,
        given: Mapping[str, Model],
        default: str,
        most: int,
        on_close: Callable[[Model], None],
        local: bool = True,
    ) -> None:
        self.default = default
        self.local = local
        self._paths: dict[str, str] = {}  # of what was opened by path
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
            if name not in self._paths:
                self._refuse_unlisted(name)
            return self._keep(name, load(self._paths.get(name, name), download=False))

    def open(self, path: str) -> str:
        """Opens a file or folder of this machine; the name that it is called by from then on.

        Raises `Refused` where others are let in, `UnknownModel` for what is no path, and what `load` raises.
        """
        self.refuse_others("opened")
        location = catalog.find(path)
        if location is None or location.source != "path":
            raise UnknownModel(
                f'"{path[:200]}" is no file or folder on this machine; give the path of a .gguf file or a folder.'
            )
        whole = str(location.path.absolute())
        with self._lock:
            model = load(whole, download=False)
            known = {*catalog.CATALOG, *self._given, *(each.name for each in catalog.local_models())}
            name, at = model.name, 2
            while name in known or self._paths.get(name, whole) != whole:
                name, at = f"{model.name} ({at})", at + 1
            model.name = name
            self._paths[name] = whole
            self._keep(name, model)
        return name

    def refuse_others(self, what: str) -> None:
        """Raises `Refused` on a server that lets others in."""
        if not self.local:
            raise Refused(
                f"this server lets others in, so models are {what} by whoever runs it: with `cutaway pull`, or"
                " `cutaway serve --model FILE`."
            )

    def _keep(self, name: str, model: Model) -> Model:
        replaced = self._loaded.pop(name, None)
        self._loaded[name] = model
        gone = [] if replaced is None else [replaced]
        while len(self._loaded) > self._most:
            gone.append(self._loaded.popitem(last=False)[1])
        for closed in gone:
            self._norms.pop(id(closed.parameters), None)
            self._on_close(closed)
        return model

    def _refuse_unlisted(self, name: str) -> None:
        known = [*catalog.CATALOG, *(each.name for each in catalog.local_models())]
        if name not in known:
            near = did_you_mean(name[:80], [*known, *self._given, *self._paths]) or "."
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
        for name, path in self._paths.items():
            entries[name] = ModelEntry(name, name, True, bytes_of(Path(path)), None, "", "", False, path)
        return ModelList(self.default, list(entries.values()), self.local)

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
