"""The first look: which tensors hold the same bytes, before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_core.artifact import FileTensor, Quantization, TensorRef
from diffai_core.errors import LoadError
from diffai_core.keys import EXACT
from diffai_core.layout import LEAF, SEGMENT_LEAVES
from diffai_core.measuring import TensorJob, identical, same_span
from diffai_core.pairing import stored_alike
from diffai_core.workers import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from threading import Lock

    from diffai_core.meter import Meter
    from diffai_core.pairing import TensorPair
    from diffai_core.segments import Worker

BATCH_ELEMENTS = LEAF * SEGMENT_LEAVES
"""Tensors up to this size are gathered into one task; larger ones in files are split over the workers."""
_BATCH_TENSORS = 256
_PART_BYTES = 8 << 20
"""Bytes of either side of a large tensor that are compared in one task."""
_FAN_OUT = 16
"""Into so many pieces a run of small tensors is cut if there is a difference in it."""


class Tools(NamedTuple):
    """What the tasks of a pass work with.

    Args:
        worker: Gives what the calling thread has for itself.
        meter: Told of the bytes that are done.
        narrow: Held by the one thread at a time that measures very small tensors.
    """

    worker: Callable[[], Worker]
    meter: Meter
    narrow: Lock


class Screened(NamedTuple):
    """What is known of a pair after the first look.

    Args:
        pair: The tensors.
        same: Whether both are there, of the same dtype and with the same bytes; the shapes may differ.
        reason: Why the bytes could not be read; empty if they could.
        n_told: Payload bytes of which the meter was told already.
    """

    pair: TensorPair
    same: bool = False
    reason: str = ""
    n_told: int = 0


def screenings(tools: Tools, pairs: Iterable[TensorPair]) -> Iterator[Work]:
    """Yield the work of the first look; the results are lists of :class:`Screened`, in the order of the pairs.

    A large pair has a list of its own.
    """
    batch: list[TensorPair] = []
    size = 0
    for pair in pairs:
        if batch and (is_large(pair) or size >= BATCH_ELEMENTS or len(batch) == _BATCH_TENSORS):
            yield _Batch(tools, batch)
            batch, size = [], 0
        if is_large(pair):
            yield _large(tools, pair)
            continue
        batch.append(pair)
        size += _numel(pair)
    if batch:
        yield _Batch(tools, batch)


def is_large(pair: TensorPair) -> bool:
    """Whether the pair has a task of its own, or several."""
    return _numel(pair) > BATCH_ELEMENTS


def _numel(pair: TensorPair) -> int:
    return max(ref.numel for ref in (pair.old, pair.new) if ref is not None)


def _large(tools: Tools, pair: TensorPair) -> Work:
    old, new = pair.old, pair.new
    if isinstance(old, FileTensor) and isinstance(new, FileTensor) and _comparable(old, new):
        return _Large(tools, pair, old, new)
    return _Batch(tools, [pair])


def _comparable(old: TensorRef, new: TensorRef) -> bool:
    return stored_alike(old, new) and old.numel == new.numel


def _stored(old: TensorRef, new: TensorRef) -> list[TensorJob] | None:
    """Return what has to be equal for two tensors to be identical; ``None`` if it cannot be for its form."""
    if old.quantization is None or new.quantization is None:
        return [TensorJob.of(old, new, EXACT)]
    olds, news = old.quantization.stored, new.quantization.stored
    if (old.shape, *_use(old.quantization)) != (new.shape, *_use(new.quantization)):
        return None  # equal codes stand for other values
    if [(part.dtype, part.shape) for part in olds] != [(part.dtype, part.shape) for part in news]:
        return None
    return [TensorJob.of(a, b, EXACT) for a, b in zip(olds, news, strict=True)]


def _use(how: Quantization) -> tuple[int | None, int | None]:
    """Return which elements a scale is for."""
    return how.group_size, how.axis


class _Large(Work):
    """A pair that several threads share; nothing is read beyond the first difference."""

    def __init__(self, tools: Tools, pair: TensorPair, old: FileTensor, new: FileTensor) -> None:
        self._tools = tools
        self._pair, self._old, self._new = pair, old, new
        self._is_over = False
        self._n_told = 0
        self._verdict: bool | LoadError = True

    def parts(self) -> Iterator[tuple[int, int]]:
        """Yield the first byte of each part and the one after its last."""
        for start in range(0, self._old.nbytes, _PART_BYTES):
            if self._is_over:
                return
            yield start, min(start + _PART_BYTES, self._old.nbytes)

    def do(self, part: tuple[int, int]) -> int | LoadError:
        """Return the payload bytes that are known to be the same, 0 if there is a difference.

        Parts begin in order, so that all before the first difference, and before the first error, are looked at.
        """
        if self._is_over:
            return 0
        try:
            same = same_span(self._old, self._new, *part, self._tools.worker)
        except LoadError as error:
            self._is_over = True
            return error
        if not same:
            self._is_over = True
            return 0
        n_bytes = 2 * (part[1] - part[0])
        self._tools.meter.add(n_bytes)
        return n_bytes

    def take(self, outcome: int | LoadError) -> None:
        """See :meth:`Work.take`."""
        if isinstance(outcome, int):
            self._n_told += outcome
        if self._verdict is True and (not outcome or isinstance(outcome, LoadError)):
            self._verdict = outcome or False

    def result(self) -> list[Screened]:
        """See :meth:`Work.result`."""
        if isinstance(self._verdict, LoadError):
            return [Screened(self._pair, reason=str(self._verdict), n_told=self._n_told)]
        return [Screened(self._pair, self._verdict, n_told=self._n_told)]


class _Batch(Work):
    """Pairs that one thread looks at."""

    def __init__(self, tools: Tools, pairs: Sequence[TensorPair]) -> None:
        self._tools = tools
        self._pairs = pairs
        self._result: list[Screened] = []

    def parts(self) -> Iterable[None]:
        """There is one."""
        return (None,)

    def do(self, _part: None) -> list[Screened]:
        """Look at all pairs."""
        return [screened for run in _runs(self._pairs) for screened in _screen_run(self._tools, run)]

    def take(self, outcome: list[Screened]) -> None:
        """See :meth:`Work.take`."""
        self._result = outcome

    def result(self) -> list[Screened]:
        """See :meth:`Work.result`."""
        return self._result


def _runs(pairs: Iterable[TensorPair]) -> Iterator[list[TensorPair]]:
    """Gather pairs that lie one right after the other in both files: equal ones are then found in a single look."""
    run: list[TensorPair] = []
    for pair in pairs:
        if run and not _adjacent(run[-1], pair):
            yield run
            run = []
        run.append(pair)
    if run:
        yield run


def _adjacent(first: TensorPair, second: TensorPair) -> bool:
    return all(
        isinstance(before, FileTensor)
        and isinstance(after, FileTensor)
        and before.file is after.file
        and before.offset + before.nbytes == after.offset
        for before, after in zip((first.old, first.new), (second.old, second.new), strict=True)
    ) and all(
        pair.old is not None and pair.new is not None and _comparable(pair.old, pair.new) for pair in (first, second)
    )


def _screen_run(tools: Tools, run: Sequence[TensorPair]) -> Iterator[Screened]:
    if len(run) == 1:
        yield _screen(tools, run[0])
    elif _same_run(tools, run):
        yield from (Screened(pair, same=True) for pair in run)
    else:
        step = -(-len(run) // _FAN_OUT)
        for start in range(0, len(run), step):
            yield from _screen_run(tools, run[start : start + step])


def _same_run(tools: Tools, run: Sequence[TensorPair]) -> bool:
    first, last = run[0], run[-1]
    assert isinstance(first.old, FileTensor)
    assert isinstance(last.old, FileTensor)
    assert isinstance(first.new, FileTensor)
    stop = last.old.offset + last.old.nbytes - first.old.offset
    try:
        return same_span(first.old, first.new, 0, stop, tools.worker)
    except LoadError:  # which of them it is will be found out
        return False


def _screen(tools: Tools, pair: TensorPair) -> Screened:
    old, new = pair.old, pair.new
    if old is None or new is None or not _comparable(old, new):
        return Screened(pair)
    n_told = 0

    def tell(n_bytes: int) -> None:
        nonlocal n_told
        n_told += n_bytes
        tools.meter.add(n_bytes)

    try:
        jobs = _stored(old, new)
        same = jobs is not None and all(identical(job, tools.worker, tell) for job in jobs)
    except LoadError as error:
        return Screened(pair, reason=str(error), n_told=n_told)
    return Screened(pair, same, n_told=n_told)
