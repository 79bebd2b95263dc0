"""Programs as PaddlePaddle 3 writes them: regions, blocks and operators in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import Graph, LoadError, Node, Value, dtype, read_text
from diffai_load_paddle.described import Described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile

MAX_BYTES = 256 << 20
MAX_CONTAINERS = 5_000_000
MAX_DEPTH = 60
"""Levels of regions inside of operators."""

_PARAMETER = "p"
_DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op", "4": "pd_dist"}
_SHORT = {
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "bf16": "bfloat16",
    "bool": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "ui8": "uint8",
    "u8": "uint8",
    "c64": "complex64",
    "c128": "complex128",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e5m2": "float8_e5m2",
}
_MADE_BY_THE_PRODUCER = frozenset({"struct_name", "op_callstack", "op_role"})
"""Attributes that tell where in the producer's program an operator was made, and not what it computes."""


def read_pir(file: DataFile) -> Described:
    """Read the ``.json`` of a model.

    Raises:
        LoadError: If it is damaged or beyond the bounds.
    """
    document = parse_json(read_text(file, max_bytes=MAX_BYTES), max_containers=MAX_CONTAINERS)
    try:
        return _Reader().read(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"[:120]
        raise LoadError(file.name, f"is no program of PaddlePaddle, or a damaged one ({said})", 0) from error


class _Reader:
    def __init__(self) -> None:
        self._parameters: dict[str, Value] = {}
        self._inputs: dict[str, Value] = {}
        self._outputs: dict[str, Value] = {}

    def read(self, document: Any) -> Described:
        """Return the program; damage raises what Python raises for it."""
        base = document["base_code"]
        if base["magic"] != "pir":
            raise ValueError("its magic is not 'pir'")
        (region,) = document["program"]["regions"]
        graph = self._region(region, {}, 0)
        tree = {key: value for key, value in base.items() if key != "magic"}
        return Described(self._parameters, Graph(graph.nodes, self._inputs, self._outputs, graph.attributes), tree)

    def _region(self, region: Any, names: dict[int, str], depth: int) -> Graph:
        if depth > MAX_DEPTH:
            raise ValueError("regions are nested too deeply")
        names = dict(names) if depth else names
        nodes: list[Node] = []
        arguments: dict[str, Value] = {}
        for block in region["blocks"]:
            for argument in block["args"]:
                number = _number(argument["#"])
                names[number] = f"%{number}"
                arguments[f"%{number}"] = _type(argument)
            for operator in block["ops"]:
                nodes += self._operator(operator, names, depth)
        return Graph(tuple(nodes), arguments)

    def _operator(self, operator: Any, names: dict[int, str], depth: int) -> Iterator[Node]:
        """Yield the node of an operator; parameters, inputs and outputs are none."""
        if operator["#"] == _PARAMETER:
            name = _text(operator["A"][3])
            if name in self._parameters:
                raise ValueError(f"two parameters have the name {name[:80]!r}")
            names[_number(operator["O"]["%"])] = name
            self._parameters[name] = _type(operator["O"])
            return
        op = _full_name(operator["#"])
        attributes = {_text(entry["N"]): _value(entry["AT"]) for entry in operator.get("A", [])}
        inputs = tuple(names.get(_number(end["%"]), f"%{end['%']}") for end in operator.get("I", []))
        if op == "data":
            self._take_input(operator, attributes, names)
            return
        if op == "fetch":
            self._outputs[inputs[0]] = _type(operator["O"][0])
            return
        outputs = self._outputs_of(operator, names)
        for index, region in enumerate(operator.get("regions", [])):
            attributes[f"region {index}"] = self._region(region, names, depth + 1)
        kept = {name: value for name, value in attributes.items() if name not in _MADE_BY_THE_PRODUCER}
        yield Node(op, "", inputs, outputs, dict(sorted(kept.items())))

    def _take_input(self, operator: Any, attributes: dict[str, Any], names: dict[int, str]) -> None:
        name = _text(attributes["name"])
        (output,) = operator["O"]
        names[_number(output["%"])] = name
        self._inputs[name] = _type(output)

    def _outputs_of(self, operator: Any, names: dict[int, str]) -> tuple[str, ...]:
        ends = operator.get("O", [])
        found = []
        for end in ends if isinstance(ends, list) else [ends]:
            number = _number(end["%"])
            names[number] = f"%{number}"
            found.append(f"%{number}")
        return tuple(found)


def _number(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("the number of a value is none")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a name is no text")
    return value


def _full_name(short: Any) -> str:
    """Return the name of an operator; the common dialect is left out.

    Example:
        >>> _full_name("1.matmul"), _full_name("2.yield")
        ('matmul', 'cf::yield')
    """
    dialect, _, name = _text(short).partition(".")
    dialect = _DIALECTS.get(dialect, dialect)
    return name if dialect == "pd_op" else f"{dialect}::{name}" if name else dialect


def _type(end: Any) -> Value:
    """Return type and shape of a value; of a list of values, nothing."""
    kind = end["TT"]
    if kind["#"] != "0.t_dtensor":
        return Value(_text(kind["#"]).partition("t_")[2])
    element, dims = kind["D"][0], kind["D"][1]
    short = _text(element["#"]).partition("t_")[2]
    shape = tuple(None if _number(length) < 0 else length for length in dims)
    return Value(_SHORT.get(short, short), shape)


def _value(attribute: Any) -> Any:
    """Return an attribute as a plain value."""
    kind, data = attribute["#"], attribute.get("D")
    if kind.endswith("a_array"):
        return [_value(item) for item in data]
    return data


def known_type(name: str) -> bool:
    """Whether ``name`` is a type of the vocabulary."""
    try:
        dtype(name)
    except KeyError:
        return False
    return True
