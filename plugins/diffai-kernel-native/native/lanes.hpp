// Eight float64 lanes, whatever the vectors of the processor hold.
//
// Sums are kept in the same eight lanes everywhere and added up in the same order, and products are fused with a sum
// only where the product is exact: so every processor gives the same bits. Include inside the namespace of one
// instruction set, with VECTOR_DOUBLES defined as the number of float64 in one register.
// No include guard: it is compiled once for each instruction set.

constexpr int V = VECTOR_DOUBLES;
constexpr int N_PARTS = 8 / V;

typedef double Vd __attribute__((vector_size(V * 8)));
typedef int64_t Vl __attribute__((vector_size(V * 8)));
typedef float Vf __attribute__((vector_size(V * 4)));
typedef int32_t Vi __attribute__((vector_size(V * 4)));
typedef uint32_t Vu __attribute__((vector_size(V * 4)));
typedef uint16_t Vh __attribute__((vector_size(V * 2)));

#define INLINE static inline __attribute__((always_inline))

struct Lanes {
  Vd part[N_PARTS];
};

INLINE Lanes zeros() {
  Lanes r;
  for (int k = 0; k < N_PARTS; k++) r.part[k] = Vd{};
  return r;
}

INLINE Lanes all_lanes(double x) {
  Lanes r;
  for (int k = 0; k < N_PARTS; k++) r.part[k] = Vd{} + x;
  return r;
}

#define LANEWISE(name, expression)                             \
  INLINE Lanes name(Lanes x, Lanes y) {                        \
    Lanes r;                                                   \
    for (int k = 0; k < N_PARTS; k++) {                        \
      const Vd a = x.part[k], b = y.part[k];                   \
      r.part[k] = expression;                                  \
    }                                                          \
    return r;                                                  \
  }

LANEWISE(operator+, a + b)
LANEWISE(operator-, a - b)
LANEWISE(operator*, a * b)
LANEWISE(lesser, a < b ? a : b)
LANEWISE(greater, a > b ? a : b)
#undef LANEWISE

INLINE Lanes magnitude(Lanes x) {
  Lanes r;
  for (int k = 0; k < N_PARTS; k++) r.part[k] = (Vd)((Vl)x.part[k] & INT64_MAX);
  return r;
}

// Return sum + a * b where the product is exact, or where it may be rounded before it is added.
template <bool exact>
INLINE Vd add_product(Vd sum, Vd a, Vd b) {
#if defined(USE_AVX512)
  if (exact) return (Vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)sum);
#elif defined(USE_AVX2)
  if (exact) return (Vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)sum);
#elif defined(__aarch64__)
  if (exact) return (Vd)vfmaq_f64((float64x2_t)sum, (float64x2_t)a, (float64x2_t)b);
#endif
  return sum + a * b;
}

template <bool exact>
INLINE Lanes add_product(Lanes sum, Lanes a, Lanes b) {
  Lanes r;
  for (int k = 0; k < N_PARTS; k++) r.part[k] = add_product<exact>(sum.part[k], a.part[k], b.part[k]);
  return r;
}

INLINE double lane(const Lanes &x, int i) { return x.part[i / V][i % V]; }

INLINE double sum_of_lanes(Lanes x) {
  const double a = (lane(x, 0) + lane(x, 1)) + (lane(x, 2) + lane(x, 3));
  const double b = (lane(x, 4) + lane(x, 5)) + (lane(x, 6) + lane(x, 7));
  return a + b;
}

INLINE double greatest_lane(Lanes x) {
  double r = lane(x, 0);
  for (int i = 1; i < 8; i++) r = lane(x, i) > r ? lane(x, i) : r;
  return r;
}

template <class T>
INLINE T unaligned(const void *p) {
  T r;
  std::memcpy(&r, p, sizeof r);
  return r;
}

