"""Puts what a pickle holds into an artefact: arrays as tensors, everything else as a tree."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_numpy.arrays import Contents, add_elements
from diffai_lib_numpy.header import Header
from diffai_lib_numpy.layout import layout_of
from diffai_lib_pickle import Span
from diffai_lib_pickle.arrays import ArrayValue
from diffai_lib_pickle.tree import divide

from diffai_core.plugin import NotCompared
from diffai_load_pickle.estimators import with_names
from diffai_load_pickle.frames import with_columns
from diffai_load_pickle.rules import Elsewhere, Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_pickle import Source
    from diffai_lib_zip import Payload

KEY = "array"
"""Name of an array that is all there is, as in a ``.npy`` file."""
ROOT_KEY = "$"
"""Key of a value that is no mapping."""


def gather(
    contents: Contents, value: Any, source: Source, payload_of: Callable[[ArrayValue], Payload], prefix: str
) -> None:
    """Add a value to ``contents``.

    Args:
        contents: Where to add it.
        value: As ``load`` gives it.
        source: Where it is from.
        payload_of: Returns the bytes of an array.
        prefix: What comes before all names.

    Raises:
        LoadError: If a part of it is damaged.
    """
    path = prefix or (KEY if is_array(value) else "")
    division = divide(value, source, partial(_is_taken, source), _expanded, path)
    for name, array in division.arrays.items():
        if isinstance(array, Elsewhere):
            reason = f"joblib before 0.10 kept this array in the file {array.file!r}; save it with a newer joblib"
            contents.not_readable.append(NotCompared(name, reason))
        else:
            _add(contents, name, array, source, payload_of)
    tree = division.tree
    if prefix:
        contents.tree[prefix] = tree
    elif isinstance(tree, dict) and ROOT_KEY not in tree:
        contents.tree.update(tree)
    else:
        contents.tree[ROOT_KEY] = tree


def is_array(value: Any) -> bool:
    """Whether a value is an array whose elements are no Python objects."""
    return isinstance(value, ArrayValue) and not isinstance(value.data, list)


def _expanded(value: Any) -> Any:
    return with_names(with_columns(value))


def _is_taken(source: Source, value: Any) -> bool:
    if isinstance(value, Wrapper):
        raise source.error("the record of an array of joblib is not complete", 0)
    return is_array(value) or isinstance(value, Elsewhere)


def _add(
    contents: Contents, name: str, array: ArrayValue, source: Source, payload_of: Callable[[ArrayValue], Payload]
) -> None:
    try:
        layout = layout_of(array.dtype.descr)
    except ValueError as error:
        raise source.error(str(error), array.position) from error
    header = Header(layout, array.fortran_order, array.shape, 0)
    held = array.data.length if isinstance(array.data, Span) else len(array.data)
    if layout.has_objects or header.nbytes != held:
        raise source.error("an array does not fill its bytes", array.position)
    add_elements(contents, name, payload_of(array), header)
