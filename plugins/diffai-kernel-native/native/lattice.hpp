// How far values are from the best 8-bit grid of their quantisation group.
// No include guard: it is compiled once for each instruction set.
//
// The place of a value on the grid is a whole number of units, 2^16 to the step: sums over places are exact, so that
// their order does not matter. Values that float32 holds are scaled in float32, others in float64.
//
// Groups lie in the lanes: as many chunks as a register holds float32 are transposed, and then everything runs down the
// lanes. What larger groups need is joined from their chunks, which are neighbours among the lanes.

constexpr int W = 2 * V;  // float32 in one register
constexpr int32_t UNITS = 1 << 16;
constexpr float GRID_UNITS = 127.0f * UNITS;  // from 0 to the outermost level

// Groups of no larger magnitude have no grid.
constexpr double NO_STEP_NARROW = 0x1p-103, NO_STEP_WIDE = 1e-300;

typedef float Wf __attribute__((vector_size(V * 8)));
typedef int32_t Wi __attribute__((vector_size(V * 8)));
typedef uint32_t Wu __attribute__((vector_size(V * 8)));

// Lanes within each four: shuffles of two vectors, where lanes of the second have the numbers from W on.
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Wi){__VA_ARGS__})
#endif
#if VECTOR_DOUBLES == 2
#define FOURS(a, b, i, j, k, l) SHUFFLE(a, b, i, j, k, l)
#define SECOND(i) (4 + i)
#elif VECTOR_DOUBLES == 4
#define FOURS(a, b, i, j, k, l) SHUFFLE(a, b, i, j, k, l, 4 + i, 4 + j, 4 + k, 4 + l)
#define SECOND(i) (8 + i)
#else
#define FOURS(a, b, i, j, k, l) \
  SHUFFLE(a, b, i, j, k, l, 4 + i, 4 + j, 4 + k, 4 + l, 8 + i, 8 + j, 8 + k, 8 + l, 12 + i, 12 + j, 12 + k, 12 + l)
#define SECOND(i) (16 + i)
#endif

// Transpose each block of four by four words.
INLINE void transpose_fours(Wu *m) {
  const Wu a = FOURS(m[0], m[1], 0, SECOND(0), 1, SECOND(1)), b = FOURS(m[0], m[1], 2, SECOND(2), 3, SECOND(3));
  const Wu c = FOURS(m[2], m[3], 0, SECOND(0), 1, SECOND(1)), d = FOURS(m[2], m[3], 2, SECOND(2), 3, SECOND(3));
  m[0] = FOURS(a, c, 0, 1, SECOND(0), SECOND(1));
  m[1] = FOURS(a, c, 2, 3, SECOND(2), SECOND(3));
  m[2] = FOURS(b, d, 0, 1, SECOND(0), SECOND(1));
  m[3] = FOURS(b, d, 2, 3, SECOND(2), SECOND(3));
}

// Exchange the lanes whose numbers differ by `distance`, 1 or 2.
template <int distance, class T>
INLINE T exchanged(T x) {
  return distance == 1 ? FOURS(x, x, 1, 0, 3, 2) : FOURS(x, x, 2, 3, 0, 1);
}
#undef FOURS
#undef SECOND
#undef SHUFFLE

// Load 16 bytes from every `stride` bytes on.
INLINE Wu load_fours(const uint8_t *p, int64_t stride) {
#if defined(USE_AVX512)
  __m512i r = _mm512_castsi128_si512(unaligned<__m128i>(p));
  r = _mm512_inserti32x4(r, unaligned<__m128i>(p + stride), 1);
  r = _mm512_inserti32x4(r, unaligned<__m128i>(p + 2 * stride), 2);
  return (Wu)_mm512_inserti32x4(r, unaligned<__m128i>(p + 3 * stride), 3);
#elif defined(USE_AVX2)
  return (Wu)_mm256_inserti128_si256(_mm256_castsi128_si256(unaligned<__m128i>(p)), unaligned<__m128i>(p + stride), 1);
#else
  (void)stride;
  return unaligned<Wu>(p);
#endif
}

// How the elements in words of 32 bits become float32.
struct Float32Words {
  static constexpr int per_word = 1;
  INLINE void of(Wu word, Wf *values) { values[0] = (Wf)word; }
};

