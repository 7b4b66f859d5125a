// Pixel bytes to normalised planes (reference: src/normalize.rs).
#include "common.cuh"

template <typename T>
__device__ void normalize(const uint8_t *pixels, T *planes, uint32_t images, uint32_t plane, float3 mean, float3 deviation) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)images * plane) return;
  const uint8_t *pixel = pixels + i * 3;
  T *out = planes + i / plane * 3 * plane + i % plane;
  out[0] = from_float<T>((pixel[0] / 255.f - mean.x) / deviation.x);
  out[plane] = from_float<T>((pixel[1] / 255.f - mean.y) / deviation.y);
  out[2 * (size_t)plane] = from_float<T>((pixel[2] / 255.f - mean.z) / deviation.z);
}

#define DEFINE(T, NAME)                                                                                                  \
  extern "C" __global__ void normalize_##NAME(const uint8_t *pixels, T *planes, uint32_t images, uint32_t plane,         \
                                              float mean_r, float mean_g, float mean_b, float deviation_r,               \
                                              float deviation_g, float deviation_b) {                                    \
    normalize<T>(pixels, planes, images, plane, make_float3(mean_r, mean_g, mean_b),                                     \
                 make_float3(deviation_r, deviation_g, deviation_b));                                                    \
  }
FOR_EACH_TYPE(DEFINE)
