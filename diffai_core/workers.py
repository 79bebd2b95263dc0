"""Threads that share the work of a pass, and what each of them has for itself."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from queue import SimpleQueue

T = TypeVar("T")
_T = TypeVar("_T")
_R = TypeVar("_R")

WINDOW = 4
"""Tasks in flight for each worker: enough to keep it busy, few enough to bound the results held."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class PerThread(Generic[T]):
    """Gives each thread that calls it an object of its own, always the same.

    Args:
        make: Makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._local = threading.local()

    def __call__(self) -> T:
        """Return the object of the calling thread."""
        if not hasattr(self._local, "own"):
            self._local.own = self._make()
        found: T = self._local.own
        return found


class Work(ABC):
    """Something that is done in parts, by any thread; the calling thread takes up what they give, in order.

    Attributes:
        part_bytes: Memory that a part and what it gives need until that is taken up.
        whole_bytes: Memory that everything taken up needs.
    """

    part_bytes = 0
    whole_bytes = 0

    @abstractmethod
    def parts(self) -> Iterable[Any]:
        """Yield the parts, at least one."""

    @abstractmethod
    def do(self, part: Any) -> Any:
        """Do a part, on any thread."""

    @abstractmethod
    def take(self, outcome: Any) -> None:
        """Take up what the next part gave."""

    @abstractmethod
    def result(self) -> Any:
        """Return the result once all parts are taken up."""


class _Unit(NamedTuple):
    work: Work
    part: Any
    is_last: bool


class _Call:
    """A call on another thread, and how it ended."""

    def __init__(self, unit: _Unit) -> None:
        self.unit = unit
        self._ended = threading.Lock()
        self._ended.acquire()
        self._outcome: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._outcome = self.unit.work.do(self.unit.part)
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is asked for
            self._error = error
        finally:
            self._ended.release()

    def outcome(self) -> Any:
        """Wait for the end; an interrupt ends the waiting."""
        with self._ended:
            if self._error is not None:
                raise self._error
            return self._outcome


class Workers:
    """Threads that work side by side and hand back results in order. A context manager.

    They are started when there is something to share, not before: small inputs need none. They never keep the process
    from ending.

    Args:
        count: Number of threads; with 1 everything runs in the calling thread.
        room: Bytes for the parts that are worked on or wait to be taken up; no limit if not given.
    """

    def __init__(self, count: int, room: int | None = None) -> None:
        self._count = count
        self._room = room
        self._threads: list[threading.Thread] = []
        self._queue: SimpleQueue[_Call | None]
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._stopped = True
        for _thread in self._threads:
            self._queue.put(None)
        if error is None:  # after an error nobody wants the results: do not wait for what is still running
            for thread in self._threads:
                thread.join()

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """Call ``function`` on each item; yield the results in the order of the items, few of them waiting."""
        return self.run(_Item(function, item) for item in items)

    def run(self, works: Iterable[Work]) -> Iterator[Any]:
        """Yield the results of ``works`` in their order.

        The parts of later works begin while those of earlier ones are still under way, as far as there is room. May be
        called for works that are made of what another ``run`` yields.
        """
        units, pending = _units(works), deque[_Call]()
        waiting = next(units, None)
        while waiting is not None or pending:
            while waiting is not None and self._fits(waiting, pending):
                unit, waiting = waiting, next(units, None)
                if self._count == 1 or not (waiting or pending or self._threads):
                    yield from _taken_up(unit, unit.work.do(unit.part))
                else:
                    pending.append(self._begin(unit))
            if pending:
                call = pending.popleft()
                yield from _taken_up(call.unit, call.outcome())
                del call  # and what it gave, before the next part needs the room

    def _fits(self, unit: _Unit, pending: deque[_Call]) -> bool:
        """Whether a part may begin: always if it is alone, so that the work never comes to a stop."""
        if not pending:
            return True
        if len(pending) >= self._count * WINDOW:
            return False
        works = [unit.work, *(call.unit.work for call in pending)]
        needed = sum(work.part_bytes for work in works) + max(work.whole_bytes for work in works)
        return self._room is None or needed <= self._room

    def _begin(self, unit: _Unit) -> _Call:
        if not self._threads:
            self._start()
        call = _Call(unit)
        self._queue.put(call)
        return call

    def _start(self) -> None:
        from queue import SimpleQueue

        self._queue = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"diffai-{number}", daemon=True) for number in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            if not self._stopped:
                call.run()
            del call  # and what it gave, while this thread waits


class _Item(Work):
    """One call as a work of one part."""

    def __init__(self, function: Callable[[Any], Any], item: Any) -> None:
        self._function = function
        self._item = item
        self._result: Any = None

    def parts(self) -> Iterable[Any]:
        return (self._item,)

    def do(self, part: Any) -> Any:
        return self._function(part)

    def take(self, outcome: Any) -> None:
        self._result = outcome

    def result(self) -> Any:
        return self._result


def _units(works: Iterable[Work]) -> Iterator[_Unit]:
    for work in works:
        parts = iter(work.parts())
        part = next(parts)
        for following in parts:
            yield _Unit(work, part, is_last=False)
            part = following
        yield _Unit(work, part, is_last=True)


def _taken_up(unit: _Unit, outcome: Any) -> Iterator[Any]:
    """Take up what a part gave; yield the result of the work if that was its last part."""
    unit.work.take(outcome)
    del outcome
    if unit.is_last:
        yield unit.work.result()
