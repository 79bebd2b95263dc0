"""Threads that share work: order, overlap, room, errors."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.workers import WINDOW, Work, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Parts(Work):
    """Calls a function on each of some numbers; gives them back in the order in which they were taken up."""

    def __init__(self, numbers: list[int], do: Callable[[int], Any] = lambda number: number) -> None:
        self.do = do
        self._numbers = numbers
        self._taken: list[Any] = []

    def parts(self) -> Iterator[int]:
        yield from self._numbers

    def do(self, part: int) -> Any:  # replaced by what the constructor gets
        raise NotImplementedError

    def take(self, outcome: Any) -> None:
        self._taken.append(outcome)

    def result(self) -> list[Any]:
        return self._taken


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("diffai")}


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=9), max_size=9), st.integers(1, 5), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_results_come_in_order_for_any_number_of_workers_and_any_room(
    works: list[list[int]], count: int, room: int
) -> None:
    made = [Parts(numbers) for numbers in works]
    for work in made:
        work.part_bytes, work.whole_bytes = 7, 3
    with Workers(count, room) as workers:
        assert list(workers.run(made)) == works
    assert not names_of_threads()


def test_parts_of_the_next_work_begin_while_those_of_an_earlier_one_are_under_way() -> None:
    both = threading.Barrier(2, timeout=20)
    with Workers(2) as workers:
        # Each waits for the other: one after the other they would never end.
        met = workers.run(Parts([number], lambda _number: both.wait() >= 0) for number in range(2))
        assert list(met) == [[True], [True]]


def test_a_second_stream_of_work_is_fed_by_the_first_on_the_same_threads() -> None:
    with Workers(3) as workers:
        first = workers.run(Parts([number, number + 1]) for number in range(50))
        second = workers.run(Parts(numbers, lambda number: -number) for numbers in first)
        assert list(second) == [[-number, -number - 1] for number in range(50)]


@pytest.mark.parametrize(("room", "most"), [(100, 3), (39, 1), (10, 1), (None, 4 * WINDOW)])
def test_no_more_parts_are_under_way_than_there_is_room_for(room: int | None, most: int) -> None:
    under_way, seen = [0], [0]
    lock = threading.Lock()

    class Held(Parts):
        part_bytes, whole_bytes = 30, 10

        def take(self, outcome: Any) -> None:
            time.sleep(0.002)  # workers are faster than this, so that outcomes pile up as far as they may
            with lock:
                under_way[0] -= 1
            super().take(outcome)

    def begin(number: int) -> int:
        with lock:
            under_way[0] += 1
            seen[0] = max(seen[0], under_way[0])
        return number

    with Workers(4, room) as workers:
        for _ in workers.run(Held(list(range(20)), begin) for _ in range(4)):
            pass
    assert under_way == [0]
    assert 1 <= seen[0] <= most
    assert seen[0] > 1 or most == 1


def test_a_single_part_needs_no_thread() -> None:
    with Workers(4) as workers:
        (found,) = workers.run([Parts([1], lambda _number: threading.current_thread())])
    assert found == [threading.main_thread()]


def test_an_error_is_raised_where_its_turn_comes_and_the_threads_end() -> None:
    done: list[int] = []

    def fail(number: int) -> int:
        if number == 5:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError), Workers(3) as workers:
        done.extend(workers.map(fail, range(1000)))
    assert done == [0, 1, 2, 3, 4]
    for _ in range(500):
        if not names_of_threads():
            break
        time.sleep(0.01)
    assert not names_of_threads()


def test_an_error_does_not_wait_for_what_is_still_running() -> None:
    release = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            raise ZeroDivisionError
        release.wait(20)

    begun = time.monotonic()
    with pytest.raises(ZeroDivisionError), Workers(2) as workers:
        list(workers.map(work, range(4)))
    assert time.monotonic() - begun < 10
    release.set()
