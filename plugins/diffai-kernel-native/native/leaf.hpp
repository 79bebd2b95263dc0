// What a statistic sees of one leaf: the elements of both sides as stored words and, where asked for, as float64.
//
// A leaf holds at most LEAF elements, so that its words and all that is derived from them stay in the level-2 cache
// while one statistic after the other sweeps over them. Everything derived is computed once, when first asked for.
#pragma once

#include <cstdint>
#include <cstring>

namespace diffai {

constexpr int64_t LEAF = 32768;

enum class Kind : int32_t {
  real,   // float16, bfloat16, float32, float64: sign, exponent and mantissa with Inf and NaN at the top
  table,  // floats of 8 bits and fewer: the value of each byte stands in a table
  integer,
  natural,  // unsigned integer
  boolean,  // any byte other than 0 is true
};

// Type of the elements of one side, laid out as the Python side packs it.
struct Type {
  Kind kind;
  int32_t bits;      // of an element as stored: below 8, elements are packed, the low bits of a byte first
  int32_t width;     // bytes of an element in `Side::words`
  int32_t mantissa;  // stored bits of the mantissa; 0 for integers
  int32_t no_sign;   // 1 for floats without a sign bit
  int32_t same_as;   // number of the dtype: equal for equal dtypes
  double smallest_normal;
  double table[256];  // Kind::table only
};

// The matrix view of the tensor, and the tolerance.
struct Layout {
  int64_t rows;
  int64_t columns;
  double atol;
  double rtol;
};

// What an element is: a number that sums take up, or one of those that they leave out.
constexpr uint8_t FINITE = 0, NOT_A_NUMBER = 1, POSITIVE_INF = 2, NEGATIVE_INF = 3;

// Scratch memory of one worker.
struct Scratch {
  alignas(64) double values[2][LEAF];
  alignas(64) double kept[2][LEAF];
  alignas(64) double delta[LEAF];
  alignas(64) double extra[LEAF];  // for use within one statistic
  alignas(64) uint8_t classes[2][LEAF];
  alignas(64) uint8_t changed[LEAF];
  alignas(64) uint8_t unpacked[2][LEAF + 64];
};

// What is found out when it is first asked for.
enum class Known : int32_t { not_yet, no, yes };

struct Side {
  const Type *type;
  const uint8_t *words;    // `count` elements, one per item, any alignment
  const uint8_t *classes;  // what each element is; nullptr if all are finite
  int64_t n_finite;
  double low, high;      // least and greatest finite value, never -0.0; meaningless without one
  const double *values;  // nullptr until asked for by values_of()
  int slot;              // which arrays of the scratch memory are its own
  Known zeros;           // whether an element is zero
};

struct Leaf {
  int64_t start;  // index of the first element in the flattened tensor
  int64_t count;  // 1 to LEAF
  const Layout *layout;
  Side old_side, new_side;
  bool same_type;
  bool same;        // both sides are of one type and hold the same words
  int64_t n_pairs;  // elements that are finite on both sides
  int64_t n_other_words;  // elements whose words differ; all if the types do
  bool sign_flips;        // floats of one type: whether any words differ in the sign alone
  const uint8_t *old_ahead, *new_ahead;  // words that will be wanted next, to be fetched into the cache meanwhile
  Scratch *scratch;
  const double *kept_old, *kept_new, *kept_delta;  // nullptr until asked for by kept_pairs()
  const uint8_t *changed;                          // nullptr until asked for by changed_of()
};

template <class T>
static inline T load(const uint8_t *words, int64_t i) {
  T value;
  std::memcpy(&value, words + i * int64_t(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace diffai
