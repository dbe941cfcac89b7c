// A thread's own working memory, kept from chunk to chunk.
#pragma once

#include <cstdint>

namespace cutaway {

// At least `n` floats of this thread's, aligned to 64 bytes; what was in them is gone. `slot` 0 to 5: several at once.
float* scratch(int slot, int64_t n);

}  // namespace cutaway
