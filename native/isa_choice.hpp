#pragma once

#include "table.hpp"

namespace cutaway {

// The best instruction set that this machine runs, or the one that CUTAWAY_ISA names. Throws for a name that is none,
// or that this machine cannot run. Chosen once.
const Kernels& choose_isa();

}  // namespace cutaway
