// How many elements changed.
// No include guard: it is compiled once for each instruction set.

static int64_t count_zeros_of_other_sign(const Leaf &leaf) {
  if (!leaf.sign_flips) return 0;
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
  int64_t n_changed;
  if (leaf.same_type && type.kind == Kind::real && all_finite)
    n_changed = leaf.n_other_words - count_zeros_of_other_sign(leaf);
  else if (leaf.same_type && (type.kind == Kind::integer || type.kind == Kind::natural))
    n_changed = leaf.n_other_words;
  else
    n_changed = count_set(changed_of(leaf), leaf.count);
  const bool exact = leaf.layout->atol == 0 && leaf.layout->rtol == 0;
  state.n_bit_equal += leaf.count - leaf.n_other_words;
  state.n_changed += n_changed;
  state.n_above_tol += exact || !n_changed ? n_changed : count_above_tolerance(leaf);
  state.n_nan_one_side += all_finite ? 0 : count_nan_one_side(leaf);
}
