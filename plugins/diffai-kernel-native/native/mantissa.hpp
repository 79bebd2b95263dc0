// Which bits of the mantissa and which exponents are in use (A7).
// No include guard: it is compiled once for each instruction set.

struct WordUse {
  uint64_t bits;       // set in any finite word
  double least, most;  // magnitudes; 0 if all values are 0
};

template <class U>
static WordUse use_of_reals(const Side &side, int64_t count) {
  constexpr U size_bits = U(~sign_bit<U>);
  const typename Words<U>::Unaligned *p = reinterpret_cast<const typename Words<U>::Unaligned *>(side.words);
  const U inf = infinity<U>(side.type->mantissa);
  U bits = 0, below_least = U(~U(0)), most = 0;  // one less than the least: what 0 wraps round to is never less
  for (int64_t i = 0; i < count; i++) {
    const U size = p[i] & size_bits, x = U(size & U(-U(size < inf))), below = U(x - 1);
    bits = U(bits | x);
    below_least = below < below_least ? below : below_least;
    most = x > most ? x : most;
  }
  if (!most) return {bits, 0, 0};
  typedef typename Words<U>::Signed S;
  return {bits, value_of_ordered<U>(*side.type, S(below_least + 1)), value_of_ordered<U>(*side.type, S(most))};
}

static WordUse use_of_codes(const Side &side, int64_t count) {
  uint8_t seen[256] = {};
  for (int64_t i = 0; i < count; i++) seen[side.words[i]] = 1;
  WordUse use = {0, 0, 0};
  for (int code = 0; code < 256; code++) {
    const double size = std::fabs(side.type->table[code]);
    if (!seen[code] || !(size - size == 0)) continue;
    use.bits |= uint64_t(code);
    if (size > 0 && (use.least == 0 || size < use.least)) use.least = size;
    if (size > use.most) use.most = size;
  }
  return use;
}

static void add_use(const Side &side, int64_t count, MantissaUse &state) {
  const Type &type = *side.type;
  if ((type.kind != Kind::real && type.kind != Kind::table) || !side.n_finite) return;
  const WordUse use = type.kind == Kind::table ? use_of_codes(side, count)
                      : type.width == 8        ? use_of_reals<uint64_t>(side, count)
                      : type.width == 4        ? use_of_reals<uint32_t>(side, count)
                                               : use_of_reals<uint16_t>(side, count);
  state.mask |= int64_t(use.bits & ((uint64_t(1) << type.mantissa) - 1));
  if (!use.most) return;
  const int64_t low = std::ilogb(use.least), high = std::ilogb(use.most);
  state.min_exponent = state.in_use && state.min_exponent < low ? state.min_exponent : low;
  state.max_exponent = state.in_use && state.max_exponent > high ? state.max_exponent : high;
  state.in_use = 1;
}

static void add_mantissa(Leaf &leaf, MantissaState &state) {
  add_use(leaf.old_side, leaf.count, state.side[0]);
  add_use(leaf.new_side, leaf.count, state.side[1]);
}
