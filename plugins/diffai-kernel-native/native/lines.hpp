// Sums along the rows and columns of the matrix view.
// No include guard: it is compiled once for each instruction set.

// Whole rows of the matrix view, or a piece of one row.
struct MatrixPart {
  int64_t row, column;
  int64_t n_rows, n_columns;
  int64_t begin;  // index of the first element in the leaf
};

// Call `use` with the end of a row, whole rows and the start of a row that a leaf covers.
template <class Use>
static void for_parts(const Leaf &leaf, Use use) {
  const int64_t columns = leaf.layout->columns, stop = leaf.start + leaf.count;
  int64_t at = leaf.start;
  if (at % columns) {
    const int64_t left = columns - at % columns, n = left < leaf.count ? left : leaf.count;
    use(MatrixPart{at / columns, at % columns, 1, n, 0});
    at += n;
  }
  const int64_t n_rows = (stop - at) / columns;
  if (n_rows) {
    use(MatrixPart{at / columns, 0, n_rows, columns, at - leaf.start});
    at += n_rows * columns;
  }
  if (at < stop) use(MatrixPart{at / columns, 0, 1, stop - at, at - leaf.start});
}

// Sums in the lanes of one vector. Zeros are counted if there may be any.
template <class Source, bool zeros_too>
struct VectorSums {
  Vd sums[N_LINE_SUMS], peaks[N_LINE_PEAKS];
  Vl tallies[N_LINE_TALLIES];

  INLINE Vd larger(Vd peak, Vd x) {
    const Vd size = (Vd)((Vl)x & INT64_MAX);
    return size > peak ? size : peak;
  }

  INLINE void start(VectorSums &s) {
    for (Vd &sum : s.sums) sum = Vd{};
    for (Vd &peak : s.peaks) peak = Vd{};
    for (Vl &tally : s.tallies) tally = Vl{};
  }

  INLINE void step(VectorSums &s, Vd a, Vd b) {
    const Vd d = b - a;
    s.sums[OLD_SQUARES] = add_product<Source::narrow>(s.sums[OLD_SQUARES], a, a);
    s.sums[NEW_SQUARES] = add_product<Source::narrow>(s.sums[NEW_SQUARES], b, b);
    s.sums[DELTA_SQUARES] += d * d;
    s.sums[PRODUCTS] = add_product<Source::narrow>(s.sums[PRODUCTS], a, b);
    s.peaks[OLD_PEAK] = larger(s.peaks[OLD_PEAK], a);
    s.peaks[NEW_PEAK] = larger(s.peaks[NEW_PEAK], b);
    s.peaks[DELTA_PEAK] = larger(s.peaks[DELTA_PEAK], d);
    s.tallies[LINE_CHANGES] -= (Vl)(a != b);
    if (!zeros_too) return;
    s.tallies[OLD_ZEROS] -= (Vl)(a == 0);
    s.tallies[NEW_ZEROS] -= (Vl)(b == 0);
  }
};

INLINE double greater_of(double x, double y) { return x > y ? x : y; }

template <class Parts, class Get>
INLINE Lanes joined(const Parts &parts, Get get) {
  Lanes r;
  for (int k = 0; k < N_PARTS; k++) r.part[k] = get(parts[k]);
  return r;
}

INLINE int64_t tally_of_lanes(Lanes x) {
  Vl total = Vl{};
  for (int k = 0; k < N_PARTS; k++) total += (Vl)x.part[k];
  int64_t n = 0;
  for (int j = 0; j < V; j++) n += total[j];
  return n;
}

template <class Sums>
INLINE void step_all(Sums *s, const LanePair &pair) {
  for (int k = 0; k < N_PARTS; k++) Sums::step(s[k], pair.a.part[k], pair.b.part[k]);
}

// Add a row, or a piece of one, of `n` pairs from the one at `begin` on.
template <bool zeros_too, class Source>
static void add_row(const Source &source, int64_t begin, int64_t n, RowSums &row) {
  typedef VectorSums<Source, zeros_too> Sums;
  Sums s[N_PARTS];
  for (Sums &part : s) Sums::start(part);
  const int64_t rest = n & 7, whole = n - rest;
  int64_t i = 0;
  for (; i + 16 <= whole; i += 16) {
    LanePair x, y;
    Source::two(source, begin + i, x, y);
    step_all(s, x);
    step_all(s, y);
  }
  if (i < whole) step_all(s, Source::at(source, begin + i));
  if (rest) step_all(s, Source::some(source, begin + whole, rest));
  for (int q = 0; q < N_LINE_SUMS; q++)
    row.sums[q][0] += sum_of_lanes(joined(s, [=](const Sums &part) { return part.sums[q]; }));
  for (int q = 0; q < N_LINE_PEAKS; q++)
    row.peaks[q][0] =
        greater_of(greatest_lane(joined(s, [=](const Sums &part) { return part.peaks[q]; })), row.peaks[q][0]);
  for (int q = zeros_too ? 0 : LINE_CHANGES; q < N_LINE_TALLIES; q++)
    row.tallies[q][0] += tally_of_lanes(joined(s, [=](const Sums &part) { return (Vd)part.tallies[q]; }));
  if (!zeros_too || !rest) return;
  row.tallies[OLD_ZEROS][0] -= 8 - rest;  // the empty lanes
  row.tallies[NEW_ZEROS][0] -= 8 - rest;
}

