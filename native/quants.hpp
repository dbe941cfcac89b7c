// Packed weights to float lanes: one struct for each format, the same bits as its twin in kernels/quants.py.
//
//   block    weights that are decoded together;  bytes  as many as they take
//   decode   one block to block / 16 lanes-of-sixteen, in the twin's order, reading no byte beyond it
//   decode_tail  of the plain types: the last n < 16 weights of a row, the other lanes 0
//
// A scale has 11 significant bits (float16), times at most 8 of a small scale and 5 of a weight: every product here is
// exact in a float's 24, so that a fused multiply-add rounds where the twin's separate sum does.
#pragma once

#include "ints.hpp"

namespace CUTAWAY_ISA {

// ---- plain types ----

struct F32 {
  static constexpr int block = 16, bytes = 64;
  static inline void decode(const uint8_t* p, f16v* out) { out[0] = f32_from(p); }
  static inline void decode_tail(const uint8_t* p, int n, f16v* out) {
    uint8_t whole[64] = {};
    std::memcpy(whole, p, 4 * static_cast<size_t>(n));
    out[0] = f32_from(whole);
  }
};

struct F16 {
  static constexpr int block = 16, bytes = 32;
  static inline void decode(const uint8_t* p, f16v* out) { out[0] = f16_from(p); }
  static inline void decode_tail(const uint8_t* p, int n, f16v* out) {
    uint8_t whole[32] = {};
    std::memcpy(whole, p, 2 * static_cast<size_t>(n));
    out[0] = f16_from(whole);
  }
};

struct BF16 {
  static constexpr int block = 16, bytes = 32;
  static inline void decode(const uint8_t* p, f16v* out) { out[0] = bf16_from(p); }
  static inline void decode_tail(const uint8_t* p, int n, f16v* out) {
    uint8_t whole[32] = {};
    std::memcpy(whole, p, 2 * static_cast<size_t>(n));
    out[0] = bf16_from(whole);
  }
};

// ---- blocks of 32 ----

struct Q8_0 {
  static constexpr int block = 32, bytes = 34;
  static inline void decode(const uint8_t* p, f16v* out) {
    const f16v d = set1(half(p));
    out[0] = mul(to_float(widen_signed(p + 2)), d);
    out[1] = mul(to_float(widen_signed(p + 18)), d);
  }
};

static inline f16v counting(float first) {  // first, first + 1, …
  alignas(64) static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return add(load(lanes), set1(first));
}

struct Q4_0 {
  static constexpr int block = 32, bytes = 18;
  static inline void decode(const uint8_t* p, f16v* out) {
    const f16v d = set1(half(p));
#if defined(CUTAWAY_AVX512)
    by_nibble(mul(counting(-8.0f), d), p + 2, out[0], out[1]);
#else
    const i16v q = widen(p + 2);
    out[0] = mul(to_float(sub(bits_and(q, 15), 8)), d);
    out[1] = mul(to_float(sub(right<4>(q), 8)), d);
#endif
  }
};

struct Q4_1 {
  static constexpr int block = 32, bytes = 20;
  static inline void decode(const uint8_t* p, f16v* out) {
#if defined(CUTAWAY_AVX512)
    int32_t both;
    std::memcpy(&both, p, 4);
    const __m128 dm = _mm_cvtph_ps(_mm_cvtsi32_si128(both));  // before it is spread: spread first, clang takes thrice as long
    const f16v d = {_mm512_broadcastss_ps(dm)}, m = {_mm512_broadcastss_ps(_mm_movehdup_ps(dm))};
    by_nibble(fma(counting(0.0f), d, m), p + 4, out[0], out[1]);
#else
    const f16v d = set1(half(p)), m = set1(half(p + 2));
    const i16v q = widen(p + 4);
    out[0] = fma(to_float(bits_and(q, 15)), d, m);
    out[1] = fma(to_float(right<4>(q)), d, m);
#endif
  }
};

// Two of the four bytes of fifth bits: the first weight's is bit 0. As 0 or 16 in each lane.
static inline i16v fifth_bits(const uint8_t* p) { return left<4>(bits_and(right_by_lane(p[0] | p[1] << 8), 1)); }

struct Q5_0 {
  static constexpr int block = 32, bytes = 22;
  static inline void decode(const uint8_t* p, f16v* out) {
    const f16v d = set1(half(p));
    const i16v q = widen(p + 6);
    out[0] = mul(to_float(sub(bits_or(bits_and(q, 15), fifth_bits(p + 2)), 16)), d);
    out[1] = mul(to_float(sub(bits_or(right<4>(q), fifth_bits(p + 4)), 16)), d);
  }
};

struct Q5_1 {
  static constexpr int block = 32, bytes = 24;
  static inline void decode(const uint8_t* p, f16v* out) {
    const f16v d = set1(half(p)), m = set1(half(p + 2));
    const i16v q = widen(p + 8);
    out[0] = fma(to_float(bits_or(bits_and(q, 15), fifth_bits(p + 4))), d, m);
    out[1] = fma(to_float(bits_or(right<4>(q), fifth_bits(p + 6))), d, m);
  }
};

struct IQ4_NL {
  static constexpr int block = 32, bytes = 18;
  static inline void decode(const uint8_t* p, f16v* out) {
    const f16v d = set1(half(p));
#if defined(CUTAWAY_AVX512)
    alignas(64) static const float levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
    by_nibble(mul(load(levels), d), p + 2, out[0], out[1]);
#else
    static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    uint8_t low[16], high[16];
    for (int i = 0; i < 16; i++) {
      low[i] = static_cast<uint8_t>(levels[p[2 + i] & 15]);
      high[i] = static_cast<uint8_t>(levels[p[2 + i] >> 4]);
    }
    out[0] = mul(to_float(widen_signed(low)), d);
    out[1] = mul(to_float(widen_signed(high)), d);
#endif
  }
};

// ---- K blocks of 256 ----

// 12 bytes to eight scales (times d) and eight offsets (times dmin), s[0..7] and s[8..15] (Q4_K, Q5_K): the first four
// of each lie whole in bytes 0-3 and 4-7; of the last four, the low bits share bytes 8-11, and the top two bits fill
// up bytes 0-3 and 4-7. Four bytes go at once.
static inline void six_bit_pairs(const uint8_t* p, float d, float dmin, float* s) {
  uint32_t first, second, third;
  std::memcpy(&first, p, 4);
  std::memcpy(&second, p + 4, 4);
  std::memcpy(&third, p + 8, 4);
  const uint32_t all[4] = {
      first & 0x3F3F3F3Fu,
      (third & 0x0F0F0F0Fu) | (first >> 2 & 0x30303030u),
      second & 0x3F3F3F3Fu,
      (third >> 4 & 0x0F0F0F0Fu) | (second >> 2 & 0x30303030u),
  };
  uint8_t lanes[16];
  std::memcpy(lanes, all, 16);
  store(s, to_float(widen(lanes)));
  for (int i = 0; i < 8; i++) {
    s[i] *= d;
    s[8 + i] *= -dmin;
  }
}

// Weights 16 i to 16 i + 15 of a block lie in whole bytes; half h of the block, group k of the half's four, part j of
// the group's two.
struct Q2_K {
  static constexpr int block = 256, bytes = 84;
  static inline void decode(const uint8_t* p, f16v* out) {
    const i16v small = widen(p);
    float scale[16], offset[16];
    store(scale, mul(to_float(bits_and(small, 15)), set1(half(p + 80))));
    store(offset, mul(to_float(right<4>(small)), set1(-half(p + 82))));
    for (int h = 0; h < 2; h++)
      for (int j = 0; j < 2; j++) {
        const i16v q = widen(p + 16 + 32 * h + 16 * j);
        const int i = 8 * h + j;
        out[i] = fma(to_float(bits_and(q, 3)), set1(scale[i]), set1(offset[i]));
        out[i + 2] = fma(to_float(bits_and(right<2>(q), 3)), set1(scale[i + 2]), set1(offset[i + 2]));
        out[i + 4] = fma(to_float(bits_and(right<4>(q), 3)), set1(scale[i + 4]), set1(offset[i + 4]));
        out[i + 6] = fma(to_float(right<6>(q)), set1(scale[i + 6]), set1(offset[i + 6]));
      }
  }
};

struct Q3_K {
  static constexpr int block = 256, bytes = 110;
  static inline void decode(const uint8_t* p, f16v* out) {
    const uint8_t* small = p + 96;
    uint8_t lanes[16];
    for (int k = 0; k < 4; k++)
      for (int i = 0; i < 4; i++)
        lanes[4 * k + i] = static_cast<uint8_t>((small[4 * (k % 2) + i] >> (4 * (k / 2)) & 15) | (small[8 + i] >> (2 * k) & 3) << 4);
    float scale[16];
    store(scale, mul(to_float(sub(widen(lanes), 32)), set1(half(p + 108))));
    for (int j = 0; j < 2; j++) {
      const i16v third = widen(p + 16 * j);
      half_of_it<0>(p, j, third, scale, out);
      half_of_it<1>(p, j, third, scale, out);
    }
  }

