#include "isa_choice.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

namespace cutaway {
namespace {

struct Choice {
  const char* name;
  bool runs;
  const Kernels& (*kernels)();
};

#if defined(__x86_64__) || defined(_M_X64)
#ifdef _MSC_VER
bool bit(int leaf, int reg, int which) {
  int found[4];
  __cpuidex(found, leaf, 0);
  return found[reg] >> which & 1;
}
bool avx2() {  // and the system keeps the registers
  return bit(1, 2, 27) && (_xgetbv(0) & 6) == 6 && bit(7, 1, 5) && bit(1, 2, 12) && bit(1, 2, 29);
}
bool avx512() {
  return avx2() && (_xgetbv(0) & 0xE6) == 0xE6 && bit(7, 1, 16) && bit(7, 1, 17) && bit(7, 1, 30) && bit(7, 1, 31);
}
#else
bool f16c() {  // clang's __builtin_cpu_supports does not know it
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1) != 0;
}
bool avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c(); }
bool avx512() {
  return avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif
#endif

const Kernels& choose() {
  const Choice choices[] = {  // the best first
#ifdef CUTAWAY_HAS_AVX512
      {"avx512", avx512(), kernels_avx512},
#endif
#ifdef CUTAWAY_HAS_AVX2
      {"avx2", avx2(), kernels_avx2},
#endif
#ifdef CUTAWAY_HAS_NEON
      {"neon", true, kernels_neon},
#endif
      {"plain", true, kernels_plain},
  };
  const char* wanted = std::getenv("CUTAWAY_ISA");
  std::string names;
  for (const Choice& each : choices) {
    if (!each.runs) continue;
    if (wanted == nullptr || *wanted == 0 || std::strcmp(wanted, each.name) == 0) return each.kernels();
    names += names.empty() ? each.name : std::string(", ") + each.name;
  }
  throw std::runtime_error("CUTAWAY_ISA is \"" + std::string(wanted) + "\"; this machine runs " + names + ".");
}

}  // namespace

const Kernels& choose_isa() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace cutaway
