// A whole block in one call: the lines of models/llama.py and its relatives, by the same kernels, so with the same
// bits, but without an array and a trip through Python for each. Sites that somebody reads are written where asked.
#include <nanobind/stl/vector.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "held.hpp"
#include "isa_choice.hpp"
#include "scratch.hpp"

namespace cutaway {
namespace {

// In the order of `SITES` in kernels/block.py.
enum Site {
  ln1_scale, ln1_normalized, ln1_out, q, k, v, q_norm, k_norm, rot_q, rot_k, qk, qk_scaled, attn_scores, pattern, z,
  attn_out, resid_mid, ln2_scale, ln2_normalized, ln2_out, mlp_pre, mlp_pre_linear, mlp_post, mlp_out, kSites
};

const float* data_of(nb::handle array, int64_t n, std::vector<nb::object>& kept) {
  if (array.is_none()) return nullptr;
  In found = nb::cast<In>(array);
  expect((int64_t)found.size() == n, "a gain or a bias has another length");
  kept.push_back(nb::borrow(array));
  return found.data();
}

const Matrix* matrix_of(nb::handle matrix, int64_t n_in, int64_t n_out, std::vector<nb::object>& kept) {
  if (matrix.is_none()) return nullptr;
  const Matrix& found = nb::cast<HeldMatrix&>(matrix).matrix;
  expect(found.n_in == n_in && found.n_out == n_out, "a matrix has another shape");
  kept.push_back(nb::borrow(matrix));
  return &found;
}

// Rows in as many pieces as pay for the trip to another thread.
template <class F>
void by_numbers(int64_t n, F&& body) {
  constexpr int64_t kSome = 16384;
  parallel(ceil_div(n, kSome), [&](int64_t chunk) { body(chunk * kSome, clamp(n - chunk * kSome, 0, kSome)); });
}

class Block {
 public:
  // `w` by name, None where the model has none; `shape`: d_model n_head n_kv_head d_head d_mlp window.
  Block(nb::dict w, std::vector<int64_t> shape, float eps, bool centred, int activation) {
    expect(shape.size() == 6 && activation >= 0 && activation < 4, "the block's description is not whole");
    d_model_ = shape[0], n_head_ = shape[1], n_kv_head_ = shape[2], d_head_ = shape[3], d_mlp_ = shape[4];
    window_ = shape[5];
    expect(n_kv_head_ > 0 && n_head_ % n_kv_head_ == 0 && d_head_ > 0 && d_head_ % 2 == 0, "the heads do not fit");
    eps_ = eps, centred_ = centred, activation_ = (Activation)activation;
    const int64_t wide = n_head_ * d_head_, narrow = n_kv_head_ * d_head_;
    const auto vector = [&](const char* name, int64_t n) { return data_of(w[name], n, kept_); };
    const auto matrix = [&](const char* name, int64_t n_in, int64_t n_out) {
      return matrix_of(w[name], n_in, n_out, kept_);
    };
    ln1_w_ = vector("ln1.w", d_model_), ln1_b_ = vector("ln1.b", d_model_);
    ln2_w_ = vector("ln2.w", d_model_), ln2_b_ = vector("ln2.b", d_model_);
    W_Q_ = matrix("W_Q", d_model_, wide), W_K_ = matrix("W_K", d_model_, narrow);
    W_V_ = matrix("W_V", d_model_, narrow), W_O_ = matrix("W_O", wide, d_model_);
    b_Q_ = vector("b_Q", wide), b_K_ = vector("b_K", narrow), b_V_ = vector("b_V", narrow);
    b_O_ = vector("b_O", d_model_);
    q_norm_w_ = vector("q_norm.w", d_head_), k_norm_w_ = vector("k_norm.w", d_head_);
    W_gate_ = matrix("W_gate", d_model_, d_mlp_), W_in_ = matrix("W_in", d_model_, d_mlp_);
    W_out_ = matrix("W_out", d_mlp_, d_model_);
    b_in_ = vector("b_in", d_mlp_), b_out_ = vector("b_out", d_model_);
    expect(ln1_w_ && ln2_w_ && W_Q_ && W_K_ && W_V_ && W_O_ && W_in_ && W_out_, "a weight is missing");
  }

