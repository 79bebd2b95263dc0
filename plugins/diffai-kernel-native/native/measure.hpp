// All sweeps over one leaf, compiled for one instruction set. The including file defines INSTRUCTION_SET (the name of
// the namespace and of the table) and VECTOR_DOUBLES.

#include <cmath>

#include "instruction_set.hpp"

namespace diffai {
namespace INSTRUCTION_SET {

#include "lanes.hpp"
#include "words.hpp"
#include "derive.hpp"
#include "core.hpp"
#include "counts.hpp"

// Add one leaf to all states. Return false, with nothing added, if it must be left to the reference kernel.
static bool measure_leaf(Leaf &leaf, States &states) {
  if (!prepare(leaf) || !add_core(leaf, states)) return false;
  if (states.counts) add_counts(leaf, *states.counts);
  return true;
}

}  // namespace INSTRUCTION_SET

extern const Measure NAME_OF_TABLE(INSTRUCTION_SET);
const Measure NAME_OF_TABLE(INSTRUCTION_SET) = INSTRUCTION_SET::measure_leaf;

}  // namespace diffai
