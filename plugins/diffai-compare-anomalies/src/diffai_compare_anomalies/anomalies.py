"""What is wrong with NEW, and what of it was wrong with OLD already."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_compare_anomalies.alike import second_look_flags
from diffai_compare_anomalies.lines import line_flags
from diffai_compare_anomalies.pairs import pair_flags
from diffai_compare_anomalies.peers import RATE, peer_flags
from diffai_compare_anomalies.sides import side_of
from diffai_compare_anomalies.state import gradient_flags
from diffai_compare_anomalies.values import value_flags
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_anomalies.flags import Flag
    from diffai_compare_anomalies.sides import SideName, SideTensor
    from diffai_core.plugin import Comparison, Level

_BY_DESIGN = frozenset({"frozen"})
"""Metrics that are a fact of many sound trainings: told, but no reason to warn."""

_MOST_LISTED = 20

_COUNTS = frozenset({"non_finite", "zero_rows", "zero_columns", "zero_tail", "repeated_tail", "no_gradient_rows"})
"""Metrics whose value is an exact number of rows or elements: more of them than in OLD is worse."""


class _Side(NamedTuple):
    tensors: Sequence[SideTensor]
    flags: Mapping[tuple[str, str], Flag]
    n_families: int


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - has no options
    """Yield a summary, then one finding for each tensor and each thing that stands out about it."""
    old, new = _side(comparison, "old"), _side(comparison, "new")
    of_pairs = {flag.key: flag for flag in pair_flags(comparison)}
    keys = sorted({*old.flags, *new.flags, *of_pairs})
    found = [_finding(key, old.flags.get(key), new.flags.get(key), of_pairs.get(key)) for key in keys]
    yield _summary(comparison, old, new, found)
    yield from _listed(found)


def _listed(found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the findings that get a line of their own: all that are new, and some of the others of each metric."""
    n: Counter[str] = Counter()
    for finding in found:
        metric = str(finding.values["metric"])
        n[metric] += finding.level == "info"
        if finding.level != "info" or n[metric] <= _MOST_LISTED:
            yield finding


def _side(comparison: Comparison, name: SideName) -> _Side:
    tensors = side_of(comparison, name)
    families = peer_flags(tensors)
    flags = [flag for tensor in tensors for flag in (*value_flags(tensor), *line_flags(tensor))]
    flags += families.flags
    flags += second_look_flags(comparison, tensors)
    artifact = comparison.old if name == "old" else comparison.new
    flags += gradient_flags(artifact, comparison.keys, tensors)
    return _Side(tensors, {flag.key: flag for flag in flags}, families.n)


def _finding(key: tuple[str, str], old: Flag | None, new: Flag | None, pair: Flag | None) -> Finding:
    """Return what is wrong with one tensor; of level warning only where OLD was sound."""
    flag = pair or new or old
    assert flag is not None
    new_only = pair is not None or (new is not None and old is None)
    worse = old is not None and new is not None and new.metric in _COUNTS and new.value > old.value
    level: Level = "warning" if (new_only or worse) and flag.metric not in _BY_DESIGN else "info"
    values = {"metric": flag.metric, "value": flag.value, "new_only": new_only, "worse": worse}
    values |= {"in_old": old is not None, "in_new": pair is not None or new is not None}
    if pair is None:
        values |= {"old": None if old is None else old.value, "new": None if new is None else new.value}
    values |= flag.more
    return Finding(
        "anomaly",
        where=key[0],
        status=flag.status,
        level=level,
        values=values,
        null=flag.null,
        threshold=flag.threshold,
        threshold_source=flag.threshold_source if flag.threshold is not None else "",
        message=_said(flag, old, new, pair, worse=worse),
    )


def _said(flag: Flag, old: Flag | None, new: Flag | None, pair: Flag | None, *, worse: bool) -> str:
    if pair is not None or old is None:
        return flag.message
    if new is None:
        return f"no longer so: in OLD {flag.message}"
    return f"{flag.message}; in OLD {f'only {old.value:,}' if worse else 'too'}"


def _summary(comparison: Comparison, old: _Side, new: _Side, found: Sequence[Finding]) -> Finding:
    n_tensors = len(new.tensors)
    if not n_tensors and not old.tensors:
        return Finding(
            "anomaly_detection",
            status="not_measurable",
            level="info",
            coverage=0.0,
            message="there is no tensor of numbers that both sides have in the same shape, or that one side has alone;"
            " give two checkpoints",
        )
    warned = [finding for finding in found if finding.level == "warning"]
    before = [finding for finding in found if finding.level == "info" and finding.values["in_old"]]
    before = [finding for finding in before if finding.values["in_new"]]
    gone = [finding for finding in found if not finding.values["in_new"]]
    of_new = [finding for finding in found if finding.values["in_new"]]
    values = {
        "n_anomalies": len(of_new),
        "n_new_or_worse": len(warned),
        "n_before": len(before),
        "n_resolved": len(gone),
        "by_metric": dict(sorted(Counter(str(finding.values["metric"]) for finding in of_new).items())),
        "n_tensors": n_tensors,
        "n_tied": _n_tied(comparison),
        "n_families": new.n_families,
        "false_flags_expected": round(RATE * new.n_families, 3),
        "anomalies": [{"tensor": finding.where, **finding.values} for finding in found],
    }
    return Finding(
        "anomaly_detection",
        level="info",
        values=values,
        null={"n_new_or_worse": values["false_flags_expected"]},
        coverage=_coverage(comparison, new),
        message=_message(warned, before, gone, n_tensors),
    )


def _message(warned: Sequence[Finding], before: Sequence[Finding], gone: Sequence[Finding], n_tensors: int) -> str:
    kinds = Counter(str(finding.values["metric"]).replace("_", " ") for finding in warned)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4))
    head = (
        f"{len(warned)} new in NEW, or worse ({said})"
        if warned
        else f"nothing new in {n_tensors:,} tensor{'s' * (n_tensors != 1)}"
    )
    tail = [f"{len(before)} in both"] * bool(before) + [f"{len(gone)} in OLD only"] * bool(gone)
    return "; ".join([head, *tail])


def _n_tied(comparison: Comparison) -> int:
    """Return how many tensors of NEW share the storage of another one."""
    storages = [result.pair.new.storage for result in comparison.results if result.pair.new is not None]
    return len(storages) - len(set(storages))


def _coverage(comparison: Comparison, side: _Side) -> float:
    total = {
        result.pair.new.storage: result.pair.new.numel
        for result in comparison.results
        if result.pair.new is not None and result.pair.new.is_parameter
    }
    measured = sum(tensor.ref.numel for tensor in side.tensors if tensor.ref.is_parameter)
    n = sum(total.values())
    return min(measured / n, 1.0) if n else 1.0
