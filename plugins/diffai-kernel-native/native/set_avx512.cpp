// AVX-512 with byte and word operations: servers since 2017.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt,prefer-vector-width=512")
#endif
#include <immintrin.h>

#define INSTRUCTION_SET avx512
#define USE_AVX512  // the pragma does not define what -mavx512f would
#define VECTOR_DOUBLES 8
#include "measure.hpp"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
