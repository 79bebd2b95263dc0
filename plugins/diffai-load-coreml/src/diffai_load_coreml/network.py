"""Neural networks of layers: their weights become tensors, their layers the graph."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import FIXED32, LENGTH

from diffai_core.plugin import BlockTensor, Graph, Node, dtype
from diffai_load_coreml.compressed import looked_up_weight, quantized_weight
from diffai_load_coreml.plain import Plain
from diffai_load_coreml.schema import fields_of
from diffai_load_coreml.stored import Stored
from diffai_load_coreml.tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from diffai_lib_protobuf import Field, Message
    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, TensorRef, Value
    from diffai_load_coreml.collected import Collected

_NAME, _INPUT, _OUTPUT, _FIRST_KIND = 1, 2, 3, 100
_FLOATS, _HALVES, _CODES, _SIGNED_CODES, _QUANTIZATION = 1, 2, 30, 31, 40
_LINEAR, _TABLE = 101, 102


class Network:
    """Reads the layers of a neural network.

    Args:
        file: The file of the model.
        collected: Takes its tensors.
        prefix: What stands before the names of its tensors.
    """

    def __init__(self, file: DataFile, collected: Collected, prefix: str) -> None:
        self._file = file
        self._collected = collected
        self._prefix = prefix

    def read(
        self, message: Message, type_: str, inputs: Mapping[str, Value], outputs: Mapping[str, Value]
    ) -> tuple[dict[str, Any], Graph]:
        """Return what the network says besides its layers, and the layers as a graph.

        Args:
            message: The network.
            type_: What the schema calls it.
            inputs: Inputs of the model.
            outputs: Outputs of the model.

        Raises:
            LoadError: If it is damaged.
        """
        nodes: list[Node] = []
        special = {"NeuralNetworkLayer": lambda field, _: nodes.append(self._node(field))}
        said = Plain(self._file, self._collected, special).message(message, type_, f"{self._prefix}{type_}")
        said.pop("layers", None)
        return said, Graph(tuple(nodes), inputs, outputs)

    def _node(self, field: Field) -> Node:
        name, kind = "", None
        ends: dict[int, list[str]] = {_INPUT: [], _OUTPUT: []}
        rest: list[Field] = []
        for part in field.message().fields():
            if part.number == _NAME:
                name = part.text()
            elif part.number in ends:
                ends[part.number].append(part.text())
            elif part.number >= _FIRST_KIND:
                kind = part
            else:
                rest.append(part)
        known = fields_of("NeuralNetworkLayer")
        if kind is None or kind.number not in known:
            number = kind.number if kind is not None else 0
            self._collected.lost(f"{self._prefix}{name}", f"a layer of the unknown kind {number}")
            return Node(f"layer {number}", name, tuple(ends[_INPUT]), tuple(ends[_OUTPUT]))
        layer = _Layer(self._file, self._collected, f"{self._prefix}{name}", known[kind.number].name)
        attributes = layer.read(kind, known[kind.number].type)
        if any(part.number == 10 and part.unsigned() for part in rest):  # noqa: PLR2004 - its number
            attributes["isUpdatable"] = True
        inputs = (*ends[_INPUT], *layer.tensors)
        return Node(known[kind.number].name, name, inputs, tuple(ends[_OUTPUT]), attributes)


class _Layer:
    """Reads one layer.

    Args:
        file: The file of the model.
        collected: Takes its tensors.
        name: Name of the layer; names of its tensors begin with it.
        kind: What the layer is.
    """

    def __init__(self, file: DataFile, collected: Collected, name: str, kind: str) -> None:
        self._file = file
        self._collected = collected
        self._name = name
        self._kind = kind
        self._weights: dict[str, Field] = {}
        self.tensors: list[str] = []

    def read(self, field: Field, type_: str) -> dict[str, Any]:
        special = {"WeightParams": self._remember, "NeuralNetwork": self._body}
        plain = Plain(self._file, self._collected, special, lists=True)
        attributes = plain.message(field.message(), type_, "")
        for path, weights in self._weights.items():
            self._add(path, weights, attributes)
        return attributes

    def _remember(self, field: Field, path: str) -> Any:
        self._weights[path] = field
        return Plain.ABSENT

    def _body(self, field: Field, path: str) -> Graph:
        network = Network(self._file, self._collected, f"{self._name}/{path}/")
        return network.read(field.message(), "NeuralNetwork", {}, {})[1]

    def _add(self, path: str, field: Field, attributes: Mapping[str, Any]) -> None:
        weights = _read_weights(field, self._file)
        if weights is None:
            self._collected.lost(f"{self._name}.{path}", "weights in a form that is not known")
            return
        shape = _shape_of(self._kind, path, attributes)
        make = weights.tensor(shape, 1 if self._kind == "convolution" and attributes.get("isDeconvolution") else 0)
        if make is None:
            self._collected.lost(f"{self._name}.{path}", "quantised weights whose scales do not fit their shape")
            return
        if weights.is_there:
            self.tensors.append(self._collected.add(f"{self._name}.{path}", make))


class _Weights(NamedTuple):
    """A ``WeightParams`` message: its numbers, or codes and how numbers are computed from them."""

    file: DataFile
    floats: tuple[Field, ...]
    raw: Field | None
    bits: int
    scale: Stored | None
    bias: Stored | None
    table: Stored | None

    @property
    def is_there(self) -> bool:
        return bool(self.floats) or self.raw is not None

    def tensor(self, shape: tuple[int, ...] | None, axis: int) -> Callable[[str], TensorRef] | None:
        """Return what makes the tensor; ``None`` if its parts do not fit each other.

        Args:
            shape: Its shape as the layer tells it, if it does.
            axis: The dimension along which scales differ; the first if they are not as many.
        """
        if self.raw is None:
            return self._of_floats(shape)
        if self.raw.number == _HALVES:
            return self._plain("float16", self.raw.value // 2, shape)
        if self.scale is None and self.table is None:
            return self._plain("int8" if self.raw.number == _SIGNED_CODES else "uint8", self.raw.value, shape)
        code = "int8" if self.raw.number == _SIGNED_CODES else f"uint{self.bits}"
        n_codes = self.raw.value * 8 // self.bits
        if shape is None or -(-math.prod(shape) * self.bits // 8) != self.raw.value:
            shape = (n_codes,)
        codes = Stored(self.file, self.raw.start, code, shape, high_first=True)
        if self.table is not None:
            return looked_up_weight(codes, self.table)
        assert self.scale is not None
        axes = dict.fromkeys((axis, 0))
        made = (quantized_weight(codes, self.scale, self.bias, place) for place in axes)
        return next((make for make in made if make is not None), None)

    def _plain(self, code: str, count: int, shape: tuple[int, ...] | None) -> Callable[[str], TensorRef]:
        assert self.raw is not None
        fits = shape is not None and math.prod(shape) == count
        stored = Stored(self.file, self.raw.start, code, shape if shape is not None and fits else (count,))
        return partial(tensor_of, stored)

    def _of_floats(self, shape: tuple[int, ...] | None) -> Callable[[str], TensorRef]:
        count = sum(field.packed_count(FIXED32) for field in self.floats)
        lengths = shape if shape is not None and math.prod(shape) == count else (count,)
        if len(self.floats) == 1:
            return partial(tensor_of, Stored(self.file, self.floats[0].start, "float32", lengths))
        return lambda name: BlockTensor(
            name=name, shape=lengths, dtype=dtype("float32"), open_blocks=partial(_scattered, self.floats)
        )


def _scattered(fields: tuple[Field, ...], max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield numbers that a writer did not pack, each with its own tag."""
    import numpy as np

    step = max(max_bytes // 4, 1)
    row: list[float] = []
    for field in fields:
        for value in field.all_float32():
            row.append(value)
            if len(row) == step:
                yield np.array(row, np.float32)
                row = []
    if row:
        yield np.array(row, np.float32)


def _read_weights(field: Field, file: DataFile) -> _Weights | None:
    floats: list[Field] = []
    parts: dict[str, Stored] = {}
    raw, bits = None, 8
    for part in field.message().fields():
        if part.number == _FLOATS:
            floats.append(part)
        elif part.number in {_HALVES, _CODES, _SIGNED_CODES}:
            raw = part.expect(LENGTH) if part.value else raw
        elif part.number == _QUANTIZATION:
            bits, parts = _quantization(part.message(), file)
    if raw is not None and raw.number == _HALVES and raw.value % 2:
        raise raw.error(f"weights of 16 bits have {raw.value:,} bytes")
    if not 1 <= bits <= 8:  # noqa: PLR2004 - what Core ML allows
        return None
    if floats:
        raw = None
    return _Weights(file, tuple(floats), raw, bits, parts.get("scale"), parts.get("bias"), parts.get("table"))


def _quantization(message: Message, file: DataFile) -> tuple[int, dict[str, Stored]]:
    bits = 8
    parts: dict[str, Stored] = {}
    for field in message.fields():
        if field.number == 1:
            bits = field.unsigned()
        for name, number, kind in (("scale", 1, _LINEAR), ("bias", 2, _LINEAR), ("table", 1, _TABLE)):
            if field.number == kind:
                rows = [row for row in field.message().fields() if row.number == number]
                if len(rows) == 1:
                    parts[name] = Stored(file, rows[0].start, "float32", (rows[0].packed_count(FIXED32),))
                elif rows:
                    raise field.error(f"the {name} of quantised weights is in {len(rows):,} pieces")
    return bits, parts


def _shape_of(kind: str, path: str, attributes: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the shape of weights as their layer tells it; ``None`` where it does not."""
    wanted: Any
    if kind == "convolution" and path == "weights":
        wanted = _kernel_shape(attributes)
    elif path.endswith(("RecursionMatrix", "recursionMatrix")):
        wanted = [attributes.get("outputVectorSize")] * 2
    elif path.endswith(("WeightMatrix", "weightMatrix")):
        wanted = [attributes.get("outputVectorSize"), attributes.get("inputVectorSize")]
    elif path.endswith(("BiasVector", "biasVector", "PeepholeVector")):
        wanted = [attributes.get("outputVectorSize")]
    elif (kind, path) in _LISTED_SHAPES:
        wanted = attributes.get(_LISTED_SHAPES[kind, path], [])
    elif path == "bias":
        wanted = [attributes.get("outputChannels")]
    else:
        wanted = [attributes.get(name) for name in _SHAPES.get(kind, ())]
    there = isinstance(wanted, list) and wanted and all(isinstance(length, int) and length > 0 for length in wanted)
    return tuple(wanted) if there else None


def _kernel_shape(attributes: Mapping[str, Any]) -> list[Any]:
    channels, kernel_channels = attributes.get("outputChannels", 0), attributes.get("kernelChannels", 0)
    ends = [channels, kernel_channels]
    if attributes.get("isDeconvolution"):
        ends = [kernel_channels, channels // max(attributes.get("nGroups", 1), 1)]
    sizes = attributes.get("kernelSize") or [3, 3]
    return [*ends, *sizes]


_SHAPES = {
    "innerProduct": ("outputChannels", "inputChannels"),
    "embedding": ("outputChannels", "inputDim"),
    "embeddingND": ("embeddingSize", "vocabSize"),
    "batchedMatmul": ("weightMatrixFirstDimension", "weightMatrixSecondDimension"),
    "batchnorm": ("channels",),
}
_LISTED_SHAPES = {
    ("loadConstant", "data"): "shape",
    ("loadConstantND", "data"): "shape",
    ("scale", "scale"): "shapeScale",
    ("scale", "bias"): "shapeBias",
    ("bias", "bias"): "shape",
}
