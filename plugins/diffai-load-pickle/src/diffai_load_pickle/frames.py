"""Shows data frames and series of pandas by their columns, in place of the blocks in which pandas keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_pickle import Global, Inert, Span
from diffai_lib_pickle.arrays import ArrayValue

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAMES = frozenset({"pandas.DataFrame", "pandas.core.frame.DataFrame"})
_SERIES = frozenset({"pandas.Series", "pandas.core.series.Series"})
_INDEX = frozenset({"pandas.core.indexes.base._new_Index", "pandas.core.indexes.datetimes._new_DatetimeIndex"})
_BACKED = "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked"
_BLOCK = "pandas._libs.internals._unpickle_block"
_LAYOUT = "0.14.1"
"""Under this key stands the layout that pandas has pickled since that version."""

_Block = tuple[Any, Any]  # the values, and which columns they are


def with_columns(value: Any) -> Any:
    """Return an object of pandas as its parts by name; anything else, and what is not understood, as it is."""
    if type(value) is not Inert:
        return value
    if value.path in _FRAMES:
        return _frame(value) or value
    if value.path in _SERIES:
        return _series(value) or value
    if value.path in _INDEX:
        return _index(value) or value
    return (_backed(value) or value) if value.path == _BACKED else value


def _frame(value: Inert) -> dict[str, Any] | None:
    manager = _manager(value)
    if manager is None or len(manager[0]) != 2:  # noqa: PLR2004 - columns and rows
        return None
    axes, blocks = manager
    columns = _columns(axes[0], blocks)
    if columns is None:
        return _known(value) | {"columns": axes[0], "blocks": list(map(list, blocks)), "index": axes[1]}
    return _known(value) | {"columns": columns, "index": axes[1]}


def _columns(index: Any, blocks: list[_Block]) -> dict[str, Any] | None:
    """Return columns by label; ``None`` if labels are no text, or the elements of a column do not lie in a row."""
    labels = _labels(index)
    if labels is None:
        return None
    columns: dict[str, Any] = {}
    for values, places in blocks:
        found = _positions(places, len(labels))
        parts = None if found is None else _rows(values, len(found))
        if found is None or parts is None:
            return None
        columns |= {labels[place]: part for place, part in zip(found, parts, strict=True)}
    return {label: columns[label] for label in labels} if len(columns) == len(labels) else None


def _series(value: Inert) -> dict[str, Any] | None:
    manager = _manager(value)
    if manager is None or len(manager[0]) != 1 or len(manager[1]) != 1:
        return None
    (index,), ((values, _),) = manager
    return _known(value) | {"values": values, "index": index}


def _known(value: Inert) -> dict[str, Any]:
    """Return class and attributes, without the manager of the blocks and what only pandas itself cares about."""
    left_out = {"_mgr", "_data", "_typ", "_metadata", "_flags"}
    kept = {key: part for key, part in value.attributes().items() if key not in left_out and part != {}}
    return {"__class__": value.cls, **kept}


def _manager(value: Inert) -> tuple[list[Any], list[_Block]] | None:
    """Return axes and blocks."""
    attributes = value.attributes()
    manager = attributes.get("_mgr", attributes.get("_data"))
    if type(manager) is not Inert:
        return None
    if type(manager.state) is tuple:
        return _of_state(manager.state)
    if len(manager.args) != 2 or type(manager.args[0]) is not tuple or type(manager.args[1]) is not list:  # noqa: PLR2004 - blocks, axes
        return None
    blocks = [block.args[:2] for block in manager.args[0] if type(block) is Inert and block.path == _BLOCK]
    if len(blocks) != len(manager.args[0]) or any(len(block) != 2 for block in blocks):  # noqa: PLR2004 - values, places
        return None
    return manager.args[1], blocks


def _of_state(state: tuple[Any, ...]) -> tuple[list[Any], list[_Block]] | None:
    layout = state[-1].get(_LAYOUT) if type(state[-1:]) is tuple and state and type(state[-1]) is dict else None
    if type(layout) is not dict or type(layout.get("axes")) is not list or type(layout.get("blocks")) is not list:
        return None
    blocks = [(b.get("values"), b.get("mgr_locs")) for b in layout["blocks"] if type(b) is dict]
    return layout["axes"], blocks


def _labels(index: Any) -> list[str] | None:
    """Return the labels of columns, if all are text and none is there twice."""
    found = _index(index) if type(index) is Inert and index.path in _INDEX else None
    data = found.get("data") if found else None
    backed = _backed(data) if type(data) is Inert and data.path == _BACKED else None
    data = backed["values"] if backed else data
    items = data.data if isinstance(data, ArrayValue) else None
    if type(items) is not list or not all(type(item) is str for item in items) or len(set(items)) < len(items):
        return None
    return items


def _index(value: Inert) -> dict[str, Any] | None:
    """Return class, data and name of an index."""
    if len(value.args) != 2 or type(value.args[0]) is not Global or type(value.args[1]) is not dict:  # noqa: PLR2004 - class, parts
        return None
    return {"__class__": value.args[0], **value.args[1]}


def _backed(value: Inert) -> dict[str, Any] | None:
    """Return type and values of an array that keeps another: dates, texts, categories."""
    state = value.state
    if type(state) is not tuple or len(state) < 2 or not isinstance(state[1], ArrayValue):  # noqa: PLR2004 - type, values
        return None
    return {"__class__": value.args[0] if value.args else value.cls, "dtype": state[0], "values": state[1]}


def _positions(places: Any, n_columns: int) -> range | None:
    """Return which columns a block holds."""
    if type(places) is not Inert or places.path != "builtins.slice" or len(places.args) != 3:  # noqa: PLR2004 - start, stop, step
        return None
    if not all(type(part) is int for part in places.args) or not places.args[2]:
        return None
    found = range(*places.args)
    return found if len(found) <= n_columns and all(0 <= end < n_columns for end in (*found[:1], *found[-1:])) else None


def _rows(values: Any, count: int) -> list[Any] | None:
    """Return the columns of a block: rows of an array in two dimensions, or the one array of another kind."""
    inner = _backed(values) if type(values) is Inert and values.path == _BACKED else None
    array = inner["values"] if inner else values
    if not isinstance(array, ArrayValue) or len(array.shape) == 1:
        return [values] if count == 1 else None
    if len(array.shape) != 2 or array.shape[0] != count or (array.fortran_order and 1 not in array.shape):  # noqa: PLR2004 - columns, rows
        return None
    rows = list(_cut(array, count))
    return [{**inner, "values": row} for row in rows] if inner else rows


def _cut(array: ArrayValue, count: int) -> Iterator[ArrayValue]:
    n_rows = array.shape[1]
    n_bytes = 0 if isinstance(array.data, list) else n_rows * array.dtype.size
    for number in range(count):
        row = ArrayValue(array.cls, array.position + number)
        row.shape, row.dtype = (n_rows,), array.dtype
        if isinstance(array.data, Span):
            row.data = Span(array.data.position + number * n_bytes, n_bytes)
        elif isinstance(array.data, bytes):
            row.data = array.data[number * n_bytes : (number + 1) * n_bytes]
        else:
            row.data = array.data[number * n_rows : (number + 1) * n_rows]
        yield row
