// Causal attention over rows of keys where they lie. A query's result depends on it and on the keys it may see alone.
//
// Scores are chains over d_head and the fixed tree (as in products); the softmax's sum is a chain over keys, lane = key
// mod 16 counted from the text's start; the mix is a chain over keys, from the first that is seen to the last.
#pragma once

#include <cmath>

#include "products.hpp"
#include "rows.hpp"

namespace CUTAWAY_ISA {

// Keys that the query at `pos` sees: [first, last).
static inline int64_t first_key(const Attention& job, int64_t pos) {
  return job.window > 0 && pos - job.window + 1 > 0 ? pos - job.window + 1 : 0;
}

// z[r] += p[r] v over keys [from, to), in their order; R rows of `d` floats (a multiple of 16).
template <int R, int V>
static inline void mix_tile(const float* p, int64_t ps, const float* v, int64_t vs, int64_t from, int64_t to, float* z,
                            int64_t zs) {
  f16v acc[R][V];
  CUTAWAY_UNROLL
  for (int r = 0; r < R; r++)
    CUTAWAY_UNROLL
    for (int i = 0; i < V; i++) acc[r][i] = load(z + r * zs + 16 * i);
  for (int64_t k = from; k < to; k++) {
    f16v row[V];
    CUTAWAY_UNROLL
    for (int i = 0; i < V; i++) row[i] = load(v + k * vs + 16 * i);
    CUTAWAY_UNROLL
    for (int r = 0; r < R; r++) {
      const f16v share = set1(p[r * ps + k]);
      CUTAWAY_UNROLL
      for (int i = 0; i < V; i++) acc[r][i] = fma(share, row[i], acc[r][i]);
    }
  }
  CUTAWAY_UNROLL
  for (int r = 0; r < R; r++)
    CUTAWAY_UNROLL
    for (int i = 0; i < V; i++) store(z + r * zs + 16 * i, acc[r][i]);
}

template <int R>
static inline void mix_wide(const float* p, int64_t ps, const float* v, int64_t vs, int64_t from, int64_t to, float* z,
                            int64_t zs, int64_t d) {
  int64_t i = 0;
#ifndef CUTAWAY_PARTS  // with fewer registers, one column of sixteen at a time
  for (; i + 64 <= d; i += 64) mix_tile<R, 4>(p, ps, v + i, vs, from, to, z + i, zs);
#endif
  for (; i < d; i += 16) mix_tile<R, 1>(p, ps, v + i, vs, from, to, z + i, zs);
}

// `p` counts keys from the text's start, `v` too. Row r sees keys [first[r], last[r]).
static inline void mix_rows(const float* p, int64_t ps, const float* v, int64_t vs, const int64_t* first,
                            const int64_t* last, int64_t n_rows, float* z, int64_t zs, int64_t d) {
  constexpr int R = 6;
  for (int64_t r = 0; r < n_rows; r++)
    for (int64_t i = 0; i < d; i++) z[r * zs + i] = 0.0f;
  int64_t r = 0;
  for (; r + R <= n_rows; r += R) {
    int64_t from = first[r], to = last[r];
    for (int i = 1; i < R; i++) {
      from = first[r + i] > from ? first[r + i] : from;
      to = last[r + i] < to ? last[r + i] : to;
    }
    if (from > to) from = to = first[r];
    CUTAWAY_UNROLL
    for (int i = 0; i < R; i++) {
      const int64_t until = from < first[r + i] ? first[r + i] : from;
      mix_wide<1>(p + (r + i) * ps, ps, v, vs, first[r + i], until, z + (r + i) * zs, zs, d);
    }
    mix_wide<R>(p + r * ps, ps, v, vs, from, to, z + r * zs, zs, d);
    CUTAWAY_UNROLL
    for (int i = 0; i < R; i++) {
      const int64_t since = to < first[r + i] ? first[r + i] : to;
      mix_wide<1>(p + (r + i) * ps, ps, v, vs, since, last[r + i], z + (r + i) * zs, zs, d);
    }
  }
  if (n_rows - r >= 3 && R >= 3) {  // the heads of a group, when decoding
    bool same = true;
    for (int i = 1; i < 3; i++) same = same && first[r + i] == first[r] && last[r + i] == last[r];
    if (same) {
      mix_wide<3>(p + r * ps, ps, v, vs, first[r], last[r], z + r * zs, zs, d);
      r += 3;
    }
  }
  for (; r < n_rows; r++) mix_wide<1>(p + r * ps, ps, v, vs, first[r], last[r], z + r * zs, zs, d);
}

// Rows of length d, `stride` apart, copied to a multiple of 16 with zeros behind.
static inline const float* padded(const float* x, int64_t stride, int64_t n, int64_t d, int64_t wide, float* out) {
  for (int64_t r = 0; r < n; r++) {
    for (int64_t i = 0; i < d; i++) out[r * wide + i] = x[r * stride + i];
    for (int64_t i = d; i < wide; i++) out[r * wide + i] = 0.0f;
  }
  return out;
}

// One key/value head, and the queries [top, bottom) of the heads that share it.
struct Group {
  int64_t kv_head, group, top, bottom, n_rows, d, from, to;
  const float *q, *k, *v;
  int64_t ks, vs;
};

static inline Group gather_queries(const Attention& job, int64_t kv_head, int64_t top, int64_t bottom) {
  Group g{};
  g.kv_head = kv_head;
  g.group = job.n_head / job.n_kv_head;
  g.top = top;
  g.bottom = bottom;
  g.n_rows = (bottom - top) * g.group;
  g.d = round16(job.d_head);
  float* q = scratch(1, g.n_rows * g.d);
  for (int64_t p = top; p < bottom; p++)
    padded(job.q + (p * job.n_head + kv_head * g.group) * job.d_head, job.d_head, g.group, job.d_head, g.d,
           q + (p - top) * g.group * g.d);
  g.q = q;
  return g;
}

// Keys (and values) of one head up to `to`, rows of a multiple of 16.
static inline void gather_keys(const Attention& job, Group& g, int64_t to) {
  const int64_t narrow = job.n_kv_head * job.d_head;
  g.to = to;
  g.k = job.k + g.kv_head * job.d_head;
  g.v = job.v == nullptr ? nullptr : job.v + g.kv_head * job.d_head;
  g.ks = g.vs = narrow;
  if (g.d == job.d_head) return;
  float* copies = scratch(2, 2 * to * g.d);
  g.k = padded(g.k, narrow, to, job.d_head, g.d, copies);
  if (g.v != nullptr) g.v = padded(g.v, narrow, to, job.d_head, g.d, copies + to * g.d);
  g.ks = g.vs = g.d;
}

static void attention(const Attention& job, int64_t chunk) {
  const int64_t kv_head = chunk % job.n_kv_head, start = job.n_k - job.n_q;
  // the longest rows first, so that no thread is left with them at the end
  const int64_t blocks = (job.n_q + job.q_block - 1) / job.q_block, block = blocks - 1 - chunk / job.n_kv_head;
  const int64_t top = block * job.q_block, bottom = top + job.q_block < job.n_q ? top + job.q_block : job.n_q;
  Group g = gather_queries(job, kv_head, top, bottom);
  g.from = first_key(job, start + top) & ~(int64_t)15;
  gather_keys(job, g, start + bottom);  // nobody here sees a key from there on
  const int64_t width = round16(g.to - g.from), d_head = job.d_head;
  float* scores = scratch(0, g.n_rows * width);
  panel_product(g.q, g.d, g.n_rows, g.k + g.from * g.ks, g.ks, g.to - g.from, g.d, nullptr, scores, width);
  float* z = scratch(3, g.n_rows * (g.d + 4));
  int64_t* first = reinterpret_cast<int64_t*>(z + g.n_rows * g.d);
  int64_t* last = first + g.n_rows;
  const f16v scale = set1(job.scale);
  for (int64_t r = 0; r < g.n_rows; r++) {
    const int64_t pos = start + top + r / g.group;
    first[r] = first_key(job, pos) - g.from;
    last[r] = pos + 1 - g.from;
    float* row = scores + r * width;
    const int64_t end = round16(last[r]);
    for (int64_t i = first[r] & ~(int64_t)15; i < end; i += 16) store(row + i, mul(load(row + i), scale));
    for (int64_t i = 0; i < first[r]; i++) row[i] = -INFINITY;
    for (int64_t i = last[r]; i < end; i++) row[i] = -INFINITY;
    softmax_row(row, row, end);
  }
  mix_rows(scores, width, g.v + g.from * g.vs, g.vs, first, last, g.n_rows, z, g.d, g.d);
  for (int64_t r = 0; r < g.n_rows; r++) {
    float* to = job.z + ((top + r / g.group) * job.n_head + kv_head * g.group + r % g.group) * d_head;
    for (int64_t i = 0; i < d_head; i++) to[i] = z[r * g.d + i];
  }
}

// The parts of it, for whoever wants to see or change what lies between. Chunk = a key/value head.

static void scores(const Attention& job, float* qk, int64_t chunk) {
  constexpr int64_t kStep = 16;
  for (int64_t top = 0; top < job.n_q; top += kStep) {
    const int64_t bottom = top + kStep < job.n_q ? top + kStep : job.n_q;
    Group g = gather_queries(job, chunk, top, bottom);
    gather_keys(job, g, job.n_k);  // every key, also those that the mask will hide
    float* out = scratch(0, g.n_rows * job.n_k);
    panel_product(g.q, g.d, g.n_rows, g.k, g.ks, job.n_k, g.d, nullptr, out, job.n_k);
    for (int64_t r = 0; r < g.n_rows; r++) {
      float* to = qk + ((chunk * g.group + r % g.group) * job.n_q + top + r / g.group) * job.n_k;
      std::memcpy(to, out + r * job.n_k, job.n_k * sizeof(float));
    }
  }
}

// `causal`: keys beyond a query's own are not even looked at (their share is 0, and 0 times infinity is no number).
static void mix(const float* pattern, const float* v, float* z, const Attention& job, int64_t chunk) {
  const int64_t d = round16(job.d_head), start = job.n_k - job.n_q, narrow = job.n_kv_head * job.d_head;
  const int64_t head = chunk, kv_head = head / (job.n_head / job.n_kv_head);
  const float* values = v + kv_head * job.d_head;
  int64_t vs = narrow;
  if (d != job.d_head) {
    values = padded(values, narrow, job.n_k, job.d_head, d, scratch(2, job.n_k * d));
    vs = d;
  }
  float* out = scratch(3, job.n_q * (d + 4));
  int64_t* first = reinterpret_cast<int64_t*>(out + job.n_q * d);
  int64_t* last = first + job.n_q;
  for (int64_t r = 0; r < job.n_q; r++) {
    first[r] = job.window < 0 ? 0 : first_key(job, start + r);
    last[r] = job.window < 0 ? job.n_k : start + r + 1;
  }
  mix_rows(pattern + head * job.n_q * job.n_k, job.n_k, values, vs, first, last, job.n_q, out, d, d);
  for (int64_t r = 0; r < job.n_q; r++)
    std::memcpy(z + (r * job.n_head + head) * job.d_head, out + r * d, job.d_head * sizeof(float));
}

// `attention` with what lies between kept for whoever asked. Chunk = some queries of one head.
static void open_attention(const Attention& job, const OpenAttention& open, int64_t chunk) {
  const int64_t head = chunk % job.n_head, n_k = job.n_k, start = n_k - job.n_q;
  const int64_t first_row = chunk / job.n_head * kOpenRows;
  const int64_t last_row = first_row + kOpenRows < job.n_q ? first_row + kOpenRows : job.n_q;
  const bool plain = open.qk != nullptr || open.qk_scaled != nullptr;  // products that the mask will hide, too
  Group g{};
  g.kv_head = head / (job.n_head / job.n_kv_head);
  g.d = round16(job.d_head);
  gather_keys(job, g, plain ? n_k : start + last_row);
  constexpr int64_t kStep = 24;
  const f16v scale = set1(job.scale);
  for (int64_t top = first_row; top < last_row; top += kStep) {
    const int64_t n = top + kStep < last_row ? kStep : last_row - top, at = (head * job.n_q + top) * n_k;
    const float* q = padded(job.q + (top * job.n_head + head) * job.d_head, job.n_head * job.d_head, n, job.d_head,
                            g.d, scratch(1, n * g.d));
    const int64_t seen = plain ? n_k : start + top + n, width = round16(seen);
    float* rows = scratch(0, n * width);
    panel_product(q, g.d, n, g.k, g.ks, seen, g.d, nullptr, rows, width);
    float* z = scratch(3, n * (g.d + 4));
    int64_t* first = reinterpret_cast<int64_t*>(z + n * g.d);
    int64_t* last = first + n;
    for (int64_t r = 0; r < n; r++) {
      float* row = rows + r * width;
      first[r] = first_key(job, start + top + r);
      last[r] = start + top + r + 1;
      if (open.qk != nullptr) std::memcpy(open.qk + at + r * n_k, row, n_k * sizeof(float));
      for (int64_t i = seen; i < width; i++) row[i] = 0.0f;
      for (int64_t i = 0; i < width; i += 16) store(row + i, mul(load(row + i), scale));
      if (open.qk_scaled != nullptr) std::memcpy(open.qk_scaled + at + r * n_k, row, n_k * sizeof(float));
      const int64_t end = round16(last[r]);
      for (int64_t i = 0; i < first[r]; i++) row[i] = -INFINITY;
      for (int64_t i = last[r]; i < end; i++) row[i] = -INFINITY;
      if (open.attn_scores != nullptr) {
        float* to = open.attn_scores + at + r * n_k;
        std::memcpy(to, row, last[r] * sizeof(float));
        for (int64_t i = last[r]; i < n_k; i++) to[i] = -INFINITY;
      }
      softmax_row(row, row, end);
      if (open.pattern != nullptr) {
        float* to = open.pattern + at + r * n_k;
        std::memcpy(to, row, last[r] * sizeof(float));
        std::memset(to + last[r], 0, (n_k - last[r]) * sizeof(float));
      }
    }
    mix_rows(rows, width, g.v, g.vs, first, last, n, z, g.d, g.d);
    for (int64_t r = 0; r < n; r++)
      std::memcpy(job.z + ((top + r) * job.n_head + head) * job.d_head, z + r * g.d, job.d_head * sizeof(float));
  }
}

}  // namespace CUTAWAY_ISA
