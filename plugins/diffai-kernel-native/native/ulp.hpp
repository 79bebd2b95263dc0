// Distances between the bit patterns of both sides, which bits differ, and the bytes of the distances (A8).
// No include guard: it is compiled once for each instruction set.

// How words are ordered: as integers, or as floats with a sign bit, of which both zeros are one value.
enum class Order { integer, natural, sign_magnitude };

// Pairs at a time: what is computed of them stays in the level-1 cache until it is counted.
constexpr int64_t ULP_PIECE = 512;

template <class U>
struct UlpSizes {
  static constexpr int width = sizeof(U) * 8;
  static constexpr int count_bits = width == 64 ? 7 : width == 32 ? 6 : width == 16 ? 5 : 4;  // of 0 to `width`
  static constexpr int n_codes = 2 << (2 * count_bits);
  static constexpr int n_bytes = sizeof(U);
};

// Bits that differ, bit length of the distance and, at the top, whether NEW is below OLD: 0 for equal words.
template <class U>
INLINE uint16_t ulp_code(U n_differ, U length, bool fell) {
  constexpr int bits = UlpSizes<U>::count_bits;
  return uint16_t(uint16_t(n_differ) | uint16_t(uint16_t(length) << bits) | uint16_t(fell ? 1 << (2 * bits) : 0));
}

// What is computed of a piece.
template <class U>
struct UlpPiece {
  alignas(64) uint16_t codes[ULP_PIECE];
  alignas(64) U zigzag[ULP_PIECE];
  alignas(64) U kept[2][ULP_PIECE];  // the words, where some were left out
};

// Counts of one leaf.
template <class U>
struct UlpTables {
  uint32_t codes[UlpSizes<U>::n_codes];
  uint32_t bytes[UlpSizes<U>::n_bytes][256];
  UlpPiece<U> piece;
};

INLINE uint32_t bit_length(uint32_t x) {
  // The exponent of half of it; what is cleared keeps the conversion from rounding up.
  const uint32_t half = x >> 1;
  const float narrow = float(int32_t(half & ~(half >> 1)));
  uint32_t word;
  std::memcpy(&word, &narrow, sizeof word);
  const int32_t length = int32_t(word >> 23) - 126;
  return uint32_t(length > 0 ? length : 0) + (x ? 1 : 0);
}

INLINE uint64_t bit_length(uint64_t x) { return x ? uint64_t(64 - __builtin_clzll(x)) : 0; }
INLINE uint16_t bit_length(uint16_t x) { return uint16_t(bit_length(uint32_t(x))); }
INLINE uint8_t bit_length(uint8_t x) { return uint8_t(bit_length(uint32_t(x))); }

template <class U>
INLINE U count_bits(U x) {
  constexpr U ones = U(~U(0));
  constexpr unsigned width = sizeof(U) * 8;
  x = U(x - (U(x >> 1) & U(ones / 3)));
  x = U((x & U(ones / 5)) + (U(x >> 2) & U(ones / 5)));
  x = U(U(x + U(x >> 4)) & U(ones / 17));
  if (width > 8) x = U(x + U(x >> 8 % width));
  if (width > 16) x = U(x + U(x >> 16 % width));
  if (width > 32) x = U(x + U(x >> 32 % width));
  return U(x & 0x7F);
}

// Return the place of a word among all values in order. `unused` bits at the top of a byte are no part of the number.
template <class U, Order order>
INLINE typename Words<U>::Signed ordinal(U word, int unused) {
  typedef typename Words<U>::Signed S;
  if (order == Order::integer) return S(word);
  if (order == Order::natural) return S(word ^ sign_bit<U>);
  const U up = sizeof(U) == 1 ? U(word << unused) : word;
  const S place = S(up) < 0 ? S(U(sign_bit<U> - up)) : S(up);
  return sizeof(U) == 1 ? S(place >> unused) : place;
}

