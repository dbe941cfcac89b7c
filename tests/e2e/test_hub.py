"""The hub, played by a server on the loopback address: what a pull brings, survives, refuses and leaves behind."""

from __future__ import annotations

import errno
import json
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
from huggingface_hub import close_session, constants

from cutaway.weights import catalog, fetch, hub, hub_refusals
from tests.support.fake_hub import COMMIT, FakeHub, Repo
from tests.support.pull_and_report import pull_and_report

WEIGHTS = random.Random(1).randbytes(3_000_000)  # any bytes will do: nobody opens them here
CONFIG = b'{"model_type": "llama"}'
FOLDER = {
    "config.json": CONFIG,
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "pytorch_model.bin": b"a pickle",
    "README.md": b"# words",
    "onnx/model.onnx": b"another format",
}
BROUGHT = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}

REPORT = Path(__file__).parents[1] / "support" / "pull_and_report.py"


@dataclass
class Place:
    """One hub, one empty home, and pulls: in this process, or started in one of its own."""

    hub: FakeHub
    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "hf" / "hub"

    def start(self, name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(REPORT), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
        )

    def pull(self, name: str, **environment: str) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in environment.items():
                patch.setenv(variable, value)
            return pull_and_report(name)

    def find(self, name: str) -> str | None:
        found = catalog.find(name)
        return None if found is None else str(found.path)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert err == "", "the library prints nothing"
    report = json.loads(out)
    assert isinstance(report, dict)
    return report


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    strange = ("HF_", "HUGGINGFACE_", "CUTAWAY_", "TRANSFORMERS_", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for name in list(os.environ):
        if name.upper().startswith(strange):
            monkeypatch.delenv(name)
    with FakeHub().running() as hub:
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "CUTAWAY_HOME": str(tmp_path / "cutaway"),
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TEST_WAITS": "0 0 0 0",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        # huggingface_hub reads its environment once, at import: for this process the same is said again
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 5)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_refusals, "WAITS", (0.0, 0.0, 0.0, 0.0))
        hub.repos["tiny/model"] = Repo(dict(FOLDER))
        yield Place(hub, tmp_path)
        close_session()


def blobs(place: Place) -> list[Path]:
    return sorted(place.cache.glob("models--*/blobs/*"))


def test_a_folder_comes_whole_without_pickles_and_is_found_afterwards(place: Place) -> None:
    result = finish(place.start("tiny/model"))  # with the environment alone to say where the hub and the cache are
    assert result["before"] is None
    path = Path(result["path"])
    assert path == place.cache / "models--tiny--model" / "snapshots" / COMMIT
    assert {each.name for each in path.iterdir()} == BROUGHT
    assert all((path / name).read_bytes() == FOLDER[name] for name in BROUGHT)
    assert result["after"] == result["path"]
    assert (place.cache / "models--tiny--model" / "refs" / "main").read_text() == COMMIT
    assert ["downloading tiny/model model.safetensors", len(WEIGHTS), len(WEIGHTS), True] in result["stretches"]
    assert result["models"] == [["tiny/model", "hub", sum(len(FOLDER[name]) for name in BROUGHT)]]
    assert not any("incomplete" in blob.name for blob in blobs(place))


