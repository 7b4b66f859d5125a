// Mean pooling of grids (reference: src/pool.rs).
#include "common.cuh"

template <typename T>
__device__ void pool(const T *x, T *y, uint32_t grids, uint32_t rows, uint32_t columns, uint32_t window_rows,
                     uint32_t window_columns, uint32_t channels) {
  const uint32_t out_rows = rows / window_rows, out_columns = columns / window_columns;
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)grids * out_rows * out_columns * channels) return;
  const uint32_t channel = i % channels;
  size_t block = i / channels;
  const uint32_t left = block % out_columns * window_columns;
  block /= out_columns;
  const uint32_t top = block % out_rows * window_rows;
  const size_t grid = block / out_rows;
  float sum = 0.f;
  for (uint32_t row = top; row < top + window_rows; row++)
    for (uint32_t column = left; column < left + window_columns; column++)
      sum += to_float(x[((grid * rows + row) * columns + column) * channels + channel]);
  y[i] = from_float<T>(sum / (window_rows * window_columns));
}

#define DEFINE(T, NAME)                                                                                                  \
  extern "C" __global__ void pool_##NAME(const T *x, T *y, uint32_t grids, uint32_t rows, uint32_t columns,              \
                                         uint32_t window_rows, uint32_t window_columns, uint32_t channels) {             \
    pool<T>(x, y, grids, rows, columns, window_rows, window_columns, channels);                                          \
  }
FOR_EACH_TYPE(DEFINE)
