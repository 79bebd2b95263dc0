// Scales, distinct values and grid fit of quantisation groups.
// No include guard: it is compiled once for each instruction set.
//
// Groups lie in the lanes: eight chunks of 32 elements are transposed, and then everything runs down the lanes. What
// larger groups need is joined from their chunks.

constexpr double GRID_LEVELS = 127;  // steps of an 8-bit grid on either side of 0
constexpr double NO_STEP = 1e-300;   // groups of no larger magnitude have no grid in float64
constexpr double LEAST_SAFE = 0x1p-500;

struct Batch {
  alignas(64) double values[CHUNK][8];  // one chunk in each lane
  Lanes low, high;
};

#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Vl){__VA_ARGS__})
#endif

#if VECTOR_DOUBLES == 2
INLINE void transpose(Vd *m) {
  const Vd a = m[0], b = m[1];
  m[0] = SHUFFLE(a, b, 0, 2);
  m[1] = SHUFFLE(a, b, 1, 3);
}
#elif VECTOR_DOUBLES == 4
INLINE void transpose(Vd *m) {
  for (int r = 0; r < 4; r += 2) {
    const Vd a = m[r], b = m[r + 1];
    m[r] = SHUFFLE(a, b, 0, 4, 2, 6);
    m[r + 1] = SHUFFLE(a, b, 1, 5, 3, 7);
  }
  for (int r = 0; r < 2; r++) {
    const Vd a = m[r], b = m[r + 2];
    m[r] = SHUFFLE(a, b, 0, 1, 4, 5);
    m[r + 2] = SHUFFLE(a, b, 2, 3, 6, 7);
  }
}
#else
INLINE void transpose(Vd *m) {
  for (int r = 0; r < 8; r += 2) {
    const Vd a = m[r], b = m[r + 1];
    m[r] = SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    m[r + 1] = SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int half = 0; half < 8; half += 4)
    for (int r = half; r < half + 2; r++) {
      const Vd a = m[r], b = m[r + 2];
      m[r] = SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      m[r + 2] = SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int r = 0; r < 4; r++) {
    const Vd a = m[r], b = m[r + 4];
    m[r] = SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    m[r + 4] = SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
}
#endif

// Exchange the lanes whose numbers differ by `distance`, 1 or 2.
template <int distance>
INLINE Lanes exchanged(Lanes x) {
  Lanes r;
  for (int k = 0; k < N_PARTS; k++) {
#if VECTOR_DOUBLES == 2
    r.part[k] = distance == 1 ? SHUFFLE(x.part[k], x.part[k], 1, 0) : x.part[k ^ 1];
#elif VECTOR_DOUBLES == 4
    r.part[k] = distance == 1 ? SHUFFLE(x.part[k], x.part[k], 1, 0, 3, 2) : SHUFFLE(x.part[k], x.part[k], 2, 3, 0, 1);
#else
    r.part[k] = distance == 1 ? SHUFFLE(x.part[k], x.part[k], 1, 0, 3, 2, 5, 4, 7, 6)
                              : SHUFFLE(x.part[k], x.part[k], 2, 3, 0, 1, 6, 7, 4, 5);
#endif
  }
  return r;
}
#undef SHUFFLE

// Transpose eight chunks and find their bounds.
template <class Load>
static void fill(Batch &batch, const uint8_t *words) {
  constexpr int64_t chunk_bytes = CHUNK * int64_t(sizeof(typename Load::Word));
  for (int k = 0; k < N_PARTS; k++) {
    Vd low = Vd{} + INFINITY, high = -low;
    for (int i = 0; i < CHUNK; i += 16) {
      Lanes rows[2][V];  // the order within a chunk does not matter
      for (int g = 0; g < V; g++) Load::two(words + (k * V + g) * chunk_bytes, i, rows[0][g], rows[1][g]);
      for (int p = 0; p < 2 * N_PARTS; p++) {
        Vd m[V];
        for (int g = 0; g < V; g++) m[g] = rows[p / N_PARTS][g].part[p % N_PARTS];
        transpose(m);
        for (int j = 0; j < V; j++) {
          low = m[j] < low ? m[j] : low;
          high = m[j] > high ? m[j] : high;
          std::memcpy(batch.values[i + p * V + j] + k * V, &m[j], sizeof(Vd));
        }
      }
    }
    batch.low.part[k] = low;
    batch.high.part[k] = high;
  }
}

// Return x less the integer next to it, to even on ties; exact.
INLINE Vd fraction(Vd x) {
#if defined(USE_AVX512)
  return (Vd)_mm512_reduce_pd((__m512d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Vd big = Vd{} + 0x1.8p52;
  return x - ((x + big) - big);
#endif
}

// A number in each lane for each size of group.
typedef Lanes BySize[N_GROUP_SIZES];

// Make the numbers of the larger groups out of those of the chunks, in every lane of a group.
template <class Join>
INLINE void join_groups(BySize &x, Join join) {
  x[1] = join(x[0], exchanged<1>(x[0]));
  x[2] = join(x[1], exchanged<2>(x[1]));
}

// With x scaled to the grid and l the level next to it: the sums of l * l and of (x - l) * l down each lane. All these
// products are exact.
static void fit_levels(const Batch &batch, const BySize &scale, BySize &squares, BySize &excess) {
  for (int k = 0; k < N_PARTS; k++) {
    Vd sum[N_GROUP_SIZES] = {}, rest[N_GROUP_SIZES] = {};
    const Vd factor[N_GROUP_SIZES] = {scale[0].part[k], scale[1].part[k], scale[2].part[k]};
    for (int i = 0; i < CHUNK; i++) {
      const Vd x = unaligned<Vd>(batch.values[i] + k * V);
      for (int z = 0; z < N_GROUP_SIZES; z++) {
        const Vd scaled = x * factor[z], e = fraction(scaled), level = scaled - e;
        sum[z] = add_product<true>(sum[z], level, level);
        rest[z] = add_product<true>(rest[z], e, level);
      }
    }
    for (int z = 0; z < N_GROUP_SIZES; z++) {
      squares[z].part[k] = sum[z];
      excess[z].part[k] = rest[z];
    }
  }
}

// Add the distances from the grid, in steps.
static void add_residuals(const Batch &batch, const BySize &scale, BySize &residual) {
  for (int k = 0; k < N_PARTS; k++) {
    Vd sum[N_GROUP_SIZES] = {residual[0].part[k], residual[1].part[k], residual[2].part[k]};
    const Vd factor[N_GROUP_SIZES] = {scale[0].part[k], scale[1].part[k], scale[2].part[k]};
    for (int i = 0; i < CHUNK; i++) {
      const Vd x = unaligned<Vd>(batch.values[i] + k * V);
      for (int z = 0; z < N_GROUP_SIZES; z++) sum[z] += (Vd)((Vl)fraction(x * factor[z]) & INT64_MAX);
    }
    for (int z = 0; z < N_GROUP_SIZES; z++) residual[z].part[k] = sum[z];
  }
}

// Totals in the lanes of the chunks: those of larger groups are in every lane of a group, but for the residuals.
struct GroupTotals {
  BySize absmax_squares, range_squares, n_groups, n_grids, residual;
  bool absmax_lost[N_GROUP_SIZES], range_lost[N_GROUP_SIZES];
};

static bool any_tiny(Lanes sizes) {
  bool found = false;
  for (int i = 0; i < 8; i++) found |= lane(sizes, i) > 0 && lane(sizes, i) < LEAST_SAFE;
  return found;
}

// Return the factors that scale each group to the grid, 0 for groups without one, and count those that have one.
INLINE void find_scales(const BySize &absmax, BySize &scale, BySize &n_grids) {
  for (int k = 0; k < N_PARTS; k++) scale[0].part[k] = GRID_LEVELS / absmax[0].part[k];
  join_groups(scale, lesser);  // the greatest magnitude has the least factor
  for (int z = 0; z < N_GROUP_SIZES; z++)
    for (int k = 0; k < N_PARTS; k++) {
      const Vl has_grid = (Vl)(absmax[z].part[k] > NO_STEP);
      scale[z].part[k] = (Vd)((Vl)scale[z].part[k] & has_grid);
      n_grids[z].part[k] += (Vd)((Vl)(Vd{} + 1) & has_grid);
    }
}

// Fit the step of each group by least squares: multiply its scale by sum(l * l) / sum(x * l).
INLINE void refine_scales(const Batch &batch, BySize &scale) {
  BySize squares, excess;
  fit_levels(batch, scale, squares, excess);
  squares[1] = squares[1] + exchanged<1>(squares[1]);
  excess[1] = excess[1] + exchanged<1>(excess[1]);
  squares[2] = squares[2] + exchanged<1>(squares[2]);
  excess[2] = excess[2] + exchanged<1>(excess[2]);
  squares[2] = squares[2] + exchanged<2>(squares[2]);
  excess[2] = excess[2] + exchanged<2>(excess[2]);
  for (int z = 0; z < N_GROUP_SIZES; z++)
    for (int k = 0; k < N_PARTS; k++) {
      const Vd s = squares[z].part[k], fitted = scale[z].part[k] * (s / (s + excess[z].part[k]));
      scale[z].part[k] = (Vd)((Vl)fitted & (Vl)(s > 0));
    }
}

// Add eight chunks; `kept_chunks` is 1 for those whose elements are all finite, else 0.
static void add_batch(const Batch &batch, Lanes kept_chunks, bool may_be_tiny, GroupTotals &t) {
  BySize low = {batch.low}, high = {batch.high}, kept = {kept_chunks}, absmax, scale;
  join_groups(low, lesser);
  join_groups(high, greater);
  join_groups(kept, lesser);
  for (int z = 0; z < N_GROUP_SIZES; z++) {
    absmax[z] = greater(high[z], zeros() - low[z]) * kept[z];
    const Lanes range = (high[z] - low[z]) * kept[z];
    t.absmax_squares[z] = t.absmax_squares[z] + absmax[z] * absmax[z];
    t.range_squares[z] = t.range_squares[z] + range * range;
    t.n_groups[z] = t.n_groups[z] + kept[z];
    if (!may_be_tiny) continue;
    t.absmax_lost[z] |= any_tiny(absmax[z]);
    t.range_lost[z] |= any_tiny(range);
  }
  find_scales(absmax, scale, t.n_grids);
  refine_scales(batch, scale);
  add_residuals(batch, scale, t.residual);
}

// Whether all elements of each chunk are finite.
static void find_kept(const Side &side, int64_t n_chunks, uint8_t *kept) {
  std::memset(kept, 1, n_chunks);
  if (!side.classes) return;
  for (int64_t c = 0; c < n_chunks; c++)
    for (int64_t i = 0; i < CHUNK; i++) kept[c] &= side.classes[c * CHUNK + i] == FINITE;
}

template <class Load>
static void add_batches(const uint8_t *words, int64_t n_chunks, const uint8_t *kept, bool may_be_tiny, GroupTotals &t) {
  constexpr int64_t chunk_bytes = CHUNK * int64_t(sizeof(typename Load::Word));
  Batch batch;
  for (int64_t c = 0; c < n_chunks; c += 8) {
    alignas(64) double kept_chunks[8] = {};
    const int64_t n = n_chunks - c < 8 ? n_chunks - c : 8;
    for (int64_t g = 0; g < n; g++) kept_chunks[g] = kept[c + g];
    if (n == 8) {
      fill<Load>(batch, words + c * chunk_bytes);
    } else {
      uint8_t rest[8 * chunk_bytes] = {};
      std::memcpy(rest, words + c * chunk_bytes, n * chunk_bytes);
      fill<Load>(batch, rest);
    }
    add_batch(batch, unaligned<Lanes>(kept_chunks), may_be_tiny, t);
  }
}

static void add_totals(const GroupTotals &t, GroupSums *sums_of_size) {
  for (int z = 0; z < N_GROUP_SIZES; z++) {
    GroupSums &sums = sums_of_size[z];
    for (int i = 0; i < 8; i += 1 << z) {
      sums.n_groups += int64_t(lane(t.n_groups[z], i));
      sums.absmax_squares += lane(t.absmax_squares[z], i);
      sums.range_squares += lane(t.range_squares[z], i);
    }
    for (int i = 0; i < 8; i++) sums.n_residual += CHUNK * int64_t(lane(t.n_grids[z], i));
    sums.residual += sum_of_lanes(t.residual[z]);
    sums.absmax_lost |= t.absmax_lost[z];
    sums.range_lost |= t.range_lost[z];
  }
}

static void add_scales_and_grids(Leaf &leaf, Side &side, const uint8_t *kept, GroupSums *sums) {
  const Type &type = *side.type;
  const int64_t n_chunks = leaf.count / CHUNK;
  GroupTotals t = {};
  if (type.kind == Kind::real && !side.classes) {
    if (type.width == 8)
      add_batches<Float64>(side.words, n_chunks, kept, true, t);
    else if (type.width == 4)
      add_batches<Float32>(side.words, n_chunks, kept, false, t);
    else if (type.mantissa == 7)
      add_batches<BFloat16>(side.words, n_chunks, kept, false, t);
    else
      add_batches<Float16>(side.words, n_chunks, kept, false, t);
  } else {
    const auto *values = reinterpret_cast<const uint8_t *>(values_of(leaf, side));
    add_batches<Float64>(values, n_chunks, kept, type.kind == Kind::real && type.width == 8, t);
  }
  add_totals(t, sums);
}

// Add up the distinct values of the groups of one size.
INLINE void add_distinct_of_size(const uint8_t *news, const uint8_t *kept, int64_t n_chunks, int z, GroupSums &sums) {
  const int64_t per_group = int64_t(1) << z;
  for (int64_t c = 0; c + per_group <= n_chunks; c += per_group) {
    int64_t n = 0, whole = 1;
    for (int64_t i = c; i < c + per_group; i++) {
      n += news[i];
      whole &= kept[i];
    }
    n *= whole;
    sums.sum_distinct += n;
    sums.max_distinct = n > sums.max_distinct ? n : sums.max_distinct;
  }
}

static void add_distinct(Leaf &leaf, const Side &side, const uint8_t *kept, GroupSums *sums) {
  const int64_t n_chunks = leaf.count / CHUNK;
  NewValues news;
  count_new_values(leaf, side, news);
  add_distinct_of_size(news.n[0], kept, n_chunks, 0, sums[0]);
  add_distinct_of_size(news.n[1], kept, n_chunks, 1, sums[1]);
  add_distinct_of_size(news.n[2], kept, n_chunks, 2, sums[2]);
}

static void add_group_sums(GroupSums &total, const GroupSums &part) {
  total.n_groups += part.n_groups;
  total.absmax_squares += part.absmax_squares;
  total.range_squares += part.range_squares;
  total.max_distinct = part.max_distinct > total.max_distinct ? part.max_distinct : total.max_distinct;
  total.sum_distinct += part.sum_distinct;
  total.residual += part.residual;
  total.n_residual += part.n_residual;
  total.absmax_lost |= part.absmax_lost;
  total.range_lost |= part.range_lost;
}

static void add_groups(Leaf &leaf, GroupsState &state) {
  Side *sides[2] = {&leaf.old_side, &leaf.new_side};
  GroupSums sums[N_GROUP_SIZES];
  for (int i = 0; i < 2; i++) {
    if (i == 0 || !leaf.same) {
      std::memset(sums, 0, sizeof sums);
      uint8_t kept[LEAF_CHUNKS];
      find_kept(*sides[i], leaf.count / CHUNK, kept);
      add_scales_and_grids(leaf, *sides[i], kept, sums);
      add_distinct(leaf, *sides[i], kept, sums);
    }
    for (int z = 0; z < N_GROUP_SIZES; z++) add_group_sums(state.size[z][i], sums[z]);
  }
}
