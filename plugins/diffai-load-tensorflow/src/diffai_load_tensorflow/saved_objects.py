"""The objects of a SavedModel: which variables are trainable, and which classes wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_load_tensorflow.types import read_shape, type_name

if TYPE_CHECKING:
    from diffai_lib_protobuf import Message

_USER_OBJECT, _VARIABLE = 4, 7
_DTYPE, _SHAPE, _TRAINABLE, _NAME = 1, 2, 3, 6
_IDENTIFIER, _METADATA = 1, 3
_MAX_METADATA = 1 << 26
_MAX_DEPTH = 64


def read_saved_objects(message: Message) -> dict[str, Any]:
    """Return the variables by name, how many objects of each class there are, and what they say of themselves.

    Raises:
        LoadError: If it is damaged.
    """
    variables: dict[str, list[dict[str, Any]]] = {}
    classes: dict[str, int] = {}
    metadata: dict[str, Any] = {}
    for node in (field.message() for field in message.fields() if field.number == 1):
        for field in node.fields():
            if field.number == _VARIABLE:
                name, described = _variable(field.message())
                variables.setdefault(name, []).append(described)
            elif field.number == _USER_OBJECT:
                identifier, text = _user_object(field.message())
                classes[identifier] = classes.get(identifier, 0) + 1
                if text:
                    _add_metadata(metadata, text)
    found = {
        "variables": {name: items if len(items) > 1 else items[0] for name, items in sorted(variables.items())},
        "classes": dict(sorted(classes.items())),
        "metadata": metadata,
    }
    return {key: value for key, value in found.items() if value}


def _add_metadata(found: dict[str, Any], text: str) -> None:
    """Add what an object says of itself: JSON with the configuration of a Keras layer, under its name."""
    import json

    value: Any
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        value = text
    value = text if _is_deep(value) else value
    named = value.get("name") if isinstance(value, dict) else None
    name = named if isinstance(named, str) else str(len(found))
    key, number = name, 1
    while key in found:
        number += 1
        key = f"{name}#{number}"
    found[key] = value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _is_deep(value: Any) -> bool:
    """Whether a value is nested more than ``_MAX_DEPTH`` deep."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [item for part in inner for item in part]
    return bool(level)


def _variable(message: Message) -> tuple[str, dict[str, Any]]:
    name = ""
    found: dict[str, Any] = {"trainable": False}
    for field in message.fields():
        if field.number == _NAME:
            name = field.text()
        elif field.number == _DTYPE:
            found["dtype"] = type_name(field.unsigned())
        elif field.number == _SHAPE:
            shape = read_shape(field.message())
            found["shape"] = None if shape is None else list(shape)
        elif field.number == _TRAINABLE:
            found["trainable"] = field.boolean()
    return name, found


def _user_object(message: Message) -> tuple[str, str]:
    identifier = text = ""
    for field in message.fields():
        if field.number == _IDENTIFIER:
            identifier = field.text()
        elif field.number == _METADATA:
            text = field.text(_MAX_METADATA)
    return identifier, text
