// The module cutaway.kernels._native: checks shapes, cuts jobs into chunks, hands them to the pool. What the functions
// compute is said in kernels/products.py, rows.py and attention.py, each beside its NumPy twin.
#include <nanobind/stl/string.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#ifdef __linux__
#include <unistd.h>
#endif

#include "held.hpp"
#include "isa_choice.hpp"
#include "scratch.hpp"
#include "table.hpp"

namespace cutaway {
void bind_quants(nb::module_& m);

HeldMatrix::HeldMatrix(Bytes raw, int format, int64_t n_in, int64_t block_weights, int64_t block_bytes) : raw(raw) {
  expect(format >= 0 && format < kFormats, "no such format");
  expect(n_in > 0 && n_in % block_weights == 0 && (int64_t)raw.shape(1) == n_in / block_weights * block_bytes,
         "a row's bytes do not fit its length");
  matrix = {(Format)format, raw.data(), (int64_t)raw.shape(0), n_in, (int64_t)raw.shape(1)};
}

// Bytes of decoded weights that stay in the second-level cache beside what is read meanwhile.
static int64_t panel_bytes() {
  static const int64_t bytes = [] {
    long cache = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return cache > 0 ? clamp((int64_t)cache * 3 / 8, 98304, 786432) : 147456;
  }();
  return bytes;
}

void run_product(Product& job) {
  const Matrix& first = *job.parts[0];
  int64_t strips = 0, rows = 0;
  for (int i = 0; i < job.n_parts; i++) rows += job.parts[i]->n_out;
  job.pos_block = job.n_pos;
  if (job.n_pos <= 8) {  // strips of some microseconds
    job.strip = clamp(49152 / first.n_in / job.n_pos & ~(int64_t)3, 8, 1024);
  } else {  // panels that stay in the second-level cache
    job.strip = clamp((job.n_pos <= 32 ? 65536 : panel_bytes()) / (4 * first.n_in) & ~(int64_t)3, 4, 64);
  }
  const int64_t wanted = 16 * threads();  // so that no thread is left with a large last one
  if (rows / job.strip < wanted && job.n_pos > 96) {
    const int64_t parts = ceil_div(wanted, rows / job.strip + 1);
    job.pos_block = clamp(ceil_div(ceil_div(job.n_pos, parts), 6) * 6, 48, job.n_pos);
  }
  for (int i = 0; i < job.n_parts; i++) strips += ceil_div(job.parts[i]->n_out, job.strip);
  const auto kernel = choose_isa().product;
  parallel(strips * ceil_div(job.n_pos, job.pos_block), [&](int64_t chunk) { kernel(job, chunk); });
}

void pad_rows(Product& job, int64_t n_in) {
  job.x_stride = n_in;
  // a load across two cache lines takes twice as long, and each row is loaded again and again
  const bool crossing = reinterpret_cast<uintptr_t>(job.x) % 64 != 0;
  if (n_in % 16 == 0 && !crossing) return;
  const int64_t wide = (n_in + 15) & ~(int64_t)15, some = clamp(65536 / wide, 1, job.n_pos);
  float* copy = scratch(4, job.n_pos * wide);
  const float* x = job.x;
  parallel(ceil_div(job.n_pos, some), [&](int64_t chunk) {
    for (int64_t p = chunk * some; p < job.n_pos && p < (chunk + 1) * some; p++) {
      std::memcpy(copy + p * wide, x + p * n_in, n_in * sizeof(float));
      std::memset(copy + p * wide + n_in, 0, (wide - n_in) * sizeof(float));
    }
  });
  job.x = copy;
  job.x_stride = wide;
}

int64_t cut(Attention& job) {
  job.q_block = clamp(24 / (job.n_head / job.n_kv_head), 1, job.n_q > 0 ? job.n_q : 1);
  return job.n_kv_head * ceil_div(job.n_q, job.q_block);
}

namespace {

const Kernels* chosen = nullptr;

using Maybe = nb::handle;  // None, or what its caster takes

void product(In x, const HeldMatrix& m0, Maybe b0, Out y0, const HeldMatrix* m1, Maybe b1, Maybe y1,
             const HeldMatrix* m2, Maybe b2, Maybe y2) {
  expect(x.ndim() == 2, "x has two axes");
  const int64_t n_pos = x.shape(0), n_in = x.shape(1);
  Product job{};
  job.x = x.data();
  job.n_pos = n_pos;
  int64_t weights = 0;
  const auto part = [&](const HeldMatrix& m, Maybe b, Out y) {
    expect(m.matrix.n_in == n_in, "x and the weights differ in length");
    expect(y.ndim() == 2 && (int64_t)y.shape(0) == n_pos && (int64_t)y.shape(1) == m.matrix.n_out,
           "the result has another shape");
    const int i = job.n_parts++;
    job.parts[i] = &m.matrix;
    if (!b.is_none()) {
      const In bias = nb::cast<In>(b);
      expect((int64_t)bias.size() == m.matrix.n_out, "the bias has another length");
      job.bias[i] = bias.data();
    }
    job.y[i] = y.data();
    weights += m.matrix.n_out * n_in;
  };
  part(m0, b0, y0);
  if (m1 != nullptr) part(*m1, b1, nb::cast<Out>(y1));
  if (m2 != nullptr) part(*m2, b2, nb::cast<Out>(y2));
  if (n_pos == 0) return;
  pad_rows(job, n_in);
  if (weights * n_pos < kLongOperations) return run_product(job);
  nb::gil_scoped_release release;
  run_product(job);
}

void rows_of(const HeldMatrix& m, Ids ids, Out out) {
  expect(out.ndim() == 2 && out.shape(0) == ids.shape(0) && (int64_t)out.shape(1) == m.matrix.n_in,
         "the result has another shape");
  const Matrix& matrix = m.matrix;
  for (size_t i = 0; i < ids.shape(0); i++)
    expect(ids.data()[i] >= 0 && ids.data()[i] < matrix.n_out, "there is no such row");
  const int64_t per_block = kPackings[(int)matrix.format].weights;  // rows are whole blocks
  const int64_t some = clamp(65536 / matrix.n_in, 1, 1 << 20), n = (int64_t)ids.shape(0);
  const auto kernel = chosen->dequantize;
  spread(ceil_div(n, some), n * matrix.n_in, [&](int64_t chunk) {
    for (int64_t i = chunk * some; i < n && i < (chunk + 1) * some; i++)
      kernel(matrix.format, matrix.rows + ids.data()[i] * matrix.row_bytes, matrix.n_in / per_block,
             out.data() + i * matrix.n_in);
  });
}

Attention shape_of(In q, In k) {
  expect(q.ndim() == 3 && k.ndim() == 3 && q.shape(2) == k.shape(2), "queries and keys differ in shape");
  expect(k.shape(1) > 0 && q.shape(1) % k.shape(1) == 0, "queries and keys do not match");
  Attention job{};
  job.q = q.data();
  job.k = k.data();
  job.n_q = q.shape(0);
  job.n_k = k.shape(0);
  job.n_head = q.shape(1);
  job.n_kv_head = k.shape(1);
  job.d_head = q.shape(2);
  job.scale = (float)(1.0 / std::sqrt((double)job.d_head));
  return job;
}

void attention(In q, In k, In v, int64_t window, Out z) {
  Attention job = shape_of(q, k);
  expect(job.n_q <= job.n_k, "there are more queries than keys");
  expect(v.ndim() == 3 && v.shape(0) == k.shape(0) && v.shape(1) == k.shape(1) && v.shape(2) == k.shape(2),
         "keys and values differ in shape");
  expect(z.ndim() == 3 && z.size() == q.size(), "the result has another shape");
  job.v = v.data();
  job.z = z.data();
  job.window = window;
  if (job.n_q == 0) return;
  const auto kernel = chosen->attention;
  spread(cut(job), job.n_q * job.n_k * job.n_head * job.d_head, [&](int64_t chunk) { kernel(job, chunk); });
}

void scores(In q, In k, Out qk) {
  Attention job = shape_of(q, k);
  expect(qk.ndim() == 3 && (int64_t)qk.size() == job.n_head * job.n_q * job.n_k, "the result has another shape");
  const auto kernel = chosen->scores;
  spread(job.n_kv_head, job.n_q * job.n_k * job.n_head * job.d_head,
         [&](int64_t chunk) { kernel(job, qk.data(), chunk); });
}

void mix(In pattern, In v, bool causal, int64_t window, Out z) {
  expect(pattern.ndim() == 3 && v.ndim() == 3 && z.ndim() == 3, "pattern, values and result have three axes");
  Attention job{};
  job.n_head = pattern.shape(0);
  job.n_q = pattern.shape(1);
  job.n_k = pattern.shape(2);
  job.n_kv_head = v.shape(1);
  job.d_head = v.shape(2);
  expect((int64_t)v.shape(0) == job.n_k && job.n_kv_head > 0 && job.n_head % job.n_kv_head == 0 && job.n_q <= job.n_k,
         "pattern and values do not match");
  expect((int64_t)z.size() == job.n_q * job.n_head * job.d_head, "the result has another shape");
  job.window = causal ? window : -1;
  const auto kernel = chosen->mix;
  spread(job.n_head, job.n_q * job.n_k * job.n_head * job.d_head,
         [&](int64_t chunk) { kernel(pattern.data(), v.data(), z.data(), job, chunk); });
}

using RowsKernel = void (*)(const Rows&, int64_t);

void by_rows(RowsKernel kernel, In x, float eps, float* y) {
  Rows job{};
  job.x = x.data();
  job.y = y;
  job.n = x.ndim() == 0 ? 0 : x.shape(x.ndim() - 1);
  if (job.n == 0 || x.size() == 0) return;
  job.n_rows = x.size() / job.n;
  job.eps = eps;
  job.block = clamp(32768 / job.n, 1, job.n_rows);
  spread(ceil_div(job.n_rows, job.block), 4 * (int64_t)x.size(), [&](int64_t chunk) { kernel(job, chunk); });
}

void activate(int which, In x, Out y) {
  expect(which >= 0 && which < 4, "no such activation");
  expect(x.size() == y.size(), "the result has another shape");
  const int64_t n = x.size(), some = 16384;
  const auto kernel = chosen->activate;
  spread(ceil_div(n, some), 16 * n, [&](int64_t chunk) {
    const int64_t at = chunk * some;
    kernel((Activation)which, x.data() + at, y.data() + at, n - at < some ? n - at : some);
  });
}

void rope(In x, In cos, In sin, Out y) {
  expect(x.ndim() == 3 && cos.ndim() == 2 && sin.ndim() == 2, "x has three axes, the angles two");
  const int64_t n_pos = x.shape(0), n_head = x.shape(1), d_head = x.shape(2);
  expect((int64_t)cos.shape(0) == n_pos && (int64_t)cos.shape(1) * 2 == d_head && cos.size() == sin.size(),
         "the angles do not match");
  expect(y.size() == x.size(), "the result has another shape");
  const int64_t some = clamp(16384 / (n_head * d_head), 1, 1 << 20);
  const auto kernel = chosen->rope;
  spread(ceil_div(n_pos, some), 4 * (int64_t)x.size(), [&](int64_t chunk) {
    const int64_t at = chunk * some, row = n_head * d_head, n = n_pos - at < some ? n_pos - at : some;
    kernel(x.data() + at * row, cos.data() + at * d_head / 2, sin.data() + at * d_head / 2, y.data() + at * row, n,
           n_head, d_head);
  });
}

}  // namespace
}  // namespace cutaway

