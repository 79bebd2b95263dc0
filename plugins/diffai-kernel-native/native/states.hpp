// The states of the statistics over consecutive leaves, as the Python side reads them: int64 and float64 only. All
// zeros is the state of no elements.
#pragma once

#include <cmath>
#include <cstdint>

namespace diffai {

// Count, mean and centred sum of squares.
struct Series {
  int64_t n;
  double mean;
  double m2;

  // Add a later series (Chan, Golub and LeVeque 1983).
  void add(const Series &later) {
    if (!later.n) return;
    if (!n) {
      *this = later;
      return;
    }
    const int64_t total = n + later.n;
    const double gap = later.mean - mean, weight = double(later.n) / double(total);
    m2 = m2 + later.m2 + gap * gap * double(n) * weight;
    mean = mean + gap * weight;
    n = total;
  }
};

// The same with sums of third and fourth powers of the distances from the mean.
struct HigherSeries {
  Series series;
  double m3;
  double m4;

  // Add a later series (Pebay 2008).
  void add(const HigherSeries &later) {
    if (!later.series.n) return;
    if (!series.n) {
      *this = later;
      return;
    }
    const double left = double(series.n), right = double(later.series.n), total = left + right;
    const double gap = later.series.mean - series.mean, p = left / total, q = right / total;
    const double a = series.m2, b = later.series.m2;
    const double g2 = gap * gap;
    double next4 = m4 + later.m4;
    next4 += g2 * g2 * left * q * (p * p - p * q + q * q) + 6 * g2 * (p * p * b + q * q * a);
    next4 += 4 * gap * (p * later.m3 - q * m3);
    double next3 = m3 + later.m3;
    next3 += g2 * gap * left * q * (p - q) + 3 * gap * (p * b - q * a);
    series.add(later.series);
    m3 = next3;
    m4 = next4;
  }
};

enum SeriesName { OLD, NEW, DELTA, OLD_PAIRED, NEW_PAIRED, N_SERIES };

struct ChangesState {
  int64_t n, n_bit_equal, n_changed, n_above_tol, n_nan_one_side;
};

struct MomentsState {
  Series series[N_SERIES];
};

struct HigherState {
  HigherSeries series[3];  // OLD, NEW, DELTA
};

struct NormsState {
  int64_t n;
  double l1_old, l1_new, l1_delta, dot, delta_dot_old;
};

struct ExtremaState {
  int64_t has_old, has_new;
  double old_low, old_high, new_low, new_high;
  int64_t has_peak;
  int64_t place;  // index of the element
  double peak;    // difference of largest magnitude, with its sign
};

struct ValueCounts {
  int64_t n, n_nan, n_pos_inf, n_neg_inf, n_zero, n_neg_zero, n_subnormal, n_float16_overflow;
};

struct CountsState {
  ValueCounts side[2];
};

struct HistogramsState;
struct MantissaState;
struct UlpState;
struct BytePlanesState;
struct LinesState;
struct GroupsState;
struct SparsityState;

// What is wanted, and where it goes; nullptr for what is not wanted.
struct States {
  ChangesState *changes;
  CountsState *counts;
  MomentsState *moments;
  HigherState *higher;
  NormsState *norms;
  ExtremaState *extrema;
  HistogramsState *histograms;
  MantissaState *mantissa;
  UlpState *ulp;
  BytePlanesState *byte_planes;
  LinesState *rows;
  LinesState *columns;
  GroupsState *groups;
  SparsityState *sparsity;
};

}  // namespace diffai
