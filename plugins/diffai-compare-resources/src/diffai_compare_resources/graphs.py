"""The work of a model, counted from its graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from diffai_compare_resources.shapes import Shape, spatial, value_shapes, words
from diffai_compare_resources.sides import unique
from diffai_compare_resources.work import Unresolved, Work
from diffai_core.plugin import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from diffai_compare_resources.sides import Side
    from diffai_core.plugin import Node, TensorRef

_MOST_DEPTH = 20
_NOT_COUNTED = words(
    "Einsum Attention MultiHeadAttention QAttention GroupQueryAttention FusedMatMul MatMulNBits RNN DeformConv "
    "FusedConv FusedGemm QLinearConv QGemm MatMulIntegerToFloat DynamicQuantizeMatMul"
)
"""Operators that multiply matrices and are not counted."""
_LOOKED_UP = frozenset({"Gather", "GatherND", "GatherElements"})


def work_of_graph(side: Side, graph: Graph, batch: int, input_size: Shape | None) -> Work:
    """Return the work of one run of a graph with a batch of ``batch`` inputs, for one input.

    Args:
        side: Its tensors.
        graph: The graph.
        batch: How many inputs a run takes, where the graph leaves that open.
        input_size: The other dimensions of its input, where the graph leaves them open.
    """
    shapes = value_shapes(graph, side.tensors, batch, input_size)
    flops = 0
    unresolved = []
    covered: set[str] = set()
    for node in graph.nodes:
        counted = _flops(node, shapes)
        if isinstance(counted, str):
            unresolved.append(_left_out(node, counted, side.tensors))
        else:
            flops += counted
            covered.update(node.inputs)
        unresolved += _inside(node, side.tensors)
    rows = _rows(graph, batch)
    return Work(
        unit="input",
        source="graph",
        per_unit=flops / rows,
        weight_bytes=_read_bytes(graph, side.tensors),
        n_parameters=side.n_parameters,
        n_covered=sum(ref.numel for ref in unique(ref for name, ref in side.weights.items() if name in covered)),
        unresolved=tuple(unresolved),
    )


def _rows(graph: Graph, batch: int) -> int:
    """Return how many inputs a run takes: as the graph says, or as the user does."""
    shape = next((value.shape for value in graph.inputs.values() if value.shape), None)
    first = shape[0] if shape else None
    return first if isinstance(first, int) and first > 0 else batch


def _read_bytes(graph: Graph, tensors: Mapping[str, TensorRef]) -> float:
    """Return the bytes of weights that a run reads; of tables that only look-ups use, nothing."""
    looked_up = {node.inputs[0] for node in graph.nodes if node.op in _LOOKED_UP and node.inputs}
    used = {name for node in graph.nodes if node.op not in _LOOKED_UP for name in node.inputs}
    read = [ref for name, ref in tensors.items() if ref.is_parameter and not (name in looked_up and name not in used)]
    return sum(ref.nbytes for ref in unique(read))


def _flops(node: Node, shapes: Mapping[str, Shape]) -> int | str:
    """Return the FLOPs of a node, or what would have to be known to count them."""
    if node.op in _NOT_COUNTED:
        return f"{node.op} is not counted"
    count = _COUNTS.get(node.op)
    if count is None:
        return 0
    inputs = [shapes.get(name) for name in node.inputs]
    output = shapes.get(node.outputs[0]) if node.outputs else None
    try:
        found = count(inputs, output)
    except (LookupError, TypeError, ValueError):
        found = None
    return "the shapes of its inputs or outputs are not told" if found is None else found


def _conv(inputs: Sequence[Shape | None], output: Shape | None) -> int | None:
    return None if inputs[1] is None or output is None else 2 * math.prod(inputs[1]) * spatial(output)


def _conv_transpose(inputs: Sequence[Shape | None], _output: Shape | None) -> int | None:
    data, weight = inputs[0], inputs[1]
    return None if data is None or weight is None else 2 * math.prod(weight) * spatial(data)


def _matmul(inputs: Sequence[Shape | None], output: Shape | None) -> int | None:
    left, right = inputs[0], inputs[1]
    if output is None or (left is None and right is None):
        return None
    if left is not None:
        depth = left[-1]
    else:
        assert right is not None, "one of them is known"
        depth = right[-2] if len(right) > 1 else right[-1]
    return 2 * math.prod(output) * depth


def _gemm(inputs: Sequence[Shape | None], output: Shape | None) -> int | None:
    """Return 2·M·N·K: ``A`` has M·K elements, whichever way it is turned, and the output has M rows."""
    if inputs[0] is not None and output is not None and len(output) == 2:  # noqa: PLR2004 - a matrix
        return 2 * math.prod(inputs[0]) * output[1]
    if inputs[1] is not None and output is not None and len(output) == 2:  # noqa: PLR2004 - a matrix
        return 2 * math.prod(inputs[1]) * output[0]
    return None


def _recurrent(inputs: Sequence[Shape | None], _output: Shape | None) -> int | None:
    """Return the products of LSTM and GRU: both weights for each of the steps and sequences."""
    data, weight, recurrence = inputs[0], inputs[1], inputs[2]
    if data is None or weight is None or recurrence is None:
        return None
    return 2 * data[0] * data[1] * (math.prod(weight) + math.prod(recurrence))


_COUNTS: dict[str, Callable[[Sequence[Shape | None], Shape | None], int | None]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "GRU": _recurrent,
}


def _inside(node: Node, tensors: Mapping[str, TensorRef], depth: int = 0) -> Iterator[Unresolved]:
    """Yield the nodes in bodies of loops and conditions that multiply: how often they run is not told."""
    if depth >= _MOST_DEPTH:
        return
    for body in node.attributes.values():
        for graph in body if isinstance(body, list | tuple) else (body,):
            if not isinstance(graph, Graph):
                continue
            for inner in graph.nodes:
                if inner.op in _COUNTS or inner.op in _NOT_COUNTED:
                    yield _left_out(inner, f"how often a body of {node.op} runs is not told", tensors)
                yield from _inside(inner, tensors, depth + 1)


def _left_out(node: Node, reason: str, tensors: Mapping[str, TensorRef]) -> Unresolved:
    numel = sum(tensors[name].numel for name in dict.fromkeys(node.inputs) if name in tensors)
    return Unresolved(node.name or (node.outputs[0] if node.outputs else node.op), f"{node.op}: {reason}", numel)
