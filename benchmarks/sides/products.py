"""One library, and the products of SmolLM2-135M's pass: every matrix of the file, in the model's order.

All thirty blocks are gone through in turn, so that weights come from memory as they do in a decoding step, and not
from a cache that a single matrix would fit into.
"""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import gguf
import numpy as np

# Name in the file: what it is called in the table; [out, in] of each follows from the file.
KINDS = ("attn_q", "attn_output", "attn_k", "attn_v", "ffn_gate", "ffn_up", "ffn_down")
Run = Callable[[], Any]
Results = Callable[[], list[np.ndarray]]


class Matrix:
    """One matrix of the file: its raw rows, and what they mean in float32."""

    def __init__(self, tensor: Any) -> None:
        self.name: str = tensor.name.removesuffix(".weight")
        self.type: str = tensor.tensor_type.name
        self.raw: np.ndarray = np.ascontiguousarray(tensor.data)  # [out, bytes of a row]
        self.n_out, self.n_in = int(tensor.shape[1]), int(tensor.shape[0])
        self.kind: int = int(tensor.tensor_type)

    @property
    def float32(self) -> np.ndarray:  # [out, in]
        return np.ascontiguousarray(gguf.quants.dequantize(self.raw, gguf.GGMLQuantizationType(self.kind)))

    @property
    def shape(self) -> str:
        return f"{self.n_out}x{self.n_in}"


