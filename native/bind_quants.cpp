// _native.dequantize: the decoders of quants.hpp on whole arrays, beside `cutaway.kernels.quants.dequantize`.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>

#include "isa_choice.hpp"
#include "pool.hpp"
#include "table.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace cutaway {

namespace {

using Raw = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// 64k weights are 256 KB as float32
constexpr int64_t kPiece = 1 << 16;

void dequantize(const char* name, Raw raw, Out out) {
  int format = 0;
  while (format < kFormats && std::strcmp(kPackings[format].name, name) != 0) format++;
  if (format == kFormats) throw nb::value_error("no such format");
  const Packing& packing = kPackings[format];
  const int64_t n_bytes = (int64_t)raw.shape(0), n_blocks = n_bytes / packing.bytes;
  if (n_bytes % packing.bytes != 0) throw nb::value_error("no whole number of blocks");
  if ((int64_t)out.shape(0) != n_blocks * packing.weights) throw nb::value_error("the result has another length");
  const auto kernel = choose_isa().dequantize;
  const int64_t step = kPiece / packing.weights, n_chunks = (n_blocks + step - 1) / step;
  const uint8_t* from = raw.data();
  float* to = out.data();
  auto piece = [&](int64_t chunk) {
    const int64_t first = chunk * step, n = n_blocks - first < step ? n_blocks - first : step;
    kernel((Format)format, from + first * packing.bytes, n, to + first * packing.weights);
  };
  nb::gil_scoped_release release;
  parallel(n_chunks, piece);
}

}  // namespace

void bind_quants(nb::module_& m) { m.def("dequantize", &dequantize, "format"_a, "raw"_a, "out"_a); }

}  // namespace cutaway
