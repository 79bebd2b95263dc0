"""What joblib does with its own names: behind the record of an array follow its elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_lib_pickle import Global, Rules, Span, load
from diffai_lib_pickle.arrays import ArrayValue, DTypeValue, checked_shape, numpy_builders

if TYPE_CHECKING:
    from diffai_lib_pickle import Call, Source, Unpickled

MAX_NESTED = 16
"""How deep pickles may stand in arrays of objects of other pickles."""

_WRAPPERS = ("joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle")


class Wrapper:
    """A ``NumpyArrayWrapper``: says what array follows the operation that completes it."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def set_state(self, state: Any) -> None:
        """Take what it says.

        Raises:
            ValueError: If it says nothing.
        """
        if type(state) is not dict:
            raise ValueError("the record of an array of joblib is damaged")
        self.state = state


class Elsewhere:
    """An array that joblib before 0.10 kept in a file of its own.

    Attributes:
        file: Name of the file.
    """

    __slots__ = ("file",)

    def __init__(self) -> None:
        self.file = ""

    def set_state(self, state: Any) -> None:
        """Take the name.

        Raises:
            ValueError: If there is none.
        """
        name = state.get("filename") if type(state) is dict else None
        if type(name) is not str:
            raise ValueError("the record of an array of joblib is damaged")
        self.file = name


class Joblib:
    """Reads the pickles of a file, with the arrays that joblib puts between the operations.

    Args:
        source: The bytes of the file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._depth = 0
        self.globals: dict[Global, int] = {}
        self._rules = Rules(
            builders=numpy_builders()
            | {f"{module}.NumpyArrayWrapper": _wrapper for module in _WRAPPERS}
            | {
                f"{module}.{name}": _elsewhere for module in _WRAPPERS for name in ("NDArrayWrapper", "ZNDArrayWrapper")
            },
            after_build=self._after_build,
        )

    def load(self, start: int) -> Unpickled:
        """Read the pickle at ``start``; what it names is added to ``globals``.

        Raises:
            LoadError: If it is damaged, or larger than what is read.
        """
        if self._depth == MAX_NESTED:
            raise self._source.error(f"pickles are nested more than {MAX_NESTED} deep", start)
        self._depth += 1
        found = load(self._source, start, self._rules)
        self._depth -= 1
        for name, position in found.globals.items():
            self.globals.setdefault(name, position)
        return found

    def _after_build(self, value: Any, position: int) -> tuple[ArrayValue, int] | None:
        return self._array(value.state, position) if isinstance(value, Wrapper) else None

    def _array(self, state: dict[str, Any], position: int) -> tuple[ArrayValue, int]:
        """Return the array that begins at ``position``, and the position behind it."""
        dtype, order = state.get("dtype"), state.get("order")
        shape = checked_shape(state.get("shape"))
        if not isinstance(dtype, DTypeValue) or order not in {"C", "F"}:
            raise ValueError("the record of an array of joblib is damaged")
        made = ArrayValue(state.get("subclass"), position)
        if dtype.has_objects:
            found = self.load(position)
            if not isinstance(found.value, ArrayValue):
                raise ValueError("an array of objects of joblib is none")
            return found.value, found.end
        start = position
        if state.get("numpy_array_alignment_bytes") is not None:
            start += 1 + self._source.read(position, 1)[0] if position < self._source.size else 1
        n_bytes = math.prod(shape) * dtype.size
        if n_bytes > self._source.size - start:
            missing = n_bytes - max(self._source.size - start, 0)
            raise self._source.error(f"the file ends here, {missing:,} bytes too early for an array", self._source.size)
        made.take(shape, dtype, order == "F", Span(start, n_bytes))
        return made, start + n_bytes


def _wrapper(_call: Call) -> Wrapper:
    return Wrapper()


def _elsewhere(_call: Call) -> Elsewhere:
    return Elsewhere()
