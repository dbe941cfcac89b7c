// Sixteen whole numbers beside the sixteen floats: what turns packed bits into f16v. Shifts and masks work on 32-bit
// lanes, so that a byte is widened once and every field is cut out of it there.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.hpp"

namespace CUTAWAY_ISA {

#if defined(CUTAWAY_AVX512)

struct i16v {
  __m512i v;
};

static inline i16v widen(const uint8_t* p) {  // 16 bytes, each to its lane
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
static inline i16v widen_signed(const uint8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
static inline i16v set1i(int x) { return {_mm512_set1_epi32(x)}; }
static inline i16v bits_and(i16v a, int mask) { return {_mm512_and_si512(a.v, _mm512_set1_epi32(mask))}; }
static inline i16v bits_or(i16v a, i16v b) { return {_mm512_or_si512(a.v, b.v)}; }
static inline i16v sub(i16v a, int x) { return {_mm512_sub_epi32(a.v, _mm512_set1_epi32(x))}; }
template <int n>
static inline i16v right(i16v a) {
  return {_mm512_srli_epi32(a.v, n)};
}
template <int n>
static inline i16v left(i16v a) {
  return {_mm512_slli_epi32(a.v, n)};
}
static inline i16v right_by_lane(int x) {  // x >> lane
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  return {_mm512_srlv_epi32(_mm512_set1_epi32(x), lane)};
}
static inline f16v to_float(i16v a) { return {_mm512_cvtepi32_ps(a.v)}; }

static inline f16v f32_from(const uint8_t* p) { return {_mm512_loadu_ps(reinterpret_cast<const float*>(p))}; }
static inline f16v f16_from(const uint8_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
static inline f16v bf16_from(const uint8_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
// table[low half of each byte], table[high half]; the permutation looks at four bits alone
static inline void by_nibble(f16v table, const uint8_t* p, f16v& low, f16v& high) {
  const i16v q = widen(p);
  low = {_mm512_permutexvar_ps(q.v, table.v)};
  high = {_mm512_permutexvar_ps(_mm512_srli_epi32(q.v, 4), table.v)};
}

#elif defined(CUTAWAY_AVX2)

struct i16v {
  __m256i a, b;
};

static inline i16v widen(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
static inline i16v widen_signed(const uint8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
static inline i16v set1i(int x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
static inline i16v bits_and(i16v a, int mask) {
  const __m256i m = _mm256_set1_epi32(mask);
  return {_mm256_and_si256(a.a, m), _mm256_and_si256(a.b, m)};
}
static inline i16v bits_or(i16v a, i16v b) { return {_mm256_or_si256(a.a, b.a), _mm256_or_si256(a.b, b.b)}; }
static inline i16v sub(i16v a, int x) {
  const __m256i m = _mm256_set1_epi32(x);
  return {_mm256_sub_epi32(a.a, m), _mm256_sub_epi32(a.b, m)};
}
template <int n>
static inline i16v right(i16v a) {
  return {_mm256_srli_epi32(a.a, n), _mm256_srli_epi32(a.b, n)};
}
template <int n>
static inline i16v left(i16v a) {
  return {_mm256_slli_epi32(a.a, n), _mm256_slli_epi32(a.b, n)};
}
static inline i16v right_by_lane(int x) {
  const __m256i all = _mm256_set1_epi32(x);
  return {_mm256_srlv_epi32(all, _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0)),
          _mm256_srlv_epi32(all, _mm256_set_epi32(15, 14, 13, 12, 11, 10, 9, 8))};
}
static inline f16v to_float(i16v a) { return {_mm256_cvtepi32_ps(a.a), _mm256_cvtepi32_ps(a.b)}; }

static inline f16v f32_from(const uint8_t* p) {
  const float* from = reinterpret_cast<const float*>(p);
  return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
static inline f16v f16_from(const uint8_t* p) {
  const __m128i* from = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from + 1))};
}
static inline f16v bf16_from(const uint8_t* p) {
  const __m128i* from = reinterpret_cast<const __m128i*>(p);
  const __m256i a = _mm256_cvtepu16_epi32(_mm_loadu_si128(from)), b = _mm256_cvtepu16_epi32(_mm_loadu_si128(from + 1));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
}

#elif defined(CUTAWAY_NEON)

struct i16v {
  int32x4_t v[4];
};

#define CUTAWAY_QUARTERS for (int i = 0; i < 4; i++)
static inline i16v widen(const uint8_t* p) {
  const uint8x16_t q = vld1q_u8(p);
  const uint16x8_t low = vmovl_u8(vget_low_u8(q)), high = vmovl_high_u8(q);
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), vreinterpretq_s32_u32(vmovl_high_u16(low)),
           vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), vreinterpretq_s32_u32(vmovl_high_u16(high))}};
}
static inline i16v widen_signed(const uint8_t* p) {
  const int8x16_t q = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(q)), high = vmovl_high_s8(q);
  return {{vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)}};
}
static inline i16v set1i(int x) {
  i16v r;
  CUTAWAY_QUARTERS r.v[i] = vdupq_n_s32(x);
  return r;
}
static inline i16v bits_and(i16v a, int mask) {
  CUTAWAY_QUARTERS a.v[i] = vandq_s32(a.v[i], vdupq_n_s32(mask));
  return a;
}
static inline i16v bits_or(i16v a, i16v b) {
  CUTAWAY_QUARTERS a.v[i] = vorrq_s32(a.v[i], b.v[i]);
  return a;
}
static inline i16v sub(i16v a, int x) {
  CUTAWAY_QUARTERS a.v[i] = vsubq_s32(a.v[i], vdupq_n_s32(x));
  return a;
}
// by a register, because an immediate shift may not be 0
template <int n>
static inline i16v right(i16v a) {
  CUTAWAY_QUARTERS a.v[i] = vshlq_s32(a.v[i], vdupq_n_s32(-n));
  return a;
}
template <int n>
static inline i16v left(i16v a) {
  CUTAWAY_QUARTERS a.v[i] = vshlq_s32(a.v[i], vdupq_n_s32(n));
  return a;
}
static inline i16v right_by_lane(int x) {
  const int32_t lanes[4] = {0, -1, -2, -3};
  i16v r;
  CUTAWAY_QUARTERS r.v[i] = vshlq_s32(vdupq_n_s32(x), vsubq_s32(vld1q_s32(lanes), vdupq_n_s32(4 * i)));
  return r;
}
static inline f16v to_float(i16v a) {
  f16v r;
  CUTAWAY_QUARTERS r.v[i] = vcvtq_f32_s32(a.v[i]);
  return r;
}

