// How often each 16-bit key occurs in OLD, in NEW and in NEW - OLD (A5).
//
// A key is the upper half of a float32, or the whole of a bfloat16 or float16. Tables of keys are counted up with one
// load and store per value; OLD, NEW and the difference take turns, so that a value that repeats does not wait for its
// own last count.
// No include guard: it is compiled once for each instruction set.

constexpr int64_t KEYS_PIECE = 512;

// Three arrays of keys of one leaf.
struct KeyScratch {
  uint16_t keys[LEAF];
  uint16_t sorted[LEAF];
};

// Return the upper half of the float32 that comes next towards zero: what float64 has more is cleared first, so that
// the conversion does not round, except among numbers that are 0 in the upper half.
INLINE uint16_t key_of(double value) {
  uint64_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  wide &= ~((uint64_t(1) << 45) - 1);
  std::memcpy(&value, &wide, sizeof value);
  const float narrow = float(value);
  uint32_t word;
  std::memcpy(&word, &narrow, sizeof word);
  return uint16_t(word >> 16);
}

static void keys_of_values(const double *values, int64_t count, uint16_t *keys) {
  for (int64_t i = 0; i < count; i++) keys[i] = key_of(values[i]);
}

// The keys of NEW - OLD of at most KEYS_PIECE pairs.
template <class Load>
static void keys_of_differences(const uint8_t *old_words, const uint8_t *new_words, int64_t count, uint16_t *keys) {
  constexpr int64_t width = sizeof(typename Load::Word);
  alignas(64) double delta[KEYS_PIECE];
  alignas(64) uint8_t old_rest[64] = {}, new_rest[64] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const Lanes d = Load::at(new_words, i) - Load::at(old_words, i);
    std::memcpy(delta + i, &d, sizeof d);
  }
  if (i < count) {
    std::memcpy(old_rest, old_words + i * width, (count - i) * width);
    std::memcpy(new_rest, new_words + i * width, (count - i) * width);
    const Lanes d = Load::at(new_rest, 0) - Load::at(old_rest, 0);
    std::memcpy(delta + i, &d, (count - i) * sizeof(double));
  }
  keys_of_values(delta, count, keys);
}

// The key of an element as stored, in reals of 16 and 32 bits.
template <class U>
INLINE uint16_t own_key(const uint8_t *words, int64_t i) {
  uint16_t key;
  std::memcpy(&key, words + (i + 1) * int64_t(sizeof(U)) - 2, sizeof key);
  return key;
}

template <class Load>
static void count_pairs(const Leaf &leaf, uint32_t (*sides)[2], uint32_t *delta) {
  typedef typename Load::Word U;
  alignas(64) uint16_t keys[KEYS_PIECE];
  int64_t n_unchanged = 0;
  for (int64_t begin = 0; begin < leaf.count; begin += KEYS_PIECE) {
    const int64_t n = leaf.count - begin < KEYS_PIECE ? leaf.count - begin : KEYS_PIECE;
    const uint8_t *a = leaf.old_side.words + begin * sizeof(U), *b = leaf.new_side.words + begin * sizeof(U);
    keys_of_differences<Load>(a, b, n, keys);
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
      uint64_t four;
      std::memcpy(&four, keys + i, sizeof four);
      for (int k = 0; k < 4; k++) {
        sides[own_key<U>(a, i + k)][0]++;
        sides[own_key<U>(b, i + k)][1]++;
        if (four) delta[(four >> (16 * k)) & 0xFFFF]++;
      }
      n_unchanged += four ? 0 : 4;
    }
    for (; i < n; i++) {
      sides[own_key<U>(a, i)][0]++;
      sides[own_key<U>(b, i)][1]++;
      delta[keys[i]]++;
    }
  }
  delta[0] += uint32_t(n_unchanged);
}

template <class U>
static void copy_own_keys(const Side &side, int64_t count, uint16_t *keys) {
  for (int64_t i = 0; i < count; i++) keys[i] = own_key<U>(side.words, i);
}

// Write the keys of the finite elements of a side; return how many there are.
static int64_t keys_of_side(Leaf &leaf, Side &side, uint16_t *keys) {
  if (side.type->kind == Kind::real && side.type->width == 4)
    copy_own_keys<uint32_t>(side, leaf.count, keys);
  else if (side.type->kind == Kind::real && side.type->width == 2)
    copy_own_keys<uint16_t>(side, leaf.count, keys);
  else
    keys_of_values(values_of(leaf, side), leaf.count, keys);
  if (!side.classes) return leaf.count;
  int64_t n = 0;
  for (int64_t i = 0; i < leaf.count; i++) {
    keys[n] = keys[i];
    n += side.classes[i] == FINITE;
  }
  return n;
}

static int64_t keys_of_delta(Leaf &leaf, uint16_t *keys) {
  if (leaf.same) {
    std::memset(keys, 0, leaf.n_pairs * sizeof *keys);
    return leaf.n_pairs;
  }
  keep_pairs(leaf);
  keys_of_values(leaf.kept_delta, leaf.n_pairs, keys);
  return leaf.n_pairs;
}

