#define CUTAWAY_NEON
#define CUTAWAY_THIN 2
#define CUTAWAY_TILE 6
#include "isa.hpp"

namespace cutaway {
const Kernels& kernels_neon() { return CUTAWAY_ISA::table("neon"); }
}  // namespace cutaway
