"""The tensors, strings and operators of one graph of an IR, and of the graphs inside it."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import BlockTensor, Graph, Node, Quantization, Value, dtype
from diffai_load_openvino.constants import read_constant, read_strings
from diffai_load_openvino.decompression import find_chain, group_length
from diffai_load_openvino.precisions import CODED, STORED, STRING, port_code, shown_dtype
from diffai_load_openvino.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, TensorRef
    from diffai_load_openvino.constants import Constant
    from diffai_load_openvino.decompression import Chain
    from diffai_load_openvino.document import Layer, Net

MAX_STRING_BYTES = 16 << 20
"""Longer constants of strings are compared by their bytes."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_COMPRESSED = "_compressed"
_INDICES = frozenset({"i64", "i32", "u64", "u32", "boolean"})


class Contents:
    """Collects what a model holds.

    Args:
        xml: The file that describes it.
        weights: The file with the bytes of its constants, if there is one.

    Attributes:
        tensors: Tensors by key.
        strings: Constants of strings by key.
    """

    def __init__(self, xml: DataFile, weights: DataFile | None) -> None:
        self._xml = xml
        self._weights = weights
        self.tensors: dict[str, TensorRef] = {}
        self.strings: dict[str, Any] = {}

    def add(self, net: Net, prefix: str = "") -> Graph:
        """Add the constants of a graph and return its operators.

        Args:
            net: The graph.
            prefix: What stands before the names of its constants: the names of the layers around it.

        Raises:
            LoadError: If a constant contradicts itself or the size of the file.
        """
        return _GraphContents(self, net, prefix).read()

    def constant(self, layer: Layer) -> Constant:
        """Return where the bytes of a ``Const`` layer are.

        Raises:
            LoadError: If it contradicts itself or the size of the file.
        """
        return read_constant(layer, self._xml, self._weights)


class _GraphContents:
    def __init__(self, whole: Contents, net: Net, prefix: str) -> None:
        self._whole = whole
        self._net = net
        self._prefix = prefix
        self._wiring = Wiring(net)
        self._constants = {layer.number: whole.constant(layer) for layer in net.layers if layer.type == "Const"}
        chains = {
            number: find_chain(self._wiring.layers[number], self._wiring, self._constants) for number in self._constants
        }
        self._chains = {number: chain for number, chain in chains.items() if chain is not None}
        self._hidden = {layer.number for chain in self._chains.values() for layer in (*chain.layers, *chain.private)}
        self._keys = self._unlike(self._wanted_keys())
        self._stand_ins = {chain.layers[-1].number: self._keys[number] for number, chain in self._chains.items()}

    def _wanted_keys(self) -> dict[int, str]:
        keys = {}
        for number in self._constants:
            name = self._wiring.names[number]
            chain = self._chains.get(number)
            if chain is not None and name == chain.layers[0].name + _COMPRESSED:
                name = chain.layers[0].name
            keys[number] = self._prefix + name
        return keys

    def _unlike(self, keys: dict[int, str]) -> dict[int, str]:
        """Return keys that no other tensor has, neither of this graph nor of one around it."""
        found: dict[int, str] = {}
        taken: set[str] = set()
        for number, wanted in keys.items():
            key, count = wanted, 1
            while key in taken or key in self._whole.tensors or key in self._whole.strings:
                count += 1
                key = f"{wanted}#{count}"
            taken.add(key)
            found[number] = key
        return found

    def read(self) -> Graph:
        for number, constant in self._constants.items():
            if number not in self._hidden:
                self._add_constant(self._keys[number], number, constant)
        said = {
            self._keys[number]: layer.extra
            for number in self._constants
            if number not in self._hidden and (layer := self._wiring.layers[number]).extra
        }
        rest = self._net.extra if self._prefix else {}  # of the model as a whole it is the tree
        return Graph(
            tuple(self._nodes()),
            {self._wiring.names[layer.number]: _input(layer) for layer in self._of_type("Parameter")},
            {self._wiring.names[layer.number]: _output(layer) for layer in self._of_type("Result")},
            {**rest, **({"constants": said} if said else {})},
        )

    def _of_type(self, kind: str) -> Iterator[Layer]:
        return (layer for layer in self._net.layers if layer.type == kind)

    def _add_constant(self, key: str, number: int, constant: Constant) -> None:
        if constant.code == STRING and constant.nbytes <= MAX_STRING_BYTES:
            values = read_strings(constant)
            self._whole.strings[key] = (
                values if len(constant.shape) == 1 else {"shape": list(constant.shape), "values": values}
            )
            return
        chain = self._chains.get(number)
        tensors = self._whole.tensors
        if chain is not None and chain.scale is not None:
            tensors[key] = self._quantized(key, chain, chain.scale)
        elif constant.code in CODED:
            tensors[key] = _coded(key, constant)
        else:
            tensors[key] = _plain(key, constant)

    def _quantized(self, key: str, chain: Chain, scale: Constant) -> TensorRef:
        stored = [chain.codes.stored(key), scale.stored(f"{key}:scale")]
        if chain.zero is not None:
            stored.append(chain.zero.stored(f"{key}:zero_point"))
        group, axis = _granularity(scale.shape, chain)
        scheme = f"{chain.codes.code}_{'asym' if chain.zero is not None else 'sym'}"
        bits = CODED.get(chain.codes.code) or STORED[chain.codes.code].bits
        kind = STORED[chain.dtype]
        return BlockTensor(
            name=key,
            shape=chain.shape,
            dtype=kind,
            quantization=Quantization(scheme=scheme, bits=bits, stored=tuple(stored), group_size=group, axis=axis),
            open_blocks=partial(_affine_blocks, chain.codes, scale, chain.zero, kind.name, chain.shape),
            shared_storage=(chain.codes.file.path, chain.codes.offset, chain.codes.nbytes, scale.offset),
        )

    def _nodes(self) -> Iterator[Node]:
        for layer in self._net.layers:
            if layer.type != "Const" and layer.number not in self._hidden:
                yield Node(
                    layer.type if layer.version.startswith("opset") else f"{layer.version}::{layer.type}",
                    self._wiring.names[layer.number],
                    tuple(self._input_name(layer, index) for index in range(len(layer.inputs))),
                    tuple(self._wiring.value_name((layer.number, port.number)) for port in layer.outputs),
                    self._attributes(layer),
                )

    def _input_name(self, layer: Layer, index: int) -> str:
        end = self._wiring.source(layer, index)
        if end is None:
            return ""
        return self._stand_ins.get(end[0]) or self._keys.get(end[0]) or self._wiring.value_name(end)

    def _attributes(self, layer: Layer) -> dict[str, Any]:
        name = self._wiring.names[layer.number]
        bodies = {tag: self._whole.add(body, f"{self._prefix}{name}/{tag}/") for tag, body in layer.bodies.items()}
        names = [list(port.names) for port in layer.outputs]
        more = {**layer.extra, "tensor_names": names} if any(names) else layer.extra
        return {"opset": layer.version, **layer.data, **bodies, **({"layer": more} if more else {})}