// Sort keys by their lower and then by their upper byte.
static void sort_keys(uint16_t *keys, int64_t count, uint16_t *scratch) {
  uint32_t places[2][256] = {};
  for (int64_t i = 0; i < count; i++) {
    places[0][keys[i] & 0xFF]++;
    places[1][keys[i] >> 8]++;
  }
  for (int byte = 0; byte < 2; byte++) {
    uint32_t next = 0;
    for (int value = 0; value < 256; value++) {
      const uint32_t n = places[byte][value];
      places[byte][value] = next;
      next += n;
    }
  }
  for (int64_t i = 0; i < count; i++) scratch[places[0][keys[i] & 0xFF]++] = keys[i];
  for (int64_t i = 0; i < count; i++) keys[places[1][scratch[i] >> 8]++] = scratch[i];
}

// Add keys to a list. What the list has is taken up among them, and there is room for it behind them: a tensor with
// lists has no more than LISTED_KEYS elements.
static void list_keys(KeyScratch &scratch, int64_t n, int64_t &n_listed, uint16_t *listed, uint32_t *counts) {
  for (int64_t i = 0; i < n_listed; i++)
    for (uint32_t k = 0; k < counts[i]; k++) scratch.keys[n++] = listed[i];
  sort_keys(scratch.keys, n, scratch.sorted);
  n_listed = 0;
  for (int64_t i = 0; i < n; i++) {
    const bool again = i && scratch.keys[i] == scratch.keys[i - 1];
    n_listed += !again;
    listed[n_listed - 1] = scratch.keys[i];
    counts[n_listed - 1] = again ? counts[n_listed - 1] + 1 : 1;
  }
}

static void add_lists(Leaf &leaf, HistogramsState &state, int64_t capacity) {
  auto *counts = reinterpret_cast<uint32_t *>(&state + 1);
  auto *listed = reinterpret_cast<uint16_t *>(counts + 3 * capacity);
  KeyScratch &scratch = scratch_as<KeyScratch>(leaf);
  for (int series = 0; series < 3; series++) {
    const int64_t n = series == 2 ? keys_of_delta(leaf, scratch.keys)
                                  : keys_of_side(leaf, series ? leaf.new_side : leaf.old_side, scratch.keys);
    list_keys(scratch, n, state.n_listed[series], listed + series * capacity, counts + series * capacity);
  }
}

// Elements of one byte: count the bytes, then look up their keys.
static void count_codes(const Side &side, int64_t count, uint32_t (*sides)[2], int column) {
  uint32_t seen[256][4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int k = 0; k < 4; k++) seen[side.words[i + k]][k]++;
  for (; i < count; i++) seen[side.words[i]][0]++;
  for (int code = 0; code < 256; code++) {
    const uint32_t n = seen[code][0] + seen[code][1] + seen[code][2] + seen[code][3];
    if (!n) continue;
    const uint8_t word = uint8_t(code);
    Side one = side;
    one.words = &word;
    const double value = value_at(one, 0);
    if (value - value == 0) sides[key_of(value)][column] += n;
  }
}

static void count_side_keys(Leaf &leaf, Side &side, uint32_t (*sides)[2], int column) {
  if (side.type->width == 1) return count_codes(side, leaf.count, sides, column);
  uint16_t *keys = scratch_as<KeyScratch>(leaf).keys;
  const int64_t n = keys_of_side(leaf, side, keys);
  for (int64_t i = 0; i < n; i++) sides[keys[i]][column]++;
}

static void count_delta_keys(Leaf &leaf, uint32_t *delta) {
  if (leaf.same) {
    delta[0] += uint32_t(leaf.n_pairs);
    return;
  }
  uint16_t *keys = scratch_as<KeyScratch>(leaf).keys;
  const int64_t n = keys_of_delta(leaf, keys);
  for (int64_t i = 0; i < n; i++) delta[keys[i]]++;
}

static void add_tables(Leaf &leaf, HistogramsState &state) {
  auto *sides = reinterpret_cast<uint32_t(*)[2]>(&state + 1);
  auto *delta = reinterpret_cast<uint32_t *>(sides + N_KEYS);
  const Type &type = *leaf.old_side.type;
  const bool all_pairs = leaf.same_type && !leaf.same && leaf.n_pairs == leaf.count && type.kind == Kind::real;
  if (all_pairs && type.width == 4) return count_pairs<Float32>(leaf, sides, delta);
  if (all_pairs && type.width == 2 && type.mantissa == 7) return count_pairs<BFloat16>(leaf, sides, delta);
  if (all_pairs && type.width == 2) return count_pairs<Float16>(leaf, sides, delta);
  count_side_keys(leaf, leaf.old_side, sides, 0);
  count_side_keys(leaf, leaf.new_side, sides, 1);
  count_delta_keys(leaf, delta);
}

static void add_histograms(Leaf &leaf, HistogramsState &state) {
  const int64_t n_elements = leaf.layout->rows * leaf.layout->columns;
  if (n_elements <= LISTED_KEYS)
    add_lists(leaf, state, n_elements);
  else
    add_tables(leaf, state);
}
