"""The Hugging Face cache on this disk, read without the network and without importing ``huggingface_hub``.

Layout (documented in "Understand caching" of huggingface_hub): ``models--owner--name/`` holds ``blobs/{checksum}``,
``snapshots/{commit}/{file}`` (links to blobs) and ``refs/{branch}`` (a commit). A blob has its name only when it is
whole; so a file that can be reached through a snapshot is whole, and only a *folder* can lack files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cutaway.errors import UnknownModel
from cutaway.weights.fetch import cache_home

INDEX = "model.safetensors.index.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")
_SPEC = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>.+))?",
    re.ASCII,
)


@dataclass(frozen=True)
class HubName:
    """What ``owner/name[@revision][:file.gguf]`` says; `file` is None for the whole folder."""

    repo: str
    revision: str = "main"
    file: str | None = None

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.repo}{at}" + (f":{self.file}" if self.file else "")


def parse(name: str) -> HubName | None:
    """`name` as a hub name, or None when it does not have that form.

    Raises `UnknownModel` when it has the form but names a file that we would not fetch.
    """
    if (match := _SPEC.fullmatch(name)) is None:
        return None
    file, revision = match["file"], match["revision"] or "main"
    if file is not None:
        if not inside(file):
            raise UnknownModel(f'"{file}" is not the name of a file inside a repository, such as "model.Q4_0.gguf"')
        if not file.lower().endswith(".gguf"):
            raise UnknownModel(
                f'after the colon comes a .gguf file, not "{file}"; leave ":{file}" out for the safetensors folder'
            )
    if not inside(revision):
        raise UnknownModel(f'"{revision}" is not a branch, a tag or a commit')
    return HubName(match["repo"], revision, file)


def inside(name: str) -> bool:
    """Whether `name` stays within the folder that it is joined to, on every operating system."""
    parts = name.split("/")
    return all(
        part not in {"", ".", ".."} and "\\" not in part and ":" not in part and part.isprintable() for part in parts
    )


def cache_dir() -> Path:
    """Where huggingface_hub keeps models, by the same environment variables that it reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(variable):
            return _expand(value)
    if value := os.environ.get("HF_HOME"):
        return _expand(value) / "hub"
    return cache_home() / "huggingface" / "hub"


def _expand(value: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(value)))


def repo_dir(repo: str) -> Path:
    return cache_dir() / ("models--" + repo.replace("/", "--"))


def snapshot(name: HubName) -> Path | None:
    """The snapshot folder that `name` points to, whole or not; None when there is none."""
    folder = repo_dir(name.repo)
    commit = _commit(folder, name.revision)
    if commit is None:
        return None
    found = folder / "snapshots" / commit
    return found if found.is_dir() else None


def _commit(folder: Path, revision: str) -> str | None:
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        commit = (folder / "refs" / revision).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def find(name: HubName) -> Path | None:
    """The folder or file to open, or None when it is not here or not whole."""
    found = snapshot(name)
    if found is None:
        return None
    if name.file is not None:
        path = found / name.file
        return path if path.is_file() else None
    return found if is_whole(found) else None


def is_whole(folder: Path) -> bool:
    """Whether `folder` has a configuration and every safetensors file that its weights need."""
    return (folder / "config.json").is_file() and bool(weight_files(folder))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in order; none when one of them is missing."""
    if (single := folder / "model.safetensors").is_file():
        return [single]
    index = folder / INDEX
    if index.is_file():
        try:
            names = shard_names(index.read_bytes())
        except ValueError:
            return []
        shards = [folder / name for name in names]
        return shards if all(shard.is_file() for shard in shards) else []
    loose = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    for path in loose:
        if match := _SHARD.fullmatch(path.name):
            series = [path for path in loose if path.name.startswith(match["stem"] + "-")]
            if len(series) != int(match["count"]):
                return []
    return loose


def shard_names(index: bytes) -> list[str]:
    """The file names in a ``model.safetensors.index.json``, sorted.

    Raises `ValueError` when it is no such index, or names a file outside its folder.
    """
    parsed = json.loads(index)
    weight_map = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("it has no weight_map")
    names = set()
    for value in weight_map.values():
        if not isinstance(value, str) or not inside(value) or not value.endswith(".safetensors"):
            raise ValueError(f"it names {value!r}, which is not a safetensors file beside it")
        names.add(value)
    return sorted(names)


def has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file()


def local() -> Iterator[tuple[HubName, Path, int]]:
    """Every model of the cache that can be opened: its name, the path to open, its bytes on disk."""
    root = cache_dir()
    if not root.is_dir():
        return
    for folder in sorted(root.glob("models--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/")
        seen: set[Path] = set()
        # main first, so that a branch at the same commit is not listed again
        for ref in sorted(_refs(folder), key=lambda ref: (ref != "main", ref)):
            found = snapshot(HubName(repo, ref))
            if found is None or found in seen:
                continue
            seen.add(found)
            if is_whole(found):
                size = sum(
                    path.stat().st_size for path in found.iterdir() if path.is_file() and path.suffix != ".gguf"
                )
                yield HubName(repo, ref), found, size
            for path in sorted(found.rglob("*.gguf")):
                if path.is_file():
                    name = path.relative_to(found).as_posix()
                    yield HubName(repo, ref, name), path, path.stat().st_size


def _refs(folder: Path) -> Iterator[str]:
    refs = folder / "refs"
    for path in refs.rglob("*"):
        if path.is_file():
            yield path.relative_to(refs).as_posix()
