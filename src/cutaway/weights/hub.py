"""The Hugging Face hub: which files of a repository are wanted, and how they come into the shared cache.

``huggingface_hub`` supplies addresses, tokens, the HTTP client and the meaning of refusals; its environment
variables (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_DOWNLOAD_TIMEOUT) hold. The transfer itself is done
here, for two reasons: its current releases begin a file again after an interruption, and put it into the cache
before anybody has computed its checksum. Here every file resumes from ``blobs/{checksum}.incomplete``, gets its
name only after its checksum (SHA-256 for large files, git's SHA-1 for small ones), and a snapshot is linked,
``config.json`` last, only when all of its files are there. The lock files are the ones that huggingface_hub takes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutaway.errors import BadCheckpoint, CutawayError, DownloadFailed, UnknownModel, did_you_mean
from cutaway.weights import hub_cache
from cutaway.weights.fetch import Progress, disk_errors, need_space, only_one, stretch
from cutaway.weights.hub_cache import HubName
from cutaway.weights.hub_refusals import explain, host, is_disk_error, kind, timeout, wait_before_retry

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

# What may come besides the weights; everything else in a repository is left where it is.
COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_CHUNK = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: size in bytes, and its checksum as ``sha256`` (large files) or git's ``sha1``."""

    name: str
    size: int
    checksum: str

    def verify(self, path: Path) -> bool:
        with path.open("rb") as file:
            if len(self.checksum) == 64:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.checksum
            digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            return digest.hexdigest() == self.checksum


@dataclass(frozen=True)
class Listing:
    """A repository at one commit."""

    name: HubName
    commit: str
    files: dict[str, RemoteFile]


def pull(name: HubName, progress: Progress, near: Sequence[str]) -> Path:
    """Bring what `name` names into the cache; the folder or the .gguf file to open.

    `near` are the names to compare with when the hub knows no such repository. Raises `UnknownModel`,
    `DownloadFailed`, `BadCheckpoint` (only pickles, or an index that names what is not there).
    """
    folder = hub_cache.repo_dir(name.repo)
    with _quiet(), disk_errors(str(name), folder):
        listing = _list(name, near)
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        wanted = _wanted(listing, progress)
        missing = [file for file in wanted if not _has(folder, file)]
        need_space(folder, sum(file.size - _partial_size(folder, file) for file in missing), str(name))
        for file in wanted:
            _bring(listing, file, progress)
        snapshot = _link(listing, folder, wanted)
    return snapshot if name.file is None else snapshot / name.file


# ---------------------------------------------------------------------------------------------- what is wanted


def _list(name: HubName, near: Sequence[str]) -> Listing:
    from huggingface_hub import HfApi

    failures = 0
    while True:
        try:
            return _read_listing(
                name,
                HfApi().model_info(name.repo, revision=name.revision, files_metadata=True, timeout=timeout()),
            )
        except Exception as error:
            wait = wait_before_retry(error, failures)
            if wait is None or kind(error) & {"ConnectError", "ConnectTimeout"}:
                raise explain(error, name, near) from error
            failures += 1
            time.sleep(wait)


def _read_listing(name: HubName, info: ModelInfo) -> Listing:
    if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
        raise ValueError("it names no commit")
    files = {}
    for sibling in info.siblings or ():
        checksum = sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id
        # a name that leaves the folder, or a checksum that is no checksum, would become a path
        if hub_cache.inside(sibling.rfilename) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", checksum or ""):
            size = sibling.size if sibling.lfs is None else sibling.lfs.size
            files[sibling.rfilename] = RemoteFile(sibling.rfilename, int(size or 0), str(checksum))
    return Listing(name, str(info.sha), files)


def _wanted(listing: Listing, progress: Progress) -> list[RemoteFile]:
    """The files to bring: one .gguf, or a folder's weights, tokenizer and configuration (last)."""
    name, files = listing.name, listing.files
    ggufs = sorted(file for file in files if file.lower().endswith(".gguf"))
    if name.file is not None:
        if name.file in files:
            return [files[name.file]]
        choice = f"; it has {_some(ggufs)}" if ggufs else "; it has no .gguf file at all"
        raise UnknownModel(f"{name.repo} has no file {name.file}{did_you_mean(name.file, ggufs)}{choice}")
    if "config.json" in files and (weights := _weights(listing, progress)):
        companions = [files[each] for each in COMPANIONS if each in files]
        return [*weights, *companions, files["config.json"]]
    if ggufs:
        raise UnknownModel(f"{name} holds GGUF files; name the one you want: {_some([f'{name}:{g}' for g in ggufs])}")
    if "adapter_config.json" in files:
        raise BadCheckpoint(f"{name} is an adapter, not a model; merge it into its base model and save that first")
    if pickles := sorted(file for file in files if file.endswith(PICKLES)):
        raise BadCheckpoint(
            f"{name} has its weights only as {pickles[0]}, a pickle, which could run code on this machine and is "
            "never downloaded; look for a copy of the model with .safetensors or .gguf files, or convert it where "
            "you trust it (transformers: model.save_pretrained writes safetensors)"
        )
    raise UnknownModel(f"{name} is on the hub but holds no config.json with .safetensors files, and no .gguf file")


