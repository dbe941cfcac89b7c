#include "scratch.hpp"

#include <new>

namespace cutaway {
namespace {

constexpr int kSlots = 7;
constexpr std::align_val_t kAligned{64};

struct Memory {
  float* at[kSlots] = {};
  int64_t size[kSlots] = {};
  ~Memory() {
    for (float* each : at) ::operator delete(each, kAligned);
  }
};

thread_local Memory mine;

}  // namespace

float* scratch(int slot, int64_t n) {
  if (mine.size[slot] < n) {
    ::operator delete(mine.at[slot], kAligned);
    mine.at[slot] = nullptr;
    mine.size[slot] = 0;
    const int64_t room = n + n / 4 + 64;
    mine.at[slot] = static_cast<float*>(::operator new(room * sizeof(float), kAligned));
    mine.size[slot] = room;
  }
  return mine.at[slot];
}

}  // namespace cutaway
