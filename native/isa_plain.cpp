#define CUTAWAY_THIN 1
#define CUTAWAY_TILE 3
#include "isa.hpp"

namespace cutaway {
const Kernels& kernels_plain() { return CUTAWAY_ISA::table("plain"); }
}  // namespace cutaway
