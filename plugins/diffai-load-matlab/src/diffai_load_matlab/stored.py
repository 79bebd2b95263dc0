"""How numbers are stored: MATLAB's codes, and the types of the HDF5 library, which reads them."""

from __future__ import annotations

from diffai_lib_hdf5.types import FLOAT, INTEGER, FloatLayout, Type

_FLOATS = {4: FloatLayout(32, 23, 8, 23, 127), 8: FloatLayout(64, 52, 11, 52, 1023)}
_INTEGERS = {1: (1, True), 2: (1, False), 3: (2, True), 4: (2, False), 5: (4, True), 6: (4, False)}
_LONG_INTEGERS = {12: (8, True), 13: (8, False)}
_FLOAT_CODES = {7: 4, 9: 8}
_VERSION_4 = {0: 9, 1: 7, 2: 5, 3: 3, 4: 4, 5: 2}

TEXT_CODES = {16: "utf-8", 17: "utf-16", 18: "utf-32", 4: "utf-16", 2: "latin-1", 1: "latin-1"}
"""Encodings of characters by the code of their elements; without byte order."""


def stored_type(code: int, order: str) -> Type | None:
    """Return the type of elements with a code of version 5, ``None`` if they are no numbers.

    Args:
        code: The code.
        order: ``<`` or ``>``.
    """
    big = order == ">"
    if code in _FLOAT_CODES:
        size = _FLOAT_CODES[code]
        return Type(FLOAT, size, big, float_layout=_FLOATS[size])
    found = _INTEGERS.get(code) or _LONG_INTEGERS.get(code)
    return Type(INTEGER, found[0], big, signed=found[1]) if found else None


def stored_type_of_version_4(code: int, order: str) -> Type:
    """Return the type of elements with a code of version 4, 0 to 5."""
    found = stored_type(_VERSION_4[code], order)
    assert found is not None
    return found
