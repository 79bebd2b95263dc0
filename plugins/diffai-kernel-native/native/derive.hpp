// What is derived from the words of a leaf: ranges, classes, float64 values, the pairs that count.
// No include guard: it is compiled once for each instruction set.

template <class Load>
static void convert(const uint8_t *words, int64_t count, double *values) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const Lanes x = Load::at(words, i);
    std::memcpy(values + i, &x, sizeof x);
  }
  if (i < count) {
    alignas(64) uint8_t rest[64] = {};
    std::memcpy(rest, words + i * int64_t(sizeof(typename Load::Word)), (count - i) * sizeof(typename Load::Word));
    const Lanes x = Load::at(rest, 0);
    std::memcpy(values + i, &x, (count - i) * sizeof(double));
  }
}

template <class T>
static void convert_integers(const uint8_t *words, int64_t count, double *values) {
  typedef T __attribute__((may_alias, aligned(1))) Unaligned;
  const Unaligned *p = reinterpret_cast<const Unaligned *>(words);
  for (int64_t i = 0; i < count; i++) values[i] = double(p[i]);
}

static void convert_words(const Type &type, const uint8_t *words, int64_t count, double *values) {
  switch (type.kind) {
    case Kind::real:
      if (type.width == 8) return convert<Float64>(words, count, values);
      if (type.width == 4) return convert<Float32>(words, count, values);
      if (type.mantissa == 7) return convert<BFloat16>(words, count, values);
      return convert<Float16>(words, count, values);
    case Kind::table:
      for (int64_t i = 0; i < count; i++) values[i] = type.table[words[i]];
      return;
    case Kind::boolean:
      for (int64_t i = 0; i < count; i++) values[i] = words[i] != 0;
      return;
    case Kind::integer:
      if (type.width == 8) return convert_integers<int64_t>(words, count, values);
      if (type.width == 4) return convert_integers<int32_t>(words, count, values);
      if (type.width == 2) return convert_integers<int16_t>(words, count, values);
      return convert_integers<int8_t>(words, count, values);
    case Kind::natural:
      if (type.width == 8) return convert_integers<uint64_t>(words, count, values);
      if (type.width == 4) return convert_integers<uint32_t>(words, count, values);
      if (type.width == 2) return convert_integers<uint16_t>(words, count, values);
      return convert_integers<uint8_t>(words, count, values);
  }
}

// The memory for use within one statistic, as something else than float64.
template <class T>
static T &scratch_as(const Leaf &leaf) {
  static_assert(sizeof(T) <= sizeof(Scratch::extra) && alignof(T) <= 64, "does not fit");
  return *::new (static_cast<void *>(leaf.scratch->extra)) T;
}

static double value_at(const Side &side, int64_t i) {
  alignas(64) uint8_t word[64] = {};
  double value[8] = {};
  std::memcpy(word, side.words + i * side.type->width, side.type->width);
  convert_words(*side.type, word, 1, value);
  return value[0];
}

// Return all values of a side as float64, 0 where one is not finite.
static const double *values_of(Leaf &leaf, Side &side) {
  if (side.values) return side.values;
  if (leaf.same && side.slot == 1) return side.values = values_of(leaf, leaf.old_side);
  double *values = leaf.scratch->values[side.slot];
  convert_words(*side.type, side.words, leaf.count, values);
  if (side.classes)
    for (int64_t i = 0; i < leaf.count; i++) values[i] = side.classes[i] == FINITE ? values[i] : 0;
  return side.values = values;
}

INLINE uint8_t class_of(const Side &side, int64_t i) { return side.classes ? side.classes[i] : uint8_t(FINITE); }

// Whether element `i` is finite on both sides.
INLINE bool is_pair(const Leaf &leaf, int64_t i) {
  return class_of(leaf.old_side, i) == FINITE && class_of(leaf.new_side, i) == FINITE;
}

static int64_t compact(const Leaf &leaf, const double *values, double *kept) {
  int64_t n = 0;
  for (int64_t i = 0; i < leaf.count; i++) {
    kept[n] = values[i];
    n += is_pair(leaf, i);
  }
  return n;
}

