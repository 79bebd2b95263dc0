// States of the sums along rows and columns.
#pragma once

#include <cstdint>

namespace diffai {

enum { OLD_SQUARES, NEW_SQUARES, DELTA_SQUARES, PRODUCTS, N_LINE_SUMS };
enum { OLD_PEAK, NEW_PEAK, DELTA_PEAK, N_LINE_PEAKS };
enum { OLD_ZEROS, NEW_ZEROS, LINE_CHANGES, N_LINE_TALLIES };

// Sums along `width` lines.
template <int width>
struct LineSums {
  double sums[N_LINE_SUMS][width];
  double peaks[N_LINE_PEAKS][width];
  int64_t tallies[N_LINE_TALLIES][width];
};

typedef LineSums<1> RowSums;
typedef LineSums<8> ColumnStrip;

// The lines from `first` to `stop`, whose sums follow: for rows one RowSums for each row, for columns one ColumnStrip
// for each eight columns, of which the last may be used in part.
struct LinesState {
  int64_t first, stop;
};

template <class Sums>
static inline Sums *sums_of_lines(LinesState &state) {
  return reinterpret_cast<Sums *>(&state + 1);
}

}  // namespace diffai
