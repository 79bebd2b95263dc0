"""Gives the parts of composed estimators the names that users gave them, in place of numbers."""

from __future__ import annotations

from typing import Any

from diffai_lib_pickle import Inert

_NAMED_PARTS = ("steps", "transformers", "transformers_", "transformer_list", "estimators", "_transformers")


def with_names(value: Any) -> Any:
    """Return an estimator whose lists of (name, part …) are mappings from name to part; anything else as it is."""
    if type(value) is not Inert or type(value.state) is not dict:
        return value
    changed = {key: _by_name(value.state[key]) for key in _NAMED_PARTS if type(value.state.get(key)) is list}
    changed = {key: parts for key, parts in changed.items() if parts is not None}
    if not changed:
        return value
    copy = Inert(value.cls, value.args, value.kwargs, value.position)
    copy.state = value.state | changed
    copy.items, copy.appends = value.items, value.appends
    return copy


def _by_name(parts: list[Any]) -> dict[str, Any] | None:
    """Return parts by name, or ``None`` if they are not named, or two alike."""
    if not parts or not all(type(part) is tuple and len(part) > 1 and type(part[0]) is str for part in parts):
        return None
    found = {part[0]: part[1] if len(part) == 2 else list(part[1:]) for part in parts}  # noqa: PLR2004 - name, part
    return found if len(found) == len(parts) else None
