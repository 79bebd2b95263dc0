"""Pairs of artefacts that break comparators: every dtype, NaN, Inf, empty, 0-d, added, removed, nested trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from diffai_core.artifact import Artifact
from diffai_core.dtypes import DTYPE_NAMES
from diffai_core.testing.arrays import SHAPES, sample_array
from diffai_core.testing.builders import artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[Artifact, Artifact]


def standard_pairs() -> dict[str, Pair]:
    """Return the pairs that every comparator must bear, by a name that says what is in them."""
    return {
        "nothing": (artifact(), artifact()),
        "every dtype": _every_dtype(),
        "awkward values": _awkward(),
        "structure": _structure(),
        "training": _training(),
        "trees": (artifact(tree=_TREE), artifact(tree=_OTHER_TREE)),
        "tensors against a tree": (artifact({"w": np.ones((2, 3), np.float32)}), artifact(tree=_TREE)),
    }


def _every_dtype() -> Pair:
    old = {name: sample_array(name, (8, 4), seed=1) for name in DTYPE_NAMES}
    new = {name: array.copy() for name, array in old.items()}
    for name, array in new.items():
        array[3, 1] = sample_array(name, (8, 4), seed=2)[3, 1]
    return artifact(old), artifact(new)


def _awkward() -> Pair:
    nan, inf = np.nan, np.inf
    columns = {
        "all_nan": ([nan] * 4, [nan] * 4),
        "nan_appears": ([1.0, 2.0, 3.0, 4.0], [1.0, nan, 3.0, 4.0]),
        "inf_flips": ([inf, -inf, inf, 0.0], [inf, inf, -inf, 0.0]),
        "signed_zero": ([0.0, -0.0, 0.0, -0.0], [-0.0, 0.0, 0.0, -0.0]),
        "constant": ([0.0] * 4, [1.0] * 4),
        "denormal": ([1e-45, 0.0, -1e-45, 3e-45], [2e-45, 1e-45, 0.0, 3e-45]),
        "huge": ([3e38, -3e38, 3e38, 1.0], [-3e38, 3e38, 3e38, 1.0]),
        "scalar": (1.5, 2.5),
        "one": ([1.0], [2.0]),
        "empty": ([], []),
    }
    sides: list[dict[str, NDArray[Any]]] = [
        {key: np.asarray(pair[side], np.float32) for key, pair in columns.items()} for side in (0, 1)
    ]
    for side in sides:
        side["no_rows"] = np.empty((0, 5), np.float32)
        side["no_columns"] = np.empty((5, 0), np.int64)
    return artifact(sides[0]), artifact(sides[1])


def _structure() -> Pair:
    kept = np.arange(12, dtype=np.float32).reshape(3, 4)
    old: dict[str, NDArray[Any]] = {
        "kept.weight": kept,
        "resized.weight": kept,
        "recast.weight": kept,
        "transposed.weight": np.arange(9, dtype=np.float64).reshape(3, 3),
        "gone.weight": np.full((2, 2), 7, np.int32),
    }
    new: dict[str, NDArray[Any]] = {
        "kept.weight": kept,
        "resized.weight": np.arange(20, dtype=np.float32).reshape(5, 4),
        "recast.weight": kept.astype(np.float16),
        "transposed.weight": np.arange(9, dtype=np.float64).reshape(3, 3).T.copy(),
        "come.weight": np.full((3,), 5, np.uint8),
    }
    return artifact(old), artifact(new)


def _training() -> Pair:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.layers.0.self_attn.q_proj.weight": (16, 16),
        "encoder.layers.0.mlp.fc1.weight": (32, 16),
        "encoder.layers.0.mlp.fc1.bias": (32,),
        "encoder.layers.0.norm.weight": (16,),
        "lm_head.weight": (24, 16),
        "optimizer.state.0.exp_avg": (16, 16),
        "optimizer.state.0.exp_avg_sq": (16, 16),
        "optimizer.state.0.step": (),
    }
    old = {key: np.asarray(rng.standard_normal(shape), np.float32) for key, shape in shapes.items()}
    new = {key: np.asarray(array + 0.01 * rng.standard_normal(array.shape), np.float32) for key, array in old.items()}
    for side in (old, new):
        side["optimizer.state.0.exp_avg_sq"] = np.square(side["optimizer.state.0.exp_avg_sq"])
    roles: dict[str, Any] = {key: "optimizer" for key in shapes if key.startswith("optimizer")}
    tree = {"epoch": 1, "learning_rate": 1e-3, "loss": 2.5, "config": {"hidden_size": 16, "num_layers": 1}}
    later = {"epoch": 2, "learning_rate": 5e-4, "loss": 2.25, "config": {"hidden_size": 16, "num_layers": 1}}
    return artifact(old, tree, roles=roles), artifact(new, later, roles=roles)


_TREE: dict[str, Any] = {
    "same": 1,
    "lr": 0.1,
    "flag": True,
    "nothing": None,
    "text": "line one\nline two \x1b[31m",
    "bytes": b"\x00\xff",
    "nan": float("nan"),
    "big": 2**70,
    "list": [1, 2, [3, {"deep": "a"}]],
    "gone": {"a": []},
    "turns.dotted": {"": 0},
    "kind": 1,
}
_OTHER_TREE: dict[str, Any] = {
    "same": 1,
    "lr": 0.2,
    "flag": False,
    "nothing": 0,
    "text": "line one\nline 2 \x1b[31m",
    "bytes": b"\x00\xfe",
    "nan": float("nan"),
    "big": 2**70 + 1,
    "list": [1, [3, {"deep": "b"}]],
    "come": {"a": {}},
    "turns.dotted": {"": 1},
    "kind": "1",
}


def array_pairs() -> st.SearchStrategy[tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Return a Hypothesis strategy for the tensors of two artefacts that share some keys, shapes and values."""
    one = st.builds(
        sample_array,
        dtype=st.sampled_from(["float32", "float64", "bfloat16", "int64"]) | st.sampled_from(list(DTYPE_NAMES)),
        shape=st.sampled_from(list(SHAPES)),
        seed=st.integers(0, 3),
    )
    names = st.sampled_from(["a.weight", "a.bias", "b.weight", "b.bias"])
    side = st.dictionaries(names, one, max_size=4)
    return st.tuples(side, side)
