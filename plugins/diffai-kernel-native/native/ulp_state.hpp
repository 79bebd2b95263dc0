// Distances in units in the last place, as the Python side reads them.
#pragma once

#include <cstdint>

namespace diffai {

// For numbers held in `width` bits, these follow: int64 pairs by bit length of the distance [2][width + 1] (NEW below
// OLD first), int64 pairs by bits that differ [width + 1].
struct UlpState {
  int64_t n;
  uint64_t largest;
  int64_t n_sign_flips;
  int64_t padding;
};

// Tensors of more elements count the upper two bytes of the zig-zag distance together, if it has two.
constexpr int64_t ULP_APART = 32768;

// These follow: int64 bytes of the zig-zag distance [width / 8][256], and in tensors of more than ULP_APART elements with
// width > 8: uint32 upper two bytes [65536], which the bytes lack.
struct BytePlanesState {
  int64_t n;
  int64_t padding[3];
};

}  // namespace diffai
