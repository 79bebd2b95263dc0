// Scales, distinct values and grid fit of quantisation groups.
// No include guard: it is compiled once for each instruction set.

constexpr double LEAST_SAFE = 0x1p-500;  // the square of a smaller one is not in float64

// What is found of the groups of one size on one side.
struct Groups {
  int64_t n;
  uint8_t kept[LEAF_CHUNKS];  // 255 where all elements are finite, or 0
  double low[LEAF_CHUNKS], high[LEAF_CHUNKS];
  int64_t distances;  // from the grid, in units
};

static void find_kept(const Side &side, Groups &chunks) {
  std::memset(chunks.kept, 255, size_t(chunks.n));
  if (!side.classes) return;
  for (int64_t c = 0; c < chunks.n; c++)
    for (int64_t i = 0; i < CHUNK; i++) chunks.kept[c] &= side.classes[c * CHUNK + i] == FINITE ? 255 : 0;
}

// Put groups together in pairs.
static void join_pairs(const Groups &halves, Groups &groups) {
  groups.n = halves.n / 2;
  for (int64_t g = 0; g < groups.n; g++) {
    const double low = halves.low[2 * g], other_low = halves.low[2 * g + 1];
    const double high = halves.high[2 * g], other_high = halves.high[2 * g + 1];
    groups.low[g] = low < other_low ? low : other_low;
    groups.high[g] = high > other_high ? high : other_high;
  }
  for (int64_t g = 0; g < groups.n; g++) groups.kept[g] = halves.kept[2 * g] & halves.kept[2 * g + 1];
}

// Values that float32 holds.
template <class Load>
static void measure_narrow(const uint8_t *words, Groups *groups) {
  constexpr int64_t chunk_bytes = CHUNK * 4 / Load::per_word;
  Groups &chunks = groups[0];
  Batch batch;
  BySize<Wi> distances = {};
  for (int64_t c = 0; c < chunks.n; c += W) {
    alignas(64) int32_t kept[W] = {};
    alignas(64) float low[W], high[W];
    const int64_t n = chunks.n - c < W ? chunks.n - c : W;
    for (int64_t i = 0; i < n; i++) kept[i] = -int32_t(chunks.kept[c + i] & 1);
    if (n == W) {
      fill<Load>(batch, words + c * chunk_bytes);
    } else {
      uint8_t rest[W * chunk_bytes] = {};
      std::memcpy(rest, words + c * chunk_bytes, size_t(n * chunk_bytes));
      fill<Load>(batch, rest);
    }
    std::memcpy(low, &batch.low, sizeof low);
    std::memcpy(high, &batch.high, sizeof high);
    for (int64_t i = 0; i < n; i++) {
      chunks.low[c + i] = low[i];
      chunks.high[c + i] = high[i];
    }
    add_distances(batch, unaligned<Wi>(kept), distances);
  }
  for (int z = 0; z < N_GROUP_SIZES; z++)
    for (int j = 0; j < W; j++) groups[z].distances += distances[z][j];
  for (int z = 1; z < N_GROUP_SIZES; z++) join_pairs(groups[z - 1], groups[z]);
}

struct NarrowValues {
  float of[LEAF];
};

static void measure_as_float32(Leaf &leaf, Side &side, Groups *groups) {
  const double *values = values_of(leaf, side);
  float *narrow = scratch_as<NarrowValues>(leaf).of;
  for (int64_t i = 0; i < groups[0].n * CHUNK; i++) narrow[i] = float(values[i]);
  measure_narrow<Float32Words>(reinterpret_cast<const uint8_t *>(narrow), groups);
}

INLINE double absmax_of(const Groups &groups, int64_t g) {
  return groups.high[g] > -groups.low[g] ? groups.high[g] : -groups.low[g];
}

// Values that only float64 holds.
static void measure_wide(const double *values, Groups *groups) {
  Groups &chunks = groups[0];
  for (int64_t c = 0; c < chunks.n; c++) {
    double low = values[c * CHUNK], high = low;
    for (int64_t i = c * CHUNK; i < (c + 1) * CHUNK; i++) {
      low = values[i] < low ? values[i] : low;
      high = values[i] > high ? values[i] : high;
    }
    chunks.low[c] = low;
    chunks.high[c] = high;
  }
  for (int z = 0; z < N_GROUP_SIZES; z++) {
    Groups &g = groups[z];
    if (z) join_pairs(groups[z - 1], g);
    for (int64_t i = 0; i < g.n; i++)
      if (g.kept[i] && absmax_of(g, i) > NO_STEP_WIDE)
        g.distances += distances_in_group(values + (i * CHUNK << z), 1 << z, absmax_of(g, i));
  }
}

