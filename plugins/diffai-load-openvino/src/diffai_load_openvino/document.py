"""An IR as records: layers with their ports, the edges between them, the bodies of loops and branches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import LoadError
from diffai_load_openvino.markup import Element, plain, read_markup, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile

VERSIONS = (10, 11)
"""Versions of the IR that are read; 10 is what OpenVINO wrote from 2020, 11 from 2022 on."""

_NOT_ESCAPED = re.compile(r"(?<!\\),")
_MAX_DIMENSIONS = 64


class Port(NamedTuple):
    """An input or output of a layer.

    Args:
        number: What edges call it.
        precision: Element type, as ports spell it; empty if not told.
        dims: Length of each dimension, -1 where it is open.
        names: Names of the tensor that an output gives.
    """

    number: int
    precision: str
    dims: tuple[int, ...]
    names: tuple[str, ...]


class Layer(NamedTuple):
    """An operator, a constant, an input or an output.

    Args:
        number: What edges call it.
        name: Its name, as in the file.
        type: What it is.
        version: Operator set that defines it, or the name of an extension.
        data: What it is set to.
        inputs: Its inputs in order.
        outputs: Its outputs in order.
        bodies: The graphs that it runs.
        extra: Everything else that the file says about it, as plain values.
        offset: Where it begins in the file.
    """

    number: int
    name: str
    type: str
    version: str
    data: dict[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    bodies: dict[str, Net]
    extra: dict[str, Any]
    offset: int


class Edge(NamedTuple):
    """A connection: layer and port that give, layer and port that take."""

    source: tuple[int, int]
    target: tuple[int, int]
    offset: int


class Net(NamedTuple):
    """A graph.

    Args:
        layers: In the order of the file.
        edges: In the order of the file.
        extra: Everything else that the file says about it, as plain values.
    """

    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]
    extra: dict[str, Any]


def read_document(file: DataFile) -> Net:
    """Read the XML of an IR.

    Raises:
        LoadError: If it is damaged, no IR, or an IR of a version that is not read.
    """
    reader = _Folder(file)
    root = read_markup(file, reader.fold)
    if root.tag != "net":
        raise LoadError(file.name, f"is not OpenVINO: its root is <{root.tag[:40]}>, not <net>", root.offset)
    version = whole_number(root.attributes.get("version", ""), "the version of the IR", file, root.offset)
    if version not in VERSIONS:
        reason = f"is IR version {version}; only {VERSIONS[0]} and {VERSIONS[1]} are read, convert it with OpenVINO"
        raise LoadError(file.name, reason, root.offset)
    return reader.net(root)


class _Folder:
    """Turns elements into records as soon as they end, so that what is kept stays small."""

    def __init__(self, file: DataFile) -> None:
        self._file = file

    def fold(self, element: Element, parent: Element) -> Any:
        """Return the record of an element, or the element itself where there is none for it."""
        where = (parent.tag, element.tag)
        if where == ("port", "dim"):
            return whole_number(element.text, "a dimension", self._file, element.offset)
        if where in {("input", "port"), ("output", "port")}:
            return self._port(element)
        if where == ("edges", "edge"):
            return self._edge(element)
        if where == ("layers", "layer"):
            return self._layer(element)
        return element

    def _number(self, element: Element, key: str) -> int:
        what = f"the {key} of <{element.tag}>"
        return whole_number(element.attributes.get(key, ""), what, self._file, element.offset)

    def _port(self, element: Element) -> Port:
        dims = tuple(child for child in element.children if isinstance(child, int))
        if len(dims) > _MAX_DIMENSIONS:
            raise LoadError(self._file.name, f"a port has {len(dims):,} dimensions", element.offset)
        names = element.attributes.get("names", "")
        return Port(
            self._number(element, "id"),
            element.attributes.get("precision", ""),
            dims,
            tuple(name.replace("\\,", ",") for name in _NOT_ESCAPED.split(names)) if names else (),
        )

    def _edge(self, element: Element) -> Edge:
        numbers = [self._number(element, key) for key in ("from-layer", "from-port", "to-layer", "to-port")]
        return Edge((numbers[0], numbers[1]), (numbers[2], numbers[3]), element.offset)

    def _layer(self, element: Element) -> Layer:
        parts = [child for child in element.children if isinstance(child, Element)]
        bodies: dict[str, Net] = {}
        for part in filter(_has_layers, parts):
            if part.tag in bodies:
                raise LoadError(self._file.name, f"a layer has two bodies called {part.tag[:40]!r}", part.offset)
            bodies[part.tag] = self.net(part)
        rest = [part for part in parts if part.tag not in {"data", "input", "output", *bodies}]
        known = {"id", "name", "type", "version"}
        extra = {key: value for key, value in element.attributes.items() if key not in known}
        return Layer(
            self._number(element, "id"),
            element.attributes.get("name", ""),
            element.attributes.get("type", ""),
            element.attributes.get("version", ""),
            _merged(part.attributes for part in parts if part.tag == "data"),
            _ports(parts, "input"),
            _ports(parts, "output"),
            bodies,
            extra | _said(rest),
            element.offset,
        )

    def net(self, element: Element) -> Net:
        """Return the graph that an element holds.

        Raises:
            LoadError: If two layers have one number, or an edge leads to a layer or port that is not there.
        """
        parts = [child for child in element.children if isinstance(child, Element)]
        layers = tuple(child for child in _inside(parts, "layers") if isinstance(child, Layer))
        edges = tuple(child for child in _inside(parts, "edges") if isinstance(child, Edge))
        self._check(layers, edges)
        rest = [part for part in parts if part.tag not in {"layers", "edges"}]
        return Net(layers, edges, {**element.attributes, **_said(rest)})

    def _check(self, layers: tuple[Layer, ...], edges: tuple[Edge, ...]) -> None:
        giving: set[tuple[int, int]] = set()
        taking: set[tuple[int, int]] = set()
        numbers: set[int] = set()
        for layer in layers:
            if layer.number in numbers:
                raise LoadError(self._file.name, f"two layers have the id {layer.number}", layer.offset)
            numbers.add(layer.number)
            giving.update((layer.number, port.number) for port in layer.outputs)
            taking.update((layer.number, port.number) for port in layer.inputs)
        reached: set[tuple[int, int]] = set()
        for edge in edges:
            if edge.target in reached:
                reason = f"two edges lead to input port {edge.target[1]} of layer {edge.target[0]}"
                raise LoadError(self._file.name, reason, edge.offset)
            reached.add(edge.target)
            for end, ends, word in ((edge.source, giving, "output"), (edge.target, taking, "input")):
                if end not in ends:
                    reason = f"an edge names {word} port {end[1]} of layer {end[0]}, which is not there"
                    raise LoadError(self._file.name, reason, edge.offset)


def _has_layers(element: Element) -> bool:
    return any(isinstance(child, Element) and child.tag == "layers" for child in element.children)


def _merged(mappings: Any) -> dict[str, str]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


def _ports(parts: list[Element], tag: str) -> tuple[Port, ...]:
    return tuple(child for child in _inside(parts, tag) if isinstance(child, Port))


def _inside(parts: list[Element], tag: str) -> Iterator[Any]:
    return (child for part in parts if part.tag == tag for child in part.children)


def _said(elements: list[Element]) -> dict[str, Any]:
    """Return elements without records by tag; empty ones say nothing."""
    found: dict[str, list[Any]] = {}
    for element in elements:
        value = plain(element)
        if value not in ("", {}):
            found.setdefault(element.tag, []).append(value)
    return {tag: values[0] if len(values) == 1 else values for tag, values in found.items()}
