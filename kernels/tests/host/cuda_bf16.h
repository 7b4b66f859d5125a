// The 16 high bits of a float, rounded to nearest, ties to even.
#pragma once
#include "cuda.h"

struct __nv_bfloat16 {
  uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 x) { return float_of((uint32_t)x.bits << 16); }
inline __nv_bfloat16 __float2bfloat16(float x) {
  if (isnan(x)) return {0x7fff};
  const uint32_t bits = bits_of(x);
  return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