struct BFloat16Words {
  static constexpr int per_word = 2;
  INLINE void of(Wu word, Wf *values) {
    values[0] = (Wf)(word << 16);
    values[1] = (Wf)(word & 0xFFFF0000);
  }
};

struct Float16Words {
  static constexpr int per_word = 2;
  INLINE Wf wide(Wu word) { return (Wf)((Wu)((Wf)((word & 0x7FFF) << 13) * 0x1p112f) | ((word & 0x8000) << 16)); }
  INLINE void of(Wu word, Wf *values) {
    values[0] = wide(word);
    values[1] = wide(word >> 16);
  }
};

// One chunk in each lane, in whichever order of its elements.
struct Batch {
  alignas(64) float values[CHUNK][W];
  Wf low, high;
};

template <class Load>
static void fill(Batch &batch, const uint8_t *words) {
  constexpr int64_t chunk_bytes = CHUNK * 4 / Load::per_word;
  Wf low = Wf{} + INFINITY, high = -low;
  float(*row)[W] = batch.values;
  for (int64_t byte = 0; byte < chunk_bytes; byte += 16) {
    Wu m[4];
    for (int r = 0; r < 4; r++) m[r] = load_fours(words + r * chunk_bytes + byte, 4 * chunk_bytes);
    transpose_fours(m);
    for (const Wu word : m) {
      Wf values[Load::per_word];
      Load::of(word, values);
      for (const Wf x : values) {
        low = x < low ? x : low;
        high = x > high ? x : high;
        std::memcpy(*row++, &x, sizeof x);
      }
    }
  }
  batch.low = low;
  batch.high = high;
}

// The whole numbers next to values, to even on ties.
INLINE Wi rounded(Wf x) {
#if defined(USE_AVX512)
  return (Wi)_mm512_maskz_cvtps_epi32(__mmask16(-1), (__m512)x);
#elif defined(USE_AVX2)
  return (Wi)_mm256_cvtps_epi32((__m256)x);
#elif defined(__SSE2__)
  return (Wi)_mm_cvtps_epi32((__m128)x);
#elif defined(__aarch64__)
  return (Wi)vcvtnq_s32_f32((float32x4_t)x);
#else
  Wi r;
  for (int j = 0; j < W; j++) r[j] = int32_t(std::nearbyint(x[j]));
  return r;
#endif
}

struct FitSums {
  Wi squares, excess;
};

// Add level * level and (place - level) * level, in units, where the level is the step next to the place.
INLINE void add_place(FitSums &sums, Wi place) {
  const Wu level = (Wu)(place + UNITS / 2) >> 16;  // in the lower half; the lower half of the place is what is over it
#if defined(USE_AVX512)
  sums.squares += (Wi)_mm512_madd_epi16((__m512i)level, (__m512i)level);
  sums.excess += (Wi)_mm512_madd_epi16((__m512i)place, (__m512i)level);
#elif defined(USE_AVX2)
  sums.squares += (Wi)_mm256_madd_epi16((__m256i)level, (__m256i)level);
  sums.excess += (Wi)_mm256_madd_epi16((__m256i)place, (__m256i)level);
#elif defined(__SSE2__)
  sums.squares += (Wi)_mm_madd_epi16((__m128i)level, (__m128i)level);
  sums.excess += (Wi)_mm_madd_epi16((__m128i)place, (__m128i)level);
#else
  const Wi l = (Wi)(level << 16) >> 16, over = (Wi)((Wu)place << 16) >> 16;
  sums.squares += l * l;
  sums.excess += over * l;
#endif
}

// Distance from the level, in units.
INLINE Wi distance_of(Wi place) {
#if defined(USE_AVX512)
  return (Wi)_mm512_abs_epi16((__m512i)place) & 0xFFFF;
#elif defined(USE_AVX2)
  return (Wi)_mm256_abs_epi16((__m256i)place) & 0xFFFF;
#else
  const Wi over = (Wi)((Wu)place << 16) >> 16, sign = over >> 31;
  return (over ^ sign) - sign;
#endif
}

// One for each size of group; what larger groups need is in every lane of their chunks.
template <class T>
using BySize = T[N_GROUP_SIZES];

INLINE Wf lesser(Wf x, Wf y) { return x < y ? x : y; }
INLINE Wf greater(Wf x, Wf y) { return x > y ? x : y; }

