// f16v on AVX2: two registers, lanes 0-7 and 8-15.
#pragma once

#include <immintrin.h>

namespace CUTAWAY_ISA {

struct f16v {
  __m256 a, b;
};

// the first n lanes of eight or sixteen: a window on ones before zeros
static inline __m256i first_lanes(int n, int from) {
  alignas(64) static const int32_t ones[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones + 16 - n + from));
}

static inline f16v load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline f16v load_n(const float* p, int n) {
  return {_mm256_maskload_ps(p, first_lanes(n, 0)), _mm256_maskload_ps(p + 8, first_lanes(n, 8))};
}
static inline void store(float* p, f16v a) {
  _mm256_storeu_ps(p, a.a);
  _mm256_storeu_ps(p + 8, a.b);
}
static inline void store_n(float* p, f16v a, int n) {
  _mm256_maskstore_ps(p, first_lanes(n, 0), a.a);
  _mm256_maskstore_ps(p + 8, first_lanes(n, 8), a.b);
}
static inline f16v set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline f16v zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline f16v add(f16v a, f16v b) { return {_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)}; }
static inline f16v sub(f16v a, f16v b) { return {_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)}; }
static inline f16v mul(f16v a, f16v b) { return {_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)}; }
static inline f16v div(f16v a, f16v b) { return {_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)}; }
static inline f16v max(f16v a, f16v b) { return {_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)}; }
static inline f16v min(f16v a, f16v b) { return {_mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b)}; }
static inline f16v fma(f16v a, f16v b, f16v c) {
  return {_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)};
}
static inline f16v round(f16v a) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.a, nearest), _mm256_round_ps(a.b, nearest)};
}
static inline f16v abs(f16v a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.a), _mm256_andnot_ps(sign, a.b)};
}
static inline f16v where_negative(f16v x, f16v yes, f16v no) {
  const __m256 nought = _mm256_setzero_ps();
  return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, nought, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, nought, _CMP_LT_OQ))};
}

// a times 2 to the n, for |n| up to 250, in two steps: the first is exact, so a result below the normal floats is
// rounded once
static inline __m256 scale2(__m256 a, __m256 n) {
  const __m256i whole = _mm256_cvtps_epi32(n), part = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, part);
  const __m256i bias = _mm256_set1_epi32(127);
  a = _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(part, bias), 23)));
  return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
static inline f16v scale2(f16v a, f16v n) { return {scale2(a.a, n.a), scale2(a.b, n.b)}; }

// one register's lanes, for products.hpp
#define CUTAWAY_PARTS 2
using part = __m256;
static inline part zero_part() { return _mm256_setzero_ps(); }
static inline part load_part(const float* p) { return _mm256_loadu_ps(p); }
static inline void store_part(float* p, part a) { _mm256_storeu_ps(p, a); }
static inline part fma(part a, part b, part c) { return _mm256_fmadd_ps(a, b, c); }

// lanes i and i+8, then i+4, i+2, i+1
static inline float sum(f16v a) {
  const __m256 eight = _mm256_add_ps(a.a, a.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
static inline float largest(f16v a) {
  const __m256 eight = _mm256_max_ps(a.a, a.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// the four sums, by the same tree, to out[0..3]
static inline void sum4(f16v a, f16v b, f16v c, f16v d, float* out) {
  const __m256 ea = _mm256_add_ps(a.a, a.b), eb = _mm256_add_ps(b.a, b.b);
  const __m256 ec = _mm256_add_ps(c.a, c.b), ed = _mm256_add_ps(d.a, d.b);
  const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(ea, eb, 0x20), _mm256_permute2f128_ps(ea, eb, 0x31));
  const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(ec, ed, 0x20), _mm256_permute2f128_ps(ec, ed, 0x31));
  const __m256 two = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
  const __m256 one = _mm256_add_ps(two, _mm256_permute_ps(two, 0xB1));  // a a c c b b d d
  const __m128 mixed = _mm_shuffle_ps(_mm256_castps256_ps128(one), _mm256_extractf128_ps(one, 1), 0x88);
  _mm_storeu_ps(out, _mm_permute_ps(mixed, 0xD8));
}

}  // namespace CUTAWAY_ISA
