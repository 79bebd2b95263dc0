// The sweep over third and fourth powers of the distances from the means of the leaf.
// No include guard: it is compiled once for each instruction set.

struct Powers {
  double third, fourth;
};

struct PowerSweep {
  Lanes mean, third, fourth;

  INLINE void start(PowerSweep &s, double mean) {
    s.mean = all_lanes(mean);
    s.third = s.fourth = zeros();
  }

  INLINE void step(PowerSweep &s, Lanes x) {
    const Lanes d = x - s.mean, dd = d * d;
    s.third = s.third + dd * d;
    s.fourth = s.fourth + dd * dd;
  }

  INLINE Powers finish(const PowerSweep &s) { return {sum_of_lanes(s.third), sum_of_lanes(s.fourth)}; }
};

INLINE void add_power(Powers &sums, double x, double mean) {
  const double d = x - mean, dd = d * d;
  sums.third += dd * d;
  sums.fourth += dd * dd;
}

static Powers sweep_powers(const double *values, int64_t count, double mean) {
  const auto *words = reinterpret_cast<const uint8_t *>(values);
  PowerSweep s;
  PowerSweep::start(s, mean);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) PowerSweep::step(s, Float64::at(words, i));
  Powers sums = PowerSweep::finish(s);
  for (; i < count; i++) add_power(sums, values[i], mean);
  return sums;
}

struct PairPowers {
  Powers old_side, new_side, delta;
};

// All three at once, straight from the words.
template <class Load>
static PairPowers sweep_pair_powers(const Leaf &leaf, const Series *series) {
  const uint8_t *old_words = leaf.old_side.words, *new_words = leaf.new_side.words;
  PowerSweep old_sweep, new_sweep, delta_sweep;
  PowerSweep::start(old_sweep, series[OLD].mean);
  PowerSweep::start(new_sweep, series[NEW].mean);
  PowerSweep::start(delta_sweep, series[DELTA].mean);
  Lanes a, b, c, d;
  const int64_t whole = leaf.count & ~int64_t(15);
  for (int64_t i = 0; i < whole; i += 16) {
    Load::two(old_words, i, a, b);
    Load::two(new_words, i, c, d);
    PowerSweep::step(old_sweep, a);
    PowerSweep::step(old_sweep, b);
    PowerSweep::step(new_sweep, c);
    PowerSweep::step(new_sweep, d);
    PowerSweep::step(delta_sweep, c - a);
    PowerSweep::step(delta_sweep, d - b);
  }
  PairPowers sums = {PowerSweep::finish(old_sweep), PowerSweep::finish(new_sweep), PowerSweep::finish(delta_sweep)};
  double old_rest[16], new_rest[16];
  constexpr int64_t width = sizeof(typename Load::Word);
  convert<Load>(old_words + whole * width, leaf.count - whole, old_rest);
  convert<Load>(new_words + whole * width, leaf.count - whole, new_rest);
  for (int64_t i = 0; i < leaf.count - whole; i++) {
    add_power(sums.old_side, old_rest[i], series[OLD].mean);
    add_power(sums.new_side, new_rest[i], series[NEW].mean);
    add_power(sums.delta, new_rest[i] - old_rest[i], series[DELTA].mean);
  }
  return sums;
}

static PairPowers pair_powers(Leaf &leaf, const Series *series) {
  const Type &type = *leaf.old_side.type;
  if (leaf.n_pairs == leaf.count && leaf.same_type && type.kind == Kind::real) {
    if (type.width == 8) return sweep_pair_powers<Float64>(leaf, series);
    if (type.width == 4) return sweep_pair_powers<Float32>(leaf, series);
    if (type.mantissa == 7) return sweep_pair_powers<BFloat16>(leaf, series);
    return sweep_pair_powers<Float16>(leaf, series);
  }
  PairPowers sums;
  sums.old_side = sweep_powers(kept_values(leaf, Kept::old_side), series[OLD].n, series[OLD].mean);
  sums.new_side = sweep_powers(kept_values(leaf, Kept::new_side), series[NEW].n, series[NEW].mean);
  sums.delta = sweep_powers(kept_values(leaf, Kept::delta), series[DELTA].n, series[DELTA].mean);
  return sums;
}

static HigherSeries higher_series(const Series &series, const Powers &sums) {
  const bool varies = series.n && series.m2 > 0;
  return {series, varies ? sums.third : 0, varies ? sums.fourth : 0};
}

static void add_higher(Leaf &leaf, const Series *series, HigherState &state) {
  const PairPowers sums = pair_powers(leaf, series);
  state.series[OLD].add(higher_series(series[OLD], sums.old_side));
  state.series[NEW].add(higher_series(series[NEW], sums.new_side));
  state.series[DELTA].add(higher_series(series[DELTA], sums.delta));
}
