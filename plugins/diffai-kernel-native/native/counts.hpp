// Zeros, NaN, Inf and other special values of one side.
// No include guard: it is compiled once for each instruction set.

// Least magnitude that rounds to infinity in float16.
constexpr double FLOAT16_OVERFLOW = 65520.0;

template <class U>
static U word_of(double value) {
  if (sizeof(U) == 8) {
    uint64_t word;
    std::memcpy(&word, &value, sizeof word);
    return U(word);
  }
  const float narrow = float(value);
  uint32_t word;
  std::memcpy(&word, &narrow, sizeof word);
  // A bfloat16 is the upper half of a float32; what the lower half holds must round up.
  return sizeof(U) == 4 ? U(word) : U((word + 0xFFFF) >> 16);
}

// Counts in pieces that fit into a word, so that the compiler counts in lanes of that width.
template <class U, class Test>
INLINE int64_t count_words(const uint8_t *words, int64_t count, Test test) {
  const typename Words<U>::Unaligned *p = reinterpret_cast<const typename Words<U>::Unaligned *>(words);
  int64_t total = 0;
  for (int64_t begin = 0; begin < count; begin += 4096) {
    const int64_t end = begin + 4096 < count ? begin + 4096 : count;
    U n = 0;
    for (int64_t i = begin; i < end; i++) n += test(U(p[i])) ? 1 : 0;
    total += int64_t(n);
  }
  return total;
}

template <class U>
static ValueCounts count_reals(const Side &side, int64_t count) {
  const Type &type = *side.type;
  constexpr U size_bits = U(~sign_bit<U>);
  const U inf = infinity<U>(type.mantissa), normal = U(U(1) << type.mantissa);
  const bool overflows = !(type.width == 2 && type.mantissa == 10);
  const U overflow = overflows ? word_of<U>(FLOAT16_OVERFLOW) : inf;
  const uint8_t *words = side.words;
  ValueCounts n = {};
  n.n = count;
  n.n_zero = count_words<U>(words, count, [=](U x) { return U(x & size_bits) == 0; });
  if (n.n_zero) n.n_neg_zero = count_words<U>(words, count, [=](U x) { return x == sign_bit<U>; });
  n.n_subnormal = count_words<U>(words, count, [=](U x) { return U(x & size_bits) < normal; }) - n.n_zero;
  if (side.classes) {
    n.n_nan = count_words<U>(words, count, [=](U x) { return U(x & size_bits) > inf; });
    n.n_pos_inf = count_words<U>(words, count, [=](U x) { return x == inf; });
    n.n_neg_inf = count_words<U>(words, count, [=](U x) { return x == U(inf | sign_bit<U>); });
  }
  const double largest = side.n_finite ? std::fmax(-side.low, side.high) : 0;
  if (largest >= FLOAT16_OVERFLOW)
    n.n_float16_overflow =
        count_words<U>(words, count, [=](U x) { return U(x & size_bits) >= overflow && U(x & size_bits) < inf; });
  return n;
}

static ValueCounts count_table(const Side &side, int64_t count) {
  int64_t seen[256] = {};
  for (int64_t i = 0; i < count; i++) seen[side.words[i]]++;
  ValueCounts n = {};
  n.n = count;
  for (int code = 0; code < 256; code++) {
    const double x = side.type->table[code], size = std::fabs(x);
    const bool finite = x - x == 0;
    n.n_nan += x != x ? seen[code] : 0;
    n.n_pos_inf += !finite && x > 0 ? seen[code] : 0;
    n.n_neg_inf += !finite && x < 0 ? seen[code] : 0;
    n.n_zero += x == 0 ? seen[code] : 0;
    n.n_neg_zero += x == 0 && std::signbit(x) ? seen[code] : 0;
    n.n_subnormal += finite && size > 0 && size < side.type->smallest_normal ? seen[code] : 0;
    n.n_float16_overflow += finite && size >= FLOAT16_OVERFLOW ? seen[code] : 0;
  }
  return n;
}

static ValueCounts count_integers(const Side &side, int64_t count) {
  ValueCounts n = {};
  n.n = count;
  if (side.low > 0 || side.high < 0) return n;
  if (side.type->width == 8)
    n.n_zero = count_words<uint64_t>(side.words, count, [](uint64_t x) { return x == 0; });
  else if (side.type->width == 4)
    n.n_zero = count_words<uint32_t>(side.words, count, [](uint32_t x) { return x == 0; });
  else if (side.type->width == 2)
    n.n_zero = count_words<uint16_t>(side.words, count, [](uint16_t x) { return x == 0; });
  else
    for (int64_t i = 0; i < count; i++) n.n_zero += side.words[i] == 0;
  return n;
}

static ValueCounts count_side(const Side &side, int64_t count) {
  switch (side.type->kind) {
    case Kind::real:
      if (side.type->width == 8) return count_reals<uint64_t>(side, count);
      return side.type->width == 4 ? count_reals<uint32_t>(side, count) : count_reals<uint16_t>(side, count);
    case Kind::table:
      return count_table(side, count);
    default:
      return count_integers(side, count);
  }
}

static void add_value_counts(ValueCounts &total, const ValueCounts &part) {
  total.n += part.n;
  total.n_nan += part.n_nan;
  total.n_pos_inf += part.n_pos_inf;
  total.n_neg_inf += part.n_neg_inf;
  total.n_zero += part.n_zero;
  total.n_neg_zero += part.n_neg_zero;
  total.n_subnormal += part.n_subnormal;
  total.n_float16_overflow += part.n_float16_overflow;
}

static void add_counts(Leaf &leaf, CountsState &state) {
  const ValueCounts old_counts = count_side(leaf.old_side, leaf.count);
  add_value_counts(state.side[0], old_counts);
  add_value_counts(state.side[1], leaf.same ? old_counts : count_side(leaf.new_side, leaf.count));
}
