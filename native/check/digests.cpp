// A digest of what each kernel gives on numbers that are the same everywhere, a line each. Two machines whose lines
// agree give the same bits. tests/property/test_native_arm.py compares NEON (emulated) with AVX2 by it.
#include <cstdio>
#include <cstring>
#include <vector>

#include "../isa_choice.hpp"
#include "../table.hpp"

using namespace cutaway;

namespace {

uint64_t state;

uint32_t any() {  // Steele and Vigna's splitmix64, its upper half
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ z >> 31) >> 32);
}

std::vector<float> noise(int64_t n, float size = 1.0f) {
  std::vector<float> x((size_t)n);
  for (float& each : x) each = size * ((float)(int32_t)any() / 2147483648.0f);
  return x;
}

void say(const char* what, int which, const std::vector<float>& x) {
  uint64_t digest = 0xCBF29CE484222325u;  // FNV-1a
  for (const float each : x) {
    uint32_t bits = 0x7FC00000u;  // whichever NaN it is
    if (each == each) std::memcpy(&bits, &each, 4);
    for (int i = 0; i < 4; i++) digest = (digest ^ (bits >> 8 * i & 255)) * 0x100000001B3u;
  }
  std::printf("%s %d %016llx\n", what, which, (unsigned long long)digest);
}

struct Packing {
  Format format;
  int64_t weights, bytes;
  std::vector<int> halves;  // where a block keeps its float16 numbers
};

const std::vector<Packing> packings = {
    {Format::F32, 1, 4, {}},          {Format::F16, 1, 2, {}},         {Format::BF16, 1, 2, {}},
    {Format::Q8_0, 32, 34, {0}},      {Format::Q4_0, 32, 18, {0}},     {Format::Q4_1, 32, 20, {0, 2}},
    {Format::Q5_0, 32, 22, {0}},      {Format::Q5_1, 32, 24, {0, 2}},  {Format::Q2_K, 256, 84, {80, 82}},
    {Format::Q3_K, 256, 110, {108}},  {Format::Q4_K, 256, 144, {0, 2}}, {Format::Q5_K, 256, 176, {0, 2}},
    {Format::Q6_K, 256, 210, {208}},  {Format::IQ4_NL, 32, 18, {0}},
};

// Blocks of any bits; where they are to be tame, with scales between 1/64 and 1/32.
std::vector<uint8_t> blocks(const Packing& packing, int64_t n, bool tame) {
  std::vector<uint8_t> raw((size_t)(n * packing.bytes));
  for (uint8_t& each : raw) each = (uint8_t)any();
  if (!tame) return raw;
  for (int64_t i = 0; i < n; i++)
    for (const int at : packing.halves) raw[(size_t)(i * packing.bytes + at + 1)] = (uint8_t)(0x24 | (any() & 0x83));
  if (packing.weights == 1)  // an exponent near 1: the last byte's bits below the sign
    for (int64_t i = 0; i < n; i++)
      raw[(size_t)((i + 1) * packing.bytes - 1)] = (uint8_t)(packing.format == Format::F16 ? 0x38 : 0x3F) | (any() & 0x80);
  return raw;
}

void products(const Kernels& kernels) {
  for (const Packing& packing : packings) {
    const int64_t n_in = packing.weights == 1 ? 333 : 512, n_out = 19, per_row = n_in / packing.weights;
    const std::vector<uint8_t> any_bits = blocks(packing, 301, false), raw = blocks(packing, n_out * per_row, true);
    std::vector<float> decoded((size_t)(301 * packing.weights));
    kernels.dequantize(packing.format, any_bits.data(), 301, decoded.data());
    say("dequantize", (int)packing.format, decoded);
    const Matrix matrix = {packing.format, raw.data(), n_out, n_in, per_row * packing.bytes};
    for (const int64_t n_pos : {1, 2, 3, 4, 5, 37}) {
      const int64_t stride = (n_in + 15) / 16 * 16;
      std::vector<float> x = noise(n_pos * stride), bias = noise(n_out), y((size_t)(n_pos * n_out));
      for (int64_t p = 0; p < n_pos; p++)
        for (int64_t k = n_in; k < stride; k++) x[(size_t)(p * stride + k)] = 0.0f;
      Product job{};
      job.x = x.data(), job.n_pos = n_pos, job.x_stride = stride, job.n_parts = 1, job.parts[0] = &matrix;
      job.bias[0] = bias.data(), job.y[0] = y.data(), job.strip = 8, job.pos_block = n_pos;
      for (int64_t chunk = 0; chunk < (n_out + 7) / 8; chunk++) kernels.product(job, chunk);
      say("product", (int)packing.format * 100 + (int)n_pos, y);
    }
  }
}

