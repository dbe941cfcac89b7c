// f16v on AVX-512: one register.
#pragma once

#include <immintrin.h>

namespace CUTAWAY_ISA {

struct f16v {
  __m512 v;
};

static inline f16v load(const float* p) { return {_mm512_loadu_ps(p)}; }
static inline f16v load_n(const float* p, int n) {  // the first n lanes; the rest are 0, and not read
  return {_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p)};
}
static inline void store(float* p, f16v a) { _mm512_storeu_ps(p, a.v); }
static inline void store_n(float* p, f16v a, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a.v); }
static inline f16v set1(float x) { return {_mm512_set1_ps(x)}; }
static inline f16v zero() { return {_mm512_setzero_ps()}; }
static inline f16v add(f16v a, f16v b) { return {_mm512_add_ps(a.v, b.v)}; }
static inline f16v sub(f16v a, f16v b) { return {_mm512_sub_ps(a.v, b.v)}; }
static inline f16v mul(f16v a, f16v b) { return {_mm512_mul_ps(a.v, b.v)}; }
static inline f16v div(f16v a, f16v b) { return {_mm512_div_ps(a.v, b.v)}; }
static inline f16v max(f16v a, f16v b) { return {_mm512_max_ps(a.v, b.v)}; }  // the second where one is NaN
static inline f16v min(f16v a, f16v b) { return {_mm512_min_ps(a.v, b.v)}; }
static inline f16v fma(f16v a, f16v b, f16v c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
static inline f16v round(f16v a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
static inline f16v abs(f16v a) { return {_mm512_abs_ps(a.v)}; }
static inline f16v where_negative(f16v x, f16v yes, f16v no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ), no.v, yes.v)};
}
static inline f16v scale2(f16v a, f16v n) { return {_mm512_scalef_ps(a.v, n.v)}; }  // a times 2 to the n

// lanes i and i+8, then i+4, i+2, i+1
static inline float sum(f16v a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
static inline float largest(f16v a) { return _mm512_reduce_max_ps(a.v); }

// the four sums, by the same tree, to out[0..3]
static inline void sum4(f16v a, f16v b, f16v c, f16v d, float* out) {
  const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x44), _mm512_shuffle_f32x4(a.v, b.v, 0xEE));
  const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c.v, d.v, 0x44), _mm512_shuffle_f32x4(c.v, d.v, 0xEE));
  const __m512 four = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
  const __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4E));
  const __m512 one = _mm512_add_ps(two, _mm512_permute_ps(two, 0xB1));
  const __m512i lanes = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
  _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(lanes, one)));
}

}  // namespace CUTAWAY_ISA