// Add one pair to the sums along a line.
template <int width>
INLINE void add_pair(LineSums<width> &line, int j, double a, double b) {
  const double d = b - a;
  line.sums[OLD_SQUARES][j] += a * a;
  line.sums[NEW_SQUARES][j] += b * b;
  line.sums[DELTA_SQUARES][j] += d * d;
  line.sums[PRODUCTS][j] += a * b;
  line.peaks[OLD_PEAK][j] = greater_of(std::fabs(a), line.peaks[OLD_PEAK][j]);
  line.peaks[NEW_PEAK][j] = greater_of(std::fabs(b), line.peaks[NEW_PEAK][j]);
  line.peaks[DELTA_PEAK][j] = greater_of(std::fabs(d), line.peaks[DELTA_PEAK][j]);
  line.tallies[OLD_ZEROS][j] += a == 0;
  line.tallies[NEW_ZEROS][j] += b == 0;
  line.tallies[LINE_CHANGES][j] += a != b;
}

// Correct what was counted of a pair that is not finite, as if it were two zeros: on each side zeros count whatever the
// other side is.
template <int width>
INLINE void correct_counts(const Leaf &leaf, int64_t i, LineSums<width> &line, int j) {
  line.tallies[OLD_ZEROS][j] -= !(class_of(leaf.old_side, i) == FINITE && leaf.old_side.values[i] == 0);
  line.tallies[NEW_ZEROS][j] -= !(class_of(leaf.new_side, i) == FINITE && leaf.new_side.values[i] == 0);
  line.tallies[LINE_CHANGES][j] += leaf.changed[i];
}

// Very short rows, all finite: lanes would stay empty.
static void add_short_rows(Leaf &leaf, const MatrixPart &part, RowSums *rows) {
  const double *a = values_of(leaf, leaf.old_side) + part.begin, *b = values_of(leaf, leaf.new_side) + part.begin;
  for (int64_t r = 0; r < part.n_rows; r++) {
    RowSums row = rows[r];
    for (int64_t j = 0; j < part.n_columns; j++, a++, b++) add_pair(row, 0, *a, *b);
    rows[r] = row;
  }
}

template <class Source>
static void add_rows_of_part(Leaf &leaf, const Source &source, const MatrixPart &part, bool zeros_too, RowSums *rows) {
  const int64_t n = part.n_columns;
  if (n < 8 && leaf.n_pairs == leaf.count) return add_short_rows(leaf, part, rows);
  for (int64_t r = 0; r < part.n_rows; r++) {
    const int64_t begin = part.begin + r * n;
    if (zeros_too)
      add_row<true>(source, begin, n, rows[r]);
    else
      add_row<false>(source, begin, n, rows[r]);
    if (leaf.n_pairs < leaf.count)
      for_unpaired(leaf, begin, begin + n, [&](int64_t i) { correct_counts(leaf, i, rows[r], 0); });
  }
}

static void start_lines(LinesState &state, int64_t first, int64_t stop) {
  if (state.first == state.stop) state.first = first;
  state.stop = stop;
}

static void add_rows(Leaf &leaf, LinesState &state) {
  const int64_t columns = leaf.layout->columns;
  start_lines(state, leaf.start / columns, (leaf.start + leaf.count + columns - 1) / columns);
  RowSums *rows = sums_of_lines<RowSums>(state);
  const bool zeros_too = any_zeros(leaf);
  if (leaf.n_pairs < leaf.count) changed_of(leaf);
  with_pairs(leaf, [&](auto source) {
    for_parts(leaf, [&](const MatrixPart &part) {
      add_rows_of_part(leaf, source, part, zeros_too, rows + (part.row - state.first));
    });
  });
}

// Add rows of eight whole columns, those of the vectors from K on.
template <bool zeros_too, int K, class Source>
INLINE void add_strip(const Source &source, int64_t begin, int64_t n_rows, int64_t stride, ColumnStrip &strip) {
  typedef VectorSums<Source, zeros_too> Sums;
  Sums s;
  Sums::start(s);
  for (int64_t r = 0; r < n_rows; r++) {
    const LanePair pair = Source::at(source, begin + r * stride);
    Sums::step(s, pair.a.part[K], pair.b.part[K]);
  }
  constexpr int from = K * V;
  for (int q = 0; q < N_LINE_SUMS; q++) {
    const Vd total = unaligned<Vd>(strip.sums[q] + from) + s.sums[q];
    std::memcpy(strip.sums[q] + from, &total, sizeof total);
  }
  for (int q = 0; q < N_LINE_PEAKS; q++) {
    const Vd peak = Sums::larger(unaligned<Vd>(strip.peaks[q] + from), s.peaks[q]);
    std::memcpy(strip.peaks[q] + from, &peak, sizeof peak);
  }
  for (int q = zeros_too ? 0 : LINE_CHANGES; q < N_LINE_TALLIES; q++) {
    const Vl total = unaligned<Vl>(strip.tallies[q] + from) + s.tallies[q];
    std::memcpy(strip.tallies[q] + from, &total, sizeof total);
  }
  if constexpr (K + 1 < N_PARTS) add_strip<zeros_too, K + 1>(source, begin, n_rows, stride, strip);
}

