// The loss of each row of logits (reference: src/cross_entropy.rs). One block of 256 threads per row.
#include "common.cuh"

#define THREADS 256

__device__ float reduce(float value, bool is_max) {
  __shared__ float shared[THREADS];
  shared[threadIdx.x] = value;
  __syncthreads();
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      const float other = shared[threadIdx.x + half];
      shared[threadIdx.x] = is_max ? fmaxf(shared[threadIdx.x], other) : shared[threadIdx.x] + other;
    }
    __syncthreads();
  }
  const float result = shared[0];
  __syncthreads();
  return result;
}

template <typename T>
__device__ void loss(const T *logits, const uint32_t *targets, float *losses, uint32_t tokens) {
  const T *row = logits + (size_t)blockIdx.x * tokens;
  float most = -INFINITY;
  for (uint32_t i = threadIdx.x; i < tokens; i += THREADS) most = fmaxf(most, to_float(row[i]));
  most = reduce(most, true);
  float sum = 0.f;
  for (uint32_t i = threadIdx.x; i < tokens; i += THREADS) sum += expf(to_float(row[i]) - most);
  sum = reduce(sum, false);
  if (threadIdx.x == 0) {
    const uint32_t target = targets[blockIdx.x];
    losses[blockIdx.x] = target < tokens ? most + logf(sum) - to_float(row[target]) : NAN;
  }
}

#define DEFINE(T, NAME)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(THREADS)                                                                  \
      cross_entropy_##NAME(const T *logits, const uint32_t *targets, float *losses, uint32_t tokens) {                   \
    loss<T>(logits, targets, losses, tokens);                                                                            \
  }
FOR_EACH_TYPE(DEFINE)
