// The sweep over pairs of values, and the series that follow from it: moments and norms.
// No include guard: it is compiled once for each instruction set.

// Sums over the pairs of one leaf.
struct PairSums {
  double old_sum, new_sum, delta_sum;
  double old_squares, new_squares, delta_squares;
  double peak;                                         // the largest |NEW - OLD|, or its square if `peak_is_squared`
  bool peak_is_squared;
  double l1_old, l1_new, l1_delta, dot, delta_dot_old;  // if `norms`
};

// The squares of the differences are there already, so that one maximum of them tells the size of the largest; only
// of float64 they might overflow.
template <bool narrow, bool norms>
struct PairSweep {
  Lanes old_sum, new_sum, delta_sum, old_squares, new_squares, delta_squares, peak;
  Lanes l1_old, l1_new, l1_delta, dot, delta_dot_old;

  INLINE void start(PairSweep &s) {
    s.old_sum = s.new_sum = s.delta_sum = s.old_squares = s.new_squares = s.delta_squares = s.peak = zeros();
    s.l1_old = s.l1_new = s.l1_delta = s.dot = s.delta_dot_old = zeros();
  }

  INLINE void step(PairSweep &s, Lanes a, Lanes b) {
    const Lanes d = b - a, dd = d * d;
    s.old_sum = s.old_sum + a;
    s.new_sum = s.new_sum + b;
    s.delta_sum = s.delta_sum + d;
    s.old_squares = add_product<narrow>(s.old_squares, a, a);
    s.new_squares = add_product<narrow>(s.new_squares, b, b);
    s.delta_squares = s.delta_squares + dd;
    s.peak = greater(narrow ? dd : magnitude(d), s.peak);
    if (norms) {
      s.l1_old = s.l1_old + magnitude(a);
      s.l1_new = s.l1_new + magnitude(b);
      s.l1_delta = s.l1_delta + magnitude(d);
      s.dot = add_product<narrow>(s.dot, a, b);
      s.delta_dot_old = add_product<false>(s.delta_dot_old, d, a);
    }
  }

  INLINE PairSums finish(const PairSweep &s) {
    return {sum_of_lanes(s.old_sum),     sum_of_lanes(s.new_sum),       sum_of_lanes(s.delta_sum),
            sum_of_lanes(s.old_squares), sum_of_lanes(s.new_squares),   sum_of_lanes(s.delta_squares),
            greatest_lane(s.peak),       narrow,                        sum_of_lanes(s.l1_old),
            sum_of_lanes(s.l1_new),      sum_of_lanes(s.l1_delta),      sum_of_lanes(s.dot),
            sum_of_lanes(s.delta_dot_old)};
  }
};

// Sweep over pairs. `old_ahead` and `new_ahead` are fetched into the level-2 cache meanwhile: the arithmetic leaves the
// memory idle.
template <class Load, bool norms>
static PairSums sweep_pairs(const uint8_t *old_words, const uint8_t *new_words, int64_t count, const uint8_t *old_ahead,
                            const uint8_t *new_ahead) {
  typedef PairSweep<Load::narrow, norms> Sweep;
  constexpr int64_t width = sizeof(typename Load::Word);
  const int64_t whole = count & ~int64_t(15), rest = (count - whole) * width;
  Sweep s;
  Lanes a, b, c, d;
  Sweep::start(s);
  for (int64_t i = 0; i < whole; i += 16) {
    __builtin_prefetch(old_ahead + i * width, 0, 2);
    __builtin_prefetch(new_ahead + i * width, 0, 2);
    Load::two(old_words, i, a, b);
    Load::two(new_words, i, c, d);
    Sweep::step(s, a, c);
    Sweep::step(s, b, d);
  }
  if (rest) {
    // What is beyond the end is zero on both sides, which no sum notices.
    alignas(64) uint8_t old_rest[128] = {}, new_rest[128] = {};
    std::memcpy(old_rest, old_words + whole * width, size_t(rest));
    std::memcpy(new_rest, new_words + whole * width, size_t(rest));
    Load::two(old_rest, 0, a, b);
    Load::two(new_rest, 0, c, d);
    Sweep::step(s, a, c);
    Sweep::step(s, b, d);
  }
  return Sweep::finish(s);
}

template <bool norms>
static PairSums sweep_leaf(Leaf &leaf) {
  const Type &type = *leaf.old_side.type;
  if (leaf.n_pairs == leaf.count && leaf.same_type && type.kind == Kind::real) {
    const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
    const uint8_t *c = leaf.old_ahead ? leaf.old_ahead : a, *d = leaf.new_ahead ? leaf.new_ahead : b;
    if (type.width == 8) return sweep_pairs<Float64, norms>(a, b, leaf.count, c, d);
    if (type.width == 4) return sweep_pairs<Float32, norms>(a, b, leaf.count, c, d);
    if (type.mantissa == 7) return sweep_pairs<BFloat16, norms>(a, b, leaf.count, c, d);
    return sweep_pairs<Float16, norms>(a, b, leaf.count, c, d);
  }
  keep_pairs(leaf);
  const auto *a = reinterpret_cast<const uint8_t *>(leaf.kept_old), *b = reinterpret_cast<const uint8_t *>(leaf.kept_new);
  return sweep_pairs<Float64, norms>(a, b, leaf.n_pairs, a, b);
}

struct Sums {
  double sum, squares;
};

