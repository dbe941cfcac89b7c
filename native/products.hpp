// x W^T on rows of packed weights. Each output is one chain along k, sixteen lanes wide, whichever way it is reached.
//
// Few rows of x: weights are decoded in registers and used at once, four of their rows together (`thin`).
// More: some rows of weights are decoded into a panel that stays in the cache, and tiles of 6 x 4 outputs run over it.
#pragma once

#include "quants.hpp"
#include "scratch.hpp"
#include "simd.hpp"
#include "table.hpp"

namespace CUTAWAY_ISA {

using namespace cutaway;

static inline int64_t round16(int64_t n) { return (n + 15) & ~(int64_t)15; }

// acc[p][r] over k: P rows of x, four rows of weights, both padded with zeros to a multiple of 16.
#ifdef CUTAWAY_PARTS
// Sixteen registers hold no tile of f16v worth the name, but one of their parts: the chains of sixteen lanes are run
// through a part of the lanes at a time, over pieces of k that stay in the first-level cache.
template <int P>
static inline void tile(const float* x, int64_t xs, const float* const w[4], int64_t k_end, float* out, int64_t out_stride) {
  constexpr int64_t kPiece = 512;
  constexpr int lanes = 16 / CUTAWAY_PARTS;
  alignas(64) float sums[P][4][16];
  for (int64_t top = 0; top < k_end; top += kPiece) {
    const int64_t end = top + kPiece < k_end ? top + kPiece : k_end;
    for (int i = 0; i < 16; i += lanes) {
      part acc[P][4];
      CUTAWAY_UNROLL
      for (int p = 0; p < P; p++)
        CUTAWAY_UNROLL
        for (int r = 0; r < 4; r++) acc[p][r] = top == 0 ? zero_part() : load_part(sums[p][r] + i);
      for (int64_t k = top + i; k < end; k += 16) {
        part xv[P];
        CUTAWAY_UNROLL
        for (int p = 0; p < P; p++) xv[p] = load_part(x + p * xs + k);
        CUTAWAY_UNROLL
        for (int r = 0; r < 4; r++) {
          const part wv = load_part(w[r] + k);
          CUTAWAY_UNROLL
          for (int p = 0; p < P; p++) acc[p][r] = fma(xv[p], wv, acc[p][r]);
        }
      }
      CUTAWAY_UNROLL
      for (int p = 0; p < P; p++)
        CUTAWAY_UNROLL
        for (int r = 0; r < 4; r++) store_part(sums[p][r] + i, acc[p][r]);
    }
  }
  for (int p = 0; p < P; p++)
    sum4(load(sums[p][0]), load(sums[p][1]), load(sums[p][2]), load(sums[p][3]), out + p * out_stride);
}
#else
// Pieces of k: of more, six rows of x and four of weights do not stay in the first-level cache together. Chains go on
// where the piece before left them, in `held` [P][4][16].
constexpr int64_t kPiece = 512;

template <int P>
static inline void tile(const float* x, int64_t xs, const float* const w[4], int64_t k_end, float* out, int64_t out_stride,
                        float* held = nullptr, bool first = true, bool last = true) {
  f16v acc[P][4];
  CUTAWAY_UNROLL
  for (int p = 0; p < P; p++)
    CUTAWAY_UNROLL
    for (int r = 0; r < 4; r++) acc[p][r] = first ? zero() : load(held + (4 * p + r) * 16);
  for (int64_t k = 0; k < k_end; k += 16) {
    f16v xv[P];
    CUTAWAY_UNROLL
    for (int p = 0; p < P; p++) xv[p] = load(x + p * xs + k);
    CUTAWAY_UNROLL
    for (int r = 0; r < 4; r++) {
      const f16v wv = load(w[r] + k);
      CUTAWAY_UNROLL
      for (int p = 0; p < P; p++) acc[p][r] = fma(xv[p], wv, acc[p][r]);
    }
  }
  if (!last) {
    CUTAWAY_UNROLL
    for (int p = 0; p < P; p++)
      CUTAWAY_UNROLL
      for (int r = 0; r < 4; r++) store(held + (4 * p + r) * 16, acc[p][r]);
    return;
  }
  CUTAWAY_UNROLL
  for (int p = 0; p < P; p++) sum4(acc[p][0], acc[p][1], acc[p][2], acc[p][3], out + p * out_stride);
}
#endif

#ifndef CUTAWAY_PARTS
// `panel_product` for six rows of x at a time over long rows, piece by piece.
static inline void long_tiles(const float* x, int64_t xs, const float* w, int64_t ws, int64_t n, int64_t k_end,
                              const float* bias, float* y, int64_t ys) {
  float* held = scratch(5, ((n + 3) / 4) * 6 * 4 * 16);
  for (int64_t top = 0; top < k_end; top += kPiece) {
    const int64_t here = top + kPiece < k_end ? kPiece : k_end - top;
    const bool last = top + here == k_end;
    for (int64_t r = 0; r < n; r += 4) {
      const int rows = (int)(n - r < 4 ? n - r : 4);
      const float* four[4];
      CUTAWAY_UNROLL
      for (int i = 0; i < 4; i++) four[i] = w + (r + (i < rows ? i : 0)) * ws + top;
      const bool straight = rows == 4 && bias == nullptr;
      float sums[6][4];
      tile<6>(x + top, xs, four, here, straight ? y + r : sums[0], straight ? ys : 4, held + r * 6 * 16, top == 0, last);
      if (!last || straight) continue;
      for (int i = 0; i < 6; i++)
        for (int j = 0; j < rows; j++) y[i * ys + r + j] = bias != nullptr ? sums[i][j] + bias[r + j] : sums[i][j];
    }
  }
}
#endif

// `n_pos` rows of x against `n` rows of weights (each `ws` floats after the one before); y[p * ys + r], plus bias[r].
static inline void panel_product(const float* x, int64_t xs, int64_t n_pos, const float* w, int64_t ws, int64_t n,
                                 int64_t k_end, const float* bias, float* y, int64_t ys) {
#ifdef CUTAWAY_TILE
  constexpr int kTile = CUTAWAY_TILE;
#else
  constexpr int kTile = 6;
#endif
  for (int64_t p = 0; p < n_pos; p += kTile) {
    const int here = (int)(n_pos - p < kTile ? n_pos - p : kTile);
#ifndef CUTAWAY_PARTS
    if (here == 6 && k_end > kPiece) {
      long_tiles(x + p * xs, xs, w, ws, n, k_end, bias, y + p * ys, ys);
      continue;
    }
#endif
    for (int64_t r = 0; r < n; r += 4) {
      const int rows = (int)(n - r < 4 ? n - r : 4);
      const float* four[4];
      CUTAWAY_UNROLL
      for (int i = 0; i < 4; i++) four[i] = w + (r + (i < rows ? i : 0)) * ws;
      const bool straight = rows == 4 && bias == nullptr;
      float sums[kTile][4];
      const float* from = x + p * xs;
      float* out = straight ? y + p * ys + r : sums[0];
      const int64_t os = straight ? ys : 4;
      switch (here) {
        case 1: tile<1>(from, xs, four, k_end, out, os); break;
        case 2: tile<2>(from, xs, four, k_end, out, os); break;
        case 3: if constexpr (kTile >= 3) tile<3>(from, xs, four, k_end, out, os); break;
        case 4: if constexpr (kTile >= 4) tile<4>(from, xs, four, k_end, out, os); break;
        case 5: if constexpr (kTile >= 5) tile<5>(from, xs, four, k_end, out, os); break;
        default: if constexpr (kTile >= 6) tile<6>(from, xs, four, k_end, out, os);
      }
      if (straight) continue;
      for (int i = 0; i < here; i++) {
        float* to = y + (p + i) * ys + r;
        if (bias != nullptr)
          for (int j = 0; j < rows; j++) to[j] = sums[i][j] + bias[r + j];
        else
          for (int j = 0; j < rows; j++) to[j] = sums[i][j];
      }
    }
  }
}

// One row of weights as floats, zero up to a multiple of 16.
template <class F>
static inline void decode_row(const uint8_t* row, int64_t n_in, float* out) {
  f16v w[F::block / 16];
  const int64_t n_blocks = n_in / F::block;
  for (int64_t b = 0; b < n_blocks; b++) {
    cutaway_prefetch(row + b * F::bytes + CUTAWAY_AHEAD);
    F::decode(row + b * F::bytes, w);
    CUTAWAY_UNROLL
    for (int i = 0; i < F::block / 16; i++) store(out + b * F::block + 16 * i, w[i]);
  }
  if constexpr (F::block == 16) {
    const int rest = (int)(n_in - 16 * n_blocks);
    if (rest != 0) {
      F::decode_tail(row + n_blocks * F::bytes, rest, w);
      store(out + 16 * n_blocks, w[0]);
    }
  }
}

// Four rows of weights against P rows of x, decoded in registers: 4 P sums, at most 24, stay there too; where they are
// many, x comes from the cache with each operation.
template <class F, int P>
static inline void thin(const uint8_t* const row[4], const float* x, int64_t xs, int64_t n_in, float* out, int64_t os) {
  constexpr int V = F::block / 16, R = 4;
  f16v acc[P][R];
  CUTAWAY_UNROLL
  for (int p = 0; p < P; p++)
    CUTAWAY_UNROLL
    for (int r = 0; r < R; r++) acc[p][r] = zero();
  const int64_t n_blocks = n_in / F::block;
  // Some rows at once are short streams, which the machine does not see coming; together they are one long one.
  const uint8_t* ahead = row[0] + CUTAWAY_AHEAD;
  for (int64_t b = 0; b < n_blocks; b++) {
    CUTAWAY_UNROLL
    for (int i = 0; i < R * F::bytes; i += 64) cutaway_prefetch(ahead + b * R * F::bytes + i);
    if constexpr (P <= 4) {
      f16v w[R][V];
      CUTAWAY_UNROLL
      for (int r = 0; r < R; r++) F::decode(row[r] + b * F::bytes, w[r]);
      CUTAWAY_UNROLL
      for (int p = 0; p < P; p++)
        CUTAWAY_UNROLL
        for (int i = 0; i < V; i++) {
          const f16v xv = load(x + p * xs + b * F::block + 16 * i);
          CUTAWAY_UNROLL
          for (int r = 0; r < R; r++) acc[p][r] = fma(xv, w[r][i], acc[p][r]);
        }
    } else {
      CUTAWAY_UNROLL
      for (int r = 0; r < R; r++) {
        f16v w[V];
        F::decode(row[r] + b * F::bytes, w);
        CUTAWAY_UNROLL
        for (int i = 0; i < V; i++)
          CUTAWAY_UNROLL
          for (int p = 0; p < P; p++) acc[p][r] = fma(load(x + p * xs + b * F::block + 16 * i), w[i], acc[p][r]);
      }
    }
  }
  if constexpr (F::block == 16) {
    const int rest = (int)(n_in - 16 * n_blocks);
    if (rest != 0)
      CUTAWAY_UNROLL
      for (int r = 0; r < R; r++) {
        f16v w[1];
        F::decode_tail(row[r] + n_blocks * F::bytes, rest, w);
        CUTAWAY_UNROLL
        for (int p = 0; p < P; p++) acc[p][r] = fma(load(x + p * xs + 16 * n_blocks), w[0], acc[p][r]);
      }
  }
  CUTAWAY_UNROLL
  for (int p = 0; p < P; p++) sum4(acc[p][0], acc[p][1], acc[p][2], acc[p][3], out + p * os);
}

template <class F, int P>
static void thin_rows(const Matrix& m, const float* x, int64_t xs, int64_t first, int64_t last, const float* bias,
                      float* y) {
  constexpr int R = 4;
  for (int64_t r = first; r < last; r += R) {
    const int rows = (int)(last - r < R ? last - r : R);
    const uint8_t* some[R];
    for (int i = 0; i < R; i++) some[i] = m.rows + (r + (i < rows ? i : 0)) * m.row_bytes;
    float sums[P][4];
    thin<F, P>(some, x, xs, m.n_in, sums[0], 4);
    for (int64_t p = 0; p < P; p++)
      for (int j = 0; j < rows; j++)
        y[p * m.n_out + r + j] = bias != nullptr ? sums[p][j] + bias[r + j] : sums[p][j];
  }
}

template <class F>
static void thin_strip(const Matrix& m, const float* x, int64_t xs, int64_t n_pos, int64_t first, int64_t last,
                       const float* bias, float* y) {
  switch (n_pos) {
    case 1: return thin_rows<F, 1>(m, x, xs, first, last, bias, y);
#if CUTAWAY_THIN > 1
    case 2: return thin_rows<F, 2>(m, x, xs, first, last, bias, y);
    case 3: return thin_rows<F, 3>(m, x, xs, first, last, bias, y);
    case 4: return thin_rows<F, 4>(m, x, xs, first, last, bias, y);
#endif
#if CUTAWAY_THIN > 4
    case 5: return thin_rows<F, 5>(m, x, xs, first, last, bias, y);
    case 6: return thin_rows<F, 6>(m, x, xs, first, last, bias, y);
    default:  // the strip's weights are near by the second time
      thin_rows<F, 4>(m, x, xs, first, last, bias, y);
      return thin_strip<F>(m, x + 4 * xs, xs, n_pos - 4, first, last, bias, y + 4 * m.n_out);
#endif
  }
}

template <class F>
static void strip_product(const Matrix& m, const float* x, int64_t xs, int64_t n_pos, int64_t first, int64_t last,
                          const float* bias, float* y) {
  const int64_t whole = (last - first) * m.row_bytes, near = whole < CUTAWAY_AHEAD ? whole : CUTAWAY_AHEAD;
  for (int64_t i = 0; i < near; i += 64) cutaway_prefetch(m.rows + first * m.row_bytes + i);
  if constexpr (F::block <= 32) {
    if (n_pos <= CUTAWAY_THIN) return thin_strip<F>(m, x, xs, n_pos, first, last, bias, y);
  }
  const int64_t k_end = round16(m.n_in), n = last - first;
  const float* shifted = bias != nullptr ? bias + first : nullptr;
  if (m.format == Format::F32 && m.n_in == k_end && m.row_bytes == 4 * m.n_in)
    return panel_product(x, xs, n_pos, reinterpret_cast<const float*>(m.rows + first * m.row_bytes), m.n_in, n, k_end,
                         shifted, y + first, m.n_out);
  // few rows of x: so few of weights at a time that both stay in the first-level cache
  const int64_t fit = (5120 / k_end) & ~(int64_t)3, some = n_pos > 48 ? n : fit < 4 ? 4 : fit;
  for (int64_t top = 0; top < n; top += some) {
    const int64_t here = n - top < some ? n - top : some;
    float* panel = scratch(0, here * k_end);
    for (int64_t r = 0; r < here; r++)
      decode_row<F>(m.rows + (first + top + r) * m.row_bytes, m.n_in, panel + r * k_end);
    panel_product(x, xs, n_pos, panel, k_end, here, k_end, shifted == nullptr ? nullptr : shifted + top,
                  y + first + top, m.n_out);
  }
}

template <class Do>
static inline void by_format(Format format, Do&& act) {
  switch (format) {
    case Format::F32: return act(F32());
    case Format::F16: return act(F16());
    case Format::BF16: return act(BF16());
    case Format::Q8_0: return act(Q8_0());
    case Format::Q4_0: return act(Q4_0());
    case Format::Q4_1: return act(Q4_1());
    case Format::Q5_0: return act(Q5_0());
    case Format::Q5_1: return act(Q5_1());
    case Format::Q2_K: return act(Q2_K());
    case Format::Q3_K: return act(Q3_K());
    case Format::Q4_K: return act(Q4_K());
    case Format::Q5_K: return act(Q5_K());
    case Format::Q6_K: return act(Q6_K());
    case Format::IQ4_NL: return act(IQ4_NL());
  }
}

// Chunks: first all strips of all matrices for the first rows of x, then for the next.
static void product(const Product& job, int64_t chunk) {
  int64_t strips = 0;
  for (int i = 0; i < job.n_parts; i++) strips += (job.parts[i]->n_out + job.strip - 1) / job.strip;
  const int64_t first_pos = chunk / strips * job.pos_block;
  const int64_t n_pos = job.n_pos - first_pos < job.pos_block ? job.n_pos - first_pos : job.pos_block;
  int64_t strip = chunk % strips;
  int i = 0;
  for (;; i++) {
    const int64_t own = (job.parts[i]->n_out + job.strip - 1) / job.strip;
    if (strip < own) break;
    strip -= own;
  }
  const Matrix& m = *job.parts[i];
  const int64_t first = strip * job.strip, last = first + job.strip < m.n_out ? first + job.strip : m.n_out;
  by_format(m.format, [&](auto f) {
    strip_product<decltype(f)>(m, job.x + first_pos * job.x_stride, job.x_stride, n_pos, first, last, job.bias[i],
                               job.y[i] + first_pos * m.n_out);
  });
}

static void dequantize(Format format, const uint8_t* raw, int64_t n_blocks, float* out) {
  by_format(format, [&](auto f) {
    using F = decltype(f);
    f16v w[F::block / 16];
    // of the plain types a block is one weight: as many as there are
    if constexpr (F::block == 16)
      decode_row<F>(raw, n_blocks & ~(int64_t)15, out);
    else
      decode_row<F>(raw, n_blocks * F::block, out);
    if constexpr (F::block == 16) {
      const int rest = (int)(n_blocks & 15);
      if (rest != 0) {
        F::decode_tail(raw + (n_blocks - rest) * F::bytes / 16, rest, w);
        store_n(out + n_blocks - rest, w[0], rest);
      }
    }
  });
}

}  // namespace CUTAWAY_ISA
