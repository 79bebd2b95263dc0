"""Shapes of the values of a graph: as the file tells them, and by simple rules where it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from diffai_core.plugin import Graph, Node, TensorRef, Value

Shape = tuple[int, ...]


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


VALUES = "values"
"""Attribute of a graph with types and shapes of the values between nodes."""
_SAME = words(
    "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softmax LogSoftmax Erf Gelu Clip "
    "Identity Cast Dropout BatchNormalization InstanceNormalization LayerNormalization LRN PRelu Sqrt Exp Log "
    "Neg Abs Mish DequantizeLinear QuantizeLinear Reciprocal Floor Ceil Round Sign GroupNormalization"
)
_BROADCAST = words("Add Sub Mul Div Pow Min Max Sum Mean Where PRelu And Or Equal Greater Less")
_MOST_DIMENSION = 1 << 40


def value_shapes(
    graph: Graph, tensors: Mapping[str, TensorRef], batch: int, input_size: Shape | None
) -> dict[str, Shape]:
    """Return the shapes of the values of a graph, as far as they can be known.

    Args:
        graph: The graph.
        tensors: Its tensors by name.
        batch: What an open first dimension of an input stands for.
        input_size: What the other dimensions of its first input are.
    """
    symbols = dict(_bound_symbols(graph, batch, input_size))
    found: dict[str, Shape] = {name: ref.shape for name, ref in tensors.items()}
    described: Mapping[str, Value] = graph.attributes.get(VALUES, {})
    for name, value in {**described, **graph.outputs, **graph.inputs}.items():
        shape = _bound(value.shape, symbols)
        if shape is not None:
            found[name] = shape
    found |= {name: shape for name, shape in _input_shapes(graph, batch, input_size) if shape is not None}
    for node in graph.nodes:
        if node.outputs and node.outputs[0] not in found:
            shape = _inferred(node, found)
            if shape is not None and all(type(length) is int and 0 <= length < _MOST_DIMENSION for length in shape):
                found[node.outputs[0]] = shape
    return found


def spatial(shape: Shape) -> int:
    """Return at how many places a convolution with a result of this shape was applied, the batch included."""
    return shape[0] * math.prod(shape[2:])


def _input_shapes(graph: Graph, batch: int, input_size: Shape | None) -> Iterator[tuple[str, Shape | None]]:
    symbols = dict(_bound_symbols(graph, batch, input_size))
    for index, (name, value) in enumerate(graph.inputs.items()):
        if index == 0 and input_size is not None and value.shape is not None:
            yield name, _with_size(value.shape, batch, input_size)
        elif value.shape:
            first = batch if not isinstance(value.shape[0], int) or value.shape[0] <= 0 else value.shape[0]
            yield name, _bound((first, *value.shape[1:]), symbols)


def _with_size(shape: Sequence[int | str | None], batch: int, size: Shape) -> Shape | None:
    if len(shape) == len(size) + 1:
        first = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else batch
        return (first, *size)
    return size if len(shape) == len(size) else None


def _bound_symbols(graph: Graph, batch: int, input_size: Shape | None) -> Iterator[tuple[str, int]]:
    """Yield the numbers that the symbols of the inputs stand for."""
    for index, value in enumerate(graph.inputs.values()):
        if not value.shape:
            continue
        lengths = _with_size(value.shape, batch, input_size) if index == 0 and input_size is not None else None
        if lengths is None:
            lengths = (batch,)
        for length, number in zip(value.shape, lengths, strict=False):
            if isinstance(length, str) and length:
                yield length, number


def _bound(shape: Sequence[int | str | None] | None, symbols: Mapping[str, int]) -> Shape | None:
    if shape is None:
        return None
    lengths = [symbols.get(length) if isinstance(length, str) else length for length in shape]
    if any(length is None or length < 0 for length in lengths):
        return None
    return tuple(length for length in lengths if length is not None)


# -- rules -----------------------------------------------------------------------------------------------------


def _inferred(node: Node, known: Mapping[str, Shape]) -> Shape | None:
    """Return the shape of the first result of a node, if a simple rule gives it."""
    inputs = [known.get(name) for name in node.inputs if name]
    first = inputs[0] if inputs else None
    if first is None:
        return None
    if node.op in _BROADCAST:
        return _broadcast([shape for shape in inputs if shape is not None]) if None not in inputs else None
    if node.op in _SAME:
        return first
    rule = _RULES.get(node.op)
    try:
        return rule(node, [shape or () for shape in inputs]) if rule else None
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None  # attributes that do not fit the shapes: nothing is known then


def _broadcast(shapes: Sequence[Shape]) -> Shape | None:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    lengths = [{length for length in column if length != 1} for column in zip(*padded, strict=True)]
    if any(len(found) > 1 for found in lengths):
        return None
    return tuple(next(iter(found), 1) for found in lengths)


def _conv(node: Node, inputs: Sequence[Shape]) -> Shape | None:
    weight = inputs[1]
    kernel = tuple(node.attributes.get("kernel_shape") or weight[2:])
    windows = _windows(node, inputs[0][2:], kernel)
    return None if windows is None else (inputs[0][0], weight[0], *windows)


def _pool(node: Node, inputs: Sequence[Shape]) -> Shape | None:
    windows = _windows(node, inputs[0][2:], tuple(node.attributes["kernel_shape"]))
    return None if windows is None else (*inputs[0][:2], *windows)


def _windows(node: Node, lengths: Shape, kernel: Shape) -> Shape | None:
    """Return how many windows fit along each dimension, as the operators of ONNX define it."""
    n = len(lengths)
    if len(kernel) != n:
        return None
    strides = node.attributes.get("strides") or [1] * n
    dilations = node.attributes.get("dilations") or [1] * n
    automatic = node.attributes.get("auto_pad") or "NOTSET"
    if automatic in {"SAME_UPPER", "SAME_LOWER"}:
        return tuple(-(-length // stride) for length, stride in zip(lengths, strides, strict=True))
    pads = [0] * (2 * n) if automatic == "VALID" else node.attributes.get("pads") or [0] * (2 * n)
    up = (n * [0]) if not node.attributes.get("ceil_mode") else [stride - 1 for stride in strides]
    return tuple(
        (lengths[i] + pads[i] + pads[i + n] - dilations[i] * (kernel[i] - 1) - 1 + up[i]) // strides[i] + 1
        for i in range(n)
    )


def _matmul(_node: Node, inputs: Sequence[Shape]) -> Shape | None:
    left, right = inputs[0], inputs[1]
    if len(left) < 2 or len(right) < 2:  # noqa: PLR2004 - a matrix
        return None
    outer = _broadcast([left[:-2], right[:-2]]) if left[:-2] or right[:-2] else ()
    return None if outer is None else (*outer, left[-2], right[-1])


def _gemm(node: Node, inputs: Sequence[Shape]) -> Shape | None:
    rows = inputs[0][1] if node.attributes.get("transA") else inputs[0][0]
    columns = inputs[1][0] if node.attributes.get("transB") else inputs[1][1]
    return rows, columns


def _flatten(node: Node, inputs: Sequence[Shape]) -> Shape | None:
    axis = node.attributes.get("axis", 1) % (len(inputs[0]) or 1)
    return math.prod(inputs[0][:axis]), math.prod(inputs[0][axis:])


def _transpose(node: Node, inputs: Sequence[Shape]) -> Shape | None:
    order = node.attributes.get("perm") or range(len(inputs[0]))[::-1]
    return tuple(inputs[0][i] for i in order)


def _concat(node: Node, inputs: Sequence[Shape]) -> Shape | None:
    axis = node.attributes["axis"] % len(inputs[0])
    if any(len(shape) != len(inputs[0]) for shape in inputs):
        return None
    return (*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])


def _global_pool(_node: Node, inputs: Sequence[Shape]) -> Shape | None:
    return (*inputs[0][:2], *(1 for _ in inputs[0][2:]))


_RULES: dict[str, Callable[[Node, Sequence[Shape]], Shape | None]] = {
    "Conv": _conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
}
