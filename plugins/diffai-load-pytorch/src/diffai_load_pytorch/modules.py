"""Shows modules, storages and tensors in parts as mappings of what is in them."""

from __future__ import annotations

import re
from typing import Any

from diffai_lib_pickle import Inert
from diffai_lib_pickle.tree import CLASS_KEY, STATE_KEY
from diffai_lib_pickle.values import safe_key

from diffai_load_pytorch.builders import whole
from diffai_load_pytorch.values import Parts, StorageValue, TensorValue

_MODULE_KEYS = ("_parameters", "_buffers", "_modules")
_DERIVED = {"_flat_weights", "_flat_weight_refs", "_all_weights"}
"""What recurrent layers keep of their own parameters a second time."""

_HOOK = "_is_full_backward_hook"
_MANGLED = re.compile(r"___torch_mangle_\d+\.")


def expand(value: Any) -> Any:
    """Return what to show for a value: a mapping for a module, a tensor for a storage; else the value itself."""
    if isinstance(value, StorageValue):
        return whole(value)
    if isinstance(value, Parts):
        return value.fields
    if not isinstance(value, Inert):
        return value
    return _object(value)


def _object(value: Inert) -> Any:
    attributes = value.attributes()
    if value.path == "collections.OrderedDict" and attributes.keys() == {"_metadata"} and _are_versions(attributes):
        return _entries(value)
    if "_modules" in attributes and "_parameters" in attributes:
        return _module(value, attributes)
    if value.path.startswith("__torch__"):
        return _scripted(value, attributes)
    return value


def _scripted(value: Inert, attributes: dict[Any, Any]) -> dict[Any, Any]:
    """Return class and attributes of a TorchScript object."""
    if not attributes and value.state is not None:
        attributes = {STATE_KEY: value.state}
    kept = {name: item for name, item in attributes.items() if name != _HOOK or not _is_empty(item)}
    return {CLASS_KEY: _MANGLED.sub("", value.path).removeprefix("__torch__."), **kept}


def _are_versions(attributes: dict[Any, Any]) -> bool:
    """Whether all that a state dict keeps besides is which version of PyTorch's own format each module has."""
    metadata = attributes["_metadata"]
    return metadata is not None and all(
        isinstance(entry, dict) and entry.keys() <= {"version"} for entry in _entries(metadata).values()
    )


def _module(value: Inert, attributes: dict[Any, Any]) -> dict[Any, Any]:
    """Return class, parameters, buffers, modules and settings of a module, without what is empty inside of it."""
    parts: dict[Any, Any] = {CLASS_KEY: value.path}
    for key in _MODULE_KEYS:
        for name, item in _entries(attributes.get(key)).items():
            if key == "_buffers" and isinstance(item, TensorValue):
                item.is_buffer = True
            parts.setdefault(name, item)
    own = {id(item) for item in parts.values()}
    for name, item in attributes.items():
        if name in _MODULE_KEYS or (str(name).startswith("_") and _is_empty(item)) or _is_derived(name, item, own):
            continue
        parts[f"{name} (attribute)" if name in parts else name] = item
    return parts


def _is_derived(name: Any, item: Any, own: set[int]) -> bool:
    """Whether an attribute holds parameters a second time; ``own`` are those that the module has."""
    if name not in _DERIVED or not isinstance(item, list):
        return False
    return not any(isinstance(part, TensorValue) and id(part) not in own for part in item)


def _entries(value: Any) -> dict[Any, Any]:
    """Return the entries of a dict, or of an ordered one: set one by one, or given as pairs as Python 2 did."""
    if not isinstance(value, Inert):
        return value if isinstance(value, dict) else {}
    given = value.args[0] if value.args and isinstance(value.args[0], list) else []
    pairs = given if all(type(pair) in {list, tuple} and len(pair) == len(("key", "value")) for pair in given) else []
    return {**{safe_key(key): item for key, item in pairs}, **(value.items or {})}


def _is_empty(value: Any) -> bool:
    if isinstance(value, Inert):
        return not (value.items or value.appends or value.state or _has_content(value.args))
    return value is None or value is False or value in ({}, [], ())


def _has_content(args: Any) -> bool:
    return any(not _is_empty(argument) for argument in args)
