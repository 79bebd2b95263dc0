// All sweeps over one leaf, compiled for one instruction set. The including file defines INSTRUCTION_SET (the name of
// the namespace and of the table) and VECTOR_DOUBLES.

#include <cmath>
#include <new>

#include "groups_state.hpp"
#include "histograms_state.hpp"
#include "instruction_set.hpp"
#include "lines_state.hpp"
#include "mantissa_state.hpp"
#include "sparsity_state.hpp"
#include "ulp_state.hpp"

namespace diffai {
namespace INSTRUCTION_SET {

#include "lanes.hpp"
#include "words.hpp"
#include "derive.hpp"
#include "pairs.hpp"
#include "higher.hpp"
#include "extrema.hpp"
#include "changes.hpp"
#include "counts.hpp"
#include "histograms.hpp"
#include "ulp.hpp"
#include "mantissa.hpp"
#include "line_sources.hpp"
#include "lines.hpp"
#include "distinct.hpp"
#include "lattice.hpp"
#include "groups.hpp"
#include "sparsity.hpp"

// Add what the sweep over pairs gives. Return false, with nothing added, where the differences are too extreme.
static bool add_pairs(Leaf &leaf, States &states) {
  if (!(states.moments || states.higher || states.norms || states.extrema)) return true;
  const PairSums sums = !leaf.n_pairs ? PairSums{} : states.norms ? sweep_leaf<true>(leaf) : sweep_leaf<false>(leaf);
  if (!are_moderate(leaf, sums)) return false;
  Series series[N_SERIES];
  if (states.moments || states.higher) find_series(leaf, sums, series);
  if (states.moments) add_moments(series, *states.moments);
  if (states.higher) add_higher(leaf, series, *states.higher);
  if (states.norms) add_norms(leaf, sums, *states.norms);
  if (states.extrema) add_extrema(leaf, sums, *states.extrema);
  return true;
}

// Add one leaf to all states. Return false, with nothing added, if it must be left to the reference kernel.
static bool measure_leaf(Leaf &leaf, States &states) {
  if (!prepare(leaf) || !add_pairs(leaf, states)) return false;
  if (states.changes) add_changes(leaf, *states.changes);
  if (states.counts) add_counts(leaf, *states.counts);
  if (states.histograms) add_histograms(leaf, *states.histograms);
  if (states.ulp || states.byte_planes) add_ulp(leaf, states.ulp, states.byte_planes);
  if (states.mantissa) add_mantissa(leaf, *states.mantissa);
  if (states.rows) add_rows(leaf, *states.rows);
  if (states.columns) add_columns(leaf, *states.columns);
  if (states.groups) add_groups(leaf, *states.groups);
  if (states.sparsity) add_sparsity(leaf, *states.sparsity);
  return true;
}

}  // namespace INSTRUCTION_SET

extern const Measure NAME_OF_TABLE(INSTRUCTION_SET);
const Measure NAME_OF_TABLE(INSTRUCTION_SET) = INSTRUCTION_SET::measure_leaf;

}  // namespace diffai
