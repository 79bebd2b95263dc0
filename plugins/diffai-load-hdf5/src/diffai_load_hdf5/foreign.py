"""What the configuration of a Keras model wants to have imported or called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_KERAS = frozenset({"keras", "tf_keras"})
_LAMBDA_LAYER, _LAMBDA = "Lambda", "__lambda__"


def foreign_of(config: Any, path: str, offset: int) -> tuple[Foreign, ...]:
    """Return what loading the model would import from other packages than Keras, or run from the file.

    A Lambda layer, and any other function without a name, is Python bytecode in the file. Every other object names the
    module that Keras imports its class from.

    Args:
        config: The configuration, plain values.
        path: The file, for messages.
        offset: Byte at which the configuration stands.
    """
    return tuple(Foreign(name, path, offset) for name in dict.fromkeys(_names(config)))


def _names(config: Any) -> Iterator[str]:
    open_values = [config]
    while open_values:
        value = open_values.pop()
        if isinstance(value, dict):
            name = _name(value)
            if name:
                yield name
            open_values.extend(reversed(value.values()))
        elif isinstance(value, list):
            open_values.extend(reversed(value))


def _name(value: dict[str, Any]) -> str:
    """Return the full name of what is called for an object; empty if it is one of Keras or none."""
    name, module = value.get("class_name"), value.get("module")
    if not isinstance(name, str):
        return ""
    if name == _LAMBDA:
        return f"keras.{_LAMBDA}"
    if name == _LAMBDA_LAYER and isinstance(value.get("config"), dict) and "function" in value["config"]:
        return f"keras.layers.{_LAMBDA_LAYER}"
    if not isinstance(module, str) or module.partition(".")[0] in _OF_KERAS:
        return ""
    by_name = module == "builtins" and name == "function"  # Keras looks such functions up and imports nothing
    return "" if by_name else f"{module}.{name}"
