"""What every download shares: where files go, who may write, how progress and a full disk are told.

A file gets its final name only when it is whole and its checksum is right, by an atomic rename on one disk. Until
then it lies under a name that `find` never looks at. A lock file lets one process at a time bring a model; the
operating system frees the lock when that process dies.

Environment: ``CUTAWAY_HOME`` (else ``$XDG_CACHE_HOME/cutaway``, else ``~/.cache/cutaway``) holds ``models/``;
``CUTAWAY_OFFLINE`` or ``HF_HUB_OFFLINE`` set to 1, on, yes or true forbids the network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from cutaway.errors import DownloadFailed

CHUNK = 1 << 20


class Progress(Protocol):
    """Somebody who wants to see a download move; the library itself draws nothing.

    `start` opens one stretch of work: what it is, and its size in bytes where that is known. `advance` adds bytes
    (fewer than none when a server makes a transfer start again); `done` closes the stretch, also after a failure.
    """

    def start(self, what: str, total: int | None) -> None: ...

    def advance(self, n: int) -> None: ...

    def done(self) -> None: ...


class Silent:
    """The `Progress` of a caller who asked for none."""

    def start(self, what: str, total: int | None) -> None: ...

    def advance(self, n: int) -> None: ...

    def done(self) -> None: ...


@contextlib.contextmanager
def stretch(progress: Progress, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """One stretch of `progress`, closed whatever happens; gives `progress.advance`."""
    progress.start(what, total)
    try:
        yield progress.advance
    finally:
        progress.done()


def home() -> Path:
    """The folder of everything that Cutaway keeps between runs (not created here)."""
    if own := os.environ.get("CUTAWAY_HOME"):
        return Path(own).expanduser()
    return cache_home() / "cutaway"


def cache_home() -> Path:
    """``$XDG_CACHE_HOME``, else ``~/.cache``."""
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser()
    return Path("~/.cache").expanduser()


def models_dir() -> Path:
    """Where models that do not come from the hub are kept (not created here)."""
    return home() / "models"


def offline() -> bool:
    """Whether the environment forbids the network."""
    # TRANSFORMERS_OFFLINE is huggingface_hub's own second name for the flag
    names = ("CUTAWAY_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").strip().upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def human(n_bytes: int) -> str:
    """``"98.4 MB"``: decimal units, as disks and hubs count."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def need_space(folder: Path, n_bytes: int, what: str) -> None:
    """Refuse before the first byte when `folder`'s disk cannot hold `n_bytes` more.

    Raises `DownloadFailed`.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise DownloadFailed(
            f"{what} needs {human(n_bytes)} of disk for a moment and {folder} has {human(free)} free; "
            "make room, or point CUTAWAY_HOME (HF_HOME for the hub's models) at a larger disk"
        )


@contextlib.contextmanager
def disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Turn what a disk refuses (full, read-only, forbidden) into one `DownloadFailed`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DownloadFailed(
                f"the disk under {folder} is full, so {what} was not kept; make room and run it again, or point "
                "CUTAWAY_HOME (HF_HOME for the hub's models) at a larger disk"
            ) from error
        raise DownloadFailed(
            f"{folder} cannot be written ({error.strerror or error}), so {what} was not kept; point CUTAWAY_HOME "
            "(HF_HOME for the hub's models) at a folder of yours"
        ) from error


@contextlib.contextmanager
def only_one(lock: Path, what: str, progress: Progress) -> Iterator[None]:
    """Hold `lock` while `what` is brought; wait (and say so) when another process has it."""
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    holder = FileLock(lock)
    try:
        holder.acquire(timeout=0)
    except Timeout:
        with stretch(progress, f"waiting for the process that is bringing {what}", None):
            holder.acquire()
    try:
        yield
    finally:
        holder.release()
