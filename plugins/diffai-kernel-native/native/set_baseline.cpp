// What every processor of the architecture has: SSE2 on x86-64, NEON on arm64.
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define INSTRUCTION_SET baseline
#define VECTOR_DOUBLES 2
#include "measure.hpp"
