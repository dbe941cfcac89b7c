"""What exists for the products that matter, measured before anything was written: the table of
docs/decisions/0001-products.md.

python -m benchmarks products                          every library that is installed, about five minutes
python -m benchmarks products --only ggml --only torch
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from benchmarks.limits import limits, plain
from benchmarks.measure import Options, machine, model_path
from benchmarks.side import Missing, Side

ROWS = (1, 4, 8, 16, 512)
SHAPES = ("576x576", "192x576", "1536x576", "576x1536", "49152x576")
THREADS = (1, 2)
ROOT = Path(__file__).parent.parent
DECISION = ROOT / "docs/decisions/0001-products.md"
KEPT = Path(__file__).parent / "results/products.json"
BEGIN, END = "<!-- measured: python -m benchmarks products -->", "<!-- end of what is measured -->"

# What cannot be measured: whether GGUF blocks are taken as they lie in the file, and the settings of the process.
LIBRARIES: dict[str, tuple[str, str, dict[str, str]]] = {
    "numpy": ("NumPy's OpenBLAS as Haswell, float32 weights", "no, dequantised", {"OPENBLAS_CORETYPE": "Haswell"}),
    "numpy-skylakex": ("the same as SkylakeX", "no, dequantised", {"OPENBLAS_CORETYPE": "SkylakeX"}),
    "torch": ("torch linear (MKL), float32 weights", "no, dequantised", {}),
    "onednn": ("oneDNN in torch, float32 weights", "no, dequantised", {}),
    "onednn-bf16": ("oneDNN in torch, all in BF16", "no, rounded", {}),
    "numkong": ("numkong float32, sums in float64", "no, dequantised", {}),
    "numkong-bf16": ("numkong, weights and activations BF16", "no, rounded", {}),
    "onnxruntime": ("onnxruntime MatMulNBits, float zero points", "no, repacked", {}),
    "onnxruntime-whole": ("the same, whole zero points (other weights)", "no, requantised", {}),
    "ggml": ("ggml mul_mat, activations rounded to 8 bits", "yes", {}),
    "cutaway": ("Cutaway's own kernels, activations float32", "yes", {}),
}


def measured(library: str, seconds: float) -> dict[str, Any]:
    """Every figure of one library; `missing` says why there is none."""
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "all": {}, "shapes": {}}
    for threads in THREADS:
        settings = {"path": model_path(), "library": library}
        try:
            with Side("products", threads=threads, environment=LIBRARIES[library][2], **settings) as side:
                found["version"] = side.about["version"]
                checked = side.do("error")
                found["error"] = checked["error"]
                found["same_bits"] = found.get("same_bits", True) and checked["same_bits"]
                for rows in ROWS:
                    whole = side.do("time", rows=rows, seconds=4 * seconds)
                    found["all"][f"{threads},{rows}"] = whole["seconds"]
                    for shape in SHAPES:
                        took = side.do("time", rows=rows, seconds=seconds, shape=shape)
                        found["shapes"][f"{threads},{rows},{shape}"] = took["seconds"] / took["products"]
        except Missing as err:
            found[f"missing_{threads}"] = str(err)
    return found


def _cell(value: float | None, unit: float) -> str:
    return "–" if value is None else f"{value * unit:.3g}" if value * unit < 100 else f"{value * unit:,.0f}"


def tables(kept: dict[str, Any]) -> str:
    """The tables, in Markdown."""
    here = kept["machine"]
    limit = {int(n): each for n, each in kept["limits"].items()}
    lines = [
        f"Machine: {here['processor']}, {here['cores']} cores, {here['system']}; Python {here['python']}.",
        "",
        "All products of one pass of SmolLM2-135M (Q4_1, unembedding Q8_0): milliseconds, medians; of 512 rows"
        " without the unembedding. Error: largest ‖y − exact‖ / ‖exact‖, exact from dequantised weights in float64."
        " Same bits: a row comes out the same alone and among 2, 7, 16 and 100.",
        "",
        "| library | blocks of the file | error | same bits | "
        + " | ".join(f"{n} row{'s' if n > 1 else ''}, {t} thr." for t in THREADS for n in ROWS) + " |",
        "|---|---|---|---|" + "---|" * (len(ROWS) * len(THREADS)),
    ]  # fmt: skip
    for name, (title, blocks, _) in LIBRARIES.items():
        row = kept["libraries"].get(name)
        if row is None or "version" not in row:
            why = "not measured" if row is None else row.get("missing_1", "missing")
            lines.append(f"| {title} | {blocks} | {why} | |" + " |" * (len(ROWS) * len(THREADS)))
            continue
        cells = [_cell(row["all"].get(f"{t},{n}"), 1e3) for t in THREADS for n in ROWS]
        same = {True: "yes", False: "no"}.get(row.get("same_bits"), "")
        head = f"| {title} ({row['version']}) | {blocks} | {row['error']:.1e} | {same} | "
        lines.append(head + " | ".join(cells) + " |")
    if limit:

        def least(threads: int, rows: int) -> float:
            size, operations = kept["work"][str(rows)]
            return float(max(size / limit[threads]["bytes"], operations / limit[threads]["flops"]))

        at_most = [_cell(least(t, n), 1e3) for t in THREADS for n in ROWS]
        lines.append("| *limit: bytes ÷ bandwidth or operations ÷ peak* | | | | " + " | ".join(at_most) + " |")
    for threads in THREADS:
        lines += [
            "",
            f"One product, {threads} thread{'s' if threads > 1 else ''}, microseconds (all blocks in turn):",
            "",
            "| library | rows | " + " | ".join(SHAPES) + " |",
            "|---|---|" + "---|" * len(SHAPES),
        ]
        for name, (title, _, _) in LIBRARIES.items():
            row = kept["libraries"].get(name, {})
            for n in ROWS:
                of_shapes = [row.get("shapes", {}).get(f"{threads},{n},{shape}") for shape in SHAPES]
                if any(of_shapes):
                    lines.append(f"| {title} | {n} | " + " | ".join(_cell(each, 1e6) for each in of_shapes) + " |")
    return "\n".join(lines)


def _work() -> dict[str, tuple[float, float]]:
    """Bytes that must be read and operations that must be done, by rows."""
    import gguf

    matrices = [t for t in gguf.GGUFReader(model_path()).tensors if len(t.shape) == 2]
    of_blocks = sum(int(t.n_elements) for t in matrices if t.name != "token_embd.weight")
    whole = sum(int(t.n_elements) for t in matrices)
    size = float(sum(int(t.n_bytes) for t in matrices))
    return {str(n): (size, 2.0 * n * (whole if n <= 16 else of_blocks)) for n in ROWS}


def run(options: Options) -> list[dict[str, Any]]:
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"libraries": {}}
    names = options.only or list(LIBRARIES)
    kept |= {"machine": machine(), "work": _work()}
    kept["limits"] = plain(limits())
    rows = []
    for name in names:
        kept["libraries"][name] = row = measured(name, 0.05 if options.quick else 0.12)
        took = row["all"].get("2,1", row["all"].get("1,1"))
        value = f"{_cell(took, 1e3)} ms" if took else "missing: " + row["missing_1"]
        figure = f"{LIBRARIES[name][0]}: all products, one row"
        rows.append({"figure": figure, "bar": "(shown)", "value": value, "met": True})
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = DECISION.read_text(encoding="utf-8") if DECISION.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    DECISION.parent.mkdir(parents=True, exist_ok=True)
    DECISION.write_text(f"{before}{BEGIN}\n\n{tables(kept)}\n\n{END}{after}", encoding="utf-8")
    return rows
