"""Reads the factors of the circuits of one layer, head by head, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_compare_attention.circuits import Circuit
from diffai_compare_attention.layouts import slices
from diffai_core.plugin import FileTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_attention.layers import Layer, Matrix
    from diffai_compare_attention.layouts import HeadCount, Slices
    from diffai_compare_attention.positions import Positions

    Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One layer of one side, with all that is needed to cut it into heads.

    Args:
        layer: Its tensors.
        heads: How many heads.
        positions: How positions are told apart.
        model_type: What the configuration calls the architecture.
    """

    layer: Layer
    heads: HeadCount
    positions: Positions
    model_type: str = ""

    @property
    def circuits(self) -> tuple[str, ...]:
        """Which circuits the layer has all matrices of: ``qk``, ``ov``."""
        roles = slices(self.layer, self.heads, self.model_type).keys()
        return tuple(name for name in ("qk", "ov") if set(name) <= roles)


class CircuitReader:
    """The circuits of one kind of one layer; its matrices are held while it is.

    Args:
        side: The layer.
        name: ``qk`` or ``ov``.
    """

    def __init__(self, side: Side, name: str) -> None:
        found = slices(side.layer, side.heads, side.model_type)
        left, right = ("q", "k") if name == "qk" else ("o", "v")
        self._side, self._name = side, name
        self._left, self._right = found[left], found[right]
        self._left_array, self._right_array = (_matrix(one.matrix) for one in (self._left, self._right))
        self.n_heads = side.heads.n
        self.n_pairs = side.positions.n_pairs(side.heads.dim) if name == "qk" else 0

    def circuit(self, head: int) -> Circuit:
        """Return the circuit of one head, biases as a last column of the factors.

        A bias of the keys is left out where positions do not rotate: it adds the same to all scores of a query, which
        the softmax takes away again.
        """
        kv_head = head * self._side.heads.n_kv // self._side.heads.n
        left = _factor(self._left, self._left_array, head)
        right = _factor(self._right, self._right_array, kv_head, without_bias=self._name == "qk" and not self.n_pairs)
        if self.n_pairs:
            order = _pair_order(self._side.heads.dim, self.n_pairs, interleaved=self._side.positions.interleaved)
            left, right = left[order], right[order]
        return Circuit(left, right, self.n_pairs)

    @property
    def widths(self) -> tuple[int, int]:
        """Inputs of both factors; circuits are comparable where they are equal."""
        matrices = (self._left.matrix, self._right.matrix)
        return (matrices[0].n_out if self._left.by_input else matrices[0].n_in, matrices[1].n_in)


def release(layer: Layer) -> None:
    """Let the pages of the layer's tensors go, so that the memory held does not grow with the model."""
    for ref in layer.refs:
        if isinstance(ref, FileTensor):
            ref.file.release()


def _matrix(matrix: Matrix) -> NDArray[Any]:
    """Return the elements as outputs x inputs: a view where the file allows."""
    array = matrix.ref.read()
    if matrix.transposed:
        return array.reshape(matrix.n_in, matrix.n_out).T
    return array.reshape(matrix.n_out, matrix.n_in)


def _factor(where: Slices, array: NDArray[Any], head: int, *, without_bias: bool = False) -> Reals:
    """Return one factor of one head, shape ``(head_dim, inputs + 1)``; of ``o``, without the column of a bias."""
    start, stop = where.starts[head], where.starts[head] + where.dim
    if where.by_input:
        return np.asarray(array[:, start:stop], dtype=np.float64).T.copy()
    factor = np.zeros((where.dim, array.shape[1] + 1))
    factor[:, :-1] = array[start:stop]
    if where.matrix.bias is not None and not without_bias:
        factor[:, -1] = where.matrix.bias.read().reshape(-1)[start:stop]
    return factor


def _pair_order(dim: int, n_pairs: int, *, interleaved: bool) -> NDArray[np.intp]:
    """Return the rows of a head so that rotating pairs are neighbours and come first."""
    order = np.arange(dim)
    if not interleaved:
        order[0 : 2 * n_pairs : 2] = np.arange(n_pairs)
        order[1 : 2 * n_pairs : 2] = np.arange(n_pairs, 2 * n_pairs)
    return order
