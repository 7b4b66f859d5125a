// IEEE half precision, rounded to nearest, ties to even.
#pragma once
#include "cuda.h"

struct __half {
  uint16_t bits;
};
inline float __half2float(__half x) {
  const uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
  const float magnitude = exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(fraction | 0x400), (int)exponent - 25);
  return sign ? -magnitude : magnitude;
}
inline __half __float2half(float x) {
  if (isnan(x)) return {0x7fff};
  const uint16_t sign = bits_of(x) >> 16 & 0x8000;
  const float magnitude = fabsf(x);
  if (magnitude == 0.f) return {sign};
  // Halfway between the largest value and the next power of two.
  if (magnitude >= 65520.f) return {(uint16_t)(sign | 0x7c00)};
  int exponent;
  frexpf(magnitude, &exponent);
  // The distance of neighbouring values is 2^(exponent − 11), and 2^−24 for small ones; rintf rounds ties to even.
  const int step = exponent - 11 > -24 ? exponent - 11 : -24;
  const uint32_t steps = (uint32_t)rintf(ldexpf(magnitude, -step));
  return {(uint16_t)(sign | (((uint32_t)(step + 24) << 10) + steps))};
}
