// f16v on NEON (64-bit ARM): four registers of four lanes.
#pragma once

#include <arm_neon.h>

namespace CUTAWAY_ISA {

struct f16v {
  float32x4_t v[4];
};

#define CUTAWAY_QUARTERS CUTAWAY_UNROLL for (int i = 0; i < 4; i++)
#define CUTAWAY_EACH(expression)         \
  f16v r;                                \
  CUTAWAY_QUARTERS r.v[i] = expression;  \
  return r;
static inline f16v load(const float* p) { CUTAWAY_EACH(vld1q_f32(p + 4 * i)) }
static inline void store(float* p, f16v a) { CUTAWAY_QUARTERS vst1q_f32(p + 4 * i, a.v[i]); }
static inline f16v load_n(const float* p, int n) {
  float whole[16] = {};
  for (int i = 0; i < n; i++) whole[i] = p[i];
  return load(whole);
}
static inline void store_n(float* p, f16v a, int n) {
  float whole[16];
  store(whole, a);
  for (int i = 0; i < n; i++) p[i] = whole[i];
}
static inline f16v set1(float x) { CUTAWAY_EACH(vdupq_n_f32(x)) }
static inline f16v zero() { return set1(0.0f); }
static inline f16v add(f16v a, f16v b) { CUTAWAY_EACH(vaddq_f32(a.v[i], b.v[i])) }
static inline f16v sub(f16v a, f16v b) { CUTAWAY_EACH(vsubq_f32(a.v[i], b.v[i])) }
static inline f16v mul(f16v a, f16v b) { CUTAWAY_EACH(vmulq_f32(a.v[i], b.v[i])) }
static inline f16v div(f16v a, f16v b) { CUTAWAY_EACH(vdivq_f32(a.v[i], b.v[i])) }
// the second where one is NaN (vmaxq would give NaN)
static inline f16v max(f16v a, f16v b) { CUTAWAY_EACH(vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i])) }
static inline f16v min(f16v a, f16v b) { CUTAWAY_EACH(vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i])) }
static inline f16v fma(f16v a, f16v b, f16v c) { CUTAWAY_EACH(vfmaq_f32(c.v[i], a.v[i], b.v[i])) }
static inline f16v round(f16v a) { CUTAWAY_EACH(vrndnq_f32(a.v[i])) }
static inline f16v abs(f16v a) { CUTAWAY_EACH(vabsq_f32(a.v[i])) }
static inline f16v where_negative(f16v x, f16v yes, f16v no) {
  CUTAWAY_EACH(vbslq_f32(vcltzq_f32(x.v[i]), yes.v[i], no.v[i]))
}

// a times 2 to the n, for |n| up to 250, in two steps: the first is exact, so a result below the normal floats is
// rounded once
static inline float32x4_t scale2(float32x4_t a, float32x4_t n) {
  const int32x4_t whole = vcvtnq_s32_f32(n), part = vshrq_n_s32(whole, 1), rest = vsubq_s32(whole, part);
  const int32x4_t bias = vdupq_n_s32(127);
  a = vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(part, bias), 23)));
  return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}
static inline f16v scale2(f16v a, f16v n) { CUTAWAY_EACH(scale2(a.v[i], n.v[i])) }

// one register's lanes, for products.hpp
#define CUTAWAY_PARTS 4
using part = float32x4_t;
static inline part zero_part() { return vdupq_n_f32(0.0f); }
static inline part load_part(const float* p) { return vld1q_f32(p); }
static inline void store_part(float* p, part a) { vst1q_f32(p, a); }
static inline part fma(part a, part b, part c) { return vfmaq_f32(c, a, b); }

// lanes i and i+8, then i+4, i+2, i+1
static inline float32x4_t sum_to_four(f16v a) {
  return vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
}
static inline float sum(f16v a) {
  const float32x4_t four = sum_to_four(a);
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
static inline float largest(f16v a) {
  float each[16], most;
  store(each, a);
  most = each[0];
  for (int i = 1; i < 16; i++) most = each[i] > most ? each[i] : most;
  return most;
}

// the four sums, by the same tree, to out[0..3]
static inline void sum4(f16v a, f16v b, f16v c, f16v d, float* out) {
  const float32x4_t fa = sum_to_four(a), fb = sum_to_four(b), fc = sum_to_four(c), fd = sum_to_four(d);
  const float32x2_t ta = vadd_f32(vget_low_f32(fa), vget_high_f32(fa)), tb = vadd_f32(vget_low_f32(fb), vget_high_f32(fb));
  const float32x2_t tc = vadd_f32(vget_low_f32(fc), vget_high_f32(fc)), td = vadd_f32(vget_low_f32(fd), vget_high_f32(fd));
  vst1q_f32(out, vpaddq_f32(vcombine_f32(ta, tb), vcombine_f32(tc, td)));
}
#undef CUTAWAY_EACH
#undef CUTAWAY_QUARTERS

}  // namespace CUTAWAY_ISA