void attentions(const Kernels& kernels) {
  for (const int64_t d_head : {6, 16, 64, 80})
    for (const int64_t n_q : {1, 5, 33}) {
      const int64_t n_k = n_q + 18, n_head = 6, n_kv_head = 2;
      const std::vector<float> q = noise(n_q * n_head * d_head, 4.0f), k = noise(n_k * n_kv_head * d_head);
      const std::vector<float> v = noise(n_k * n_kv_head * d_head);
      std::vector<float> z(q.size()), qk((size_t)(n_head * n_q * n_k)), mixed(q.size());
      Attention job{};
      job.q = q.data(), job.k = k.data(), job.v = v.data(), job.z = z.data();
      job.n_q = n_q, job.n_k = n_k, job.n_head = n_head, job.n_kv_head = n_kv_head, job.d_head = d_head;
      job.scale = 0.25f, job.window = n_q == 33 ? 17 : 0, job.q_block = 4;
      for (int64_t chunk = 0; chunk < n_kv_head * ((n_q + 3) / 4); chunk++) kernels.attention(job, chunk);
      say("attention", (int)(100 * d_head + n_q), z);
      for (int64_t chunk = 0; chunk < n_kv_head; chunk++) kernels.scores(job, qk.data(), chunk);
      say("scores", (int)(100 * d_head + n_q), qk);
      for (int64_t chunk = 0; chunk < n_head; chunk++) kernels.mix(qk.data(), v.data(), mixed.data(), job, chunk);
      say("mix", (int)(100 * d_head + n_q), mixed);
    }
}

void rows(const Kernels& kernels) {
  constexpr int64_t n_rows = 7, n = 77;
  std::vector<float> x = noise(n_rows * n, 60.0f), y(x.size()), scale((size_t)n_rows);
  Rows job{};
  job.x = x.data(), job.y = y.data(), job.n_rows = n_rows, job.n = n, job.eps = 1e-5f, job.block = n_rows;
  kernels.softmax(job, 0);
  say("softmax", 0, y);
  kernels.centre(job, 0);
  say("centre", 0, y);
  job.y = scale.data();
  kernels.rms_scale(job, 0);
  say("rms_scale", 0, scale);
  // to where exp ends on both sides, and through what is below the normal floats
  std::vector<float> wide;
  for (int i = -4400; i <= 3800; i++) wide.push_back((float)i / 40.0f);
  for (const float each : {0.0f, -0.0f, 1e-40f, 3e38f, -3e38f, 1.0f / 0.0f, -1.0f / 0.0f, 0.0f / 0.0f}) wide.push_back(each);
  std::vector<float> found(wide.size());
  for (int which = 0; which < 4; which++) {
    kernels.activate((Activation)which, wide.data(), found.data(), (int64_t)wide.size());
    say("activate", which, found);
    kernels.gate((Activation)which, wide.data(), wide.data() + 1, found.data(), (int64_t)wide.size() - 1);
    say("gate", which, found);
  }
  const std::vector<float> turned = noise(5 * 3 * 22), cos = noise(5 * 11), sin = noise(5 * 11);
  std::vector<float> there(turned.size());
  kernels.rope(turned.data(), cos.data(), sin.data(), there.data(), 5, 3, 22);
  say("rope", 0, there);
}

}  // namespace

int main() {
  const Kernels& kernels = choose_isa();
  std::fprintf(stderr, "%s\n", kernels.name);
  products(kernels);
  attentions(kernels);
  rows(kernels);
}
