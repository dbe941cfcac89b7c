// Sixteen float lanes: what every kernel is written over, once for each instruction set.
//
// Whatever the registers, a sum goes the same way: one chain of fused multiply-adds along k, sixteen lanes wide, then
// the fixed tree of `sum` (lanes i and i+8, i+4, i+2, i+1). So a result depends on its own row alone: not on how many
// rows are computed together, nor on threads, tiles or padding. (The plain set has no fused multiply-add: its bits
// differ from the others', never from its own.)
//
// Included once by each isa_*.cpp, inside its own namespace CUTAWAY_ISA.
#pragma once

#include <cstdint>
#include <cstring>

// Small loops over registers must become straight code, or the registers become memory.
#if defined(__clang__)
#define CUTAWAY_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define CUTAWAY_UNROLL _Pragma("GCC unroll 16")
#else
#define CUTAWAY_UNROLL
#endif

#if defined(__GNUC__) || defined(__clang__)
static inline void cutaway_prefetch(const void* p) { __builtin_prefetch(p); }
#elif defined(_M_X64)
#include <xmmintrin.h>
static inline void cutaway_prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
#else
static inline void cutaway_prefetch(const void*) {}
#endif
constexpr int CUTAWAY_AHEAD = 4096;  // bytes: what a thread reads while one cache line comes from memory

#if defined(CUTAWAY_AVX512)
#include "simd_avx512.hpp"
#elif defined(CUTAWAY_AVX2)
#include "simd_avx2.hpp"
#elif defined(CUTAWAY_NEON)
#include "simd_neon.hpp"
#else
#include "simd_plain.hpp"
#endif

namespace CUTAWAY_ISA {

// e to the x, to about one unit in the last place. exp(-inf) is 0; NaN stays NaN.
// Cody and Waite's reduction to |r| <= ln2 / 2, then a polynomial of degree 6 (Cephes' expf, by S. Moshier).
static inline f16v exp(f16v x) {
  x = min(set1(89.0f), max(set1(-105.0f), x));  // NaN: the second operand is kept
  const f16v n = round(mul(x, set1(1.44269504088896341f)));
  f16v r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  f16v p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, set1(1.0f)));
  return scale2(p, n);
}

}  // namespace CUTAWAY_ISA