NB_MODULE(_native, m) {
  using namespace cutaway;
  using namespace nb::literals;
  m.doc() = "Products on packed weights, attention and norms; see kernels/products.py, attention.py and rows.py.";
  nb::set_leak_warnings(false);  // a model may live to the end of the program
  chosen = &choose_isa();
  nb::class_<HeldMatrix>(m, "Matrix")
      .def(nb::init<Bytes, int, int64_t, int64_t, int64_t>(), "raw"_a, "format"_a, "n_in"_a, "block_weights"_a,
           "block_bytes"_a);
  m.def("product", &product, "x"_a, "m0"_a, "b0"_a.none(), "y0"_a, "m1"_a.none() = nb::none(), "b1"_a.none() = nb::none(),
        "y1"_a.none() = nb::none(), "m2"_a.none() = nb::none(), "b2"_a.none() = nb::none(), "y2"_a.none() = nb::none());
  m.def("rows", &rows_of, "matrix"_a, "ids"_a, "out"_a);
  m.def("attention", &attention, "q"_a, "k"_a, "v"_a, "window"_a, "z"_a);
  m.def("scores", &scores, "q"_a, "k"_a, "qk"_a);
  m.def("mix", &mix, "pattern"_a, "v"_a, "causal"_a, "window"_a, "z"_a);
  m.def("softmax", [](In x, Out y) {
    expect(x.size() == y.size(), "the result has another shape");
    by_rows(chosen->softmax, x, 0.0f, y.data());
  }, "x"_a, "y"_a);
  m.def("rms_scale", [](In x, float eps, Out y) {
    expect(x.ndim() > 0 && y.size() * x.shape(x.ndim() - 1) == x.size(), "the result has another shape");
    by_rows(chosen->rms_scale, x, eps, y.data());
  }, "x"_a, "eps"_a, "y"_a);
  m.def("centre", [](In x, Out y) {
    expect(x.size() == y.size(), "the result has another shape");
    by_rows(chosen->centre, x, 0.0f, y.data());
  }, "x"_a, "y"_a);
  m.def("activate", &activate, "which"_a, "x"_a, "y"_a);
  m.def("rope", &rope, "x"_a, "cos"_a, "sin"_a, "y"_a);
  m.def("isa", [] { return std::string(chosen->name); });
  m.def("threads", &threads);
  m.def("set_threads", [](int n) {
    expect(n >= 1 && n <= 256, "the number of threads is 1 to 256");
    set_threads(n);
  }, "n"_a);
  bind_quants(m);
  bind_block(m);
}
