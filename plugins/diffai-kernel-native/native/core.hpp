// The sweep over pairs of values: moments, norms, extrema and changes.
// No include guard: it is compiled once for each instruction set.

// Sums over the pairs of one leaf.
struct PairSums {
  double old_sum, new_sum, delta_sum;
  double old_squares, new_squares, delta_squares;
  double delta_low, delta_high;
  double l1_old, l1_new, l1_delta, dot, delta_dot_old;  // if `norms`
};

template <bool exact, bool norms>
struct PairSweep {
  Lanes old_sum, new_sum, delta_sum, old_squares, new_squares, delta_squares, delta_low, delta_high;
  Lanes l1_old, l1_new, l1_delta, dot, delta_dot_old;

  INLINE void start(PairSweep &s, double first_delta) {
    s.old_sum = s.new_sum = s.delta_sum = s.old_squares = s.new_squares = s.delta_squares = zeros();
    s.delta_low = s.delta_high = all_lanes(first_delta);
    s.l1_old = s.l1_new = s.l1_delta = s.dot = s.delta_dot_old = zeros();
  }

  INLINE void step(PairSweep &s, Lanes a, Lanes b) {
    const Lanes d = b - a;
    s.old_sum = s.old_sum + a;
    s.new_sum = s.new_sum + b;
    s.delta_sum = s.delta_sum + d;
    s.old_squares = add_product<exact>(s.old_squares, a, a);
    s.new_squares = add_product<exact>(s.new_squares, b, b);
    s.delta_squares = add_product<false>(s.delta_squares, d, d);
    s.delta_low = lesser(d, s.delta_low);
    s.delta_high = greater(d, s.delta_high);
    if (norms) {
      s.l1_old = s.l1_old + magnitude(a);
      s.l1_new = s.l1_new + magnitude(b);
      s.l1_delta = s.l1_delta + magnitude(d);
      s.dot = add_product<exact>(s.dot, a, b);
      s.delta_dot_old = add_product<false>(s.delta_dot_old, d, a);
    }
  }

  INLINE PairSums finish(const PairSweep &s) {
    return {sum_of_lanes(s.old_sum),     sum_of_lanes(s.new_sum),     sum_of_lanes(s.delta_sum),
            sum_of_lanes(s.old_squares), sum_of_lanes(s.new_squares), sum_of_lanes(s.delta_squares),
            least_lane(s.delta_low),     greatest_lane(s.delta_high), sum_of_lanes(s.l1_old),
            sum_of_lanes(s.l1_new),      sum_of_lanes(s.l1_delta),    sum_of_lanes(s.dot),
            sum_of_lanes(s.delta_dot_old)};
  }
};

template <class Load, bool norms>
static PairSums sweep_pairs(const uint8_t *old_words, const uint8_t *new_words, int64_t count) {
  typedef PairSweep<Load::exact_products, norms> Sweep;
  constexpr int64_t width = sizeof(typename Load::Word);
  alignas(64) uint8_t old_rest[64] = {}, new_rest[64] = {};
  const int64_t whole = count & ~int64_t(7), rest = count - whole;
  // Lanes beyond the end hold zeros, which no sum notices; the extremes start with a difference that is there.
  std::memcpy(old_rest, old_words + whole * width, rest * width);
  std::memcpy(new_rest, new_words + whole * width, rest * width);
  const Lanes first = whole ? Load::at(new_words, 0) - Load::at(old_words, 0) : Load::at(new_rest, 0) - Load::at(old_rest, 0);
  Sweep s;
  Sweep::start(s, lane(first, 0));
  for (int64_t i = 0; i < whole; i += 8) Sweep::step(s, Load::at(old_words, i), Load::at(new_words, i));
  if (rest) {
    const Lanes low = s.delta_low, high = s.delta_high;
    const Lanes a = Load::at(old_rest, 0), b = Load::at(new_rest, 0), d = b - a;
    Sweep::step(s, a, b);
    double least = least_lane(low), greatest = greatest_lane(high);
    for (int i = 0; i < rest; i++) {
      least = lane(d, i) < least ? lane(d, i) : least;
      greatest = lane(d, i) > greatest ? lane(d, i) : greatest;
    }
    s.delta_low = all_lanes(least);
    s.delta_high = all_lanes(greatest);
  }
  return Sweep::finish(s);
}

