// Stands in for CUDA on the CPU: the threads of a block are real threads, and its blocks run one after another.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time.
#define __shared__ static

struct Index {
  uint32_t x, y, z;
};
extern thread_local Index threadIdx, blockIdx;
extern Index blockDim, gridDim;

// Returns when every thread of the block is here; a thread that never comes is a hang, which ends the program.
void __syncthreads();

struct float3 {
  float x, y, z;
};
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }

inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