// Ways of widening; GCC splits the vectors of __builtin_convertvector in two (measured: twice the time).
// Of the plain intrinsics of AVX-512, GCC 12 says that they read what is not initialised; masks of all ones cost nothing.
INLINE Vd widen(Vf x) {
#if defined(USE_AVX512)
  return (Vd)_mm512_maskz_cvtps_pd(__mmask8(-1), (__m256)x);
#elif defined(USE_AVX2)
  return (Vd)_mm256_cvtps_pd((__m128)x);
#else
  return __builtin_convertvector(x, Vd);
#endif
}

INLINE Vu widen(Vh x) {
#if defined(USE_AVX512)
  return (Vu)_mm256_cvtepu16_epi32((__m128i)x);
#elif defined(USE_AVX2)
  return (Vu)_mm_cvtepu16_epi32(_mm_cvtsi64_si128((int64_t)x));
#else
  return __builtin_convertvector(x, Vu);
#endif
}

// How elements become float64, exactly; the words of Inf and NaN are not looked at. `at` gives eight in order, `two`
// sixteen in an order of its own, whichever is fastest. `narrow` says that the product of two values fits into a
// float64, and that no square of a difference overflows or vanishes in it.
template <class Load>
struct InOrder {
  INLINE void two(const uint8_t *words, int64_t i, Lanes &x, Lanes &y) {
    x = Load::at(words, i);
    y = Load::at(words, i + 8);
  }
};

struct Float64 : InOrder<Float64> {
  typedef uint64_t Word;
  static constexpr bool narrow = false;
  INLINE Lanes at(const uint8_t *words, int64_t i) {
    Lanes r;
    for (int k = 0; k < N_PARTS; k++) r.part[k] = unaligned<Vd>(words + (i + k * V) * 8);
    return r;
  }
};

struct Float32 : InOrder<Float32> {
  typedef uint32_t Word;
  static constexpr bool narrow = true;
  INLINE Lanes at(const uint8_t *words, int64_t i) {
    Lanes r;
    for (int k = 0; k < N_PARTS; k++)
      r.part[k] = widen(unaligned<Vf>(words + (i + k * V) * 4));
    return r;
  }
};

struct BFloat16 {
  typedef uint16_t Word;
  static constexpr bool narrow = true;
  INLINE Lanes at(const uint8_t *words, int64_t i) {
    Lanes r;
    for (int k = 0; k < N_PARTS; k++)
      r.part[k] = widen((Vf)(widen(unaligned<Vh>(words + (i + k * V) * 2)) << 16));
    return r;
  }
  // Two neighbours lie in one word of 32 bits, each a mask or a shift away from its float32 (measured: a quarter less
  // time for the whole sweep).
  INLINE void two(const uint8_t *words, int64_t i, Lanes &x, Lanes &y) {
    for (int k = 0; k < N_PARTS; k++) {
      const Vu pairs = unaligned<Vu>(words + i * 2 + k * V * 4);
      x.part[k] = widen((Vf)(pairs << 16));
      y.part[k] = widen((Vf)(pairs & 0xFFFF0000));
    }
  }
};

struct Float16 : InOrder<Float16> {
  typedef uint16_t Word;
  static constexpr bool narrow = true;
  INLINE Lanes at(const uint8_t *words, int64_t i) {
    Lanes r;
    for (int k = 0; k < N_PARTS; k++) r.part[k] = widen(float16(unaligned<Vh>(words + (i + k * V) * 2)));
    return r;
  }
  INLINE Vf float16(Vh words) {
#if defined(USE_AVX512)
    return (Vf)_mm256_cvtph_ps((__m128i)words);
#elif defined(USE_AVX2)
    return (Vf)_mm_cvtph_ps(_mm_cvtsi64_si128((int64_t)words));
#else
    // Exponent and mantissa are moved to their places in a float32 and the exponent is rebiased by a product, which
    // is exact for subnormal numbers too.
    const Vu wide = widen(words);
    const Vf size = (Vf)((wide & 0x7FFF) << 13) * 0x1p112f;
    return (Vf)((Vu)size | ((wide & 0x8000) << 16));
#endif
  }
};
