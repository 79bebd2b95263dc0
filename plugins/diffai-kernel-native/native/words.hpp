// Sweeps over the elements as stored: ranges, classes, what differs. Plain loops that the compiler turns into vectors.
// No include guard: it is compiled once for each instruction set.

// Elements at any alignment; the compiler must not think otherwise.
typedef uint8_t Byte __attribute__((may_alias));
typedef uint16_t Word16 __attribute__((may_alias, aligned(1)));
typedef uint32_t Word32 __attribute__((may_alias, aligned(1)));
typedef uint64_t Word64 __attribute__((may_alias, aligned(1)));

template <class U>
struct Words;
template <>
struct Words<uint8_t> {
  typedef Byte Unaligned;
  typedef int8_t Signed;
};
template <>
struct Words<uint16_t> {
  typedef Word16 Unaligned;
  typedef int16_t Signed;
};
template <>
struct Words<uint32_t> {
  typedef Word32 Unaligned;
  typedef int32_t Signed;
};
template <>
struct Words<uint64_t> {
  typedef Word64 Unaligned;
  typedef int64_t Signed;
};

template <class U>
constexpr U sign_bit = U(U(1) << (sizeof(U) * 8 - 1));

// Word of +Inf: an exponent of all ones.
template <class U>
INLINE U infinity(int mantissa) {
  return U(U(~U(0)) << mantissa) & U(~sign_bit<U>);
}

// Signed integers in the order of the values of floats; an involution. -0.0 comes right before 0.0.
template <class U>
INLINE typename Words<U>::Signed ordered(U word) {
  typedef typename Words<U>::Signed S;
  return S(word ^ U(U(S(word) >> (sizeof(U) * 8 - 1)) & U(~sign_bit<U>)));
}

template <class S>
struct Range {
  S low, high;
};

template <class U>
static Range<typename Words<U>::Signed> ordered_range(const uint8_t *words, int64_t count) {
  typedef typename Words<U>::Signed S;
  const typename Words<U>::Unaligned *p = reinterpret_cast<const typename Words<U>::Unaligned *>(words);
  S low = ordered<U>(p[0]), high = low;
  for (int64_t i = 0; i < count; i++) {
    const S x = ordered<U>(p[i]);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  return {low, high};
}

// What both sides of a leaf of floats look like as words.
template <class U>
struct Survey {
  Range<typename Words<U>::Signed> old_range, new_range;
  int64_t n_different;
  bool sign_flips;  // whether any words differ in the sign alone
};

// Words are counted in pieces whose count fits into a word, so that the compiler counts in lanes of that width.
template <class U>
static Survey<U> survey(const uint8_t *old_words, const uint8_t *new_words, int64_t count) {
  typedef typename Words<U>::Signed S;
  const typename Words<U>::Unaligned *a = reinterpret_cast<const typename Words<U>::Unaligned *>(old_words);
  const typename Words<U>::Unaligned *b = reinterpret_cast<const typename Words<U>::Unaligned *>(new_words);
  S old_low = ordered<U>(a[0]), old_high = old_low, new_low = ordered<U>(b[0]), new_high = new_low;
  constexpr int64_t piece = 4096;
  int64_t total = 0;
  U flips = 0;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = begin + piece < count ? begin + piece : count;
    U n = 0;
    for (int64_t i = begin; i < end; i++) {
      const S x = ordered<U>(a[i]), y = ordered<U>(b[i]);
      old_low = x < old_low ? x : old_low;
      old_high = x > old_high ? x : old_high;
      new_low = y < new_low ? y : new_low;
      new_high = y > new_high ? y : new_high;
      const U difference = a[i] ^ b[i];
      n += difference != 0;
      flips |= difference == sign_bit<U>;
    }
    total += int64_t(n);
  }
  return {{old_low, old_high}, {new_low, new_high}, total, flips != 0};
}

template <class T>
static Range<T> integer_range(const uint8_t *words, int64_t count) {
  typedef T __attribute__((may_alias, aligned(1))) Unaligned;
  const Unaligned *p = reinterpret_cast<const Unaligned *>(words);
  T low = p[0], high = low;
  for (int64_t i = 0; i < count; i++) {
    const T x = p[i];
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  return {low, high};
}

// Classify floats, and return how many are finite.
template <class U>
static int64_t classify(const uint8_t *words, int64_t count, U inf, uint8_t *classes) {
  const typename Words<U>::Unaligned *p = reinterpret_cast<const typename Words<U>::Unaligned *>(words);
  int64_t n_finite = 0;
  for (int64_t i = 0; i < count; i++) {
    const U size = p[i] & U(~sign_bit<U>);
    const uint8_t infinite = p[i] & sign_bit<U> ? NEGATIVE_INF : POSITIVE_INF;
    classes[i] = size < inf ? FINITE : size > inf ? NOT_A_NUMBER : infinite;
    n_finite += size < inf;
  }
  return n_finite;
}

// How many words differ, in pieces whose count fits into a word, so that the compiler counts in lanes of that width.
template <class U>
static int64_t count_different(const uint8_t *old_words, const uint8_t *new_words, int64_t count) {
  const typename Words<U>::Unaligned *a = reinterpret_cast<const typename Words<U>::Unaligned *>(old_words);
  const typename Words<U>::Unaligned *b = reinterpret_cast<const typename Words<U>::Unaligned *>(new_words);
  constexpr int64_t piece = sizeof(U) == 1 ? 128 : 4096;
  int64_t total = 0;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = begin + piece < count ? begin + piece : count;
    U n = 0;
    for (int64_t i = begin; i < end; i++) n += a[i] != b[i];
    total += int64_t(n);
  }
  return total;
}

// How many pairs are zeros of opposite sign.
template <class U>
static int64_t count_opposite_zeros(const uint8_t *old_words, const uint8_t *new_words, int64_t count) {
  const typename Words<U>::Unaligned *a = reinterpret_cast<const typename Words<U>::Unaligned *>(old_words);
  const typename Words<U>::Unaligned *b = reinterpret_cast<const typename Words<U>::Unaligned *>(new_words);
  constexpr int64_t piece = 4096;
  int64_t total = 0;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = begin + piece < count ? begin + piece : count;
    U n = 0;
    for (int64_t i = begin; i < end; i++) n += U(a[i] | b[i]) == sign_bit<U> && a[i] != b[i];
    total += int64_t(n);
  }
  return total;
}
