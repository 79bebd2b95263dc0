"""Character arrays: the first index runs fastest, so that rows lie spread."""

from __future__ import annotations

import math


def text_of(raw: bytes, encoding: str, order: str, shape: tuple[int, ...]) -> str | list[str] | None:
    """Return a text for one row, a list of texts for several; ``None`` if these are no such characters.

    Args:
        raw: The characters as they are stored.
        encoding: ``utf-8``, ``utf-16``, ``utf-32`` or ``latin-1``.
        order: ``<`` or ``>``.
        shape: Shape of the array, in code units.
    """
    suffix = {"utf-16": "-le", "utf-32": "-le"}.get(encoding, "")
    name = encoding + (suffix.replace("le", "be") if order == ">" else suffix)
    text = raw.decode(name, errors="backslashreplace")
    n_rows, count = shape[0], math.prod(shape)
    if n_rows <= 1 or len(shape) > 2:  # noqa: PLR2004 - a matrix; what has more dimensions is one text
        return text if len(text) == count or encoding != "latin-1" else None
    if len(text) != count:  # characters of several units cannot be told apart by column
        return None
    return [text[row::n_rows] for row in range(n_rows)]
