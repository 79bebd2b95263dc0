"""Threads that share the work of a pass, and what each of them has for itself."""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

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


class Workers:
    """Threads that work side by side and hand back results in order. A context manager.

    Args:
        count: Number of threads; with 1 everything runs in the calling thread.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            # After an error nobody wants the results: do not wait for what is still running.
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def _threads(self) -> Executor:
        """Start the threads when there is something to share, not before: small inputs need none."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="diffai")
        return self._pool

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """Call ``function`` on each item; yield the results in the order of the items, few of them waiting."""
        remaining = iter(items)
        first = list(islice(remaining, 2))
        if self._count == 1 or len(first) == 1:
            yield from map(function, chain(first, remaining))
            return
        pool, remaining = self._threads(), chain(first, remaining)
        pending: deque[Future[_R]] = deque()
        try:
            pending.extend(pool.submit(function, item) for item in islice(remaining, self._count * WINDOW))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