  // x [pos, d_model] -> y. `keys`, `values` [start + pos, kv_head, d_head]: rows from `start` on are written. `ends`:
  // where each text of a packed batch ends. `sites`: an array or None for each.
  void run(In x, nb::handle cos, nb::handle sin, Out keys, Out values, int64_t start, std::vector<int64_t> ends,
           nb::list sites, Out y) {
    const int64_t n = x.ndim() == 2 ? (int64_t)x.shape(0) : -1;
    const int64_t wide = n_head_ * d_head_, narrow = n_kv_head_ * d_head_;
    expect(n >= 0 && (int64_t)x.shape(1) == d_model_ && y.size() == x.size(), "x or y has another shape");
    expect(start >= 0 && (int64_t)keys.size() >= (start + n) * narrow && (int64_t)values.size() >= (start + n) * narrow,
           "there is no room for keys and values");
    expect(ends.size() == 1 || start == 0, "a batch has no past");
    expect(!ends.empty() && ends.back() == n, "the texts do not end where the rows do");
    Pass p{};
    p.n = n, p.x = x.data(), p.y = y.data(), p.start = start, p.ends = &ends;
    p.keys = keys.data(), p.values = values.data();
    if (!cos.is_none()) {
      const In c = nb::cast<In>(cos), s = nb::cast<In>(sin);
      expect((int64_t)c.size() == n * d_head_ / 2 && c.size() == s.size(), "the angles do not match");
      p.cos = c.data(), p.sin = s.data();
    }
    expect(nb::len(sites) == kSites, "there are more sites, or fewer");
    const int64_t square = n_head_ * n * (start + n);
    const int64_t sizes[kSites] = {n,      n * d_model_, n * d_model_, n * wide,     n * narrow,   n * narrow,
                                   n * wide, n * narrow,   n * wide,     n * narrow,   square,       square,
                                   square, square,       n * wide,     n * d_model_, n * d_model_, n,
                                   n * d_model_, n * d_model_, n * d_mlp_, n * d_mlp_, n * d_mlp_, n * d_model_};
    for (int i = 0; i < kSites; i++) {
      const nb::handle site = sites[i];
      if (site.is_none()) continue;
      const Out out = nb::cast<Out>(site);
      expect((int64_t)out.size() == sizes[i], "an array for a site has another shape");
      p.site[i] = out.data();
    }
    if (n == 0) return;
    const int64_t weights = d_model_ * (2 * wide + 2 * narrow + (W_gate_ ? 3 : 2) * d_mlp_);
    if (weights * n < kLongOperations) return compute(p);
    nb::gil_scoped_release release;
    compute(p);
  }

 private:
  struct Pass {
    int64_t n, start;
    const std::vector<int64_t>* ends;
    const float *x, *cos, *sin;
    float *y, *keys, *values;
    float* site[kSites];
  };

  void normalise(const float* x, float* scale, float* normalized, float* out, int64_t rows, int64_t n, const float* w,
                 const float* b, bool centred) const {
    Norm job{x, scale, normalized, out, rows, n, w, b, eps_, centred, clamp(16384 / n, 1, rows)};
    parallel(ceil_div(rows, job.block), [&](int64_t chunk) { k_.norm(job, chunk); });
  }

  static void multiply(const float* x, int64_t n_pos, int64_t n_in, std::initializer_list<const Matrix*> parts,
                       std::initializer_list<const float*> biases, std::initializer_list<float*> ys) {
    Product job{};
    job.x = x, job.n_pos = n_pos;
    for (const Matrix* part : parts) job.parts[job.n_parts++] = part;
    int i = 0;
    for (const float* bias : biases) job.bias[i++] = bias;
    i = 0;
    for (float* y : ys) job.y[i++] = y;
    pad_rows(job, n_in);
    run_product(job);
  }

  void turn(const float* x, const Pass& p, int64_t heads, float* out) const {
    const int64_t row = heads * d_head_, some = clamp(16384 / row, 1, p.n), half = d_head_ / 2;
    parallel(ceil_div(p.n, some), [&](int64_t chunk) {
      const int64_t at = chunk * some, n = clamp(p.n - at, 0, some);
      k_.rope(x + at * row, p.cos + at * half, p.sin + at * half, out + at * row, n, heads, d_head_);
    });
  }

  void add(const float* a, const float* b, float* out, int64_t n) const {
    by_numbers(n, [&](int64_t at, int64_t some) { k_.add(a + at, b + at, out + at, some); });
  }

  void attend(const Pass& p, const float* queries, float* out) const {
    int64_t top = 0;
    for (const int64_t end : *p.ends) {
      Attention job{};
      const int64_t narrow = n_kv_head_ * d_head_, first = p.ends->size() == 1 ? 0 : top;
      job.q = queries + top * n_head_ * d_head_;
      job.k = p.keys + first * narrow, job.v = p.values + first * narrow;
      job.z = out + top * n_head_ * d_head_;
      job.n_q = end - top, job.n_k = p.start + end - first;
      job.n_head = n_head_, job.n_kv_head = n_kv_head_, job.d_head = d_head_;
      job.scale = (float)(1.0 / std::sqrt((double)d_head_));
      job.window = window_;
      top = end;
      if (job.n_q == 0) continue;
      if (p.site[qk] || p.site[qk_scaled] || p.site[attn_scores] || p.site[pattern]) {
        const OpenAttention open{p.site[qk], p.site[qk_scaled], p.site[attn_scores], p.site[pattern]};
        parallel(n_head_ * ceil_div(job.n_q, kOpenRows), [&](int64_t chunk) { k_.open_attention(job, open, chunk); });
      } else {
        parallel(cut(job), [&](int64_t chunk) { k_.attention(job, chunk); });
      }
    }
  }

