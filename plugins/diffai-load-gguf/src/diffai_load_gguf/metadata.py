"""The key-value pairs at the start of a GGUF file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_load_gguf.cursor import shown

if TYPE_CHECKING:
    from diffai_core.plugin import LoadError
    from diffai_load_gguf.cursor import Cursor

MAX_PAIRS = 1_000_000
MAX_VALUES = 4_000_000
"""Elements of all lists together; the largest vocabularies have some 300,000 tokens in three lists."""
MAX_DEPTH = 8
_LIST_COST = 16
"""So many elements a list within a list counts for, as it takes as long to read and as much memory."""

UINT32 = 4
BOOL, STRING, ARRAY = 7, 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", 5: "i", 6: "f", BOOL: "B", 10: "Q", 11: "q", 12: "d"}
_SIZES = {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4, "i": 4, "f": 4, "Q": 8, "q": 8, "d": 8}


class MetadataReader:
    """Takes the pairs from a file.

    Args:
        cursor: Where they begin; afterwards, where they end.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._n_values = 0
        self.pairs: dict[str, Any] = {}
        self.types: dict[str, int] = {}
        self.places: dict[str, int] = {}

    def read(self, count: int) -> None:
        """Take ``count`` pairs.

        Raises:
            LoadError: If a key is there twice or is no text, a type is unknown, or there is too much of anything.
        """
        cursor = self._cursor
        smallest = cursor.length_bytes + 4 + 1
        if count > min(MAX_PAIRS, cursor.remaining // smallest):
            raise cursor.error(f"{count:,} key-value pairs are announced, more than fit")
        for _ in range(count):
            start = cursor.position
            key = cursor.text()
            if not isinstance(key, str):
                raise cursor.error(f"the key {shown(key)} is not UTF-8", start)
            if key in self.pairs:
                raise cursor.error(f"the key {shown(key)} is there twice", start)
            kind = cursor.number("I")
            self.pairs[key] = self._value(kind, key, 0)
            self.types[key] = kind
            self.places[key] = start

    def _value(self, kind: int, key: str, depth: int) -> Any:
        if kind == STRING:
            return self._cursor.text()
        if kind == ARRAY:
            return self._array(key, depth + 1)
        return self._numbers(kind, key, 1)[0]

    def _array(self, key: str, depth: int) -> list[Any]:
        cursor, start = self._cursor, self._cursor.position
        if depth > MAX_DEPTH:
            raise cursor.error(f"lists nested more than {MAX_DEPTH} deep under {shown(key)}")
        kind, count = cursor.number("I"), cursor.length()
        self._n_values += count * (_LIST_COST if kind == ARRAY else 1)
        if self._n_values > MAX_VALUES or count > cursor.remaining // self._smallest(kind):
            raise cursor.error(f"a list of {count:,} values under {shown(key)}, more than fit", start)
        if kind == STRING:
            return list(cursor.texts(count))
        if kind == ARRAY:
            return [self._array(key, depth + 1) for _ in range(count)]
        return self._numbers(kind, key, count)

    def _numbers(self, kind: int, key: str, count: int) -> list[Any]:
        cursor, start = self._cursor, self._cursor.position
        code = _NUMBERS.get(kind)
        if code is None:
            raise self._unknown(kind, key)
        numbers = cursor.array(code, count)
        if kind != BOOL:
            return numbers
        if any(number > 1 for number in numbers):
            raise cursor.error(f"a truth value other than 0 and 1 under {shown(key)}", start)
        return [number == 1 for number in numbers]

    def _smallest(self, kind: int) -> int:
        """Return the fewest bytes that a value takes."""
        if kind == STRING:
            return self._cursor.length_bytes
        if kind == ARRAY:
            return self._cursor.length_bytes + 4
        return _SIZES.get(_NUMBERS.get(kind, ""), 1)

    def _unknown(self, kind: int, key: str) -> LoadError:
        return self._cursor.error(f"the value of {shown(key)} has the unknown type {kind}; upgrade diffai-load-gguf")
