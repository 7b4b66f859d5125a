// The causal convolution with SiLU (reference: src/conv.rs).
#include "common.cuh"

template <typename T>
__device__ void convolve(const T *x, const T *history, const float *weight, const float *bias, const uint32_t *earlier,
                         T *y, uint32_t tokens, uint32_t channels, uint32_t taps) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)tokens * channels) return;
  const uint32_t token = i / channels, channel = i % channels, kept = taps - 1;
  float sum = bias[channel];
  for (uint32_t tap = 0; tap < taps; tap++) {
    // Tap `kept` is for the token itself, tap 0 for the one `kept` tokens earlier.
    if (kept - tap > earlier[token]) continue;
    const uint32_t row = token + tap;
    const T *from = row >= kept ? x + (size_t)(row - kept) * channels : history + (size_t)row * channels;
    sum += weight[(size_t)channel * taps + tap] * to_float(from[channel]);
  }
  y[i] = from_float<T>(silu(sum));
}

#define DEFINE(T, NAME)                                                                                                  \
  extern "C" __global__ void causal_conv_##NAME(const T *x, const T *history, const float *weight, const float *bias,    \
                                                const uint32_t *earlier, T *y, uint32_t tokens, uint32_t channels,       \
                                                uint32_t taps) {                                                         \
    convolve<T>(x, history, weight, bias, earlier, y, tokens, channels, taps);                                           \
  }
FOR_EACH_TYPE(DEFINE)
