#define CUTAWAY_AVX2
#define CUTAWAY_THIN 2
#define CUTAWAY_TILE 3
#include "isa.hpp"

namespace cutaway {
const Kernels& kernels_avx2() { return CUTAWAY_ISA::table("avx2"); }
}  // namespace cutaway
