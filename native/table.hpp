// What one instruction set offers: jobs that are cut into chunks, each chunk done by whichever thread is free.
#pragma once

#include <cstdint>

namespace cutaway {

// In the order of `FORMATS` in kernels/quants.py, by which Python names them.
enum class Format : int { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL };
constexpr int kFormats = 14;

struct Packing {
  const char* name;
  int64_t weights, bytes;  // of a block
};

// in the order of `Format`
constexpr Packing kPackings[kFormats] = {
    {"F32", 1, 4},      {"F16", 1, 2},      {"BF16", 1, 2},     {"Q8_0", 32, 34},   {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},   {"Q5_0", 32, 22},   {"Q5_1", 32, 24},   {"Q2_K", 256, 84},  {"Q3_K", 256, 110},
    {"Q4_K", 256, 144}, {"Q5_K", 256, 176}, {"Q6_K", 256, 210}, {"IQ4_NL", 32, 18},
};

// Rows of weights where they lie: [n_out, n_in], each row `row_bytes` long in the file's own packing.
struct Matrix {
  Format format;
  const uint8_t* rows;
  int64_t n_out, n_in, row_bytes;
};

// y_i = x W_i^T + b_i for up to three matrices that read the same x.
struct Product {
  static constexpr int kMost = 3;
  const float* x;  // [n_pos, x_stride], zero from n_in to a multiple of 16
  int64_t n_pos, x_stride;
  int n_parts;
  const Matrix* parts[kMost];
  const float* bias[kMost];  // [n_out] or null
  float* y[kMost];           // [n_pos, n_out]
  int64_t strip;             // rows of weights in a chunk
  int64_t pos_block;         // rows of x in a chunk
};

// z = softmax(q k^T scale, causal) v, one text; queries are the last of the keys' positions.
struct Attention {
  const float* q;  // [n_q, n_head, d_head]
  const float* k;  // [n_k, n_kv_head, d_head]
  const float* v;
  float* z;  // [n_q, n_head, d_head]
  int64_t n_q, n_k, n_head, n_kv_head, d_head;
  float scale;
  int64_t window;    // 0: none
  int64_t q_block;   // positions of a chunk
};

// Rows of length n, one after another.
struct Rows {
  const float* x;
  float* y;
  int64_t n_rows, n;
  const float* w;  // a gain, or null
  const float* b;  // an offset, or null
  float eps;
  int64_t block;  // rows of a chunk
};

// A norm over rows, and what lies on the way to it for whoever asks (null where nobody does).
struct Norm {
  const float* x;
  float *scale, *normalized, *out;  // [n_rows, 1] [n_rows, n] [n_rows, n]
  int64_t n_rows, n;
  const float* w;
  const float* b;  // or null
  float eps;
  bool centred;  // LayerNorm takes the mean off; RMSNorm does not
  int64_t block;  // rows of a chunk
};

// What lies between queries and the mix, [n_head, n_q, n_k] each, null where nobody asks.
constexpr int64_t kOpenRows = 96;
struct OpenAttention {
  float *qk, *qk_scaled, *attn_scores, *pattern;
};

enum class Activation : int { gelu_new, gelu, silu, relu };

struct Kernels {
  const char* name;
  void (*product)(const Product&, int64_t chunk);
  void (*attention)(const Attention&, int64_t chunk);
  void (*softmax)(const Rows&, int64_t chunk);
  void (*rms_scale)(const Rows&, int64_t chunk);     // y [n_rows, 1]
  void (*centre)(const Rows&, int64_t chunk);        // each row's mean taken off
  void (*activate)(Activation, const float* x, float* y, int64_t n);
  void (*rope)(const float* x, const float* cos, const float* sin, float* y, int64_t n_pos, int64_t n_head, int64_t d_head);
  // pattern [n_head, n_q, n_k] times values [n_k, n_kv_head, d_head], keys up to each query's own; chunk = a head
  void (*mix)(const float* pattern, const float* v, float* z, const Attention& shape, int64_t chunk);
  // plain products of queries and keys: qk [n_head, n_q, n_k]; chunk = a head
  void (*scores)(const Attention&, float* qk, int64_t chunk);
  void (*norm)(const Norm&, int64_t chunk);
  void (*add)(const float* a, const float* b, float* y, int64_t n);
  void (*gate)(Activation, const float* gate, const float* up, float* y, int64_t n);  // y = activation(gate) * up
  void (*open_attention)(const Attention&, const OpenAttention&, int64_t chunk);  // chunk = kOpenRows of a head
  void (*dequantize)(Format, const uint8_t* raw, int64_t n_blocks, float* out);
};

const Kernels& kernels_avx512();
const Kernels& kernels_avx2();
const Kernels& kernels_neon();
const Kernels& kernels_plain();

}  // namespace cutaway
