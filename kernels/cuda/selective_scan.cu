// The selective scan (reference: src/scan/cpu.rs). A thread carries one channel through time, so that the threads of a warp
// read neighbouring channels. The output is f32: the activations, then the final state.
#include "common.cuh"

// As in src/launch.rs: threads of a block, and most states per channel.
#define SCAN_THREADS 64
#define MAX_STATES 64
// Tokens that a thread reads while it computes as many before them, so that it never waits for memory.
#define TILE 8

// What a thread reads ahead: its own channel's values, and its share of those that all channels have in common.
template <typename T, int SHARE> struct Ahead {
  T u[TILE], dt[TILE], z[TILE];
  bool is_first[TILE];
  float b[SHARE], c[SHARE];
};

template <typename T, int STATES>
__device__ void scan(const T *u, const T *dt, const T *z, const float *a, const float *b, const float *c, const float *d,
                     const float *state, const uint8_t *is_first, float *out, uint32_t tokens, uint32_t channels,
                     uint32_t states) {
  constexpr uint32_t ROOM = STATES > 0 ? STATES : MAX_STATES, SHARE = TILE * ROOM / SCAN_THREADS;
  static_assert(SHARE * SCAN_THREADS == TILE * ROOM, "every thread reads an equal share of a tile");
  __shared__ float all_b[2][TILE * ROOM], all_c[2][TILE * ROOM];

  const uint32_t channel = blockIdx.x * SCAN_THREADS + threadIdx.x;
  const bool is_real = channel < channels;
  const uint32_t n = STATES > 0 ? STATES : states;
  float h[ROOM], decay[ROOM];
#pragma unroll
  for (uint32_t i = 0; i < n; i++) {
    decay[i] = is_real ? a[(size_t)channel * n + i] : 0.f;
    h[i] = is_real ? state[(size_t)channel * n + i] : 0.f;
  }
  const float skip = is_real ? d[channel] : 0.f;

  Ahead<T, SHARE> next;
  const auto read = [&](uint32_t start) {
#pragma unroll
    for (uint32_t i = 0; i < TILE; i++) {
      const bool is_there = is_real && start + i < tokens;
      const size_t at = (size_t)(start + i) * channels + channel;
      next.u[i] = is_there ? u[at] : from_float<T>(0.f);
      next.dt[i] = is_there ? dt[at] : from_float<T>(0.f);
      next.z[i] = is_there ? z[at] : from_float<T>(0.f);
      next.is_first[i] = start + i < tokens && is_first[start + i];
    }
#pragma unroll
    for (uint32_t i = 0; i < SHARE; i++) {
      const uint32_t place = i * SCAN_THREADS + threadIdx.x;
      const bool is_there = place < TILE * n && start + place / n < tokens;
      next.b[i] = is_there ? b[(size_t)start * n + place] : 0.f;
      next.c[i] = is_there ? c[(size_t)start * n + place] : 0.f;
    }
  };

  read(0);
  for (uint32_t start = 0, side = 0; start < tokens; start += TILE, side ^= 1) {
    const Ahead<T, SHARE> now = next;
#pragma unroll
    for (uint32_t i = 0; i < SHARE; i++) {
      all_b[side][i * SCAN_THREADS + threadIdx.x] = now.b[i];
      all_c[side][i * SCAN_THREADS + threadIdx.x] = now.c[i];
    }
    // One barrier a tile is enough: whoever passes it writes to the other side.
    __syncthreads();
    read(start + TILE);
#pragma unroll
    for (uint32_t i = 0; i < TILE; i++) {
      if (start + i >= tokens) break;
      const float x = to_float(now.u[i]), step = softplus(to_float(now.dt[i]));
      float y = skip * x;
#pragma unroll
      for (uint32_t j = 0; j < n; j++) {
        // Not a product with 0: the state of the sample before may be infinite.
        const float before = now.is_first[i] ? 0.f : h[j];
        h[j] = expf(step * decay[j]) * before + step * x * all_b[side][i * n + j];
        y += h[j] * all_c[side][i * n + j];
      }
      if (is_real) out[(size_t)(start + i) * channels + channel] = y * silu(to_float(now.z[i]));
    }
  }
  if (!is_real) return;
  float *last = out + (size_t)tokens * channels;
#pragma unroll
  for (uint32_t i = 0; i < n; i++) last[(size_t)channel * n + i] = h[i];
}

#define DEFINE(T, NAME)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(SCAN_THREADS, 1) selective_scan_##NAME(                                   \
      const T *u, const T *dt, const T *z, const float *a, const float *b, const float *c, const float *d,               \
      const float *state, const uint8_t *is_first, float *out, uint32_t tokens, uint32_t channels, uint32_t states) {    \
    if (states == 16)                                                                                                    \
      scan<T, 16>(u, dt, z, a, b, c, d, state, is_first, out, tokens, channels, states);                                 \
    else                                                                                                                 \
      scan<T, 0>(u, dt, z, a, b, c, d, state, is_first, out, tokens, channels, states);                                  \
  }
FOR_EACH_TYPE(DEFINE)