static Sums sweep_values(const double *values, int64_t count) {
  const auto *words = reinterpret_cast<const uint8_t *>(values);
  Lanes sum = zeros(), squares = zeros();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const Lanes x = Float64::at(words, i);
    sum = sum + x;
    squares = squares + x * x;
  }
  Sums result = {sum_of_lanes(sum), sum_of_lanes(squares)};
  for (; i < count; i++) {
    result.sum += values[i];
    result.squares += values[i] * values[i];
  }
  return result;
}

// Sums of the distances from `mean` and of their squares.
static Sums sweep_distances(const double *values, int64_t count, double mean) {
  const auto *words = reinterpret_cast<const uint8_t *>(values);
  Lanes sum = zeros(), squares = zeros();
  const Lanes means = all_lanes(mean);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const Lanes x = Float64::at(words, i) - means;
    sum = sum + x;
    squares = squares + x * x;
  }
  Sums result = {sum_of_lanes(sum), sum_of_lanes(squares)};
  for (; i < count; i++) {
    const double x = values[i] - mean;
    result.sum += x;
    result.squares += x * x;
  }
  return result;
}

// The finite values of one side without gaps, or all pairs; made only where a second sweep needs them.
enum class Kept { old_side, new_side, delta, old_paired, new_paired };

static const double *kept_values(Leaf &leaf, Kept which) {
  if (which == Kept::old_side || which == Kept::new_side) {
    Side &side = which == Kept::old_side ? leaf.old_side : leaf.new_side;
    const double *values = values_of(leaf, side);
    if (!side.classes) return values;
    double *kept = leaf.scratch->extra;
    int64_t n = 0;
    for (int64_t i = 0; i < leaf.count; i++) {
      kept[n] = values[i];
      n += side.classes[i] == FINITE;
    }
    return kept;
  }
  keep_pairs(leaf);
  return which == Kept::delta ? leaf.kept_delta : which == Kept::old_paired ? leaf.kept_old : leaf.kept_new;
}

static Range<double> range_of(const double *values, int64_t count) {
  Range<double> range = {values[0], values[0]};
  for (int64_t i = 1; i < count; i++) {
    range.low = values[i] < range.low ? values[i] : range.low;
    range.high = values[i] > range.high ? values[i] : range.high;
  }
  return range;
}

// Squares are summed about zero where that loses nothing, else about the mean with a second-order correction.
static Series series_of(Leaf &leaf, Kept which, int64_t n, Sums sums) {
  if (!n) return {0, 0, 0};
  const double mean = sums.sum / double(n), raw = double(n) * mean * mean;
  if (raw <= 0.25 * sums.squares) return {n, mean, sums.squares - raw};
  const double *values = kept_values(leaf, which);
  const Range<double> range = range_of(values, n);
  if (range.low == range.high) return {n, range.low + 0.0, 0};
  const Sums about = sweep_distances(values, n, mean);
  const double m2 = about.squares - about.sum * about.sum / double(n);
  return {n, mean + about.sum / double(n), m2 > 0 ? m2 : 0};
}

static Series series_of_side(Leaf &leaf, Kept which) {
  const int64_t n = which == Kept::old_side ? leaf.old_side.n_finite : leaf.new_side.n_finite;
  return n ? series_of(leaf, which, n, sweep_values(kept_values(leaf, which), n)) : Series{0, 0, 0};
}

static void find_series(Leaf &leaf, const PairSums &sums, Series *series) {
  const int64_t n = leaf.n_pairs;
  const Sums a = {sums.old_sum, sums.old_squares}, b = {sums.new_sum, sums.new_squares};
  series[DELTA] = series_of(leaf, Kept::delta, n, {sums.delta_sum, sums.delta_squares});
  if (n == leaf.count) {
    series[OLD] = series[OLD_PAIRED] = series_of(leaf, Kept::old_side, n, a);
    series[NEW] = series[NEW_PAIRED] = series_of(leaf, Kept::new_side, n, b);
    return;
  }
  series[OLD] = series_of_side(leaf, Kept::old_side);
  series[NEW] = series_of_side(leaf, Kept::new_side);
  series[OLD_PAIRED] = series_of(leaf, Kept::old_paired, n, a);
  series[NEW_PAIRED] = series_of(leaf, Kept::new_paired, n, b);
}

static bool is_double(const Leaf &leaf) {
  const Type &a = *leaf.old_side.type, &b = *leaf.new_side.type;
  return (a.kind == Kind::real && a.width == 8) || (b.kind == Kind::real && b.width == 8);
}

// Whether squares of the differences stay well inside float64.
static bool are_moderate(const Leaf &leaf, const PairSums &sums) {
  return !is_double(leaf) || sums.peak == 0 || (sums.peak >= 0x1p-200 && sums.peak <= 0x1p200);
}

static void add_moments(const Series *series, MomentsState &state) {
  for (int i = 0; i < N_SERIES; i++) state.series[i].add(series[i]);
}

static void add_norms(const Leaf &leaf, const PairSums &sums, NormsState &state) {
  if (!leaf.n_pairs) return;
  state.n += leaf.n_pairs;
  state.l1_old += sums.l1_old;
  state.l1_new += sums.l1_new;
  state.l1_delta += sums.l1_delta;
  state.dot += sums.dot;
  state.delta_dot_old += sums.delta_dot_old;
}
