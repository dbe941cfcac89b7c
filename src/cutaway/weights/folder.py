"""What a path holds: a folder as transformers writes it, a `.gguf`, or one `.safetensors` beside its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import dequantize
from cutaway.weights.checkpoint import OpenCheckpoint
from cutaway.weights.configs import from_gguf, from_hf
from cutaway.weights.gguf import GGUFFile
from cutaway.weights.refusals import PICKLES, damaged, refuse_other_start, refuse_pickle
from cutaway.weights.safetensors import SafetensorsFiles, open_folder, read_json

CONFIG = "config.json"
LONGEST_TEMPLATE = 2**20


def open_checkpoint(path: str | Path) -> OpenCheckpoint:
    """Opens weights in milliseconds; reads none. Raises `BadCheckpoint` or `BadConfig`."""
    path = Path(path).expanduser()
    if path.is_dir():
        return _open_folder(path)
    refuse_pickle(path)
    if not path.exists():
        raise BadCheckpoint(f"there is no file or folder {path}; check the path.")
    if path.suffix.lower() == ".safetensors":
        config = path.parent / CONFIG
        if not config.is_file():
            raise BadCheckpoint(
                f"{path.name} has no {CONFIG} beside it, which says how to compute with it; fetch that too."
            )
        return _transformers(path.parent, SafetensorsFiles([path]), path)
    if path.name == CONFIG:
        return _open_folder(path.parent)
    if path.suffix.lower() != ".gguf" and not _starts_as_gguf(path):
        refuse_other_start(path, "GGUF")
        raise BadCheckpoint(
            f"{path.name} is neither a .gguf nor a .safetensors file nor a folder; give one of these."
        )
    return _open_gguf(path)


def _starts_as_gguf(path: Path) -> bool:
    # a file in the hub's cache may be called by its checksum alone
    with open(path, "rb") as file:
        return file.read(4) == b"GGUF"


def _open_gguf(path: Path) -> OpenCheckpoint:
    file = GGUFFile(path)
    _refuse_part(file)
    factors: tuple[float, ...] = ()
    info = file.tensors.get("rope_freqs.weight")
    if info is not None and len(info.shape) == 1 and info.shape[0] <= 4096:
        factors = tuple(dequantize(file.raw(info.name), info.dtype).reshape(-1).tolist())
    config = from_gguf(file.metadata, file.tensors, path.name, factors)
    pieces = file.metadata.length("tokenizer.ggml.tokens")
    if pieces is not None and pieces > config.n_vocab:
        raise damaged(path.name, f"has {pieces} pieces in its vocabulary, and embeds only {config.n_vocab}")
    template = file.metadata.get("tokenizer.chat_template")
    return OpenCheckpoint(
        config,
        file,
        "gguf",
        path,
        format=f"GGUF {file.version}",
        interleaved=file.metadata["general.architecture"] == "llama",
        tokenizer_metadata=file.metadata,
        chat_template=template if isinstance(template, str) else None,
    )


def _refuse_part(file: GGUFFile) -> None:
    parts = file.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise BadCheckpoint(
            f"{file.path.name} is one of {parts} parts of a model; join them into one file first, with"
            " `llama-gguf-split --merge FIRST_PART WHOLE.gguf`."
        )


def _open_folder(folder: Path) -> OpenCheckpoint:
    files = sorted(each.name for each in folder.iterdir() if each.is_file())
    pickles = [name for name in files if Path(name).suffix in PICKLES and name != "training_args.bin"]
    weights = [name for name in files if name.endswith(".safetensors")]
    ggufs = [name for name in files if name.endswith(".gguf")]
    if CONFIG not in files:
        hint = f"give the path of {ggufs[0]} itself" if ggufs else "give a folder that transformers wrote, or a .gguf"
        raise BadCheckpoint(f"the folder {folder} has no {CONFIG}, so it is no model; {hint}.")
    if not weights and pickles:
        refuse_pickle(folder / pickles[0])
    if not weights and not (folder / "model.safetensors.index.json").is_file():
        hint = f"give the path of {ggufs[0]} itself" if ggufs else "fetch model.safetensors too"
        raise BadCheckpoint(f"the folder {folder} has a {CONFIG} and no .safetensors file; {hint}.")
    return _transformers(folder, open_folder(folder), folder)


def _transformers(folder: Path, store: SafetensorsFiles, source: Path) -> OpenCheckpoint:
    config = from_hf(read_json(folder / CONFIG), CONFIG, name=folder.name)
    tokenizer = folder / "tokenizer.json"
    return OpenCheckpoint(
        config,
        store,
        "hf",
        source,
        format="safetensors",
        tokenizer_json=tokenizer if tokenizer.is_file() else None,
        chat_template=_chat_template(folder),
    )


def _chat_template(folder: Path) -> str | None:
    """A file of its own (transformers 4.50 on), or a field of the tokenizer's configuration before that."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        if own.stat().st_size > LONGEST_TEMPLATE:
            raise BadCheckpoint(
                f"{own} is longer than {LONGEST_TEMPLATE} bytes, so it is no chat template; remove it."
            )
        return own.read_bytes().decode(errors="replace")
    beside = folder / "tokenizer_config.json"
    if not beside.is_file():
        return None
    return _default_template(read_json(beside).get("chat_template"))


def _default_template(value: Any) -> str | None:
    """The text, or the one named "default" in a list of named ones."""
    if isinstance(value, list):
        named = {each.get("name"): each.get("template") for each in value if isinstance(each, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None
