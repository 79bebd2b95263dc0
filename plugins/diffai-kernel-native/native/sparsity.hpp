// Zeros in groups of four consecutive elements of a row.
// No include guard: it is compiled once for each instruction set.

constexpr int64_t ZEROS_PIECE = 2048;

template <class U>
static void mark_zero_words(const uint8_t *words, int64_t count, U ignored, uint8_t *zeros) {
  const typename Words<U>::Unaligned *p = reinterpret_cast<const typename Words<U>::Unaligned *>(words);
  for (int64_t i = 0; i < count; i++) zeros[i] = U(p[i] & U(~ignored)) == 0;
}

// Mark which of `count` elements from the one at `begin` on are zero.
static void mark_zeros(const Side &side, int64_t begin, int64_t count, uint8_t *zeros) {
  const Type &type = *side.type;
  const uint8_t *words = side.words + begin * type.width;
  if (type.kind == Kind::table) {
    for (int64_t i = 0; i < count; i++) zeros[i] = type.table[words[i]] == 0;
    return;
  }
  const bool real = type.kind == Kind::real;
  switch (type.width) {
    case 8:
      return mark_zero_words<uint64_t>(words, count, real ? sign_bit<uint64_t> : 0, zeros);
    case 4:
      return mark_zero_words<uint32_t>(words, count, real ? sign_bit<uint32_t> : 0, zeros);
    case 2:
      return mark_zero_words<uint16_t>(words, count, real ? sign_bit<uint16_t> : uint16_t(0), zeros);
    default:
      return mark_zero_words<uint8_t>(words, count, 0, zeros);
  }
}

// Count the groups by the number of zeros.
static void count_zeros_of_fours(Leaf &leaf, Side &side, int64_t *groups) {
  std::memset(groups, 0, 5 * sizeof *groups);
  const int64_t count = may_hold_zero(leaf, side) ? leaf.count : 0;
  for (int64_t begin = 0; begin < count; begin += ZEROS_PIECE) {
    const int64_t n = count - begin < ZEROS_PIECE ? count - begin : ZEROS_PIECE;
    alignas(64) uint8_t zeros[ZEROS_PIECE];
    mark_zeros(side, begin, n, zeros);
    uint32_t n1 = 0, n2 = 0, n3 = 0, n4 = 0;
    const Word32 *fours = reinterpret_cast<const Word32 *>(zeros);
    for (int64_t i = 0; i < n / 4; i++) {
      const uint32_t sum = fours[i] * 0x01010101u >> 24;  // the four bytes add up in the highest one
      n1 += sum == 1;
      n2 += sum == 2;
      n3 += sum == 3;
      n4 += sum == 4;
    }
    groups[1] += n1;
    groups[2] += n2;
    groups[3] += n3;
    groups[4] += n4;
  }
  groups[0] = leaf.count / 4 - groups[1] - groups[2] - groups[3] - groups[4];
}

static void add_sparsity(Leaf &leaf, SparsityState &state) {
  int64_t groups[5];
  count_zeros_of_fours(leaf, leaf.old_side, groups);
  for (int k = 0; k < 5; k++) state.groups[0][k] += groups[k];
  if (!leaf.same) count_zeros_of_fours(leaf, leaf.new_side, groups);
  for (int k = 0; k < 5; k++) state.groups[1][k] += groups[k];
}
