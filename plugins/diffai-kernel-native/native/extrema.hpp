// Least and greatest values, and the largest difference with its place.
// No include guard: it is compiled once for each instruction set.

static bool has_peak(const double *old_values, const double *new_values, int64_t count, const PairSums &sums) {
  int found = 0;
  for (int64_t i = 0; i < count; i++) {
    const double d = new_values[i] - old_values[i];
    found |= (sums.peak_is_squared ? d * d : std::fabs(d)) == sums.peak;
  }
  return found;
}

// The first index in the leaf where the difference is largest. Squares tell differences apart: the square of the next
// float64 is more than one step away.
static int64_t place_of_peak(const Leaf &leaf, const PairSums &sums) {
  constexpr int64_t piece = 512;
  double old_values[piece], new_values[piece];
  const Type &old_type = *leaf.old_side.type, &new_type = *leaf.new_side.type;
  for (int64_t begin = 0; begin < leaf.count; begin += piece) {
    const int64_t n = leaf.count - begin < piece ? leaf.count - begin : piece;
    convert_words(old_type, leaf.old_side.words + begin * old_type.width, n, old_values);
    convert_words(new_type, leaf.new_side.words + begin * new_type.width, n, new_values);
    if (!has_peak(old_values, new_values, n, sums)) continue;
    for (int64_t i = 0; i < n; i++)
      if (has_peak(old_values + i, new_values + i, 1, sums) && is_pair(leaf, begin + i)) return begin + i;
  }
  return 0;
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
  const double known = std::fabs(state.peak);
  if (state.has_peak && sums.peak <= (sums.peak_is_squared ? known * known : known)) return;
  const int64_t place = place_of_peak(leaf, sums);
  state.peak = value_at(leaf.new_side, place) - value_at(leaf.old_side, place) + 0.0;
  state.place = leaf.start + place;
  state.has_peak = 1;
}
