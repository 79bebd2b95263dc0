// State of the zeros in groups of four.
#pragma once

#include <cstdint>

namespace diffai {

struct SparsityState {
  int64_t groups[2][5];  // of OLD and NEW, by the number of zeros
};

}  // namespace diffai
