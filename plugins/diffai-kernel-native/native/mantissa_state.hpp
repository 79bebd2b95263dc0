// What finite values use of their dtype, as the Python side reads it.
#pragma once

#include <cstdint>

namespace diffai {

struct MantissaUse {
  int64_t mask;    // bits of the mantissa that are set in any value
  int64_t in_use;  // 1 if there is a value other than 0; the exponents mean nothing without one
  int64_t min_exponent, max_exponent;
};

struct MantissaState {
  MantissaUse side[2];
};

}  // namespace diffai