// Add `n` pairs of one row, fewer than eight, to the columns of a strip from the one at `from` on.
template <class Source>
static void add_edge(const Source &source, int64_t begin, int64_t n, ColumnStrip &strip, int from) {
  const LanePair pair = Source::some(source, begin, n);
  for (int j = 0; j < n; j++) add_pair(strip, from + j, lane(pair.a, j), lane(pair.b, j));
}

template <bool zeros_too, class Source>
static void add_columns_of_part(const Source &source, const MatrixPart &part, ColumnStrip *strips) {
  int64_t done = 0;
  while (done < part.n_columns) {
    const int64_t column = part.column + done, from = column & 7, begin = part.begin + done;
    const int64_t left = part.n_columns - done, n = left < 8 - from ? left : 8 - from;
    ColumnStrip &strip = strips[column >> 3];
    if (n == 8)
      add_strip<zeros_too, 0>(source, begin, part.n_rows, part.n_columns, strip);
    else
      for (int64_t r = 0; r < part.n_rows; r++) add_edge(source, begin + r * part.n_columns, n, strip, int(from));
    done += n;
  }
}

static void fold_strips(const ColumnStrip *wide, int64_t n_wide, int64_t columns, ColumnStrip *strips) {
  for (int64_t w = 0, c = 0; w < n_wide; w++, c = c + 1 == columns ? 0 : c + 1) {
    const ColumnStrip &from = wide[w >> 3];
    ColumnStrip &to = strips[c >> 3];
    const int i = int(w & 7), j = int(c & 7);
    for (int q = 0; q < N_LINE_SUMS; q++) to.sums[q][j] += from.sums[q][i];
    for (int q = 0; q < N_LINE_PEAKS; q++) to.peaks[q][j] = greater_of(from.peaks[q][i], to.peaks[q][j]);
    for (int q = 0; q < N_LINE_TALLIES; q++) to.tallies[q][j] += from.tallies[q][i];
  }
}

// Narrow matrices whose rows fill no whole number of strips are swept as if several rows were one.
constexpr int64_t NARROW = 128;

struct WideStrips {
  ColumnStrip strips[NARROW];
};

// Return how many rows are to be swept as one.
static int64_t rows_at_once(const MatrixPart &part) {
  const int64_t columns = part.n_columns, low_bit = columns & -columns;
  if (part.column || columns > NARROW || low_bit >= 8) return 1;
  const int64_t n = 8 / low_bit;
  return part.n_rows >= n ? n : 1;
}

template <bool zeros_too, class Source>
static void add_columns_of(const Source &source, MatrixPart part, ColumnStrip *strips, ColumnStrip *wide) {
  const int64_t columns = part.n_columns, n = rows_at_once(part);
  if (n > 1) {
    const int64_t n_wide = columns * n, n_rows = part.n_rows / n;
    std::memset(wide, 0, size_t(n_wide / 8) * sizeof(ColumnStrip));
    add_columns_of_part<zeros_too>(source, MatrixPart{0, 0, n_rows, n_wide, part.begin}, wide);
    fold_strips(wide, n_wide, columns, strips);
    part.begin += n_rows * n_wide;
    part.n_rows -= n_rows * n;
  }
  add_columns_of_part<zeros_too>(source, part, strips);
}

static void correct_columns(const Leaf &leaf, const MatrixPart &part, ColumnStrip *strips) {
  for (int64_t r = 0; r < part.n_rows; r++) {
    const int64_t begin = part.begin + r * part.n_columns;
    for_unpaired(leaf, begin, begin + part.n_columns, [&](int64_t i) {
      const int64_t column = part.column + i - begin;
      correct_counts(leaf, i, strips[column >> 3], int(column & 7));
    });
  }
}

static void add_columns(Leaf &leaf, LinesState &state) {
  start_lines(state, 0, leaf.layout->columns);
  ColumnStrip *strips = sums_of_lines<ColumnStrip>(state);
  ColumnStrip *wide = scratch_as<WideStrips>(leaf).strips;
  const bool zeros_too = any_zeros(leaf);
  if (leaf.n_pairs < leaf.count) changed_of(leaf);
  with_pairs(leaf, [&](auto source) {
    for_parts(leaf, [&](const MatrixPart &part) {
      if (leaf.n_pairs < leaf.count) correct_columns(leaf, part, strips);
      if (zeros_too)
        add_columns_of<true>(source, part, strips, wide);
      else
        add_columns_of<false>(source, part, strips, wide);
    });
  });
}
