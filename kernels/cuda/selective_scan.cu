// The selective scan (reference: src/scan/cpu.rs). A thread carries one channel through time, so that the threads of a warp
// read neighbouring channels. The output is f32: the activations, then the final state.
#include "common.cuh"

// Most states per channel, as in src/cuda.rs.
#define MAX_STATES 64

template <typename T, int STATES>
__device__ void scan(const T *u, const T *dt, const T *z, const float *a, const float *b, const float *c, const float *d,
                     const float *state, const uint8_t *is_first, float *out, uint32_t tokens, uint32_t channels,
                     uint32_t states) {
  const uint32_t channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  const uint32_t n = STATES > 0 ? STATES : states;
  float h[STATES > 0 ? STATES : MAX_STATES], decay[STATES > 0 ? STATES : MAX_STATES];
#pragma unroll
  for (uint32_t i = 0; i < n; i++) {
    decay[i] = a[(size_t)channel * n + i];
    h[i] = state[(size_t)channel * n + i];
  }
  const float skip = d[channel];
  for (uint32_t t = 0; t < tokens; t++) {
    const size_t at = (size_t)t * channels + channel;
    const float x = to_float(u[at]), step = softplus(to_float(dt[at]));
    const float keep = is_first[t] ? 0.f : 1.f;
    float y = skip * x;
#pragma unroll
    for (uint32_t i = 0; i < n; i++) {
      // Not `keep * h`: the state of the sample before may be infinite.
      const float before = keep > 0.f ? h[i] : 0.f;
      h[i] = expf(step * decay[i]) * before + step * x * b[(size_t)t * n + i];
      y += h[i] * c[(size_t)t * n + i];
    }
    out[at] = y * silu(to_float(z[at]));
  }
  float *last = out + (size_t)tokens * channels;
#pragma unroll
  for (uint32_t i = 0; i < n; i++) last[(size_t)channel * n + i] = h[i];
}

#define DEFINE(T, NAME)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(64) selective_scan_##NAME(                                                \
      const T *u, const T *dt, const T *z, const float *a, const float *b, const float *c, const float *d,               \
      const float *state, const uint8_t *is_first, float *out, uint32_t tokens, uint32_t channels, uint32_t states) {    \
    if (states == 16)                                                                                                    \
      scan<T, 16>(u, dt, z, a, b, c, d, state, is_first, out, tokens, channels, states);                                 \
    else                                                                                                                 \
      scan<T, 0>(u, dt, z, a, b, c, d, state, is_first, out, tokens, channels, states);                                  \
  }
FOR_EACH_TYPE(DEFINE)
