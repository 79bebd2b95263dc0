"""Compare two files as ``diffai`` does, with every statistic of the one pass measured on every changed tensor.

An analysis that needs them all and says nothing: the price of the pass with everything on it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from diffai_core.api import choose_comparators, compare_paths
from diffai_core.kernels import choose_kernel
from diffai_core.registry import CORE_STATISTICS, Registered, load_registry
from diffai_core.run import Settings
from diffai_core.specs import ComparatorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_core.comparison import Comparison
    from diffai_core.findings import Finding


def compare(comparison: Comparison, _options: Mapping[str, object]) -> Iterable[Finding]:
    """Make sure that everything was measured, and find nothing."""
    measured = [set(result.statistics) for result in comparison.results if result.statistics]
    assert all(statistics >= CORE_STATISTICS for statistics in measured)
    return ()


def main() -> int:
    """Compare OLD and NEW; the exit code and first line are those of ``diffai``."""
    registry = load_registry()
    spec = ComparatorSpec(
        name="everything",
        title="Measure everything.",
        target="all_statistics:compare",
        needs=tuple(sorted(CORE_STATISTICS)),
    )
    everything = Registered(spec, "everything", "everything", "0")
    kernel = choose_kernel(registry).kernel
    report = compare_paths(
        sys.argv[1:3], registry, [*choose_comparators(registry), everything], Settings(kernel=kernel)
    )
    print(report.verdict)
    assert not [finding for finding in report.findings if finding.level == "error"]
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
