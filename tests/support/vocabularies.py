"""The test vocabularies of llama.cpp: `.gguf` files with no weights, a corpus (`.inp`) and its ids (`.out`).

They lie in the source distribution of llama_cpp_python. `fetch` brings that with pip into the cache, once.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from cutaway.weights import fetch as fetch_module

RELEASE = "llama_cpp_python==0.3.36"
INSIDE = "/vendor/llama.cpp/models/"
BETWEEN = "\n__ggml_vocab_test__\n"


def cache() -> Path:
    return fetch_module.home() / "yardsticks" / "llama.cpp-models"


def fetch() -> Path:
    """The folder with the vocabularies and `templates/`; brought first when it is not there."""
    folder = cache()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", RELEASE]
        subprocess.run([*command, "--dest", temporary], check=True)
        (archive,) = Path(temporary).glob("*.tar.gz")
        made = Path(temporary) / "models"
        with tarfile.open(archive) as packed:
            for member in packed:
                _, found, name = member.name.partition(INSIDE)
                if found and member.isfile():
                    target = made / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source = packed.extractfile(member)
                    assert source is not None
                    target.write_bytes(source.read())
        made.rename(folder)
    return folder


def cases(folder: Path, name: str) -> list[tuple[str, list[int]]]:
    """The corpus and llama.cpp's ids of it, without BOS."""
    texts = (folder / f"ggml-vocab-{name}.gguf.inp").read_bytes().decode("utf-8").split(BETWEEN)
    rows = (folder / f"ggml-vocab-{name}.gguf.out").read_text(encoding="utf-8").splitlines()
    rows += [""] * (len(texts) - len(rows))
    return [(text, [int(id) for id in row.split()]) for text, row in zip(texts, rows, strict=True)]
