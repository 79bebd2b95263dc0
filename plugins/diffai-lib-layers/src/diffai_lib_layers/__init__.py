"""Reads from names, shapes and configurations what the tensors of a model are."""

from __future__ import annotations

from diffai_lib_layers.facts import Fact, Facts, facts_of
from diffai_lib_layers.names import Place, place
from diffai_lib_layers.rounding import ROUNDING, rounding_of
from diffai_lib_layers.tensors import is_matrix, is_transposed, matrix_shape, n_stacked, places

__all__ = [
    "ROUNDING",
    "Fact",
    "Facts",
    "Place",
    "facts_of",
    "is_matrix",
    "is_transposed",
    "matrix_shape",
    "n_stacked",
    "place",
    "places",
    "rounding_of",
]