def test_huggingface_hub_itself_finds_what_was_brought(place: Place) -> None:
    result = place.pull("tiny/model")
    script = (
        "from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download\n"
        "print(hf_hub_download('tiny/model', 'model.safetensors', local_files_only=True))\n"
        "print(snapshot_download('tiny/model', local_files_only=True))\n"
        "found = scan_cache_dir(); assert not found.warnings, found.warnings\n"
        "print([repo.repo_id for repo in found.repos])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    out = done.stdout.splitlines()
    assert out == [result["path"] + "/model.safetensors", result["path"], "['tiny/model']"]


def test_what_is_here_needs_no_network(place: Place) -> None:
    path = place.pull("tiny/model")["path"]
    asked = len(place.hub.requests)
    assert place.pull("tiny/model")["path"] == path
    assert place.pull("tiny/model", HF_HUB_OFFLINE="1")["path"] == path
    assert len(place.hub.requests) == asked


def test_a_tokenizer_that_another_program_left_out_is_brought_later(place: Place) -> None:
    path = Path(place.pull("tiny/model")["path"])
    (path / "tokenizer.json").unlink()
    assert place.pull("tiny/model", CUTAWAY_OFFLINE="1")["path"] == str(path)
    assert not (path / "tokenizer.json").exists()
    assert place.pull("tiny/model")["path"] == str(path)
    assert (path / "tokenizer.json").read_bytes() == FOLDER["tokenizer.json"]


def test_shards_come_by_their_index(place: Place) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files = {
        "config.json": CONFIG,
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-00001-of-00002.safetensors": b"one",
        "model-00002-of-00002.safetensors": b"two",
        "consolidated.safetensors": b"the same again",
        "tokenizer.json": b"{}",
    }
    place.hub.repos["tiny/sharded"] = Repo(files)
    path = Path(place.pull("tiny/sharded")["path"])
    assert {each.name for each in path.iterdir()} == set(files) - {"consolidated.safetensors"}
    (path / "model-00002-of-00002.safetensors").unlink()
    assert place.find("tiny/sharded") is None, "a folder that lacks a shard is not whole"
    assert place.pull("tiny/sharded")["path"] == str(path)


@pytest.mark.parametrize("shard", ["../../escape.safetensors", "/etc/escape.safetensors", "gone.safetensors", 7])
def test_an_index_that_names_what_it_may_not_is_refused(place: Place, shard: object) -> None:
    index = json.dumps({"weight_map": {"a": shard}}).encode()
    place.hub.repos["tiny/hostile"] = Repo({"config.json": CONFIG, "model.safetensors.index.json": index})
    result = place.pull("tiny/hostile")
    assert result["error"] == "BadCheckpoint"
    assert place.find("tiny/hostile") is None
    assert not list(place.root.rglob("escape*"))


def test_names_that_leave_the_folder_are_never_fetched(place: Place) -> None:
    files = {"config.json": CONFIG, "odd.safetensors": b"weights"}
    place.hub.repos["tiny/odd"] = Repo(
        files, odd_names=["../tokenizer.json", "..\\evil.safetensors", "C:x.safetensors"]
    )
    path = Path(place.pull("tiny/odd")["path"])
    assert {each.name for each in path.iterdir()} == set(files)
    assert place.pull("tiny/odd:../../x.gguf")["error"] == "UnknownModel"


def test_one_gguf_of_a_repository(place: Place) -> None:
    place.hub.repos["tiny/quantised"] = Repo({"a.Q4_0.gguf": b"GGUF four", "sub/a.Q8_0.gguf": b"GGUF eight"})
    result = place.pull("tiny/quantised")
    assert result["error"] == "UnknownModel"
    assert "tiny/quantised:a.Q4_0.gguf" in result["message"] and "tiny/quantised:sub/a.Q8_0.gguf" in result["message"]
    for file, content in place.hub.repos["tiny/quantised"].files.items():
        result = place.pull(f"tiny/quantised:{file}")
        assert Path(result["path"]).read_bytes() == content
        assert result["after"] == result["path"]
    assert [name for name, _, _ in result["models"]] == [
        "tiny/quantised:a.Q4_0.gguf",
        "tiny/quantised:sub/a.Q8_0.gguf",
    ]
    result = place.pull("tiny/quantised:a.Q4_1.gguf")
    assert result["error"] == "UnknownModel" and "a.Q4_0.gguf" in result["message"]


def test_safetensors_are_preferred_to_gguf(place: Place) -> None:
    place.hub.repos["tiny/model"].files["tiny.gguf"] = b"GGUF"
    assert Path(place.pull("tiny/model")["path"]).is_dir()
    assert place.hub.gets("tiny.gguf") == []


def test_pickles_are_refused_with_a_way_out(place: Place) -> None:
    place.hub.repos["tiny/pickled"] = Repo({"config.json": CONFIG, "pytorch_model.bin": b"\x80\x02"})
    result = place.pull("tiny/pickled")
    assert result["error"] == "BadCheckpoint" and "save_pretrained" in result["message"]
    assert place.hub.gets("pytorch_model.bin") == []


def test_a_revision(place: Place) -> None:
    result = place.pull(f"tiny/model@{COMMIT}")
    assert Path(result["path"]).name == COMMIT and result["after"] == result["path"]
    result = place.pull("tiny/model@never")
    assert result["error"] == "UnknownModel" and "never" in result["message"]


def test_a_cut_connection_is_resumed_in_the_same_pull(place: Place) -> None:
    place.hub.cut_after["model.safetensors"] = 1_000_000
    path = Path(place.pull("tiny/model")["path"])
    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    first, second = place.hub.gets("model.safetensors")
    assert first.range is None
    assert second.range is not None and int(second.range.removeprefix("bytes=").rstrip("-")) > 0


def test_an_interrupted_download_is_continued_by_the_next_pull(place: Place) -> None:
    place.hub.cut_after["model.safetensors"] = 1_000_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_refusals, "WAITS", ())  # no further tries: the first failure is the last
        result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "kept" in result["message"]
    assert place.find("tiny/model") is None and result["models"] == []
    path = Path(place.pull("tiny/model")["path"])
    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    _, resumed = place.hub.gets("model.safetensors")
    # the HTTP client hands over whole pieces: less than one of what arrived may be asked for again
    assert resumed.range is not None and 1_000_000 - (1 << 18) < int(resumed.range[6:-1]) <= 1_000_000