def _weights(listing: Listing, progress: Progress) -> list[RemoteFile]:
    """The safetensors files at the top of the repository; an index says which, and comes first."""
    files = listing.files
    if "model.safetensors" in files:
        return [files["model.safetensors"]]
    if hub_cache.INDEX in files:
        index = files[hub_cache.INDEX]
        try:
            names = hub_cache.shard_names(_bring(listing, index, progress).read_bytes())
        except ValueError as error:
            raise BadCheckpoint(f"{hub_cache.INDEX} of {listing.name} is damaged: {error}") from error
        if lacking := [name for name in names if name not in files]:
            raise BadCheckpoint(f"{hub_cache.INDEX} of {listing.name} names {_some(lacking)}, which is not there")
        return [*(files[name] for name in names), index]
    # "consolidated" and "adapter" files hold the same or other weights under names of their own
    skipped = ("consolidated", "adapter")
    loose = [name for name in files if name.endswith(".safetensors") and "/" not in name]
    return [files[name] for name in sorted(loose) if not name.startswith(skipped)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


# ---------------------------------------------------------------------------------------------- the transfer


def _has(folder: Path, file: RemoteFile) -> bool:
    blob = folder / "blobs" / file.checksum
    return blob.is_file() and blob.stat().st_size == file.size


def _partial_size(folder: Path, file: RemoteFile) -> int:
    partial = folder / "blobs" / f"{file.checksum}.incomplete"
    return partial.stat().st_size if partial.is_file() else 0


def _bring(listing: Listing, file: RemoteFile, progress: Progress) -> Path:
    """The verified blob of one file, downloaded or continued if it is not in the cache."""
    folder = hub_cache.repo_dir(listing.name.repo)
    blob = folder / "blobs" / file.checksum
    if _has(folder, file):
        return blob
    lock = folder.parent / ".locks" / folder.name / f"{file.checksum}.lock"
    with only_one(lock, file.name, progress):
        if _has(folder, file):
            return blob
        partial = folder / "blobs" / f"{file.checksum}.incomplete"
        what = f"downloading {listing.name.repo} {file.name}"
        continued = _partial_size(folder, file) > 0
        while True:
            try:
                with stretch(progress, what, file.size):
                    _transfer(listing, file, partial, progress)
            except OSError:
                partial.unlink(missing_ok=True)  # what the disk refused to hold must not go on filling it
                raise
            except DownloadFailed:
                if _partial_size(folder, file) > file.size:
                    partial.unlink()
                raise
            if file.verify(partial):
                break
            partial.unlink()
            if not continued:
                raise DownloadFailed(
                    f"{file.name} of {listing.name} arrived with another checksum than the hub gives for it; it was "
                    "thrown away: try again, and if it happens again the hub or something on the way is damaged"
                )
            continued = False  # the old part may have been the bad one: once more, from the first byte
        os.replace(partial, blob)
    return blob


def _transfer(listing: Listing, file: RemoteFile, partial: Path, progress: Progress) -> None:
    """Fill `partial` up to the file's size, asking only for what it lacks; tries again a few times."""
    failures = 0
    with partial.open("ab") as sink:
        if sink.tell() > file.size:
            _restart(sink, progress)
        progress.advance(sink.tell())
        while (before := sink.tell()) < file.size:
            try:
                _stream(listing, file, sink, progress)
                problem: Exception = ConnectionError("the connection closed early")
            except Exception as error:
                if isinstance(error, CutawayError) or is_disk_error(error):
                    raise
                problem = error
            if sink.tell() >= file.size:
                break
            failures = 0 if sink.tell() > before else failures
            wait = wait_before_retry(problem, failures)
            if wait is None:
                raise explain(problem, listing.name, (), kept=sink.tell()) from problem
            failures += 1
            time.sleep(wait)
        sink.flush()
        os.fsync(sink.fileno())  # else a power cut could leave the name without the bytes


def _stream(listing: Listing, file: RemoteFile, sink: Any, progress: Progress) -> None:
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    have = sink.tell()
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # bytes as stored: ranges and sizes must agree
    if have:
        headers["Range"] = f"bytes={have}-"
    address = hf_hub_url(listing.name.repo, file.name, revision=listing.commit)
    with get_session().stream("GET", address, headers=headers, timeout=timeout()) as response:
        if have and response.status_code == 416:
            _restart(sink, progress)
            return
        hf_raise_for_status(response)
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _restart(sink, progress)  # the server ignored the range and sends the whole
        for chunk in response.iter_bytes(_CHUNK):
            sink.write(chunk)
            progress.advance(len(chunk))
            if sink.tell() > file.size:
                raise DownloadFailed(f"{host()} sent more of {file.name} than the {file.size} bytes it had announced")


def _restart(sink: Any, progress: Progress) -> None:
    progress.advance(-sink.tell())
    sink.seek(0)
    sink.truncate()


def _link(listing: Listing, folder: Path, files: Sequence[RemoteFile]) -> Path:
    """Name the blobs in the snapshot, configuration last, then point the branch at it."""
    snapshot = folder / "snapshots" / listing.commit
    for file in files:
        name = snapshot / file.name
        name.parent.mkdir(parents=True, exist_ok=True)
        blob = folder / "blobs" / file.checksum
        if not (name.is_file() and name.stat().st_size == file.size):
            _point(name, blob)
    revision = listing.name.revision
    if revision != listing.commit:
        ref = folder / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        written = ref.with_name(f".{ref.name}.{os.getpid()}")
        written.write_text(listing.commit, "ascii")
        os.replace(written, ref)
    return snapshot


def _point(name: Path, blob: Path) -> None:
    """Make `name` another name of `blob`, in one step: a link where the system has them, else a copy."""
    made = name.with_name(f".{name.name}.{os.getpid()}")
    made.unlink(missing_ok=True)
    try:
        if os.environ.get("HF_HUB_DISABLE_SYMLINKS", "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise OSError("symbolic links are switched off")
        os.symlink(os.path.relpath(blob, name.parent), made)
    except OSError:
        try:
            os.link(blob, made)
        except OSError:
            shutil.copyfile(blob, made)
    os.replace(made, name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """huggingface_hub's own advice on standard error is held back: what it says is said here in our words."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(40)  # the standard library's ERROR
    try:
        yield
    finally:
        logging.set_verbosity(level)