template <bool norms>
static PairSums sweep_leaf(Leaf &leaf) {
  const Type &type = *leaf.old_side.type;
  if (leaf.n_pairs == leaf.count && leaf.same_type && type.kind == Kind::real) {
    const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
    if (type.width == 8) return sweep_pairs<Float64, norms>(a, b, leaf.count);
    if (type.width == 4) return sweep_pairs<Float32, norms>(a, b, leaf.count);
    if (type.mantissa == 7) return sweep_pairs<BFloat16, norms>(a, b, leaf.count);
    return sweep_pairs<Float16, norms>(a, b, leaf.count);
  }
  keep_pairs(leaf);
  const auto *a = reinterpret_cast<const uint8_t *>(leaf.kept_old), *b = reinterpret_cast<const uint8_t *>(leaf.kept_new);
  return sweep_pairs<Float64, norms>(a, b, leaf.n_pairs);
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

// Sums of the powers of the distances from `mean`: first, second, and, if wanted, third and fourth.
struct Powers {
  double first, second, third, fourth;
};

static Powers sweep_distances(const double *values, int64_t count, double mean) {
  const auto *words = reinterpret_cast<const uint8_t *>(values);
  Lanes s1 = zeros(), s2 = zeros(), s3 = zeros(), s4 = zeros();
  const Lanes means = all_lanes(mean);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const Lanes x = Float64::at(words, i) - means, xx = x * x;
    s1 = s1 + x;
    s2 = s2 + xx;
    s3 = s3 + xx * x;
    s4 = s4 + xx * xx;
  }
  Powers result = {sum_of_lanes(s1), sum_of_lanes(s2), sum_of_lanes(s3), sum_of_lanes(s4)};
  for (; i < count; i++) {
    const double x = values[i] - mean, xx = x * x;
    result.first += x;
    result.second += xx;
    result.third += xx * x;
    result.fourth += xx * xx;
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

// Squares are summed about zero where that loses nothing, else about the mean with a second-order correction.
static Series series_of(Leaf &leaf, Kept which, int64_t n, Sums sums, double low, double high) {
  if (!n) return {0, 0, 0};
  if (low == high) return {n, low + 0.0, 0};
  const double mean = sums.sum / double(n), raw = double(n) * mean * mean;
  if (raw <= 0.25 * sums.squares) return {n, mean, sums.squares - raw};
  const Powers about = sweep_distances(kept_values(leaf, which), n, mean);
  const double m2 = about.second - about.first * about.first / double(n);
  return {n, mean + about.first / double(n), m2 > 0 ? m2 : 0};
}

static HigherSeries higher_of(Leaf &leaf, Kept which, const Series &series) {
  if (!series.n || !(series.m2 > 0)) return {series, 0, 0};
  const Powers about = sweep_distances(kept_values(leaf, which), series.n, series.mean);
  return {series, about.third, about.fourth};
}

static Series series_of_side(Leaf &leaf, Kept which) {
  const Side &side = which == Kept::old_side ? leaf.old_side : leaf.new_side;
  if (!side.n_finite) return {0, 0, 0};
  return series_of(leaf, which, side.n_finite, sweep_values(kept_values(leaf, which), side.n_finite), side.low, side.high);
}

static Range<double> range_of(const double *values, int64_t count) {
  Range<double> range = {values[0], values[0]};
  for (int64_t i = 1; i < count; i++) {
    range.low = values[i] < range.low ? values[i] : range.low;
    range.high = values[i] > range.high ? values[i] : range.high;
  }
  return range;
}

static void find_series(Leaf &leaf, const PairSums &sums, Series *series) {
  const int64_t n = leaf.n_pairs;
  series[DELTA] = series_of(leaf, Kept::delta, n, {sums.delta_sum, sums.delta_squares}, sums.delta_low, sums.delta_high);
  const Sums a = {sums.old_sum, sums.old_squares}, b = {sums.new_sum, sums.new_squares};
  if (n == leaf.count) {
    series[OLD] = series[OLD_PAIRED] = series_of(leaf, Kept::old_side, n, a, leaf.old_side.low, leaf.old_side.high);
    series[NEW] = series[NEW_PAIRED] = series_of(leaf, Kept::new_side, n, b, leaf.new_side.low, leaf.new_side.high);
    return;
  }
  series[OLD] = series_of_side(leaf, Kept::old_side);
  series[NEW] = series_of_side(leaf, Kept::new_side);
  if (!n) {
    series[OLD_PAIRED] = series[NEW_PAIRED] = {0, 0, 0};
    return;
  }
  keep_pairs(leaf);
  const Range<double> old_range = range_of(leaf.kept_old, n), new_range = range_of(leaf.kept_new, n);
  series[OLD_PAIRED] = series_of(leaf, Kept::old_paired, n, a, old_range.low, old_range.high);
  series[NEW_PAIRED] = series_of(leaf, Kept::new_paired, n, b, new_range.low, new_range.high);
}

// The index in the leaf of the first pair whose difference has this magnitude.
template <class Load>
static int64_t first_place(const uint8_t *old_words, const uint8_t *new_words, int64_t count, double size) {
  double a[512], b[512];
  for (int64_t begin = 0; begin < count; begin += 512) {
    const int64_t n = count - begin < 512 ? count - begin : 512;
    constexpr int64_t width = sizeof(typename Load::Word);
    convert<Load>(old_words + begin * width, n, a);
    convert<Load>(new_words + begin * width, n, b);
    int found = 0;
    for (int64_t i = 0; i < n; i++) found |= std::fabs(b[i] - a[i]) == size;
    if (!found) continue;
    for (int64_t i = 0; i < n; i++)
      if (std::fabs(b[i] - a[i]) == size) return begin + i;
  }
  return -1;
}

static int64_t place_of_peak(Leaf &leaf, double size) {
  const Type &type = *leaf.old_side.type;
  const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
  if (leaf.n_pairs == leaf.count && leaf.same_type && type.kind == Kind::real) {
    if (type.width == 8) return first_place<Float64>(a, b, leaf.count, size);
    if (type.width == 4) return first_place<Float32>(a, b, leaf.count, size);
    if (type.mantissa == 7) return first_place<BFloat16>(a, b, leaf.count, size);
    return first_place<Float16>(a, b, leaf.count, size);
  }
  const double *old_values = values_of(leaf, leaf.old_side), *new_values = values_of(leaf, leaf.new_side);
  for (int64_t i = 0; i < leaf.count; i++)
    if (is_pair(leaf, i) && std::fabs(new_values[i] - old_values[i]) == size) return i;
  return -1;
}

static void hull(int64_t &has, double &low, double &high, const Side &side) {
  if (!side.n_finite) return;
  low = !has || side.low < low ? side.low : low;
  high = !has || side.high > high ? side.high : high;
  has = 1;
}

static void add_extrema(Leaf &leaf, const PairSums &sums, ExtremaState &state) {
  hull(state.has_old, state.old_low, state.old_high, leaf.old_side);
  hull(state.has_new, state.new_low, state.new_high, leaf.new_side);
  if (!leaf.n_pairs) return;
  const double size = std::fmax(sums.delta_high, -sums.delta_low);
  if (state.has_peak && size <= std::fabs(state.peak)) return;
  const int64_t place = place_of_peak(leaf, size);
  state.peak = value_at(leaf.new_side, place) - value_at(leaf.old_side, place) + 0.0;
  state.place = leaf.start + place;
  state.has_peak = 1;
}

static int64_t count_other_words(const Leaf &leaf) {
  const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
  switch (leaf.old_side.type->width) {
    case 8:
      return count_different<uint64_t>(a, b, leaf.count);
    case 4:
      return count_different<uint32_t>(a, b, leaf.count);
    case 2:
      return count_different<uint16_t>(a, b, leaf.count);
    default:
      return count_different<uint8_t>(a, b, leaf.count);
  }
}

static int64_t count_zeros_of_other_sign(const Leaf &leaf) {
  const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
  if (leaf.old_side.type->width == 8) return count_opposite_zeros<uint64_t>(a, b, leaf.count);
  if (leaf.old_side.type->width == 4) return count_opposite_zeros<uint32_t>(a, b, leaf.count);
  return count_opposite_zeros<uint16_t>(a, b, leaf.count);
}

static int64_t count_set(const uint8_t *flags, int64_t count) {
  int64_t n = 0;
  for (int64_t i = 0; i < count; i++) n += flags[i];
  return n;
}

static int64_t count_above_tolerance(Leaf &leaf) {
  const double *a = values_of(leaf, leaf.old_side), *b = values_of(leaf, leaf.new_side);
  const uint8_t *changed = changed_of(leaf);
  const double atol = leaf.layout->atol, rtol = leaf.layout->rtol;
  int64_t n = 0;
  for (int64_t i = 0; i < leaf.count; i++) {
    const double limit = atol + rtol * std::fabs(a[i]);
    n += changed[i] && !(std::fabs(b[i] - a[i]) <= limit && is_pair(leaf, i));
  }
  return n;
}

static int64_t count_nan_one_side(const Leaf &leaf) {
  int64_t n = 0;
  for (int64_t i = 0; i < leaf.count; i++)
    n += (class_of(leaf.old_side, i) == NOT_A_NUMBER) != (class_of(leaf.new_side, i) == NOT_A_NUMBER);
  return n;
}

static void add_changes(Leaf &leaf, ChangesState &state) {
  state.n += leaf.count;
  if (leaf.same) {
    state.n_bit_equal += leaf.count;
    return;
  }
  const bool all_finite = leaf.n_pairs == leaf.count;
  const Type &type = *leaf.old_side.type;
  const int64_t n_other = leaf.same_type ? count_other_words(leaf) : leaf.count;
  int64_t n_changed;
  if (leaf.same_type && type.kind == Kind::real && all_finite)
    n_changed = n_other - count_zeros_of_other_sign(leaf);
  else if (leaf.same_type && (type.kind == Kind::integer || type.kind == Kind::natural))
    n_changed = n_other;
  else
    n_changed = count_set(changed_of(leaf), leaf.count);
  const bool exact = leaf.layout->atol == 0 && leaf.layout->rtol == 0;
  state.n_bit_equal += leaf.count - n_other;
  state.n_changed += n_changed;
  state.n_above_tol += exact || !n_changed ? n_changed : count_above_tolerance(leaf);
  state.n_nan_one_side += all_finite ? 0 : count_nan_one_side(leaf);
}

static bool is_double(const Leaf &leaf) {
  const Type &a = *leaf.old_side.type, &b = *leaf.new_side.type;
  return (a.kind == Kind::real && a.width == 8) || (b.kind == Kind::real && b.width == 8);
}

// Whether squares of the differences stay well inside float64.
static bool is_moderate(const Leaf &leaf, const PairSums &sums) {
  const double size = std::fmax(sums.delta_high, -sums.delta_low);
  return !is_double(leaf) || !leaf.n_pairs || size == 0 || (size >= 0x1p-200 && size <= 0x1p200);
}

// Add what is wanted of one leaf. Return false, with nothing added, where the differences are too extreme.
static bool add_core(Leaf &leaf, States &states) {
  if (states.moments || states.higher || states.norms || states.extrema) {
    const PairSums sums = !leaf.n_pairs ? PairSums{} : states.norms ? sweep_leaf<true>(leaf) : sweep_leaf<false>(leaf);
    if (!is_moderate(leaf, sums)) return false;
    if (states.moments || states.higher) {
      Series series[N_SERIES];
      find_series(leaf, sums, series);
      if (states.moments)
        for (int i = 0; i < N_SERIES; i++) states.moments->series[i].add(series[i]);
      if (states.higher) {
        states.higher->series[OLD].add(higher_of(leaf, Kept::old_side, series[OLD]));
        states.higher->series[NEW].add(higher_of(leaf, Kept::new_side, series[NEW]));
        states.higher->series[DELTA].add(higher_of(leaf, Kept::delta, series[DELTA]));
      }
    }
    if (states.norms && leaf.n_pairs) {
      NormsState &n = *states.norms;
      n.n += leaf.n_pairs;
      n.l1_old += sums.l1_old;
      n.l1_new += sums.l1_new;
      n.l1_delta += sums.l1_delta;
      n.dot += sums.dot;
      n.delta_dot_old += sums.delta_dot_old;
    }
    if (states.extrema) add_extrema(leaf, sums, *states.extrema);
  }
  if (states.changes) add_changes(leaf, *states.changes);
  return true;
}
