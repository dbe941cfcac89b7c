#define CUTAWAY_AVX512
#define CUTAWAY_THIN 8
#include "isa.hpp"

namespace cutaway {
const Kernels& kernels_avx512() { return CUTAWAY_ISA::table("avx512"); }
}  // namespace cutaway
