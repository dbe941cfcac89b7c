// What is done row by row, or number by number: norms, softmax, activations, RoPE. Sums go as in simd.hpp.
#pragma once

#include <cmath>

#include "simd.hpp"
#include "table.hpp"

namespace CUTAWAY_ISA {

using namespace cutaway;

static inline f16v load_some(const float* p, int64_t left) { return left >= 16 ? load(p) : load_n(p, (int)left); }
static inline void store_some(float* p, f16v a, int64_t left) {
  if (left >= 16) store(p, a);
  else store_n(p, a, (int)left);
}

template <class Do>
static inline void each_row(const Rows& job, int64_t chunk, Do&& act) {
  const int64_t first = chunk * job.block;
  const int64_t last = first + job.block < job.n_rows ? first + job.block : job.n_rows;
  for (int64_t r = first; r < last; r++) act(job.x + r * job.n, r);
}

// Shares that sum to 1. -inf gives 0 exactly, and adds nothing to the sum: a row that is padded with it comes out the
// same. `left` of `n` may be no multiple of 16.
static inline void softmax_row(const float* x, float* y, int64_t n) {
  const f16v lowest = set1(-INFINITY);
  f16v m = lowest;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) m = max(m, load(x + i));
  float top = largest(m);
  for (; i < n; i++) top = x[i] > top ? x[i] : top;
  const f16v most = set1(top);
  f16v total = zero();
  for (i = 0; i + 16 <= n; i += 16) {
    const f16v e = exp(sub(load(x + i), most));
    store(y + i, e);
    total = add(total, e);
  }
  if (i < n) {
    float rest[16];
    for (int j = 0; j < 16; j++) rest[j] = i + j < n ? x[i + j] : -INFINITY;
    const f16v e = exp(sub(load(rest), most));
    store_n(y + i, e, (int)(n - i));
    total = add(total, e);
  }
  const f16v whole = set1(sum(total));
  for (i = 0; i + 16 <= n; i += 16) store(y + i, div(load(y + i), whole));
  if (i < n) store_n(y + i, div(load_n(y + i, (int)(n - i)), whole), (int)(n - i));
}

static void softmax(const Rows& job, int64_t chunk) {
  each_row(job, chunk, [&](const float* x, int64_t r) { softmax_row(x, job.y + r * job.n, job.n); });
}

static inline float mean_square(const float* x, int64_t n) {
  f16v total = zero();
  for (int64_t i = 0; i < n; i += 16) {
    const f16v v = load_some(x + i, n - i);
    total = fma(v, v, total);
  }
  return sum(total) / (float)n;
}

static inline float mean(const float* x, int64_t n) {
  f16v total = zero();
  for (int64_t i = 0; i < n; i += 16) total = add(total, load_some(x + i, n - i));
  return sum(total) / (float)n;
}

static void rms_scale(const Rows& job, int64_t chunk) {
  each_row(job, chunk, [&](const float* x, int64_t r) { job.y[r] = std::sqrt(mean_square(x, job.n) + job.eps); });
}

static void centre(const Rows& job, int64_t chunk) {
  each_row(job, chunk, [&](const float* x, int64_t r) {
    const f16v m = set1(mean(x, job.n));
    float* y = job.y + r * job.n;
    for (int64_t i = 0; i < job.n; i += 16) store_some(y + i, sub(load_some(x + i, job.n - i), m), job.n - i);
  });
}

// The same operations, each rounded, as the equations' `x / scale * w + b`.
static void norm(const Norm& job, int64_t chunk) {
  const int64_t first = chunk * job.block;
  const int64_t last = first + job.block < job.n_rows ? first + job.block : job.n_rows;
  for (int64_t r = first; r < last; r++) {
    const float* x = job.x + r * job.n;
    float* out = job.out + r * job.n;
    if (job.centred) {
      const f16v m = set1(mean(x, job.n));
      for (int64_t i = 0; i < job.n; i += 16) store_some(out + i, sub(load_some(x + i, job.n - i), m), job.n - i);
      x = out;
    }
    const float scale = std::sqrt(mean_square(x, job.n) + job.eps);
    if (job.scale != nullptr) job.scale[r] = scale;
    const f16v s = set1(scale);
    for (int64_t i = 0; i < job.n; i += 16) {
      const int64_t left = job.n - i;
      const f16v normalized = div(load_some(x + i, left), s);
      if (job.normalized != nullptr) store_some(job.normalized + r * job.n + i, normalized, left);
      f16v y = mul(normalized, load_some(job.w + i, left));
      if (job.b != nullptr) y = add(y, load_some(job.b + i, left));
      store_some(out + i, y, left);
    }
  }
}

static void add(const float* a, const float* b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) store_some(y + i, add(load_some(a + i, n - i), load_some(b + i, n - i)), n - i);
}

static inline f16v sigmoid_of(f16v x, f16v u) { return div(x, add(set1(1.0f), exp(sub(zero(), u)))); }  // x / (1 + e^-u)

static inline f16v activated(Activation which, f16v x) {
  switch (which) {
    case Activation::silu:
      return sigmoid_of(x, x);
    case Activation::gelu_new: {  // x (1 + tanh u) / 2 = x / (1 + e^-2u)
      const f16v cube = mul(set1(0.044715f), mul(mul(x, x), x));
      return sigmoid_of(x, mul(set1(2.0f * 0.79788456080286535588f), add(x, cube)));
    }
    case Activation::relu:
      return max(set1(0.0f), x);
    case Activation::gelu:
    default: {  // Abramowitz and Stegun 7.1.26
      const f16v z = mul(abs(x), set1(0.70710678118654752440f));
      const f16v t = div(set1(1.0f), fma(set1(0.3275911f), z, set1(1.0f)));
      f16v p = fma(t, set1(1.061405429f), set1(-1.453152027f));
      p = fma(t, p, set1(1.421413741f));
      p = fma(t, p, set1(-0.284496736f));
      p = fma(t, p, set1(0.254829592f));
      const f16v tail = mul(mul(set1(0.5f), mul(t, p)), exp(sub(zero(), mul(z, z))));
      return mul(x, where_negative(x, tail, sub(set1(1.0f), tail)));
    }
  }
}

static void activate(Activation which, const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) store_some(y + i, activated(which, load_some(x + i, n - i)), n - i);
}

static void gate(Activation which, const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t left = n - i;
    store_some(y + i, mul(activated(which, load_some(gate + i, left)), load_some(up + i, left)), left);
  }
}

// Pairs (j, j + d_head / 2) turned: products and one sum, each rounded, as NumPy does it.
static void rope(const float* x, const float* cos, const float* sin, float* y, int64_t n_pos, int64_t n_head,
                 int64_t d_head) {
  const int64_t half = d_head / 2;
  for (int64_t p = 0; p < n_pos; p++) {
    const float *c = cos + p * half, *s = sin + p * half;
    for (int64_t h = 0; h < n_head; h++) {
      const float* from = x + (p * n_head + h) * d_head;
      float* to = y + (p * n_head + h) * d_head;
      for (int64_t j = 0; j < half; j += 16) {
        const int64_t left = half - j;
        const f16v a = load_some(from + j, left), b = load_some(from + half + j, left);
        const f16v cv = load_some(c + j, left), sv = load_some(s + j, left);
        store_some(to + j, sub(mul(a, cv), mul(b, sv)), left);
        store_some(to + half + j, add(mul(b, cv), mul(a, sv)), left);
      }
    }
  }
}

}  // namespace CUTAWAY_ISA
