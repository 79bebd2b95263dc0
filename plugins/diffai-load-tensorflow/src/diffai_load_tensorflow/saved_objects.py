"""The objects of a SavedModel: which variables are trainable, and which classes wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_load_tensorflow.types import read_shape, type_name
from diffai_load_tensorflow.wording import plain

if TYPE_CHECKING:
    from diffai_lib_protobuf import Message

_USER_OBJECT, _VARIABLE = 4, 7
_DTYPE, _SHAPE, _TRAINABLE, _NAME = 1, 2, 3, 6
_IDENTIFIER, _METADATA = 1, 3
_MAX_METADATA = 1 << 26


def read_saved_objects(message: Message) -> dict[str, Any]:
    """Return the variables by name, in order those of one name, and how many objects of each class there are.

    Raises:
        LoadError: If it is damaged.
    """
    variables: dict[str, list[dict[str, Any]]] = {}
    classes: dict[str, int] = {}
    metadata: list[Any] = []
    for node in (field.message() for field in message.fields() if field.number == 1):
        for field in node.fields():
            if field.number == _VARIABLE:
                name, described = _variable(field.message())
                variables.setdefault(name, []).append(described)
            elif field.number == _USER_OBJECT:
                identifier, text = _user_object(field.message())
                classes[identifier] = classes.get(identifier, 0) + 1
                metadata += [text] if text else []
    found = {
        "variables": {name: items if len(items) > 1 else items[0] for name, items in sorted(variables.items())},
        "classes": dict(sorted(classes.items())),
        "metadata": metadata,
    }
    return {key: value for key, value in found.items() if value}


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


def _user_object(message: Message) -> tuple[str, Any]:
    identifier, text = "", None
    for field in message.fields():
        if field.number == _IDENTIFIER:
            identifier = field.text()
        elif field.number == _METADATA:
            text = plain(field.data(_MAX_METADATA))
    return identifier, text