// Make kept_old, kept_new and kept_delta: the `n_pairs` values that are finite on both sides, and NEW - OLD.
static void keep_pairs(Leaf &leaf) {
  if (leaf.kept_delta) return;
  const double *a = values_of(leaf, leaf.old_side), *b = values_of(leaf, leaf.new_side);
  if (leaf.n_pairs < leaf.count) {
    compact(leaf, a, leaf.scratch->kept[0]);
    compact(leaf, b, leaf.scratch->kept[1]);
    a = leaf.scratch->kept[0];
    b = leaf.scratch->kept[1];
  }
  double *delta = leaf.scratch->delta;
  for (int64_t i = 0; i < leaf.n_pairs; i++) delta[i] = b[i] - a[i];
  leaf.kept_old = a;
  leaf.kept_new = b;
  leaf.kept_delta = delta;
}

// Return which elements differ in value, a byte each: NaN equals NaN, -0.0 equals 0.0.
static const uint8_t *changed_of(Leaf &leaf) {
  if (leaf.changed) return leaf.changed;
  uint8_t *changed = leaf.scratch->changed;
  if (leaf.same) {
    std::memset(changed, 0, leaf.count);
    return leaf.changed = changed;
  }
  const double *a = values_of(leaf, leaf.old_side), *b = values_of(leaf, leaf.new_side);
  for (int64_t i = 0; i < leaf.count; i++) changed[i] = a[i] != b[i];
  if (leaf.n_pairs < leaf.count)
    for (int64_t i = 0; i < leaf.count; i++) {
      const uint8_t x = class_of(leaf.old_side, i), y = class_of(leaf.new_side, i);
      changed[i] = x != y || (x == FINITE && changed[i]);
    }
  return leaf.changed = changed;
}

template <class T>
static void set_range(Side &side, Range<T> range) {
  side.low = double(range.low);
  side.high = double(range.high);
}

static void range_of_finite(Leaf &leaf, Side &side) {
  const double *values = values_of(leaf, side);
  bool found = false;
  for (int64_t i = 0; i < leaf.count; i++) {
    if (side.classes[i] != FINITE) continue;
    side.low = !found || values[i] < side.low ? values[i] : side.low;
    side.high = !found || values[i] > side.high ? values[i] : side.high;
    found = true;
  }
}

template <class U>
INLINE double value_of_ordered(const Type &type, typename Words<U>::Signed place) {
  const U word = U(ordered<U>(U(place)));
  Side side = {};
  side.type = &type;
  side.words = reinterpret_cast<const uint8_t *>(&word);
  return value_at(side, 0);
}

template <class U>
static void inspect_range(Leaf &leaf, Side &side, Range<typename Words<U>::Signed> range) {
  const U inf = infinity<U>(side.type->mantissa);
  if (range.high < ordered<U>(inf) && range.low > ordered<U>(U(inf | sign_bit<U>))) {
    side.low = value_of_ordered<U>(*side.type, range.low);
    side.high = value_of_ordered<U>(*side.type, range.high);
    return;
  }
  side.n_finite = classify<U>(side.words, leaf.count, inf, leaf.scratch->classes[side.slot]);
  side.classes = leaf.scratch->classes[side.slot];
  range_of_finite(leaf, side);
}

template <class U>
static void inspect_real(Leaf &leaf, Side &side) {
  inspect_range<U>(leaf, side, ordered_range<U>(side.words, leaf.count));
}

// The same for both sides in one sweep, with what differs between them.
template <class U>
static void inspect_both(Leaf &leaf) {
  const Survey<U> found = survey<U>(leaf.old_side.words, leaf.new_side.words, leaf.count);
  inspect_range<U>(leaf, leaf.old_side, found.old_range);
  inspect_range<U>(leaf, leaf.new_side, found.new_range);
  leaf.n_other_words = found.n_different;
  leaf.sign_flips = found.sign_flips;
}

static void inspect_table(Leaf &leaf, Side &side) {
  uint8_t seen[256] = {};
  for (int64_t i = 0; i < leaf.count; i++) seen[side.words[i]] = 1;
  bool found = false, all_finite = true;
  for (int code = 0; code < 256; code++) {
    const double x = side.type->table[code];
    if (!seen[code]) continue;
    if (!(x - x == 0)) {
      all_finite = false;
      continue;
    }
    side.low = !found || x < side.low ? x : side.low;
    side.high = !found || x > side.high ? x : side.high;
    found = true;
  }
  if (all_finite) return;
  uint8_t *classes = leaf.scratch->classes[side.slot];
  side.n_finite = 0;
  for (int64_t i = 0; i < leaf.count; i++) {
    const double x = side.type->table[side.words[i]];
    classes[i] = x - x == 0 ? FINITE : x != x ? NOT_A_NUMBER : x > 0 ? POSITIVE_INF : NEGATIVE_INF;
    side.n_finite += classes[i] == FINITE;
  }
  side.classes = classes;
}

