"""Artefacts, findings and reports made in memory for tests."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from diffai_core.artifact import Artifact, BlockTensor, block_length
from diffai_core.dtypes import DTYPE_NAMES, DType, opaque_dtype
from diffai_core.dtypes import dtype as find_dtype
from diffai_core.findings import (
    ABSENT,
    ArtifactSummary,
    Counts,
    Finding,
    Identity,
    NotCompared,
    Report,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from diffai_core.artifact import Role, TensorRef


def tensor(name: str, array: NDArray[Any], role: Role = "weights") -> BlockTensor:
    """Return a tensor that reads from ``array``.

    Args:
        name: Key of the tensor.
        array: Its elements, of a dtype of the vocabulary (or ``V<n>``, which becomes an opaque dtype).
        role: What the tensor is for.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    dtype = _vocabulary(array.dtype)
    return BlockTensor(
        name=name, shape=array.shape, dtype=dtype, role=role, open_blocks=partial(_blocks, flat, array.shape, dtype)
    )


def _blocks(flat: NDArray[Any], shape: tuple[int, ...], dtype: DType, max_bytes: int) -> Iterator[NDArray[Any]]:
    step = block_length(shape, dtype, max_bytes)
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def _vocabulary(dtype: np.dtype[Any]) -> DType:
    if dtype.kind == "V" and dtype.name not in DTYPE_NAMES:
        return opaque_dtype(str(dtype), dtype.itemsize)
    return find_dtype(dtype.name)


def reblocked(side: Artifact, n_elements: int) -> Artifact:
    """Return the artefact with tensors that come in blocks of at most ``n_elements`` groups that fill whole bytes."""
    small = {
        key: BlockTensor(
            name=ref.name,
            shape=ref.shape,
            dtype=ref.dtype,
            role=ref.role,
            shared_storage=ref.storage,
            open_blocks=partial(_small_blocks, ref, n_elements * ref.dtype.packed_group),
        )
        for key, ref in side.tensors.items()
    }
    return replace(side, tensors=small)


def _small_blocks(ref: TensorRef, n_elements: int, max_bytes: int) -> Iterator[NDArray[Any]]:
    for block in ref.blocks(max_bytes):
        for start in range(0, block.size, n_elements):
            yield block[start : start + n_elements]


def artifact(
    tensors: Mapping[str, NDArray[Any]] | None = None,
    tree: Mapping[str, Any] | None = None,
    *,
    name: str = "memory",
    roles: Mapping[str, Role] | None = None,
    not_readable: Sequence[NotCompared] = (),
) -> Artifact:
    """Return an artefact that lives in memory.

    Args:
        tensors: Arrays by key.
        tree: Nested plain values.
        name: How messages call it.
        roles: Roles of tensors that are not weights.
        not_readable: Parts that a loader could not represent.

    Example:
        >>> import numpy as np
        >>> artifact({"w": np.zeros((2, 3), np.float32)}).tensors["w"].shape
        (2, 3)
    """
    roles = roles or {}
    return Artifact(
        name=name,
        format="memory",
        tensors={key: tensor(key, array, roles.get(key, "weights")) for key, array in (tensors or {}).items()},
        tree=tree or {},
        not_readable=tuple(not_readable),
    )


def report(findings: Sequence[Finding] = (), exit_code: int = 1) -> Report:
    """Return a report with these findings, the rest typical."""
    summary = ArtifactSummary("old.bin", "memory", 2, 12, 48, {"float32": 2})
    return Report(
        verdict=Verdict(Identity.DIFFERENT, f"{len(findings)} findings"),
        exit_code=exit_code,
        old=summary,
        new=ArtifactSummary("new.bin", "memory", 2, 12, 48, {"float32": 2}),
        counts=Counts(changed=1, identical=1),
        findings=tuple(findings),
    )


AWKWARD_TEXTS = (
    "",
    "\x1b[31mred\x1b[0m",
    "a\nb\r\nc",
    "\x00\x07\x7f",
    "\x9b2J",
    "\u202eabc\u2028",
    "e\u0301\U0001f600",
    ",\";\t'",
    "=1+1",
    "null",
    "- a: [b",
    "%s{0}|*_`<b>",
)
"""Texts that break reports: terminal escapes, line ends, quotes, and what other formats take for syntax."""

AWKWARD_VALUES = (None, True, 0, -0.0, 2**70, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7e308, b"\x00\xff")
"""Values that break reports: not finite, huge, tiny, bytes."""


def awkward_findings() -> list[Finding]:
    """Return findings with every awkward text and value in every place that can hold it."""
    texts = [
        Finding(
            "value_changed",
            text,
            old=text,
            new={text: text},
            values={"note": text},
            message=text,
            detail=(text, text),
            plugin="tree",
        )
        for text in AWKWARD_TEXTS
    ]
    values = [
        Finding("value_changed", "key", old=value, new=[value, {"deep": value}], values={"max": value}, null=value)
        for value in AWKWARD_VALUES
    ]
    return texts + values


_TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(AWKWARD_TEXTS)
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=True, allow_infinity=True) | _TEXT
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=6
)
_KINDS = st.sampled_from(
    [
        "tensor_added",
        "tensor_removed",
        "tensor_shape_changed",
        "tensor_stats_changed",
        "value_changed",
        "learning_progress",
        "named_change",
        "gate",
    ]
)


def finding_lists(max_size: int = 6) -> st.SearchStrategy[list[Finding]]:
    """Return a Hypothesis strategy for lists of any findings: control characters, NaN, huge integers, nested values."""
    one = st.builds(
        Finding,
        kind=_KINDS,
        where=_TEXT,
        status=st.sampled_from(["measured", "estimated", "bounded", "hint", "not_measurable"]),
        level=st.sampled_from(["info", "change", "warning", "error"]),
        old=st.just(ABSENT) | _VALUES,
        new=st.just(ABSENT) | _VALUES,
        values=st.dictionaries(
            st.sampled_from(["max_abs", "rel_change", "share", "shape", "rule", "passed"]), _VALUES, max_size=3
        ),
        null=_VALUES,
        threshold=st.none() | st.floats(allow_nan=False),
        threshold_source=st.sampled_from(["", "paper", "library", "convention", "calibrated", "user"]),
        coverage=st.none() | st.floats(0, 1),
        message=_TEXT,
        detail=st.lists(_TEXT, max_size=2).map(tuple),
        plugin=st.sampled_from(["tensors", "tree"]),
    )
    return st.lists(one, max_size=max_size)