 private:
  // the third bit is stored the other way round: absent means -4
  template <int h>
  static inline void half_of_it(const uint8_t* p, int j, i16v third, const float* scale, f16v* out) {
    const i16v q = widen(p + 32 + 32 * h + 16 * j);
    const int i = 8 * h + j;
    group<0, h>(q, third, scale[i], out[i]);
    group<1, h>(q, third, scale[i + 2], out[i + 2]);
    group<2, h>(q, third, scale[i + 4], out[i + 4]);
    group<3, h>(q, third, scale[i + 6], out[i + 6]);
  }
  template <int k, int h>
  static inline void group(i16v q, i16v third, float scale, f16v& out) {
    const i16v high = left<2>(bits_and(right<4 * h + k>(third), 1));
    out = mul(to_float(sub(bits_or(bits_and(right<2 * k>(q), 3), high), 4)), set1(scale));
  }
};

struct Q4_K {
  static constexpr int block = 256, bytes = 144;
  static inline void decode(const uint8_t* p, f16v* out) {
    float s[16];
    six_bit_pairs(p + 4, half(p), half(p + 2), s);
    for (int pair = 0; pair < 4; pair++)
      for (int j = 0; j < 2; j++) {
        const i16v q = widen(p + 16 + 32 * pair + 16 * j);
        const int low = 2 * pair, high = low + 1;
        out[4 * pair + j] = fma(to_float(bits_and(q, 15)), set1(s[low]), set1(s[8 + low]));
        out[4 * pair + 2 + j] = fma(to_float(right<4>(q)), set1(s[high]), set1(s[8 + high]));
      }
  }
};

struct Q5_K {
  static constexpr int block = 256, bytes = 176;
  static inline void decode(const uint8_t* p, f16v* out) {
    float s[16];
    six_bit_pairs(p + 4, half(p), half(p + 2), s);
    for (int j = 0; j < 2; j++) {
      const i16v fifth = widen(p + 16 + 16 * j);
      pair<0>(p, j, fifth, s, out);
      pair<1>(p, j, fifth, s, out);
      pair<2>(p, j, fifth, s, out);
      pair<3>(p, j, fifth, s, out);
    }
  }