static bool is_narrow(const Type &type) {
  return type.width <= 2 || (type.kind == Kind::real && type.width == 4);
}

static void measure_groups(Leaf &leaf, Side &side, Groups *groups) {
  const Type &type = *side.type;
  if (type.kind == Kind::real && !side.classes && type.width == 4)
    measure_narrow<Float32Words>(side.words, groups);
  else if (type.kind == Kind::real && !side.classes && type.width == 2 && type.mantissa == 7)
    measure_narrow<BFloat16Words>(side.words, groups);
  else if (type.kind == Kind::real && !side.classes && type.width == 2)
    measure_narrow<Float16Words>(side.words, groups);
  else if (is_narrow(type))
    measure_as_float32(leaf, side, groups);
  else
    measure_wide(values_of(leaf, side), groups);
}

static int64_t any_tiny(const double *sizes, int64_t n) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) found |= sizes[i] > 0 && sizes[i] < LEAST_SAFE;
  return found;
}

// Add up scales; groups that are left out stand as zeros.
static void add_scales(const Groups &groups, const Type &type, int64_t group_size, GroupSums &sums) {
  const double no_step = is_narrow(type) ? NO_STEP_NARROW : NO_STEP_WIDE;
  double absmax[LEAF_CHUNKS], range[LEAF_CHUNKS];
  int64_t n_kept = 0, n_grids = 0;
  for (int64_t g = 0; g < groups.n; g++) {
    const double kept = groups.kept[g] & 1;
    absmax[g] = absmax_of(groups, g) * kept;
    range[g] = (groups.high[g] - groups.low[g]) * kept;
  }
  for (int64_t g = 0; g < groups.n; g++) {
    n_kept += groups.kept[g] & 1;
    n_grids += absmax[g] > no_step;
  }
  sums.n_groups = n_kept;
  sums.absmax_squares = sweep_values(absmax, groups.n).squares;
  sums.range_squares = sweep_values(range, groups.n).squares;
  if (!is_narrow(type)) {
    sums.absmax_lost = any_tiny(absmax, groups.n);
    sums.range_lost = any_tiny(range, groups.n);
  }
  sums.residual = double(groups.distances) / UNITS;
  sums.n_residual = n_grids * group_size;
}

// Add up the distinct values of the groups of one size, each the sum of those new in its chunks.
static void add_distinct(const uint8_t *news, const Groups &groups, int z, GroupSums &sums) {
  uint8_t distinct[LEAF_CHUNKS];
  for (int64_t g = 0; g < groups.n; g++) {
    if (z == 0)
      distinct[g] = news[g];
    else if (z == 1)
      distinct[g] = uint8_t(news[2 * g] + news[2 * g + 1]);
    else
      distinct[g] = uint8_t((news[4 * g] + news[4 * g + 1]) + (news[4 * g + 2] + news[4 * g + 3]));
  }
  uint8_t most = 0;
  int32_t sum = 0;
  for (int64_t g = 0; g < groups.n; g++) distinct[g] &= groups.kept[g];
  for (int64_t g = 0; g < groups.n; g++) sum += distinct[g];
  for (int64_t g = 0; g < groups.n; g++) most = distinct[g] > most ? distinct[g] : most;
  sums.sum_distinct = sum;
  sums.max_distinct = most;
}

static void find_group_sums(Leaf &leaf, Side &side, GroupSums *sums) {
  Groups groups[N_GROUP_SIZES];
  NewValues news;
  for (Groups &g : groups) g.distances = 0;
  groups[0].n = leaf.count / CHUNK;
  std::memset(sums, 0, N_GROUP_SIZES * sizeof *sums);
  find_kept(side, groups[0]);
  measure_groups(leaf, side, groups);
  count_new_values(leaf, side, news);
  for (int z = 0; z < N_GROUP_SIZES; z++) {
    add_scales(groups[z], *side.type, CHUNK << z, sums[z]);
    add_distinct(news.n[z], groups[z], z, sums[z]);
  }
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
    if (i == 0 || !leaf.same) find_group_sums(leaf, *sides[i], sums);
    for (int z = 0; z < N_GROUP_SIZES; z++) add_group_sums(state.size[z][i], sums[z]);
  }
}