#if defined(USE_AVX512)
// The same for 32 bits, as what the compiler makes of it takes nearly twice as long: bit lengths are an instruction
// here, and bits are counted by the half byte. Measures a multiple of 16 pairs; returns how many.
template <Order order>
INLINE int64_t measure_sixteens(const uint8_t *old_words, const uint8_t *new_words, int64_t count,
                                UlpPiece<uint32_t> &piece, uint32_t &largest, uint16_t &n_sign_flips) {
  constexpr int bits = UlpSizes<uint32_t>::count_bits;
  const __m512i sign = _mm512_set1_epi32(INT32_MIN), one = _mm512_set1_epi32(1), half_byte = _mm512_set1_epi8(15);
  const __m128i bits_of_half = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m512i bits_of = _mm512_maskz_broadcast_i32x4(__mmask16(-1), bits_of_half);
  __m512i most = _mm512_setzero_si512(), flips = most;
  const int64_t n = count & ~int64_t(15);
  for (int64_t i = 0; i < n; i += 16) {
    const __m512i a = _mm512_loadu_si512(old_words + 4 * i), b = _mm512_loadu_si512(new_words + 4 * i);
    __m512i p = a, q = b;
    if (order == Order::natural) {
      p = _mm512_xor_si512(a, sign);
      q = _mm512_xor_si512(b, sign);
    } else if (order == Order::sign_magnitude) {
      p = _mm512_mask_sub_epi32(a, _mm512_movepi32_mask(a), sign, a);
      q = _mm512_mask_sub_epi32(b, _mm512_movepi32_mask(b), sign, b);
    }
    const __m512i low = _mm512_min_epi32(p, q), high = _mm512_max_epi32(p, q);
    const __m512i step = _mm512_sub_epi32(q, p), distance = _mm512_sub_epi32(high, low);
    most = _mm512_max_epu32(most, distance);
    if (order != Order::natural) {
      const __mmask16 flip = _mm512_mask_cmpgt_epi32_mask(_mm512_movepi32_mask(low), high, _mm512_setzero_si512());
      flips = _mm512_mask_add_epi32(flips, flip, flips, one);
    }
    const __m512i zigzag = _mm512_xor_si512(_mm512_slli_epi32(step, 1), _mm512_srai_epi32(step, 31));
    _mm512_store_si512(piece.zigzag + i, zigzag);
    const __m512i differ = _mm512_xor_si512(a, b), upper = _mm512_srli_epi16(differ, 4);
    const __m512i of_bytes =
        _mm512_add_epi8(_mm512_shuffle_epi8(bits_of, _mm512_and_si512(differ, half_byte)),
                        _mm512_shuffle_epi8(bits_of, _mm512_and_si512(upper, half_byte)));
    const __m512i of_halves = _mm512_maddubs_epi16(of_bytes, _mm512_set1_epi8(1));
    const __m512i of_words = _mm512_madd_epi16(of_halves, _mm512_set1_epi16(1));
    const __m512i length = _mm512_sub_epi32(_mm512_set1_epi32(32), _mm512_lzcnt_epi32(distance));
    __m512i codes = _mm512_or_si512(of_words, _mm512_slli_epi32(length, bits));
    codes = _mm512_mask_or_epi32(codes, _mm512_cmplt_epi32_mask(q, p), codes, _mm512_set1_epi32(1 << (2 * bits)));
    _mm256_store_si256(reinterpret_cast<__m256i *>(piece.codes + i), _mm512_cvtepi32_epi16(codes));
  }
  uint32_t lanes[2][16];
  _mm512_storeu_si512(lanes[0], most);
  _mm512_storeu_si512(lanes[1], flips);
  for (int k = 0; k < 16; k++) {
    largest = lanes[0][k] > largest ? lanes[0][k] : largest;
    n_sign_flips = uint16_t(n_sign_flips + lanes[1][k]);
  }
  return n;
}
#endif

template <class U, Order order>
static void measure_distances(const typename Words<U>::Unaligned *old_words,
                              const typename Words<U>::Unaligned *new_words, int64_t count, int unused,
                              UlpPiece<U> &piece, UlpState *state) {
  typedef typename Words<U>::Signed S;
  constexpr int width = sizeof(U) * 8;
  const U used = U(U(~U(0)) >> unused);
  U largest = 0;
  uint16_t n_sign_flips = 0;
  int64_t i = 0;
#if defined(USE_AVX512)
  if constexpr (sizeof(U) == 4)
    i = measure_sixteens<order>(reinterpret_cast<const uint8_t *>(old_words),
                                reinterpret_cast<const uint8_t *>(new_words), count, piece, largest, n_sign_flips);
#endif
  for (; i < count; i++) {
    const U a = old_words[i], b = new_words[i];
    const S p = ordinal<U, order>(a, unused), q = ordinal<U, order>(b, unused);
    const S low = p < q ? p : q, high = p < q ? q : p;
    const U step = U(U(q) - U(p)), distance = U(U(high) - U(low));
    largest = distance > largest ? distance : largest;
    if (order != Order::natural) n_sign_flips = uint16_t(n_sign_flips + ((low < 0) & (high > 0)));
    piece.zigzag[i] = U(U(step << 1) ^ U(S(step) >> (width - 1)));
    piece.codes[i] = ulp_code<U>(count_bits(U((a ^ b) & used)), bit_length(distance), q < p);
  }
  if (!state) return;
  state->largest = state->largest > uint64_t(largest) ? state->largest : uint64_t(largest);
  state->n_sign_flips += n_sign_flips;
}