INLINE void join_sums(BySize<FitSums> &sums) {
  for (int z = 1; z < N_GROUP_SIZES; z++) {
    sums[z].squares += exchanged<1>(sums[z].squares);
    sums[z].excess += exchanged<1>(sums[z].excess);
  }
  sums[2].squares += exchanged<2>(sums[2].squares);
  sums[2].excess += exchanged<2>(sums[2].excess);
}

// Return the scales by least squares: times sum(l * l) / sum(place * l).
INLINE Wf fitted(Wf scale, const FitSums &sums) {
  alignas(64) float scales[W];
  alignas(64) int32_t squares[W], excess[W];
  std::memcpy(scales, &scale, sizeof scale);
  std::memcpy(squares, &sums.squares, sizeof squares);
  std::memcpy(excess, &sums.excess, sizeof excess);
  for (int half = 0; half < W; half += V) {
    const Vd s = __builtin_convertvector(unaligned<Vi>(squares + half), Vd) * double(UNITS);
    const Vd factor = s / (s + __builtin_convertvector(unaligned<Vi>(excess + half), Vd));
    const Vf result = __builtin_convertvector(widen(unaligned<Vf>(scales + half)) * factor, Vf);
    std::memcpy(scales + half, &result, sizeof result);
  }
  return (Wf)(unaligned<Wi>(scales) & (sums.squares > 0));
}

// Add the distances of all values of a batch, in units; `kept` has all bits of the lanes of chunks that count.
static void add_distances(const Batch &batch, Wi kept_chunks, BySize<Wi> &distances) {
  BySize<Wf> absmax, scale;
  BySize<Wi> kept;
  BySize<FitSums> sums = {};
  absmax[0] = greater(batch.high, -batch.low) + 0.0f;  // never -0.0, whose scale would be the least
  scale[0] = GRID_UNITS / absmax[0];
  kept[0] = kept_chunks;
  absmax[1] = greater(absmax[0], exchanged<1>(absmax[0]));
  absmax[2] = greater(absmax[1], exchanged<2>(absmax[1]));
  scale[1] = lesser(scale[0], exchanged<1>(scale[0]));  // the greatest magnitude has the least scale
  scale[2] = lesser(scale[1], exchanged<2>(scale[1]));
  kept[1] = kept[0] & exchanged<1>(kept[0]);
  kept[2] = kept[1] & exchanged<2>(kept[1]);
  for (int z = 0; z < N_GROUP_SIZES; z++)
    scale[z] = (Wf)((Wi)scale[z] & kept[z] & (absmax[z] > float(NO_STEP_NARROW)));
  for (const auto &row : batch.values)
    for (int z = 0; z < N_GROUP_SIZES; z++) add_place(sums[z], rounded(unaligned<Wf>(row) * scale[z]));
  join_sums(sums);
  for (int z = 0; z < N_GROUP_SIZES; z++) scale[z] = fitted(scale[z], sums[z]);
  for (const auto &row : batch.values)
    for (int z = 0; z < N_GROUP_SIZES; z++) distances[z] += distance_of(rounded(unaligned<Wf>(row) * scale[z]));
}

// Where eight-byte numbers of a chunk are on the grid.
INLINE void find_places(const double *values, double scale, int32_t *places) {
  constexpr double big = 0x1.8p52;  // rounds to even
  for (int i = 0; i < CHUNK; i++) places[i] = int32_t((values[i] * scale + big) - big);
}

INLINE int32_t level_of(int32_t place) { return (place + UNITS / 2) >> 16; }

// Return the distances of the values of one group, in units.
static int64_t distances_in_group(const double *values, int n_chunks, double absmax) {
  int32_t places[CHUNK], squares = 0, excess = 0, distances = 0;
  double scale = double(GRID_UNITS) / absmax;
  for (int c = 0; c < n_chunks; c++) {
    find_places(values + c * CHUNK, scale, places);
    for (const int32_t place : places) {
      const int32_t level = level_of(place);
      squares += level * level;
      excess += (place - level * UNITS) * level;
    }
  }
  const double whole = double(squares) * UNITS;
  scale *= whole / (whole + excess);
  for (int c = 0; c < n_chunks; c++) {
    find_places(values + c * CHUNK, scale, places);
    for (const int32_t place : places) {
      const int32_t over = place - level_of(place) * UNITS;
      distances += over < 0 ? -over : over;
    }
  }
  return distances;
}
