"""The graph of objects that TensorFlow 2 stores with a checkpoint: which variable each object holds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from diffai_lib_protobuf import Message

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
MAX_OBJECTS = 200_000
_MAX_PATH_CHARACTERS = 16 << 20
_CHILDREN, _ATTRIBUTES, _SLOTS = 1, 2, 3
_LABEL, _KEY = 2, 3
ROOT = "."


class _Object(NamedTuple):
    children: list[tuple[str, int]]
    attributes: dict[str, dict[str, str]]
    slots: list[tuple[int, str, int]]


def read_objects(message: Message) -> dict[str, Any]:
    """Return each object under its path from the root (``.``), which is also the one in the keys of its variables.

    An object has ``attributes`` with the key in the checkpoint and the full name of the variable; ``also`` are the
    objects that it refers to and that are called otherwise; ``slots`` those of an optimizer that are not called as
    slots are, by the object that they belong to. Objects with none of them are left out.

    Raises:
        LoadError: If an object refers to one that is not there.
    """
    objects: list[_Object] = []
    for field in message.fields():
        if field.number == 1:
            objects.append(_object(field.message()))
        if len(objects) > MAX_OBJECTS:
            raise field.error(f"a checkpoint of more than {MAX_OBJECTS:,} objects")
    paths = _paths(message, objects)
    found: dict[str, Any] = {}
    for number, (children, attributes, slots) in enumerate(objects):
        path = paths[number]
        also = {name: paths[child] for name, child in children if paths[child] != _joined(path, name)}
        described = {"attributes": attributes, "also": also, "slots": _odd_slots(path, slots, paths)}
        entry = {key: value for key, value in described.items() if value}
        if entry:
            found[path] = entry
    return found


def _odd_slots(path: str, slots: list[tuple[int, str, int]], paths: list[str]) -> dict[str, dict[str, str]]:
    """Return the slots of an optimizer whose holders are called otherwise than slots are."""
    by_slot: dict[str, dict[str, str]] = {}
    for variable, slot, holder in slots:
        if paths[holder] != _slot_path(paths[variable], path, slot):
            by_slot.setdefault(slot, {})[paths[variable]] = paths[holder]
    return by_slot


def _object(message: Message) -> _Object:
    found = _Object([], {}, [])
    for field in message.fields():
        if field.number == _CHILDREN:
            numbers = {part.number: part for part in field.message().fields()}
            child = numbers[1].unsigned() if 1 in numbers else 0
            found.children.append((numbers[_LABEL].text() if _LABEL in numbers else "", child))
        elif field.number == _ATTRIBUTES:
            texts = {part.number: part.text() for part in field.message().fields() if part.number <= _KEY}
            found.attributes[texts.get(1, "")] = {"full_name": texts.get(2, ""), "key": texts.get(3, "")}
        elif field.number == _SLOTS:
            numbers = {part.number: part for part in field.message().fields()}
            variable, holder = (numbers[number].unsigned() if number in numbers else 0 for number in (1, 3))
            found.slots.append((variable, numbers[_LABEL].text() if _LABEL in numbers else "", holder))
    return found


def _paths(message: Message, objects: list[_Object]) -> list[str]:
    """Return the path of each object: the shortest one from the first object, or that of a slot."""
    paths: dict[int, str] = {}
    walk = _Walk(message, len(objects))
    if objects:
        walk.visit(paths, 0, ROOT)
    while walk.waiting:
        number = walk.waiting.popleft()
        for name, child in objects[number].children:
            walk.visit(paths, child, _joined(paths[number], name))
    for number, held in enumerate(objects):
        for variable, slot, holder in held.slots:
            if number in paths and variable in paths:
                walk.visit(paths, holder, _slot_path(paths[variable], paths[number], slot))
    for held in objects:
        for variable, _, holder in held.slots:
            walk.check(variable)
            walk.check(holder)
        for _, child in held.children:
            walk.check(child)
    return [paths.get(number, f"object {number}") for number in range(len(objects))]


class _Walk:
    """Gives objects their paths, each of them once."""

    def __init__(self, message: Message, n_objects: int) -> None:
        self.waiting: deque[int] = deque()
        self._message = message
        self._n_objects = n_objects
        self._taken: set[str] = set()
        self._characters = 0

    def check(self, number: int) -> None:
        """Make sure that there is such an object."""
        if number >= self._n_objects:
            raise self._message.error(f"an object refers to object {number:,}, and there are {self._n_objects:,}")

    def visit(self, paths: dict[int, str], number: int, path: str) -> None:
        """Give an object a path if it has none."""
        self.check(number)
        if number in paths:
            return
        self._characters += len(path)
        if self._characters > _MAX_PATH_CHARACTERS:
            raise self._message.error("the objects of the checkpoint are nested too deeply")
        paths[number] = path if path not in self._taken else f"{path} (object {number})"
        self._taken.add(paths[number])
        self.waiting.append(number)


def _slot_path(variable: str, optimizer: str, slot: str) -> str:
    return f"{variable}/.OPTIMIZER_SLOT/{optimizer}/{slot}"


def _joined(path: str, name: str) -> str:
    return name if path == ROOT else f"{path}/{name}"
