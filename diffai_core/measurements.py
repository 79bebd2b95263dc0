"""The second look: measure the pairs whose bytes differ, each in as many parts as it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_core.errors import LoadError
from diffai_core.measuring import Segment, TensorJob, finished, measure, merged, segment_states
from diffai_core.pairing import PairResult, Relation, TensorPair
from diffai_core.workers import Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from diffai_core.budget import Share
    from diffai_core.screening import Tools
    from diffai_core.segments import States

_NARROW_BYTES = 1 << 19
"""Below this payload a pair is the interpreter's work more than the kernel's. Two threads that take turns at the
interpreter's lock for it are slower than one (measured: twice the time at 14 KB)."""


@dataclass(frozen=True)
class Measurement:
    """What to measure of one pair.

    Args:
        pair: The pair as the result names it.
        job: What to measure: both tensors, or one of them against itself.
        share: The statistics, with ``changes`` if the relation is to be found out; and the memory for them.
        relation: How the elements of the pair compare.
        is_open: Whether that is to be found out.
    """

    pair: TensorPair
    job: TensorJob
    share: Share
    relation: Relation | None = None
    is_open: bool = False

    def result(self, statistics: dict[str, Any]) -> PairResult:
        """Return what the finished statistics say."""
        relation = relation_of(statistics["changes"]) if self.is_open else self.relation
        left_out = self.share.left_out
        return PairResult(self.pair, relation, statistics | dict.fromkeys(left_out), not_measured=left_out)

    def failure(self, error: LoadError) -> PairResult:
        """Return the result if the bytes cannot be read."""
        return PairResult(self.pair, Relation.NOT_COMPARED, reason=str(error))


class MeasureLarge(Work):
    """A pair in files that several threads share."""

    def __init__(self, tools: Tools, measurement: Measurement) -> None:
        self._tools = tools
        self._measurement = measurement
        self.part_bytes, self.whole_bytes = measurement.share.need
        self._total: States | None = None
        self._is_over = False
        self._error: LoadError | None = None

    def parts(self) -> Iterator[Segment]:
        """Yield the segments."""
        return self._measurement.job.segments()

    def do(self, part: Segment) -> States | LoadError | None:
        """Return the states of a segment; parts begin in order, so that those before the first error are measured."""
        job, folds = self._measurement.job, self._measurement.share.folds
        try:
            return None if self._is_over else segment_states(job, folds, self._tools.worker(), part)
        except LoadError as error:
            self._is_over = True
            return error
        finally:
            self._tools.meter.add(job.payload(part))

    def take(self, outcome: States | LoadError | None) -> None:
        """Merge the states of the next segment."""
        if isinstance(outcome, LoadError):
            self._error = self._error or outcome
        elif outcome is not None and self._error is None:
            self._total = merged(self._measurement.share.folds, self._total, outcome)

    def result(self) -> list[PairResult]:
        """Finish the statistics."""
        what = self._measurement
        if self._error is not None:
            return [what.failure(self._error)]
        return [what.result(finished(what.job, what.share.folds, self._total))]


class MeasureBatch(Work):
    """Pairs that one thread measures, in between others whose result is known."""

    def __init__(self, tools: Tools, pairs: Sequence[Measurement | PairResult]) -> None:
        self._tools = tools
        self._pairs = pairs
        self.part_bytes = max((pair.share.need.total for pair in pairs if isinstance(pair, Measurement)), default=0)
        n_bytes = [pair.job.nbytes for pair in pairs if isinstance(pair, Measurement)]
        self._is_narrow = sum(n_bytes) < len(n_bytes) * _NARROW_BYTES
        self._result: list[PairResult] = []

    def parts(self) -> Iterable[None]:
        """There is one."""
        return (None,)

    def do(self, _part: None) -> list[PairResult]:
        """Measure all pairs."""
        if self._is_narrow:
            with self._tools.narrow:
                return self._done()
        return self._done()

    def _done(self) -> list[PairResult]:
        return [pair if isinstance(pair, PairResult) else _measured(self._tools, pair) for pair in self._pairs]

    def take(self, outcome: list[PairResult]) -> None:
        """See :meth:`Work.take`."""
        self._result = outcome

    def result(self) -> list[PairResult]:
        """See :meth:`Work.result`."""
        return self._result


def _measured(tools: Tools, what: Measurement) -> PairResult:
    remaining = what.job.nbytes

    def tell(n_bytes: int) -> None:
        nonlocal remaining
        remaining -= n_bytes
        tools.meter.add(n_bytes)

    try:
        return what.result(measure(what.job, what.share.folds, tools.worker, tell=tell))
    except LoadError as error:
        return what.failure(error)
    finally:
        tools.meter.add(remaining)


def relation_of(changes: Any) -> Relation:
    """Return how two tensors whose bytes differ compare, from the finished ``changes`` statistic."""
    if changes.n_changed == 0:
        return Relation.EQUAL_VALUES
    if changes.n_above_tol == 0:
        return Relation.WITHIN_TOLERANCE
    return Relation.CHANGED
