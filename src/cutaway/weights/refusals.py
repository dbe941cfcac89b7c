"""What a weights file turns out to be when it is not what its name says, in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cutaway.errors import BadCheckpoint

# how files begin that people hand over by mistake -> (what that is, what to do)
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK", "a zip archive", "unzip it first"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull` beside it"),
    (b"<", "a web page", "the download went wrong, so fetch it again"),
    (b"\x80", "a Python pickle, which could run code", "convert it to safetensors first"),
    (b"GGUF", "a GGUF file", "give it the ending .gguf"),
    (b"lmgg", "llama.cpp's old GGML format", "convert it to GGUF first"),
    (b"fmgg", "llama.cpp's old GGMF format", "convert it to GGUF first"),
    (b"tjgg", "llama.cpp's old GGJT format", "convert it to GGUF first"),
    (b"FUGG", "a big-endian GGUF", "fetch the little-endian one"),
    (b"\x89HDF", "an HDF5 file", "convert it to safetensors first"),
)

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def damaged(source: str, what: str) -> BadCheckpoint:
    return BadCheckpoint(f"{source} {what}; it is damaged, so fetch or convert it again.")


def short(text: str) -> str:
    """A hostile name may be megabytes long, and a message is one line."""
    if len(text) < 80 and text.isprintable():  # as nearly always: this is called for every tensor's name
        return text
    text = "".join(c if c.isprintable() else "?" for c in text[:80])
    return text if len(text) < 80 else text[:77] + "..."


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """An operating system's refusal, as a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise BadCheckpoint(f"there is no file {path}; check the path.") from None
    except OSError as err:
        raise BadCheckpoint(f"{path} cannot be read: {err.strerror or err}; check the file.") from err


def refuse_other_kind(path: Path, magic: bytes, kind: str) -> None:
    """Raises `BadCheckpoint` unless the file begins with `magic`; says what it is instead, where that is known."""
    start = _start(path)
    if start.startswith(magic):
        return
    refuse_other_start(path, kind)
    raise BadCheckpoint(f'{path.name} starts with {_quoted(start[:4])}, not "{kind}"; this is no {kind} file.')


def refuse_other_start(path: Path, kind: str) -> None:
    """Raises `BadCheckpoint` when the file is empty or begins as some other known kind of file does."""
    start = _start(path)
    if not start:
        raise BadCheckpoint(f"{path.name} is empty; fetch it again.")
    if kind == "safetensors" and start[3:8] == bytes(5):
        return  # a header's length, whose first byte may be any
    for beginning, what, way_out in _BEGINNINGS:
        if start.startswith(beginning):
            shown = _quoted(start[: len(beginning)])
            raise BadCheckpoint(f'{path.name} starts with {shown} ({what}), not "{kind}"; {way_out}.')


def refuse_pickle(path: Path) -> None:
    """Raises `BadCheckpoint` for the endings of PyTorch's pickles: opening one can run any code that it holds."""
    if path.suffix.lower() in PICKLES:
        raise BadCheckpoint(
            f"{path.name} is a Python pickle, which can run any code when it is opened, so Cutaway does not; if you"
            f" trust it, convert its folder to safetensors: {conversion(path.parent)}"
        )


def conversion(folder: Path) -> str:
    """The command that rewrites a folder of pickles as safetensors."""
    return (
        'python -c "from transformers import AutoModelForCausalLM as M;'
        f' M.from_pretrained({str(folder)!r}).save_pretrained({str(folder) + "-safetensors"!r})"'
    )


def _start(path: Path) -> bytes:
    with readable(path), open(path, "rb") as file:
        return file.read(32)


def _quoted(start: bytes) -> str:
    text = start[:32].decode("latin-1")
    return f'"{text}"' if text.isascii() and text.isprintable() else f"the bytes {start[:4].hex(' ')}"
