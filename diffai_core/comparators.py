"""Run comparators so that one that fails is named and the others go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from diffai_core.errors import PluginError
from diffai_core.findings import GATE, Finding, NotCompared
from diffai_core.folds import FoldFailure
from diffai_core.lazy import resolve
from diffai_core.registry import CORE_STATISTICS
from diffai_core.specs import Stage
from diffai_core.wording import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from diffai_core.comparison import Comparison
    from diffai_core.registry import Registered
    from diffai_core.specs import ComparatorSpec

NOT_COMPARED = "not_compared"
"""Kind of the findings with which a comparator says what it could not compare; they are never a pass."""
VALUES_WITHIN_TOLERANCE = "values_within_tolerance"
"""Kind of the finding with which a comparator says how many values (``n_values``) differ within the tolerance."""
_STAGES: tuple[Stage, ...] = get_args(Stage)
_STATUSES = frozenset({"measured", "estimated", "bounded", "hint", "not_measurable"})
_ANSWERS = (True, False, None)
_LEVELS = frozenset({"info", "change", "warning", "error"})


@dataclass(frozen=True)
class ComparatorRun:
    """What one comparator gave.

    Args:
        spec: Its declaration.
        findings: In its order, and if it failed, a last one that says so.
        not_compared: What it could not compare.
        failed: Whether it failed.
    """

    spec: ComparatorSpec
    findings: tuple[Finding, ...]
    not_compared: tuple[NotCompared, ...] = ()
    failed: bool = False

    @property
    def n_changes_beside_tensors(self) -> int:
        """Differences it found in what it compares completely, if that is not the tensors."""
        if not set(self.spec.facets) - {"tensors"}:
            return 0
        return sum(finding.level == "change" for finding in self.findings)

    @property
    def n_within_tolerance(self) -> int:
        """Values beside the tensors that differ within the tolerance given."""
        told = (finding.values for finding in self.findings if finding.kind == VALUES_WITHIN_TOLERANCE)
        return sum(int(values.get("n_values", 0)) for values in told)


def run_comparators(
    comparators: Sequence[Registered[ComparatorSpec]],
    comparison: Comparison,
    options: Mapping[str, Mapping[str, Any]],
    broken: Mapping[str, PluginError],
    on_failure: Callable[[str], None],
) -> list[ComparatorRun]:
    """Run all comparators, stage after stage; those of a later stage are shown what the earlier ones found.

    Args:
        comparators: The comparators in order.
        comparison: What they compare.
        options: Options of each by its name; defaults where one is not there.
        broken: Comparators whose own statistics could not be imported.
        on_failure: Called with the traceback of one that fails.
    """
    runs: list[ComparatorRun] = []
    for stage in _STAGES:
        seen = replace(comparison, findings=tuple(finding for run in runs for finding in run.findings))
        runs += [
            run_comparator(one, seen, one.defaults | dict(options.get(one.spec.name, {})), broken, on_failure)
            for one in comparators
            if one.spec.stage == stage
        ]
    return runs


def run_comparator(
    registered: Registered[ComparatorSpec],
    comparison: Comparison,
    options: Mapping[str, Any],
    broken: Mapping[str, PluginError],
    on_failure: Callable[[str], None],
) -> ComparatorRun:
    """Run one comparator; whatever it raises becomes a finding of level error.

    Args:
        registered: The comparator.
        comparison: What it compares.
        options: Its options.
        broken: Comparators whose own statistics could not be imported.
        on_failure: Called with the traceback if its code raises.
    """
    found: list[Finding] = []
    try:
        _raise_if_broken(registered, comparison, broken)
        compare = resolve(registered.spec.target, registered.label)
        for finding in compare(comparison, options):
            found.append(_checked(finding, registered))  # noqa: PERF401 - keeps what came before a failure
    except KeyboardInterrupt:
        raise
    except PluginError as error:
        return _outcome(registered, found, str(error))
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, SystemExit too, the others go on
        import traceback

        on_failure(traceback.format_exc())
        return _outcome(registered, found, _failure_text(registered, error_text(error)))
    return _outcome(registered, found)


def _raise_if_broken(
    registered: Registered[ComparatorSpec], comparison: Comparison, broken: Mapping[str, PluginError]
) -> None:
    if registered.spec.name in broken:
        raise broken[registered.spec.name]
    for need in registered.spec.needs:
        if need in CORE_STATISTICS:
            continue
        for result in comparison.results:
            state = result.statistics.get(need)
            if isinstance(state, FoldFailure):
                raise PluginError(_failure_text(registered, f"{need}: {state.reason}"))


def _checked(finding: object, registered: Registered[ComparatorSpec]) -> Finding:
    """Return the finding under the comparator's name, if reporters can rely on it."""
    if not isinstance(finding, Finding):
        raise PluginError(f"{registered.label}: gave a {type(finding).__name__} where a Finding belongs; report it")
    texts = (finding.kind, finding.where, finding.message, finding.threshold_source)
    if not all(isinstance(text, str) for text in texts) or not isinstance(finding.values, Mapping):
        raise PluginError(
            f"{registered.label}: gave a finding whose kind, where, message or threshold_source is no text,"
            " or whose values are no mapping; report it"
        )
    detail: object = finding.detail
    if not isinstance(detail, tuple) or not all(isinstance(line, str) for line in detail):
        raise PluginError(
            f"{registered.label}: gave a finding {finding.kind!r} whose detail is no tuple of texts; report it"
        )
    if finding.kind == GATE and finding.values.get("passed", "") not in _ANSWERS:
        raise PluginError(f"{registered.label}: gave a gate that does not say whether it passed; report it")
    if finding.status not in _STATUSES or finding.level not in _LEVELS:
        raise PluginError(
            f"{registered.label}: finding {finding.kind!r} has status {finding.status!r} and level {finding.level!r},"
            " which do not exist; report it"
        )
    return replace(finding, plugin=registered.spec.name)


def _failure_text(registered: Registered[ComparatorSpec], reason: str) -> str:
    return (
        f"{registered.label}: failed while comparing ({reason}); the other analyses are complete."
        " Run with --debug for the traceback."
    )


def _outcome(registered: Registered[ComparatorSpec], found: list[Finding], failure: str = "") -> ComparatorRun:
    findings = [finding for finding in found if finding.kind != NOT_COMPARED]
    if failure:
        findings.append(Finding("plugin_failed", level="error", message=failure, plugin=registered.spec.name))
    missing = tuple(NotCompared(item.where, item.message) for item in found if item.kind == NOT_COMPARED)
    return ComparatorRun(registered.spec, tuple(findings), missing, bool(failure))