 private:
  template <int n>
  static inline void pair(const uint8_t* p, int j, i16v fifth, const float* s, f16v* out) {
    const i16v q = widen(p + 48 + 32 * n + 16 * j);
    const i16v low = bits_or(bits_and(q, 15), left<4>(bits_and(right<2 * n>(fifth), 1)));
    const i16v high = bits_or(right<4>(q), left<4>(bits_and(right<2 * n + 1>(fifth), 1)));
    out[4 * n + j] = fma(to_float(low), set1(s[2 * n]), set1(s[8 + 2 * n]));
    out[4 * n + 2 + j] = fma(to_float(high), set1(s[2 * n + 1]), set1(s[8 + 2 * n + 1]));
  }
};

struct Q6_K {
  static constexpr int block = 256, bytes = 210;
  static inline void decode(const uint8_t* p, f16v* out) {
    float scale[16];
    store(scale, mul(to_float(widen_signed(p + 192)), set1(half(p + 208))));
    for (int h = 0; h < 2; h++)
      for (int j = 0; j < 2; j++) {
        const i16v a = widen(p + 64 * h + 16 * j), b = widen(p + 64 * h + 32 + 16 * j);
        const i16v high = widen(p + 128 + 32 * h + 16 * j);
        const int i = 8 * h + j;
        put(bits_or(bits_and(a, 15), left<4>(bits_and(high, 3))), scale[i], out[i]);
        put(bits_or(bits_and(b, 15), left<4>(bits_and(right<2>(high), 3))), scale[i + 2], out[i + 2]);
        put(bits_or(right<4>(a), left<4>(bits_and(right<4>(high), 3))), scale[i + 4], out[i + 4]);
        put(bits_or(right<4>(b), left<4>(right<6>(high))), scale[i + 6], out[i + 6]);
      }
  }

 private:
  static inline void put(i16v q, float scale, f16v& out) { out = mul(to_float(sub(q, 32)), set1(scale)); }
};

}  // namespace CUTAWAY_ISA