  void compute(const Pass& p) const {
    const int64_t n = p.n, wide = n_head_ * d_head_, narrow = n_kv_head_ * d_head_, row = n * d_model_;
    float* room = scratch(6, 2 * row + 3 * n * wide + n * narrow + 2 * n * d_mlp_ + 16 * 9);
    const auto take = [&](int64_t floats) {
      float* here = room;
      room += (floats + 15) & ~(int64_t)15;
      return here;
    };
    const auto at = [&](Site site, float* own) { return p.site[site] != nullptr ? p.site[site] : own; };
    float *thin_room = take(row), *mid_room = take(row), *q_room = take(n * wide), *turned_room = take(n * wide);
    float *z_room = take(n * wide), *k_room = take(n * narrow), *gate_room = take(n * d_mlp_);
    float* up_room = take(n * d_mlp_);

    float* normed = at(ln1_out, thin_room);
    normalise(p.x, p.site[ln1_scale], p.site[ln1_normalized], normed, n, d_model_, ln1_w_, ln1_b_, centred_);
    float* key_rows = p.keys + p.start * narrow;
    float* value_rows = p.values + p.start * narrow;
    const bool later = q_norm_w_ != nullptr || p.cos != nullptr;  // keys are remembered as they leave the last of these
    float *queries = at(q, q_room), *keys = later ? at(k, k_room) : key_rows;
    multiply(normed, n, d_model_, {W_Q_, W_K_, W_V_}, {b_Q_, b_K_, b_V_}, {queries, keys, value_rows});
    if (p.site[v] != nullptr) std::memcpy(p.site[v], value_rows, n * narrow * sizeof(float));
    if (!later && p.site[k] != nullptr) std::memcpy(p.site[k], key_rows, n * narrow * sizeof(float));
    if (q_norm_w_ != nullptr) {
      float* q_to = at(q_norm, queries == q_room ? turned_room : q_room);
      float* k_to = p.site[k_norm] != nullptr ? p.site[k_norm] : p.cos != nullptr ? k_room : key_rows;
      normalise(queries, nullptr, nullptr, q_to, n * n_head_, d_head_, q_norm_w_, nullptr, false);
      normalise(keys, nullptr, nullptr, k_to, n * n_kv_head_, d_head_, k_norm_w_, nullptr, false);
      queries = q_to, keys = k_to;
      if (p.cos == nullptr && keys != key_rows) std::memcpy(key_rows, keys, n * narrow * sizeof(float));
    }
    if (p.cos != nullptr) {
      float* q_to = at(rot_q, queries == turned_room ? q_room : turned_room);
      turn(queries, p, n_head_, q_to);
      turn(keys, p, n_kv_head_, key_rows);
      if (p.site[rot_k] != nullptr) std::memcpy(p.site[rot_k], key_rows, n * narrow * sizeof(float));
      queries = q_to;
    }
    float* mixed = at(z, z_room);
    attend(p, queries, mixed);
    float* written = at(attn_out, thin_room);
    multiply(mixed, n, wide, {W_O_}, {b_O_}, {written});
    float* mid = at(resid_mid, mid_room);
    add(p.x, written, mid, row);

    normed = at(ln2_out, thin_room);
    normalise(mid, p.site[ln2_scale], p.site[ln2_normalized], normed, n, d_model_, ln2_w_, ln2_b_, centred_);
    float* pre = at(mlp_pre, gate_room);
    float* post = at(mlp_post, gate_room);
    if (W_gate_ != nullptr) {
      float* up = at(mlp_pre_linear, up_room);
      multiply(normed, n, d_model_, {W_gate_, W_in_}, {nullptr, b_in_}, {pre, up});
      by_numbers(n * d_mlp_, [&](int64_t i, int64_t some) { k_.gate(activation_, pre + i, up + i, post + i, some); });
    } else {
      multiply(normed, n, d_model_, {W_in_}, {b_in_}, {pre});
      by_numbers(n * d_mlp_, [&](int64_t i, int64_t some) { k_.activate(activation_, pre + i, post + i, some); });
    }
    written = at(mlp_out, thin_room);
    multiply(post, n, d_mlp_, {W_out_}, {b_out_}, {written});
    add(mid, written, p.y, row);
  }

  const Kernels& k_ = choose_isa();
  std::vector<nb::object> kept_;
  int64_t d_model_, n_head_, n_kv_head_, d_head_, d_mlp_, window_;
  float eps_;
  bool centred_;
  Activation activation_;
  const float *ln1_w_, *ln1_b_, *ln2_w_, *ln2_b_, *b_Q_, *b_K_, *b_V_, *b_O_, *q_norm_w_, *k_norm_w_, *b_in_, *b_out_;
  const Matrix *W_Q_, *W_K_, *W_V_, *W_O_, *W_gate_, *W_in_, *W_out_;
};

}  // namespace

void bind_block(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<Block>(m, "Block")
      .def(nb::init<nb::dict, std::vector<int64_t>, float, bool, int>(), "w"_a, "shape"_a, "eps"_a, "centred"_a,
           "activation"_a)
      .def("run", &Block::run, "x"_a, "cos"_a.none(), "sin"_a.none(), "keys"_a, "values"_a, "start"_a, "ends"_a,
           "sites"_a, "y"_a);
}

}  // namespace cutaway
