// Counts of 16-bit keys, as the Python side reads them.
#pragma once

#include <cstdint>

namespace diffai {

constexpr int64_t N_KEYS = 65536;

// Tensors of no more elements keep lists of the keys that occur instead of tables of all keys.
constexpr int64_t LISTED_KEYS = 8192;

// For OLD, NEW and NEW - OLD follow, in a tensor of `n` elements:
// if n <= LISTED_KEYS: uint32 counts[3][n], uint16 keys[3][n], of which the first `n_listed` are in use, increasing;
// else: uint32 sides[N_KEYS][2], uint32 delta[N_KEYS].
struct HistogramsState {
  int64_t n_listed[8];  // three of them; the rest is there for alignment
};

}  // namespace diffai