def test_a_server_without_ranges_starts_again(place: Place) -> None:
    place.hub.cut_after["model.safetensors"] = 1_000_000
    place.hub.ignore_ranges = True
    result = place.pull("tiny/model")
    assert Path(result["path"], "model.safetensors").read_bytes() == WEIGHTS
    assert ["downloading tiny/model model.safetensors", len(WEIGHTS), len(WEIGHTS), True] in result["stretches"]


def test_a_connection_that_never_brings_a_byte_gives_up(place: Place) -> None:
    place.hub.cut_after["model.safetensors"] = 0
    place.hub.cut_always = True
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "could not be reached" in result["message"]
    assert len(place.hub.gets("model.safetensors")) == 5  # one try and four more


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_wrong_checksum_is_refused_and_removed(place: Place, file: str) -> None:
    place.hub.repos["tiny/model"].corrupt.add(file)
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "checksum" in result["message"] and file in result["message"]
    assert place.find("tiny/model") is None and result["models"] == []
    assert not list(place.cache.glob("models--*/snapshots/*/*"))
    assert not any("incomplete" in blob.name for blob in blobs(place))


def test_a_damaged_part_is_thrown_away_and_fetched_once_more(place: Place) -> None:
    place.hub.cut_after["model.safetensors"] = 1_000_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_refusals, "WAITS", ())
        place.pull("tiny/model")
    (part,) = [blob for blob in blobs(place) if blob.name.endswith(".incomplete")]
    part.write_bytes(b"x" * part.stat().st_size)
    path = Path(place.pull("tiny/model")["path"])
    assert (path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_killed_process_leaves_nothing_that_looks_whole(place: Place) -> None:
    place.hub.hold["model.safetensors"] = threading.Event()
    process = place.start("tiny/model")
    assert place.hub.half_sent.wait(20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert place.find("tiny/model") is None
    assert not list(place.cache.glob("models--*/snapshots/*/*"))
    place.hub.hold["model.safetensors"].set()
    path = Path(place.pull("tiny/model")["path"])
    assert (path / "model.safetensors").read_bytes() == WEIGHTS


def test_two_pulls_at_once_end_well_and_fetch_once(place: Place) -> None:
    place.hub.hold["model.safetensors"] = threading.Event()
    first = place.start("tiny/model")
    assert place.hub.half_sent.wait(20)
    second = place.start("tiny/model")
    while sum(each.path.startswith("/api/models/tiny") for each in place.hub.requests) < 2:
        assert second.poll() is None
        threading.Event().wait(0.02)
    place.hub.hold["model.safetensors"].set()
    results = [finish(first), finish(second)]
    assert results[0]["path"] == results[1]["path"] == results[0]["after"] == results[1]["after"]
    assert len(place.hub.gets("model.safetensors")) == 1


def test_offline_is_honoured_and_says_what_is_here(place: Place) -> None:
    place.pull("tiny/model")
    asked = len(place.hub.requests)
    for flag in ("HF_HUB_OFFLINE", "CUTAWAY_OFFLINE"):
        result = place.pull("gpt2", **{flag: "1"})
        assert result["error"] == "DownloadFailed"
        assert "offline" in result["message"] and "tiny/model" in result["message"]
    assert len(place.hub.requests) == asked


def test_a_gated_model_says_what_to_do_and_a_token_opens_it(place: Place) -> None:
    place.hub.repos["meta-llama/Llama-3.2-1B-Instruct"] = Repo(dict(FOLDER), gated=True)
    result = place.pull("llama-3.2-1b")
    assert result["error"] == "DownloadFailed"
    assert "licence" in result["message"] and "HF_TOKEN" in result["message"]
    assert place.hub.url + "/meta-llama/Llama-3.2-1B-Instruct" in result["message"]
    result = place.pull("llama-3.2-1b", HF_TOKEN="hf_bad")
    assert result["error"] == "DownloadFailed" and "token" in result["message"]
    result = place.pull("llama-3.2-1b", HF_TOKEN="hf_good")
    assert result["after"] == result["path"]
    assert [model[:2] for model in result["models"]] == [["llama-3.2-1b", "hub"]]


def test_an_unknown_repository_offers_near_names(place: Place) -> None:
    result = place.pull("openai-comunity/gpt2")
    assert result["error"] == "UnknownModel" and result["exit"] == 4
    assert '"openai-community/gpt2"' in result["message"]


@pytest.mark.parametrize(("status", "word"), [(403, "gated"), (404, "did not have"), (429, "too many"), (500, "500")])
def test_refusals_have_their_sentence(place: Place, status: int, word: str) -> None:
    place.hub.answers = [status] * 50
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and word in result["message"], result
    assert len(place.hub.requests) == (5 if status in (429, 500) else 1)
    assert place.find("tiny/model") is None


def test_a_hub_that_recovers_is_asked_again(place: Place) -> None:
    place.hub.answers = [503, 429]
    assert "path" in place.pull("tiny/model")


def test_no_network_names_the_host_and_the_way_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed"
    assert "127.0.0.1:9" in result["message"] and "cutaway models" in result["message"]


def test_something_that_is_no_hub(place: Place) -> None:
    place.hub.login_page = True
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "HF_ENDPOINT" in result["message"]


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "10 B free" in result["message"]
    assert place.hub.gets("model.safetensors") == []


def test_a_disk_that_fills_up_leaves_nothing_half_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(listing: object, file: object, sink: Any, progress: object) -> None:
        sink.write(b"part")
        sink.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hub, "_stream", stream)
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "full" in result["message"]
    assert blobs(place) == [] and place.find("tiny/model") is None


def test_a_cache_that_may_not_be_written(place: Place) -> None:
    (place.root / "hf").write_text("a file where the folder should be")
    result = place.pull("tiny/model")
    assert result["error"] == "DownloadFailed" and "cannot be written" in result["message"]


def test_gpt2_cached_under_its_former_name_is_found(place: Place) -> None:
    place.hub.repos["openai-community/gpt2"] = Repo(dict(FOLDER))
    path = Path(place.pull("gpt2")["path"])
    os.rename(path.parent.parent, place.cache / "models--gpt2")
    assert place.find("gpt2") == str(place.cache / "models--gpt2" / "snapshots" / COMMIT)


def test_a_system_without_symbolic_links(place: Place) -> None:
    path = Path(place.pull("tiny/model", HF_HUB_DISABLE_SYMLINKS="1")["path"])
    assert not (path / "model.safetensors").is_symlink()
    assert (path / "model.safetensors").read_bytes() == WEIGHTS
