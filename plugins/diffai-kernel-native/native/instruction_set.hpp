// The same sweeps, compiled for several instruction sets; which one is used is decided when the module is imported.
#pragma once

#include "leaf.hpp"
#include "states.hpp"

namespace diffai {

typedef bool (*Measure)(Leaf &leaf, States &states);

#define JOIN_NAMES(a, b) a##b
#define TABLE_OF(name) JOIN_NAMES(measure_, name)
#define NAME_OF_TABLE(name) TABLE_OF(name)

struct InstructionSet {
  const char *name;
  Measure measure;
};

// The best that this processor has, or the one called `name` if it has that; a null `measure` if not.
InstructionSet choose_instruction_set(const char *name);

}  // namespace diffai