// Count up what was computed of four pairs. Return whether anything is to be counted: equal words are not.
template <class U, bool codes_wanted, bool bytes_wanted, bool upper_together>
INLINE bool count_four(const UlpPiece<U> &piece, int64_t i, UlpTables<U> &tables, uint32_t *upper) {
  constexpr int width = UlpSizes<U>::width, apart = UlpSizes<U>::n_bytes - (upper_together ? 2 : 0);
  uint64_t codes;
  std::memcpy(&codes, piece.codes + i, sizeof codes);
  if (!codes) return false;
  for (int k = 0; k < 4; k++) {
    if (codes_wanted) tables.codes[(codes >> (16 * k)) & 0xFFFF]++;
    if (!bytes_wanted) continue;
    const U zigzag = piece.zigzag[i + k];
    if (upper_together) upper[zigzag >> ((width - 16) % width)]++;
    for (int byte = 0; byte < apart; byte++) tables.bytes[byte][(zigzag >> (8 * byte)) & 0xFF]++;
  }
  return true;
}

// Copy the words of the pairs without NaN; return how many there are.
template <class U>
static int64_t keep_without_nan(const Leaf &leaf, int64_t begin, int64_t count, UlpPiece<U> &piece) {
  int64_t n = 0;
  for (int64_t i = 0; i < count; i++) {
    piece.kept[0][n] = load<U>(leaf.old_side.words, begin + i);
    piece.kept[1][n] = load<U>(leaf.new_side.words, begin + i);
    n += class_of(leaf.old_side, begin + i) != NOT_A_NUMBER && class_of(leaf.new_side, begin + i) != NOT_A_NUMBER;
  }
  return n;
}

// Where the counts of a tensor go; what is not wanted has no state.
template <class U>
struct UlpCounts {
  UlpState *ulp;
  BytePlanesState *planes;
  int64_t *lengths = nullptr, *n_differ = nullptr, *bytes = nullptr;
  uint32_t *upper = nullptr;

  UlpCounts(UlpState *ulp, BytePlanesState *planes) : ulp(ulp), planes(planes) {
    if (ulp) {
      lengths = reinterpret_cast<int64_t *>(ulp + 1);
      n_differ = lengths + 2 * (UlpSizes<U>::width + 1);
    }
    if (planes) {
      bytes = reinterpret_cast<int64_t *>(planes + 1);
      upper = reinterpret_cast<uint32_t *>(bytes + UlpSizes<U>::n_bytes * 256);
    }
  }

  void add_pairs(int64_t n) {
    if (ulp) ulp->n += n;
    if (planes) planes->n += n;
  }

  void add_unchanged(int64_t n) {
    if (ulp) {
      lengths[UlpSizes<U>::width + 1] += n;
      n_differ[0] += n;
    }
    for (int byte = 0; planes && byte < UlpSizes<U>::n_bytes; byte++) bytes[byte * 256] += n;
  }

  void add_codes(const UlpTables<U> &tables) {
    constexpr int width = UlpSizes<U>::width, bits = UlpSizes<U>::count_bits;
    for (int fell = 0; fell < 2; fell++)
      for (int length = 0; length <= width; length++) {
        const uint32_t *codes = tables.codes + (((fell << bits) + length) << bits);
        int64_t n = 0;
        for (int k = 0; k <= width; k++) {
          n += codes[k];
          n_differ[k] += codes[k];
        }
        lengths[(1 - fell) * (width + 1) + length] += n;
      }
  }

  void add_bytes(const UlpTables<U> &tables) {
    for (int byte = 0; byte < UlpSizes<U>::n_bytes; byte++)
      for (int value = 0; value < 256; value++) bytes[byte * 256 + value] += tables.bytes[byte][value];
  }
};

