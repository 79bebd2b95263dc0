// Distinct values in quantisation groups: an element is new in its group if the last equal one lies before the group.
// No include guard: it is compiled once for each instruction set.
//
// A place is the number of an element in the leaf, from 1 on; 0 is no place.

constexpr int64_t CHUNK = 32;  // elements of the smallest group; larger ones are 2 and 4 chunks
constexpr int64_t LEAF_CHUNKS = LEAF / CHUNK;
constexpr int HASH_BITS = 14;  // the table of places takes 32 KiB

// New values of each chunk of a leaf with respect to the groups of 32, 64 and 128 elements that it lies in.
struct NewValues {
  uint8_t n[N_GROUP_SIZES][LEAF_CHUNKS];
};

// Return a bit for each of the 32 places of a chunk: whether it comes after `limit`.
INLINE uint32_t places_after(const uint16_t *places, uint16_t limit) {
#if defined(USE_AVX512)
  return _mm512_cmpgt_epu16_mask(unaligned<__m512i>(places), _mm512_set1_epi16(short(limit)));
#elif defined(__SSE2__)
  const __m128i limits = _mm_set1_epi16(short(limit)), zero = _mm_setzero_si128();
  uint32_t up_to = 0;
  for (int half = 0; half < 2; half++) {
    const __m128i x = unaligned<__m128i>(places + 16 * half), y = unaligned<__m128i>(places + 16 * half + 8);
    const __m128i a = _mm_cmpeq_epi16(_mm_subs_epu16(x, limits), zero);
    const __m128i b = _mm_cmpeq_epi16(_mm_subs_epu16(y, limits), zero);
    up_to |= uint32_t(_mm_movemask_epi8(_mm_packs_epi16(a, b))) << 16 * half;
  }
  return ~up_to;
#else
  uint32_t after = 0;
  for (int i = 0; i < CHUNK; i++) after |= uint32_t(places[i] > limit) << i;
  return after;
#endif
}

INLINE uint8_t count_up_to(const uint16_t *places, uint16_t limit) {
  return uint8_t(CHUNK - __builtin_popcount(places_after(places, limit)));
}

// Elements as words, at any alignment.
template <class Canonical>
using WordsOf = const typename Words<typename Canonical::Word>::Unaligned *;

// Words of which equal ones stand for equal values: -0.0 becomes 0.0.
template <class U>
struct RealWord {
  typedef U Word;
  INLINE U of(U word) { return word == sign_bit<U> ? U(0) : word; }
  INLINE bool differ(U x, U y) { return (x != y) & (U(x | y) != sign_bit<U>); }
};

template <class U>
struct IntegerWord {
  typedef U Word;
  INLINE U of(U word) { return word; }
  INLINE bool differ(U x, U y) { return x != y; }
};

// Slots for words of 16 bits: the words.
template <class Canonical>
struct OwnSlot {
  static constexpr bool shared = false;
  INLINE uint16_t of(uint16_t word) { return Canonical::of(word); }
};

// Slots for longer words, which different words may share.
template <class Canonical>
struct HashSlot {
  typedef typename Canonical::Word U;
  static constexpr bool shared = true;
  INLINE uint16_t of(U word) {
    constexpr U factor = sizeof(U) == 4 ? U(0x9E3779B1u) : U(0x9E3779B97F4A7C15u);
    return uint16_t(U(Canonical::of(word) * factor) >> (sizeof(U) * 8 - HASH_BITS));
  }
};

// Return the place of the last word of this value in a block before element `end`.
template <class Canonical>
static uint16_t find_last(WordsOf<Canonical> words, int64_t block, int64_t end) {
  typedef typename Canonical::Word U;
  typedef U Vec __attribute__((vector_size(V * 8)));
  constexpr int n_lanes = V * 8 / int(sizeof(U));
  const U word = words[end], other = Canonical::differ(word, word ^ sign_bit<U>) ? word : U(word ^ sign_bit<U>);
  Vec number = {}, last = {};
  for (int j = 0; j < n_lanes; j++) number[j] = U(block + 1 + j);
  for (int64_t j = block; j < end; j += n_lanes, number += U(n_lanes)) {  // chunks are whole: no vector ends after them
    const Vec x = unaligned<Vec>(words + j);
    last = (Vec)((x == word) | (x == other)) & (Vec)(number <= U(end)) ? number : last;
  }
  U found = 0;
  for (int j = 0; j < n_lanes; j++) found = last[j] > found ? last[j] : found;
  return uint16_t(found);
}

// Replace the places of elements of the block that only share a slot with an element of a chunk by those of equal ones.
template <class Canonical>
static void correct_places(WordsOf<Canonical> words, int64_t block, int64_t begin, uint32_t in_block,
                           uint16_t *places) {
  for (; in_block; in_block &= in_block - 1) {
    const int i = __builtin_ctz(in_block);
    if (Canonical::differ(words[places[i] - 1], words[begin + i]))
      places[i] = find_last<Canonical>(words, block, begin + i);
  }
}

