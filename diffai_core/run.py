"""One comparison, from two paths or two open artefacts to a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from diffai_core.comparison import Comparison
from diffai_core.findings import GATE, ArtifactSummary, Finding, Identity, NotCompared, Report
from diffai_core.identity import count_tensors, judge
from diffai_core.kernels import Kernel, ReferenceKernel
from diffai_core.keys import KeyFilter, Tolerances
from diffai_core.meter import Meter, NoMeter
from diffai_core.pairing import PairResult, Relation, TensorPair
from diffai_core.parts import in_one_form
from diffai_core.renames import pair_tensors
from diffai_core.training_state import ignored_state
from diffai_core.wording import listed

if TYPE_CHECKING:
    from diffai_core.artifact import Artifact, TensorRef
    from diffai_core.comparators import ComparatorRun
    from diffai_core.errors import LoadError
    from diffai_core.registry import Registered
    from diffai_core.specs import ComparatorSpec, ReadingWay

Comparators = Sequence["Registered[ComparatorSpec]"]
_FACETS = ("tree", "tables", "graph")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Settings:
    """What shapes a comparison besides the two inputs.

    Args:
        keys: Which keys to look at.
        tolerances: How far values may differ.
        jobs: Worker threads; as many as suit the kernel if not given.
        max_memory: Bytes for buffers and states.
        plugin_options: Options of each comparator by its name.
        meter: Told how far the pass is.
        on_failure: Called with the traceback of a plugin that failed.
        kernel: Takes the core's statistics.
        reading: How the bytes of files are got at.
        fail_on_unsafe: Whether it is trouble that a file wants foreign code to be imported or called.
    """

    keys: KeyFilter = field(default_factory=KeyFilter)
    tolerances: Tolerances = field(default_factory=Tolerances)
    jobs: int | None = None
    max_memory: int = 256 << 20
    plugin_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    meter: Meter = field(default_factory=NoMeter)
    on_failure: Callable[[str], None] = field(default=lambda _trace: None)
    kernel: Kernel = field(default_factory=ReferenceKernel)
    reading: ReadingWay = "auto"
    fail_on_unsafe: bool = False

    def record(self) -> dict[str, Any]:
        """Return what shapes the result, as plain values."""
        keys, tolerances = self.keys, self.tolerances
        return {
            "filter": keys.pattern.pattern if keys.pattern else None,
            "path": keys.path or None,
            "ignore_keys_regex": keys.ignore.pattern if keys.ignore else None,
            "ignore_optimizer_state": keys.ignore_optimizer_state,
            "epsilon": tolerances.default.atol,
            "tolerance_per_layer": [
                {"pattern": pattern.pattern, "rtol": tolerance.rtol, "atol": tolerance.atol}
                for pattern, tolerance in tolerances.by_pattern
            ],
        }


def compare_artifacts(
    old: Artifact,
    new: Artifact,
    comparators: Comparators,
    settings: Settings | None = None,
    between: Sequence[Artifact] = (),
) -> Report:
    """Compare two open artefacts.

    Args:
        old: The artefact OLD.
        new: The artefact NEW.
        comparators: The analyses to run, in order.
        settings: Selection, tolerances and resources.
        between: Artefacts between OLD and NEW, for analyses of a series.

    Raises:
        LoadError: If a file changed or shrank while it was read.
    """
    from diffai_core.comparators import run_comparators
    from diffai_core.engine import PassPlan, run_pass
    from diffai_core.folds import plan_folds
    from diffai_core.workers import Workers

    settings = settings or Settings()
    old, new = in_one_form(old, new)
    folds = plan_folds(comparators)
    plan = PassPlan(
        folds.folds,
        folds.scopes,
        settings.tolerances,
        settings.jobs,
        settings.max_memory,
        settings.meter,
        settings.kernel,
        settings.reading,
    )
    results = tuple(run_pass(plan, _selected(pair_tensors(old.tensors, new.tensors), settings.keys)))
    with Workers(plan.budget.workers) as workers:
        comparison = Comparison(
            old,
            new,
            results,
            settings.keys,
            settings.tolerances,
            between=tuple(between),
            mapper=workers.map,
            meter=settings.meter,
        )
        runs = run_comparators(comparators, comparison, settings.plugin_options, folds.broken, settings.on_failure)
    for artifact in comparison.series:
        artifact.check_unchanged()
    return _report(old, new, results, runs, settings)


def _selected(pairs: Sequence[TensorPair], keys: KeyFilter) -> Sequence[TensorPair]:
    """Return the pairs of which either tensor is looked at."""
    if not keys.active:
        return pairs
    return [pair for pair in pairs if any(keys.keeps_tensor(ref) for ref in (pair.old, pair.new) if ref is not None)]


def _unreadable(result: PairResult) -> Finding:
    return Finding("unreadable", where=result.pair.key, level="error", message=result.reason)


def _not_measured(result: PairResult) -> Finding:
    names = ", ".join(result.not_measured)
    message = f"{names}: not measured, because --max-memory is too little for a tensor of this shape"
    return Finding(
        "statistics_not_measured", where=result.pair.key, status="not_measurable", level="warning", message=message
    )


def _damaged(error: LoadError) -> Finding:
    return Finding("unreadable", where=error.path, level="error", message=str(error))


def _foreign(side: Artifact, *, fail: bool) -> Iterator[Finding]:
    """Yield one finding for each file that wants foreign code to be imported or called."""
    for path, found in groupby(side.foreign, key=lambda foreign: foreign.path):
        offsets: dict[str, int] = {}
        for foreign in found:
            offsets.setdefault(foreign.name, foreign.offset)
        names = listed([*offsets][:_MOST_NAMED])
        if len(offsets) > _MOST_NAMED:
            names += f" and {len(offsets) - _MOST_NAMED:,} more"
        yield Finding(
            "foreign_code",
            where=path,
            level="error" if fail else "warning",
            values={"n_callables": len(offsets), "callables": [*offsets], "offsets": [*offsets.values()]},
            null=0,
            message=f"{path}: wants {names} to be imported or called; nothing was",
        )


def _report(
    old: Artifact, new: Artifact, results: Sequence[PairResult], runs: Sequence[ComparatorRun], settings: Settings
) -> Report:
    counts = count_tensors(results)
    not_compared = tuple(dict.fromkeys(_not_compared(old, new, results, runs, settings.keys)))
    others = sum(run.n_changes_beside_tensors for run in runs)
    tolerated = sum(run.n_within_tolerance for run in runs)
    verdict = judge(old, new, results, counts, others, not_compared, tolerated=tolerated, selected=settings.keys.active)
    findings = (
        *map(_damaged, (*old.errors, *new.errors)),
        *chain.from_iterable(_foreign(side, fail=settings.fail_on_unsafe) for side in (old, new)),
        *(ignored_state(old, new) if settings.keys.ignore_optimizer_state else ()),
        *(_unreadable(result) for result in results if result.reason),
        *(_not_measured(result) for result in results if result.not_measured),
        *(finding for run in runs for finding in run.findings),
    )
    return Report(
        verdict=verdict,
        exit_code=_exit_code(verdict.identity, findings, not_compared),
        old=_summary(old, (result.pair.old for result in results)),
        new=_summary(new, (result.pair.new for result in results)),
        counts=counts,
        findings=findings,
        not_compared=not_compared,
        settings=settings.record(),
    )


def _not_compared(
    old: Artifact, new: Artifact, results: Sequence[PairResult], runs: Iterable[ComparatorRun], keys: KeyFilter
) -> Iterator[NotCompared]:
    for result in results:
        if result.relation is Relation.NOT_COMPARED:
            yield NotCompared(result.pair.key, result.reason)
    for side in (old, new):
        yield from side.not_readable
        yield from (NotCompared(error.path, error.reason) for error in side.errors)
    covered = {facet for run in runs if not run.failed for facet in run.spec.facets}
    for facet in _FACETS:
        if facet not in covered and (getattr(old, facet) or getattr(new, facet)):
            yield NotCompared(facet, f"no working comparator for the {facet} is installed; see diffai --plugins")
    for run in runs:
        yield from run.not_compared
    if keys.active and not results and not old.tree and not new.tree:  # of trees, their comparator tells
        yield NotCompared("selection", "no key matches --filter, --path and --ignore-keys-regex")


def _exit_code(identity: Identity, findings: Sequence[Finding], not_compared: Sequence[NotCompared]) -> int:
    levels = {finding.level for finding in findings}
    if "error" in levels:
        return 2
    gates = [finding.values["passed"] for finding in findings if finding.kind == GATE]
    if gates:
        return 1 if False in gates else 3 if None in gates or not_compared else 0
    if identity is Identity.DIFFERENT or "change" in levels:
        return 1
    return 3 if not_compared else 0


def _summary(artifact: Artifact, refs: Iterable[TensorRef | None]) -> ArtifactSummary:
    selected = [ref for ref in refs if ref is not None]
    storages = [ref.storage for ref in selected]
    weights = {storage: ref.numel for storage, ref in zip(storages, selected, strict=True) if ref.is_parameter}
    return ArtifactSummary(
        path=artifact.name,
        format=artifact.format,
        n_tensors=len(selected),
        n_parameters=sum(weights.values()),
        n_bytes=sum({storage: ref.nbytes for storage, ref in zip(storages, selected, strict=True)}.values()),
        dtypes=dict(sorted(Counter(ref.stored_as for ref in selected).items())),
    )