template <class S, class U>
static void inspect_integers(Leaf &leaf, Side &side) {
  if (side.type->kind == Kind::integer)
    set_range(side, integer_range<S>(side.words, leaf.count));
  else
    set_range(side, integer_range<U>(side.words, leaf.count));
}

static void start_side(Leaf &leaf, Side &side) {
  side.classes = nullptr;
  side.values = nullptr;
  side.n_finite = leaf.count;
  side.zeros = Known::not_yet;
}

// Find range and classes of one side.
static void inspect(Leaf &leaf, Side &side) {
  const Type &type = *side.type;
  if (type.kind == Kind::real) {
    if (type.width == 8)
      inspect_real<uint64_t>(leaf, side);
    else if (type.width == 4)
      inspect_real<uint32_t>(leaf, side);
    else
      inspect_real<uint16_t>(leaf, side);
  } else if (type.kind == Kind::table) {
    inspect_table(leaf, side);
  } else if (type.kind == Kind::boolean) {
    side.low = 1;
    side.high = 0;
    for (int64_t i = 0; i < leaf.count; i++) (side.words[i] ? side.high : side.low) = side.words[i] != 0;
  } else if (type.width == 8) {
    inspect_integers<int64_t, uint64_t>(leaf, side);
  } else if (type.width == 4) {
    inspect_integers<int32_t, uint32_t>(leaf, side);
  } else if (type.width == 2) {
    inspect_integers<int16_t, uint16_t>(leaf, side);
  } else {
    inspect_integers<int8_t, uint8_t>(leaf, side);
  }
}

// Whether the numbers of one side can be added up in float64 without care.
static bool is_moderate(Side &side) {
  const Type &type = *side.type;
  if (!side.n_finite) return true;
  side.low += 0.0;
  side.high += 0.0;
  const double largest = -side.low > side.high ? -side.low : side.high;
  if (type.kind == Kind::real && type.width == 8) return largest == 0 || (largest >= 0x1p-200 && largest <= 0x1p200);
  return type.width < 8 || largest < 0x1p53;  // the conversion may have rounded down to it
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

static void inspect_sides(Leaf &leaf) {
  const Type &type = *leaf.old_side.type;
  start_side(leaf, leaf.old_side);
  start_side(leaf, leaf.new_side);
  leaf.n_other_words = leaf.same_type ? 0 : leaf.count;
  if (leaf.same) {
    inspect(leaf, leaf.old_side);
    const int slot = leaf.new_side.slot;
    leaf.new_side = leaf.old_side;
    leaf.new_side.slot = slot;
  } else if (leaf.same_type && type.kind == Kind::real) {
    if (type.width == 8) return inspect_both<uint64_t>(leaf);
    if (type.width == 4) return inspect_both<uint32_t>(leaf);
    inspect_both<uint16_t>(leaf);
  } else {
    inspect(leaf, leaf.old_side);
    inspect(leaf, leaf.new_side);
    if (leaf.same_type) leaf.n_other_words = count_other_words(leaf);
  }
}

// Fill in all that depends on the words. Return whether the statistics can be taken: if not, numbers are too extreme
// for sums in float64, and the leaf is left to the reference kernel.
static bool prepare(Leaf &leaf) {
  const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
  leaf.kept_old = leaf.kept_new = leaf.kept_delta = nullptr;
  leaf.changed = nullptr;
  leaf.sign_flips = false;
  leaf.same = leaf.same_type && (a == b || !std::memcmp(a, b, size_t(leaf.count * leaf.old_side.type->width)));
  inspect_sides(leaf);
  if (!is_moderate(leaf.old_side) || !is_moderate(leaf.new_side)) return false;
  leaf.n_pairs = leaf.count;
  if (leaf.old_side.classes || leaf.new_side.classes) {
    leaf.n_pairs = 0;
    for (int64_t i = 0; i < leaf.count; i++) leaf.n_pairs += is_pair(leaf, i);
  }
  return true;
}