static inline f16v f32_from(const uint8_t* p) {
  f16v r;
  CUTAWAY_QUARTERS r.v[i] = vreinterpretq_f32_u8(vld1q_u8(p + 16 * i));
  return r;
}
static inline f16v f16_from(const uint8_t* p) {
  f16v r;
  CUTAWAY_QUARTERS r.v[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i)));
  return r;
}
static inline f16v bf16_from(const uint8_t* p) {
  f16v r;
  CUTAWAY_QUARTERS r.v[i] = vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p + 8 * i)), 16));
  return r;
}
#undef CUTAWAY_QUARTERS

#else

struct i16v {
  int32_t v[16];
};

#define CUTAWAY_INT_LANES(expression)                   \
  {                                                     \
    i16v r;                                             \
    for (int i = 0; i < 16; i++) r.v[i] = (expression); \
    return r;                                           \
  }
static inline i16v widen(const uint8_t* p) CUTAWAY_INT_LANES(p[i])
static inline i16v widen_signed(const uint8_t* p) CUTAWAY_INT_LANES(static_cast<int8_t>(p[i]))
static inline i16v set1i(int x) CUTAWAY_INT_LANES(x)
static inline i16v bits_and(i16v a, int mask) CUTAWAY_INT_LANES(a.v[i] & mask)
static inline i16v bits_or(i16v a, i16v b) CUTAWAY_INT_LANES(a.v[i] | b.v[i])
static inline i16v sub(i16v a, int x) CUTAWAY_INT_LANES(a.v[i] - x)
template <int n>
static inline i16v right(i16v a) CUTAWAY_INT_LANES(a.v[i] >> n)
template <int n>
static inline i16v left(i16v a) CUTAWAY_INT_LANES(a.v[i] << n)
static inline i16v right_by_lane(int x) CUTAWAY_INT_LANES(x >> i)
#undef CUTAWAY_INT_LANES
static inline f16v to_float(i16v a) {
  f16v r;
  for (int i = 0; i < 16; i++) r.v[i] = static_cast<float>(a.v[i]);
  return r;
}

static inline float half(const uint8_t* p) {
  const uint32_t h = p[0] | p[1] << 8, sign = (h & 0x8000u) << 16, size = h & 0x7FFFu;
  uint32_t bits;
  if (size >= 0x7C00u) {
    bits = sign | 0x7F800000u | (size & 0x3FFu) << 13;  // infinity, or not a number
  } else if (size >= 0x0400u) {
    bits = sign | ((size << 13) + (112u << 23));
  } else {  // below the smallest normal float16: so many 2^-24
    const float tiny = static_cast<float>(size) * 5.9604644775390625e-8f;
    std::memcpy(&bits, &tiny, 4);
    bits |= sign;
  }
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
static inline f16v f32_from(const uint8_t* p) {
  f16v r;
  std::memcpy(r.v, p, 64);
  return r;
}
static inline f16v f16_from(const uint8_t* p) {
  f16v r;
  for (int i = 0; i < 16; i++) r.v[i] = half(p + 2 * i);
  return r;
}
static inline f16v bf16_from(const uint8_t* p) {
  uint32_t wide[16];
  for (int i = 0; i < 16; i++) wide[i] = static_cast<uint32_t>(p[2 * i] | p[2 * i + 1] << 8) << 16;
  f16v r;
  std::memcpy(r.v, wide, 64);
  return r;
}

#endif

#if defined(CUTAWAY_AVX512) || defined(CUTAWAY_AVX2)
static inline float half(const uint8_t* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}
#elif defined(CUTAWAY_NEON)
static inline float half(const uint8_t* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0);
}
#endif

}  // namespace CUTAWAY_ISA
