// f16v as sixteen floats: any compiler, any machine.
#pragma once

#include <cmath>

namespace CUTAWAY_ISA {

struct f16v {
  float v[16];
};

#define CUTAWAY_LANES for (int i = 0; i < 16; i++)
static inline f16v load(const float* p) {
  f16v r;
  CUTAWAY_LANES r.v[i] = p[i];
  return r;
}
static inline f16v load_n(const float* p, int n) {
  f16v r;
  CUTAWAY_LANES r.v[i] = i < n ? p[i] : 0.0f;
  return r;
}
static inline void store(float* p, f16v a) { CUTAWAY_LANES p[i] = a.v[i]; }
static inline void store_n(float* p, f16v a, int n) {
  for (int i = 0; i < n; i++) p[i] = a.v[i];
}
static inline f16v set1(float x) {
  f16v r;
  CUTAWAY_LANES r.v[i] = x;
  return r;
}
static inline f16v zero() { return set1(0.0f); }
#define CUTAWAY_BINARY(name, expression)    \
  static inline f16v name(f16v a, f16v b) { \
    f16v r;                                 \
    CUTAWAY_LANES r.v[i] = expression;      \
    return r;                               \
  }
CUTAWAY_BINARY(add, a.v[i] + b.v[i])
CUTAWAY_BINARY(sub, a.v[i] - b.v[i])
CUTAWAY_BINARY(mul, a.v[i] * b.v[i])
CUTAWAY_BINARY(div, a.v[i] / b.v[i])
CUTAWAY_BINARY(max, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
CUTAWAY_BINARY(min, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
#undef CUTAWAY_BINARY
static inline f16v fma(f16v a, f16v b, f16v c) {
  f16v r;
  CUTAWAY_LANES r.v[i] = a.v[i] * b.v[i] + c.v[i];
  return r;
}
static inline f16v round(f16v a) {
  f16v r;
  CUTAWAY_LANES r.v[i] = std::nearbyint(a.v[i]);
  return r;
}
static inline f16v abs(f16v a) {
  f16v r;
  CUTAWAY_LANES r.v[i] = std::fabs(a.v[i]);
  return r;
}
static inline f16v where_negative(f16v x, f16v yes, f16v no) {
  f16v r;
  CUTAWAY_LANES r.v[i] = x.v[i] < 0.0f ? yes.v[i] : no.v[i];
  return r;
}
static inline f16v scale2(f16v a, f16v n) {
  f16v r;
  CUTAWAY_LANES r.v[i] = n.v[i] == n.v[i] ? std::ldexp(a.v[i], (int)n.v[i]) : n.v[i];
  return r;
}

// four lanes, for products.hpp: what the simplest vector registers hold
#define CUTAWAY_PARTS 4
#if defined(__GNUC__) || defined(__clang__)
typedef float part __attribute__((vector_size(16)));
static inline part zero_part() { return part{}; }
static inline part fma(part a, part b, part c) { return a * b + c; }
#else
struct part {
  float v[4];
};
static inline part zero_part() { return part{}; }
static inline part fma(part a, part b, part c) {
  for (int i = 0; i < 4; i++) c.v[i] = a.v[i] * b.v[i] + c.v[i];
  return c;
}
#endif
static inline part load_part(const float* p) {
  part r;
  std::memcpy(&r, p, sizeof r);
  return r;
}
static inline void store_part(float* p, part a) { std::memcpy(p, &a, sizeof a); }

static inline float sum(f16v a) {
  for (int i = 0; i < 8; i++) a.v[i] += a.v[i + 8];
  for (int i = 0; i < 4; i++) a.v[i] += a.v[i + 4];
  return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
}
static inline float largest(f16v a) {
  float m = a.v[0];
  CUTAWAY_LANES m = a.v[i] > m ? a.v[i] : m;
  return m;
}
static inline void sum4(f16v a, f16v b, f16v c, f16v d, float* out) {
  out[0] = sum(a);
  out[1] = sum(b);
  out[2] = sum(c);
  out[3] = sum(d);
}
#undef CUTAWAY_LANES

}  // namespace CUTAWAY_ISA