def _plain(key: str, constant: Constant) -> TensorRef:
    """Return a constant whose elements need no computing."""
    if constant.code == STRING or constant.fills_bytes:
        is_buffer = constant.code in _INDICES or not constant.shape
        return constant.stored(key, "buffers" if is_buffer else "weights")
    kind = STORED[constant.code]
    return BlockTensor(
        name=key, shape=constant.shape, dtype=kind, open_blocks=partial(_plain_blocks, constant, kind.name)
    )


def _coded(key: str, constant: Constant) -> TensorRef:
    """Return a constant of a type that the vocabulary does not have, by the numbers it stands for."""
    kind = dtype("float32" if constant.code == "nf4" else "uint8")
    bits = CODED[constant.code]
    return BlockTensor(
        name=key,
        shape=constant.shape,
        dtype=kind,
        quantization=Quantization(scheme=constant.code, bits=bits, stored=(constant.stored(key),)),
        open_blocks=partial(_plain_blocks, constant, kind.name),
        shared_storage=(constant.file.path, constant.offset, constant.nbytes),
    )


def _granularity(scale: tuple[int, ...], chain: Chain) -> tuple[int | None, int | None]:
    """Return the group size and axis that users know: of scales for groups, for an axis, or for all."""
    shape = chain.codes.shape
    wide = (1,) * (len(shape) - len(scale)) + scale
    along = [axis for axis, length in enumerate(wide) if length > 1]
    if not along:
        return None, None
    if len(along) == 1:
        return None, along[0] if chain.shape == shape or along[0] == 0 else None
    return group_length(wide, shape), None


def _input(layer: Layer) -> Value:
    """Return what a ``Parameter`` takes; bounds of a dimension (``1..8``) stay as they are written."""
    text = layer.data.get("shape", "").strip()
    kind = shown_dtype(layer.data.get("element_type", ""))
    if text == "...":
        return Value(kind)
    return Value(kind, tuple(map(_length, text.split(","))) if text else ())


def _length(text: str) -> int | str | None:
    text = text.strip()
    if text in {"?", "-1"}:
        return None
    return int(text) if _NUMBER.fullmatch(text) else text


def _output(layer: Layer) -> Value:
    """Return what a ``Result`` gives."""
    if len(layer.inputs) != 1:
        return Value()
    port = layer.inputs[0]
    lengths = tuple(None if length < 0 else length for length in port.dims)
    return Value(shown_dtype(port_code(port.precision)), lengths)


def _plain_blocks(constant: Constant, kind: str, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_openvino.decoding import plain_blocks

    return plain_blocks(constant, dtype(kind), max_bytes)


def _affine_blocks(
    codes: Constant, scale: Constant, zero: Constant | None, kind: str, shape: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    from diffai_load_openvino.decoding import Affine, affine_blocks

    return affine_blocks(Affine(codes, scale, zero, dtype(kind), shape), max_bytes)
