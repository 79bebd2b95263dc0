#include "instruction_set.hpp"

namespace diffai {

extern const Measure measure_baseline;
#if defined(__x86_64__)
extern const Measure measure_avx2;
extern const Measure measure_avx512;

static bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
}

static bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
#endif

InstructionSet choose_instruction_set(const char *name) {
  const InstructionSet sets[] = {
#if defined(__x86_64__)
      {"avx512", has_avx512() ? measure_avx512 : nullptr},
      {"avx2", has_avx2() ? measure_avx2 : nullptr},
#endif
      {"baseline", measure_baseline},
  };
  for (const InstructionSet &set : sets)
    if (set.measure && (!*name || !std::strcmp(name, set.name))) return set;
  return {name, nullptr};
}

}  // namespace diffai