class Library:
    """`pack` keeps a matrix as the library wants it; `several` runs some of the products with x [rows, in]."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def version(self) -> str:
        raise NotImplementedError

    def pack(self, matrix: Matrix) -> Any:
        raise NotImplementedError

    def one(self, packed: Any, x: Any) -> Any:
        raise NotImplementedError

    def give(self, x: np.ndarray) -> Any:
        """The activations as the library takes them; not timed."""
        return x

    def array(self, y: Any) -> np.ndarray:
        return np.asarray(y)

    def several(self, packed: list[tuple[Matrix, Any]], xs: dict[int, np.ndarray]) -> tuple[Run, Results]:
        given = {k: self.give(x) for k, x in xs.items()}
        work = [(each, given[matrix.n_in]) for matrix, each in packed]

        def run() -> None:
            for each, x in work:
                self.one(each, x)

        def results() -> list[np.ndarray]:
            return [self.array(self.one(each, x)) for each, x in work]

        return run, results


class NumPy(Library):
    def version(self) -> str:
        return f"numpy {np.__version__}"

    def pack(self, matrix: Matrix) -> Any:
        return matrix.float32.T

    def one(self, packed: Any, x: Any) -> Any:
        return x @ packed


class NumKong(Library):
    """Single-threaded by itself; float32 sums in float64."""

    dtype: Any = "f32"

    def __init__(self, threads: int) -> None:
        import numkong

        self.nk = numkong
        super().__init__(threads)
        if threads > 1:
            raise Unable("one thread only (the caller is to split the work)")

    def version(self) -> str:
        return f"numkong {version('numkong')}"

    def pack(self, matrix: Matrix) -> Any:
        return self.nk.dots_pack(matrix.float32, dtype=self.dtype)

    def one(self, packed: Any, x: Any) -> Any:
        return self.nk.dots_packed(x, packed)


class NumKongBF16(NumKong):
    """Weights and activations rounded to bfloat16, sums in float32."""

    dtype = "bf16"

    def pack(self, matrix: Matrix) -> Any:
        return self.nk.dots_pack(self.nk.Tensor(matrix.float32).astype("bfloat16"), dtype="bf16")

    def give(self, x: np.ndarray) -> Any:
        return self.nk.Tensor(x).astype("bfloat16")


class Torch(Library):
    """torch's own choice for float32 on this machine (MKL)."""

    def __init__(self, threads: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        super().__init__(threads)

    def version(self) -> str:
        return f"torch {self.torch.__version__}"

    def pack(self, matrix: Matrix) -> Any:
        return self.torch.from_numpy(matrix.float32)

    def one(self, packed: Any, x: Any) -> Any:
        return self.torch.nn.functional.linear(x, packed)

    def give(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(x)

    def array(self, y: Any) -> np.ndarray:
        found: np.ndarray = y.float().numpy()
        return found


class OneDNN(Torch):
    """oneDNN as torch carries it, weights reordered once into its blocked layout."""

    dtype = "float32"

    def version(self) -> str:
        words = self.torch.__config__.show().split("MKL-DNN v")
        return f"oneDNN {words[1].split()[0]} in torch" if len(words) > 1 else "oneDNN in torch"

    def pack(self, matrix: Matrix) -> Any:
        weight = self.torch.from_numpy(matrix.float32).to(getattr(self.torch, self.dtype))
        return self.torch.ops.mkldnn._reorder_linear_weight(weight)

    def one(self, packed: Any, x: Any) -> Any:
        return self.torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")

    def give(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(x).to(getattr(self.torch, self.dtype))


class OneDNNBF16(OneDNN):
    dtype = "bfloat16"


class OnnxRuntime(Library):
    """MatMulNBits with accuracy_level 1: activations stay float32. Zero points as float32, because Q4_1's minimum is
    no whole number of steps; Q8_0 as eight bits around 128."""

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self.ort = onnxruntime
        super().__init__(threads)

    def version(self) -> str:
        return f"onnxruntime {self.ort.__version__}"

    def zeros(self, steps: np.ndarray) -> np.ndarray:
        return steps

    def pack(self, matrix: Matrix) -> Any:
        rows, blocks = matrix.n_out, matrix.n_in // 32
        raw = matrix.raw.reshape(rows, blocks, -1)
        if matrix.type == "Q4_1":
            d, m = (raw[..., at : at + 2].copy().view(np.float16)[..., 0].astype(np.float32) for at in (0, 2))
            q = np.concatenate([raw[..., 4:] & 15, raw[..., 4:] >> 4], axis=-1)  # as in the file: low half, high half
            packed = q[..., 0::2] | q[..., 1::2] << 4
            return 4, packed, d, self.zeros(-m / np.where(d == 0, np.float32(1), d))
        d = raw[..., :2].copy().view(np.float16)[..., 0].astype(np.float32)
        return 8, raw[..., 2:] ^ 128, d, None

    def several(self, packed: list[tuple[Matrix, Any]], xs: dict[int, np.ndarray]) -> tuple[Run, Results]:
        from onnx import TensorProto, helper, numpy_helper

        nodes, constants, outputs = [], [], []
        for matrix, (bits, blocks, scales, zeros) in packed:
            at = matrix.name
            named = {"b": blocks, "s": scales} | ({} if zeros is None else {"z": zeros})
            constants += [numpy_helper.from_array(np.ascontiguousarray(v), f"{at}.{k}") for k, v in named.items()]
            attributes = {"K": matrix.n_in, "N": matrix.n_out, "bits": bits, "block_size": 32, "accuracy_level": 1}
            inputs = [f"x{matrix.n_in}", *(f"{at}.{k}" for k in named)]
            nodes.append(helper.make_node("MatMulNBits", inputs, [at], domain="com.microsoft", **attributes))
            outputs.append(helper.make_tensor_value_info(at, TensorProto.FLOAT, [None, matrix.n_out]))
        used = {matrix.n_in for matrix, _ in packed}
        inputs = [helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, [None, k]) for k in used]
        graph = helper.make_graph(nodes, "products", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        session = self.ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feed = {f"x{k}": xs[k] for k in used}

        def results() -> list[np.ndarray]:
            found: list[np.ndarray] = session.run([matrix.name for matrix, _ in packed], feed)
            return found

        return results, results


class OnnxRuntimeWhole(OnnxRuntime):
    """The same with zero points rounded to whole numbers, the form its kernels are made for: other weights."""

    def zeros(self, steps: np.ndarray) -> np.ndarray:
        whole = np.clip(np.rint(steps), 0, 15).astype(np.uint8)
        padded = np.concatenate([whole, whole[:, :1] * 0], axis=1)[:, : whole.shape[1] + whole.shape[1] % 2]
        paired: np.ndarray = padded[:, 0::2] | padded[:, 1::2] << 4
        return paired


class Ggml(Library):
    """ggml's own mul_mat on the file's blocks, through the library that llama-cpp-python carries. Activations are
    rounded to eight bits on the way (Q8_1, Q8_0): its kernels multiply whole numbers."""

    def __init__(self, threads: int) -> None:
        import llama_cpp

        self._version = llama_cpp.__version__
        folder = Path(llama_cpp.__file__).parent / "lib"
        end = {"Darwin": "dylib", "Windows": "dll"}.get(platform.system(), "so")
        self.base = ctypes.CDLL(str(folder / f"libggml-base.{end}"))
        self.cpu = ctypes.CDLL(str(folder / f"libggml-cpu.{end}"))
        pointer = ctypes.c_void_p
        for library, name, result, arguments in (
            (self.base, "ggml_init", pointer, None),
            (self.base, "ggml_new_tensor_2d", pointer, [pointer, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]),
            (self.base, "ggml_get_data", pointer, [pointer]),
            (self.base, "ggml_mul_mat", pointer, [pointer, pointer, pointer]),
            (self.base, "ggml_new_graph_custom", pointer, [pointer, ctypes.c_size_t, ctypes.c_bool]),
            (self.base, "ggml_build_forward_expand", None, [pointer, pointer]),
            (self.base, "ggml_backend_graph_compute", ctypes.c_int, [pointer, pointer]),
            (self.base, "ggml_free", None, [pointer]),
            (self.cpu, "ggml_backend_cpu_init", pointer, []),
            (self.cpu, "ggml_backend_cpu_set_n_threads", None, [pointer, ctypes.c_int]),
        ):
            function = getattr(library, name)
            function.restype = result
            if arguments is not None:
                function.argtypes = arguments
        self.backend = self.cpu.ggml_backend_cpu_init()
        self.cpu.ggml_backend_cpu_set_n_threads(self.backend, threads)
        super().__init__(threads)

    def version(self) -> str:
        return f"ggml of llama-cpp-python {self._version}"

    def pack(self, matrix: Matrix) -> Any:
        return matrix.raw

    def several(self, packed: list[tuple[Matrix, Any]], xs: dict[int, np.ndarray]) -> tuple[Run, Results]:
        class Settings(ctypes.Structure):
            _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))

        rows = len(next(iter(xs.values())))
        size = sum(matrix.raw.nbytes + 4 * rows * matrix.n_out + 8192 for matrix, _ in packed)
        size += sum(x.nbytes for x in xs.values()) + (32 << 20)
        context = self.base.ggml_init(Settings(size, None, False))
        given = {}
        for k, x in xs.items():
            given[k] = self.base.ggml_new_tensor_2d(context, 0, k, rows)
            ctypes.memmove(self.base.ggml_get_data(given[k]), x.ctypes.data, x.nbytes)
        graph = self.base.ggml_new_graph_custom(context, 2048, False)
        outs = []
        for matrix, raw in packed:
            weight = self.base.ggml_new_tensor_2d(context, matrix.kind, matrix.n_in, matrix.n_out)
            ctypes.memmove(self.base.ggml_get_data(weight), raw.ctypes.data, raw.nbytes)
            outs.append((self.base.ggml_mul_mat(context, weight, given[matrix.n_in]), matrix.n_out))
            self.base.ggml_build_forward_expand(graph, outs[-1][0])

        def run() -> None:
            if self.base.ggml_backend_graph_compute(self.backend, graph):
                raise RuntimeError("ggml could not compute the products")

        def results() -> list[np.ndarray]:
            run()
            found = []
            for out, n_out in outs:
                values = (ctypes.c_float * (rows * n_out)).from_address(self.base.ggml_get_data(out))
                found.append(np.array(values, np.float32).reshape(rows, n_out))
            return found

        run.free = lambda: self.base.ggml_free(context)  # type: ignore[attr-defined]
        return run, results


class Ours(Library):
    """Cutaway's own products on the file's blocks; where there is no native kernel, this side is missing."""

    def __init__(self, threads: int, path: str = "") -> None:
        import cutaway

        self.model = cutaway.load(path)
        super().__init__(threads)
        if isinstance(self.model.parameters.stored("blocks.0.attn.W_Q"), np.ndarray):
            raise Unable("weights are plain arrays: no native kernels here")

    def version(self) -> str:
        import cutaway

        return f"cutaway {cutaway.__version__}"

    NAMES = {  # noqa: RUF012
        "attn_q": "attn.W_Q", "attn_k": "attn.W_K", "attn_v": "attn.W_V", "attn_output": "attn.W_O",
        "ffn_gate": "mlp.W_gate", "ffn_up": "mlp.W_in", "ffn_down": "mlp.W_out",
    }  # fmt: skip

    def pack(self, matrix: Matrix) -> Any:
        if matrix.name == "token_embd":
            return self.model.parameters.stored("W_U")
        _, block, kind = matrix.name.split(".")
        return self.model.parameters.stored(f"blocks.{block}.{self.NAMES[kind]}")

    def one(self, packed: Any, x: Any) -> Any:
        return x @ packed


class Unable(Exception):
    """This library cannot do this here."""


LIBRARIES: dict[str, type[Library]] = {
    "numpy": NumPy,
    "numpy-skylakex": NumPy,
    "numkong": NumKong,
    "numkong-bf16": NumKongBF16,
    "torch": Torch,
    "onednn": OneDNN,
    "onednn-bf16": OneDNNBF16,
    "onnxruntime": OnnxRuntime,
    "onnxruntime-whole": OnnxRuntimeWhole,
    "ggml": Ggml,
    "cutaway": Ours,
}


class Work:
    """One library on one file's matrices."""

    def __init__(self, path: str, library: str, threads: int) -> None:
        self.unable = ""
        reader = gguf.GGUFReader(path)
        by_name = {tensor.name: tensor for tensor in reader.tensors}
        n_layer = 1 + max(int(name.split(".")[1]) for name in by_name if name.startswith("blk."))
        names = [f"blk.{i}.{kind}.weight" for i in range(n_layer) for kind in KINDS]
        matrices = [Matrix(by_name[name]) for name in [*names, "token_embd.weight"]]
        chosen = LIBRARIES[library]
        try:
            self.library = chosen(threads, path) if chosen is Ours else chosen(threads)
        except Unable as err:
            self.unable = str(err)
            return
        self.packed = [(matrix, self.library.pack(matrix)) for matrix in matrices]

    def about(self) -> dict[str, Any]:
        return {"missing": self.unable} if self.unable else {"version": self.library.version()}

    def _inputs(self, rows: int) -> dict[int, np.ndarray]:
        rng = np.random.default_rng(7)
        return {k: rng.standard_normal((rows, k), np.float32) for k in {matrix.n_in for matrix, _ in self.packed}}

    def time(self, rows: int, seconds: float, shape: str | None = None) -> dict[str, Any]:
        """Median seconds of all products of `shape` with `rows` rows, one after another; without a shape, of all
        in the model's order (of many rows, without the unembedding, which a prefill does for one)."""
        chosen = [
            each
            for each in self.packed
            if (each[0].shape == shape if shape else rows <= 16 or each[0].name != "token_embd")
        ]
        run, _ = self.library.several(chosen, self._inputs(rows))
        began = time.perf_counter()
        run()
        least = 3 if time.perf_counter() - began < 0.4 else 1
        times: list[float] = []
        until = time.perf_counter() + seconds
        while len(times) < least or (time.perf_counter() < until and len(times) < 200):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        getattr(run, "free", lambda: None)()
        return {"seconds": median(times), "products": len(chosen), "rounds": len(times)}

    def error(self) -> dict[str, Any]:
        """The largest ‖y - exact‖ / ‖exact‖ over the matrices of the first block and the unembedding, 8 rows; exact
        is the product with the dequantised weights in float64."""
        chosen = [each for each in self.packed if each[0].name.startswith("blk.0.") or each[0].name == "token_embd"]
        chosen = [(m, p) for m, p in chosen if not (isinstance(self.library, Ours) and m.name.endswith(("_q", "_k")))]
        xs = self._inputs(8)
        worst = 0.0
        for (matrix, _), y in zip(chosen, self.library.several(chosen, xs)[1](), strict=True):
            exact = xs[matrix.n_in].astype(np.float64) @ matrix.float32.T.astype(np.float64)
            worst = max(worst, float(np.linalg.norm(y - exact) / np.linalg.norm(exact)))
        return {"seconds": 0.0, "error": worst, "same_bits": self._same_bits(chosen)}

    def _same_bits(self, chosen: list[tuple[Matrix, Any]]) -> bool:
        """Whether rows come out the same whether they are computed alone or among 2, 7, 16 or 100."""
        chosen = [each for each in chosen if each[0].name != "token_embd"]
        xs = self._inputs(100)
        among = self.library.several(chosen, xs)[1]()
        for n in (1, 2, 7, 16):
            fewer = self.library.several(chosen, {k: np.ascontiguousarray(x[:n]) for k, x in xs.items()})[1]()
            if any(few.tobytes() != many[:n].tobytes() for few, many in zip(fewer, among, strict=True)):
                return False
        return True