// Count the new values of chunk `c`, given the place of the last element in the slot of each element.
template <class Slot, class Canonical>
INLINE void count_new(WordsOf<Canonical> words, int64_t c, uint16_t *places, NewValues &news) {
  const int64_t begin = c * CHUNK, pair = begin & ~(2 * CHUNK - 1), block = begin & ~(4 * CHUNK - 1);
  const uint32_t in_block = places_after(places, uint16_t(block));
  if (!in_block) {
    news.n[0][c] = news.n[1][c] = news.n[2][c] = CHUNK;
    return;
  }
  if constexpr (Slot::shared) correct_places<Canonical>(words, block, begin, in_block, places);
  news.n[0][c] = count_up_to(places, uint16_t(begin));
  news.n[1][c] = count_up_to(places, uint16_t(pair));
  news.n[2][c] = count_up_to(places, uint16_t(block));
}

// Elements taken up at a time: their places are stored one by one and must have left the store buffer before they are
// read as vectors.
constexpr int64_t PLACES_PIECE = 1024;

typedef uint16_t EightPlaces __attribute__((vector_size(16)));

// Count the new values of all chunks. `slot_of` gives the slot of a word; `last` holds for each slot the place of the
// last element in it.
template <class Slot, class Canonical, class SlotOf>
INLINE void count_new_places(WordsOf<Canonical> words, int64_t count, uint16_t *last, SlotOf slot_of, NewValues &news) {
  alignas(64) uint16_t slots[PLACES_PIECE], places[PLACES_PIECE];
  for (int64_t begin = 0; begin < count; begin += PLACES_PIECE) {
    const int64_t n = count - begin < PLACES_PIECE ? count - begin : PLACES_PIECE;
    for (int64_t i = 0; i < n; i++) slots[i] = slot_of(words[begin + i]);
    for (int64_t i = 0; i < n; i += 8) {
      const int64_t place = begin + i + 1;
      EightPlaces eight = {};  // stored at once: stores are what takes longest
      for (int j = 0; j < 8; j++) {
        eight[j] = last[slots[i + j]];
        last[slots[i + j]] = uint16_t(place + j);
      }
      std::memcpy(places + i, &eight, sizeof eight);
    }
    for (int64_t i = 0; i < n; i += CHUNK) count_new<Slot, Canonical>(words, (begin + i) / CHUNK, places + i, news);
  }
}

// Forget the places in the slots of these words; all places, where that is less work.
template <class Slot, class Canonical>
static void clear_places(WordsOf<Canonical> words, int64_t count, uint16_t *last, int64_t n_slots) {
  if (count < n_slots / 8)
    for (int64_t i = 0; i < count; i++) last[Slot::of(words[i])] = 0;
  else
    std::memset(last, 0, size_t(n_slots) * sizeof *last);
}

template <class Canonical>
static void count_new_hashed(const uint8_t *bytes, int64_t count, uint16_t *last, NewValues &news) {
  typedef HashSlot<Canonical> Slot;
  WordsOf<Canonical> words = reinterpret_cast<WordsOf<Canonical>>(bytes);
  clear_places<Slot, Canonical>(words, count, last, int64_t(1) << HASH_BITS);
  count_new_places<Slot, Canonical>(words, count, last, [](typename Canonical::Word x) { return Slot::of(x); }, news);
}

template <class Canonical>
static void count_new_own(const uint8_t *bytes, int64_t count, uint16_t *last, NewValues &news) {
  typedef OwnSlot<Canonical> Slot;
  WordsOf<Canonical> words = reinterpret_cast<WordsOf<Canonical>>(bytes);
  clear_places<Slot, Canonical>(words, count, last, int64_t(1) << 16);
  count_new_places<Slot, Canonical>(words, count, last, [](uint16_t x) { return Slot::of(x); }, news);
}

// Elements of one byte: the slot is the code, but one for both zeros.
static void count_new_bytes(const Type &type, const uint8_t *words, int64_t count, NewValues &news) {
  uint8_t slot_of[256];
  int zero = -1;
  for (int code = 0; code < 256; code++) {
    slot_of[code] = type.kind == Kind::boolean ? code != 0 : uint8_t(code);
    if (type.kind != Kind::table || type.table[code] != 0) continue;
    zero = zero < 0 ? code : zero;
    slot_of[code] = uint8_t(zero);
  }
  typedef IntegerWord<uint8_t> Canonical;
  uint16_t last[256] = {};
  count_new_places<OwnSlot<Canonical>, Canonical>(words, count, last, [&](uint8_t x) { return slot_of[x]; }, news);
}

struct LastPlaces {
  uint16_t of_slot[1 << 16];
};

// Count the new values of every chunk of a leaf; those of groups that hold NaN or Inf mean nothing.
static void count_new_values(const Leaf &leaf, const Side &side, NewValues &news) {
  uint16_t *last = scratch_as<LastPlaces>(leaf).of_slot;
  const Type &type = *side.type;
  const bool real = type.kind == Kind::real;
  const uint8_t *words = side.words;
  switch (type.width) {
    case 8:
      if (real) return count_new_hashed<RealWord<uint64_t>>(words, leaf.count, last, news);
      return count_new_hashed<IntegerWord<uint64_t>>(words, leaf.count, last, news);
    case 4:
      if (real) return count_new_hashed<RealWord<uint32_t>>(words, leaf.count, last, news);
      return count_new_hashed<IntegerWord<uint32_t>>(words, leaf.count, last, news);
    case 2:
      if (real) return count_new_own<RealWord<uint16_t>>(words, leaf.count, last, news);
      return count_new_own<IntegerWord<uint16_t>>(words, leaf.count, last, news);
    default:
      return count_new_bytes(type, words, leaf.count, news);
  }
}
