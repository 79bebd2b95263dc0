// State of the sums over quantisation groups.
#pragma once

#include <cstdint>

namespace diffai {

constexpr int N_GROUP_SIZES = 3;  // 32, 64 and 128 elements

// Sums over the groups of one size on one side that hold finite values only.
struct GroupSums {
  int64_t n_groups;
  double absmax_squares, range_squares;
  int64_t max_distinct, sum_distinct;
  double residual;
  int64_t n_residual;                // elements of the groups that have a grid
  int64_t absmax_lost, range_lost;  // whether a square was outside float64
};

struct GroupsState {
  GroupSums size[N_GROUP_SIZES][2];  // of OLD and NEW
};

}  // namespace diffai
