// Everything over one instruction set, as a table. Included last by each isa_*.cpp.
#pragma once

#include "attention.hpp"
#include "products.hpp"
#include "rows.hpp"

namespace CUTAWAY_ISA {

static const Kernels& table(const char* name) {
  static const Kernels kernels = {name, product, attention, softmax, rms_scale, centre, activate,       rope,
                                  mix,  scores,  norm,      add,     gate,      open_attention, dequantize};
  return kernels;
}

}  // namespace CUTAWAY_ISA