template <class U, Order order, bool codes_wanted, bool bytes_wanted, bool upper_together>
static void add_distances(const Leaf &leaf, UlpCounts<U> &counts) {
  typedef const typename Words<U>::Unaligned Word;
  UlpTables<U> &tables = scratch_as<UlpTables<U>>(leaf);
  if (codes_wanted) std::memset(tables.codes, 0, sizeof tables.codes);
  if (bytes_wanted) std::memset(tables.bytes, 0, sizeof tables.bytes);
  const bool has_nan = leaf.old_side.classes || leaf.new_side.classes;
  const int bits = leaf.old_side.type->bits, unused = bits < 8 ? 8 - bits : 0;
  int64_t n_unchanged = 0;
  for (int64_t begin = 0; begin < leaf.count; begin += ULP_PIECE) {
    int64_t n = leaf.count - begin < ULP_PIECE ? leaf.count - begin : ULP_PIECE;
    Word *a = reinterpret_cast<Word *>(leaf.old_side.words) + begin;
    Word *b = reinterpret_cast<Word *>(leaf.new_side.words) + begin;
    if (has_nan) {
      n = keep_without_nan<U>(leaf, begin, n, tables.piece);
      a = tables.piece.kept[0];
      b = tables.piece.kept[1];
    }
    counts.add_pairs(n);
    measure_distances<U, order>(a, b, n, unused, tables.piece, counts.ulp);
    int64_t i = n;
    for (; i % 4; i++) tables.piece.codes[i] = tables.piece.zigzag[i] = 0;
    n_unchanged -= i - n;  // counted with the rest, or left out and added again
    for (i = 0; i < n; i += 4)
      if (!count_four<U, codes_wanted, bytes_wanted, upper_together>(tables.piece, i, tables, counts.upper))
        n_unchanged += 4;
  }
  if (codes_wanted) counts.add_codes(tables);
  if (bytes_wanted) counts.add_bytes(tables);
  counts.add_unchanged(n_unchanged);
}

template <class U, bool codes_wanted, bool bytes_wanted, bool upper_together>
static void add_ordered_pairs(const Leaf &leaf, UlpCounts<U> &counts) {
  const Type &type = *leaf.old_side.type;
  if (leaf.same) {
    int64_t n = leaf.count;
    if (leaf.old_side.classes)
      for (int64_t i = 0; i < leaf.count; i++) n -= leaf.old_side.classes[i] == NOT_A_NUMBER;
    counts.add_pairs(n);
    counts.add_unchanged(n);
  } else if (type.kind == Kind::natural || type.no_sign) {
    add_distances<U, Order::natural, codes_wanted, bytes_wanted, upper_together>(leaf, counts);
  } else if (type.kind == Kind::integer) {
    add_distances<U, Order::integer, codes_wanted, bytes_wanted, upper_together>(leaf, counts);
  } else {
    add_distances<U, Order::sign_magnitude, codes_wanted, bytes_wanted, upper_together>(leaf, counts);
  }
}

template <class U>
static void add_ulp_of_words(const Leaf &leaf, UlpState *ulp, BytePlanesState *planes) {
  constexpr bool has_upper = sizeof(U) > 1;
  UlpCounts<U> counts(ulp, planes);
  const bool together = has_upper && leaf.layout->rows * leaf.layout->columns > ULP_APART;
  if (!planes)
    add_ordered_pairs<U, true, false, false>(leaf, counts);
  else if (!ulp)
    together ? add_ordered_pairs<U, false, true, has_upper>(leaf, counts)
             : add_ordered_pairs<U, false, true, false>(leaf, counts);
  else
    together ? add_ordered_pairs<U, true, true, has_upper>(leaf, counts)
             : add_ordered_pairs<U, true, true, false>(leaf, counts);
}

// Both sides are of one type.
static void add_ulp(Leaf &leaf, UlpState *ulp, BytePlanesState *planes) {
  switch (leaf.old_side.type->width) {
    case 8:
      return add_ulp_of_words<uint64_t>(leaf, ulp, planes);
    case 4:
      return add_ulp_of_words<uint32_t>(leaf, ulp, planes);
    case 2:
      return add_ulp_of_words<uint16_t>(leaf, ulp, planes);
    default:
      return add_ulp_of_words<uint8_t>(leaf, ulp, planes);
  }
}
