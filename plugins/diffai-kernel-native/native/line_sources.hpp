// The pairs of a leaf as eight lanes, from the stored words or from float64 values.
// No include guard: it is compiled once for each instruction set.

struct LanePair {
  Lanes a, b;
};

INLINE Lanes first_lanes(Lanes x, int64_t n) {
  alignas(64) static const int64_t keep[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  for (int k = 0; k < N_PARTS; k++) x.part[k] = (Vd)((Vl)x.part[k] & unaligned<Vl>(keep + 8 - n + k * V));
  return x;
}

// Both sides hold floats of one type, all finite.
template <class Load>
struct WordPairs {
  static constexpr bool narrow = Load::narrow;
  const uint8_t *old_words, *new_words;
  int64_t count;

  INLINE LanePair at(const WordPairs &s, int64_t i) { return {Load::at(s.old_words, i), Load::at(s.new_words, i)}; }

  // Load sixteen pairs in whichever order is fastest.
  INLINE void two(const WordPairs &s, int64_t i, LanePair &x, LanePair &y) {
    Load::two(s.old_words, i, x.a, y.a);
    Load::two(s.new_words, i, x.b, y.b);
  }

  // Return `n` pairs from the i-th on, below eight, and zeros in the other lanes.
  INLINE LanePair some(const WordPairs &s, int64_t i, int64_t n) {
    if (i + 8 <= s.count) return {first_lanes(Load::at(s.old_words, i), n), first_lanes(Load::at(s.new_words, i), n)};
    constexpr int64_t width = sizeof(typename Load::Word);
    alignas(64) uint8_t old_rest[64] = {}, new_rest[64] = {};
    std::memcpy(old_rest, s.old_words + i * width, n * width);
    std::memcpy(new_rest, s.new_words + i * width, n * width);
    return {Load::at(old_rest, 0), Load::at(new_rest, 0)};
  }
};

// The classes of eight elements; zero if all are finite.
INLINE uint64_t eight_classes(const uint8_t *classes, int64_t i) {
  return classes ? load<uint64_t>(classes + i, 0) : 0;
}

// Values of which some are not finite; such pairs are zeros.
struct MaskedPairs {
  static constexpr bool narrow = false;
  const double *old_values, *new_values;
  const uint8_t *old_classes, *new_classes;  // nullptr where all are finite
  int64_t count;

  INLINE LanePair some(const MaskedPairs &s, int64_t i, int64_t n) {
    alignas(64) double a[8] = {}, b[8] = {};
    for (int64_t j = 0; j < n; j++) {
      const bool kept = !((s.old_classes && s.old_classes[i + j]) || (s.new_classes && s.new_classes[i + j]));
      a[j] = kept ? s.old_values[i + j] : 0;
      b[j] = kept ? s.new_values[i + j] : 0;
    }
    return {unaligned<Lanes>(a), unaligned<Lanes>(b)};
  }

  INLINE LanePair at(const MaskedPairs &s, int64_t i) {
    if (eight_classes(s.old_classes, i) | eight_classes(s.new_classes, i)) return some(s, i, 8);
    return {unaligned<Lanes>(s.old_values + i), unaligned<Lanes>(s.new_values + i)};
  }

  INLINE void two(const MaskedPairs &s, int64_t i, LanePair &x, LanePair &y) {
    x = at(s, i);
    y = at(s, i + 8);
  }
};

// Call `use` with the index of every element from `begin` to `end` that is not finite on both sides.
template <class Use>
INLINE void for_unpaired(const Leaf &leaf, int64_t begin, int64_t end, Use use) {
  const uint8_t *a = leaf.old_side.classes, *b = leaf.new_side.classes;
  for (int64_t i = begin; i < end;) {
    if (i + 8 <= end && !(eight_classes(a, i) | eight_classes(b, i))) {
      i += 8;
      continue;
    }
    if (!is_pair(leaf, i)) use(i);
    i++;
  }
}

// Call `use` with the best source of the pairs of a leaf.
template <class Use>
static void with_pairs(Leaf &leaf, Use use) {
  const Type &type = *leaf.old_side.type;
  const uint8_t *a = leaf.old_side.words, *b = leaf.new_side.words;
  const bool all_finite = leaf.n_pairs == leaf.count;
  if (all_finite && leaf.same_type && type.kind == Kind::real) {
    if (type.width == 8) return use(WordPairs<Float64>{a, b, leaf.count});
    if (type.width == 4) return use(WordPairs<Float32>{a, b, leaf.count});
    if (type.mantissa == 7) return use(WordPairs<BFloat16>{a, b, leaf.count});
    return use(WordPairs<Float16>{a, b, leaf.count});
  }
  const double *x = values_of(leaf, leaf.old_side), *y = values_of(leaf, leaf.new_side);
  if (!all_finite) return use(MaskedPairs{x, y, leaf.old_side.classes, leaf.new_side.classes, leaf.count});
  use(WordPairs<Float64>{reinterpret_cast<const uint8_t *>(x), reinterpret_cast<const uint8_t *>(y), leaf.count});
}

template <class U>
static bool any_zero_word(const Side &side, int64_t count) {
  return count_words<U>(side.words, count, [](U x) { return U(x & U(~sign_bit<U>)) == 0; });
}

static bool find_zeros(const Leaf &leaf, const Side &side) {
  if (side.n_finite && (side.low > 0 || side.high < 0)) return false;
  if (side.type->kind != Kind::real) return true;
  if (side.type->width == 8) return any_zero_word<uint64_t>(side, leaf.count);
  return side.type->width == 4 ? any_zero_word<uint32_t>(side, leaf.count) : any_zero_word<uint16_t>(side, leaf.count);
}

// Whether an element of a side is zero; may say so where none is, but not the other way round.
static bool may_hold_zero(const Leaf &leaf, Side &side) {
  if (side.zeros == Known::not_yet) side.zeros = find_zeros(leaf, side) ? Known::yes : Known::no;
  return side.zeros == Known::yes;
}

// Whether any element is zero, or stands as a zero for a pair that is left out.
static bool any_zeros(Leaf &leaf) {
  if (leaf.n_pairs < leaf.count || may_hold_zero(leaf, leaf.old_side)) return true;
  return !leaf.same && may_hold_zero(leaf, leaf.new_side);
}
