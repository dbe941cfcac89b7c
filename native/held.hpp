// What the bindings share: arrays as they come from Python, and jobs over the pool.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "pool.hpp"
#include "table.hpp"

namespace cutaway {

namespace nb = nanobind;

using In = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline void expect(bool right, const char* what) {
  if (!right) throw nb::value_error(what);
}
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

// Letting go of the interpreter costs more than it gives for what takes microseconds: taking it back may mean
// waiting for another thread's turn to end.
constexpr int64_t kLongOperations = 1 << 23;

template <class F>
void spread(int64_t n_chunks, int64_t operations, F&& body) {
  if (operations < kLongOperations) return parallel(n_chunks, body);
  nb::gil_scoped_release release;
  parallel(n_chunks, body);
}

// Rows of packed weights, and the array that keeps their memory alive.
struct HeldMatrix {
  HeldMatrix(Bytes raw, int format, int64_t n_in, int64_t block_weights, int64_t block_bytes);
  Bytes raw;
  Matrix matrix;
};

// Cuts a product into chunks and runs it; x's rows are `x_stride` long. (The interpreter may be let go or not.)
void run_product(Product& job);
// As `Product.x` asks: rows as they are, or a copy in `scratch(4)` with zeros up to a multiple of 16.
void pad_rows(Product& job, int64_t n_in);
// The chunks of a whole attention: `q_block` is set.
int64_t cut(Attention& job);

void bind_block(nb::module_& m);

}  // namespace cutaway
