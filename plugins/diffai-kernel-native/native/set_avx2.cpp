// AVX2 with FMA: nearly every x86-64 processor since 2013.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt")
#endif
#include <immintrin.h>

#define INSTRUCTION_SET avx2
#define USE_AVX2  // the pragma does not define what -mavx2 would
#define VECTOR_DOUBLES 4
#include "measure.hpp"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
