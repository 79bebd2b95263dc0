"""What only both sides together tell: flipped bits, tensors that stood still, tensors that jumped in size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from diffai_lib_layers import place
from diffai_lib_statistics import family_wise_threshold, robust_z

from diffai_compare_anomalies.flags import Flag
from diffai_compare_anomalies.looks import BitChanges, bit_changes, can_compare_bits
from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from diffai_core.plugin import Comparison, PairResult

_FEW_CHANGED = 1e-4
_HANDFUL, _HANDFUL_SHARE = 4, 0.01
_SINGLE = 0.9
_TRAINED_SINGLE = 4e-4
_JUMP = 10.0
_FEWEST = 5
_NOT_TRAINED = frozenset({"running_mean", "running_var", "num_batches_tracked", "inv_freq", "position_ids"})
_RESOLUTION = 0.005


def pair_flags(comparison: Comparison) -> Iterator[Flag]:
    """Yield what stands out about pairs of tensors."""
    yield from _flips(comparison)
    parameters = [result for result in comparison.results if _is_parameter_pair(result)]
    yield from _still(parameters)
    yield from _jumps(parameters)


def _is_parameter_pair(result: PairResult) -> bool:
    """Whether both sides have a trained tensor of real numbers; counters and running statistics move by themselves."""
    old, new = result.pair.old, result.pair.new
    return (
        old is not None
        and new is not None
        and old.is_parameter
        and new.is_parameter
        and new.dtype.kind == "float"
        and result.same_shape
        and place(new.name).part not in _NOT_TRAINED
    )


def _flips(comparison: Comparison) -> Iterator[Flag]:
    suspects = [result for result in comparison.results if _is_suspect(result)]
    pairs = [result.pair for result in suspects]
    looks = comparison.map(bit_changes, pairs, nbytes=lambda pair: 2 * pair.new.nbytes if pair.new else 0)
    for result, look in zip(suspects, looks, strict=True):
        if look.n and look.n_single >= _SINGLE * look.n and look.n_single_above:
            yield _flip(result, look)


def _is_suspect(result: PairResult) -> bool:
    changes = result.statistics.get("changes")
    if changes is None or not can_compare_bits(result.pair) or result.relation is Relation.IDENTICAL:
        return False
    n: int = changes.n_changed
    share = n / max(changes.n, 1)
    return n > 0 and (share < _FEW_CHANGED or (n <= _HANDFUL and share < _HANDFUL_SHARE))


def _flip(result: PairResult, look: BitChanges) -> Flag:
    at = "; ".join(
        f"bit {','.join(map(str, item['bits']))} at {item['index']}"
        + (f" (byte {item['byte_offset']:,})" if "byte_offset" in item else "")
        for item in look.first[:3]
    )
    message = f"{look.n:,} elements changed and {look.n_single:,} of them in a single bit, as faults of memory: {at}"
    values = {"n_changed": look.n, "popcount1_share": look.n_single / look.n, "flips": list(look.first)}
    null = {"popcount1_share": _TRAINED_SINGLE}
    return Flag(result.pair.key, "bit_flips", look.n_single, message, null, _SINGLE, "calibrated", "hint", values)


def _still(parameters: Sequence[PairResult]) -> Iterator[Flag]:
    """Tensors that are bit-identical while most others changed."""
    still = [result for result in parameters if result.relation is Relation.IDENTICAL]
    moved = len(parameters) - len(still)
    if not still or len(still) >= moved:
        return
    for result in still:
        moments = result.statistics.get("moments")
        if moments is not None and moments.new.m2_scaled:  # constants have nothing to learn from
            message = f"bit-identical while {moved} other parameter tensors changed: frozen, or never used"
            yield Flag(result.pair.key, "frozen", 0.0, message, None, more={"n_changed_tensors": moved})


def _jumps(parameters: Sequence[PairResult]) -> Iterator[Flag]:
    """The model, or tensors unlike the others in it, whose size changed by a factor that no training step makes."""
    logs = {}
    for result in parameters:
        moments = result.statistics.get("moments")
        old, new = (None, None) if moments is None else (moments.old.rms, moments.new.rms)
        if old and new:
            logs[result.pair.key] = math.log(new / old)
    values = np.asarray(list(logs.values()))
    enough = len(values) >= _FEWEST
    z = robust_z(values, floor=_RESOLUTION)
    threshold = family_wise_threshold(len(values)) if enough else 0.0
    middle = float(np.median(values)) if enough else 0.0
    if abs(middle) >= math.log(_JUMP):
        yield _model_jump(values, math.exp(middle))
    for (key, value), score in zip(logs.items(), z.tolist(), strict=True):
        if min(abs(value), abs(value - middle)) < math.log(_JUMP) or abs(score) <= threshold:
            continue
        ratio = math.exp(value)
        message = f"its root mean square is {ratio:.3g} times that of OLD"
        message += f", of the others {math.exp(middle):.3g} times" if enough else ""
        more = {"z": score, "median_ratio": math.exp(middle)} if enough else {}
        yield Flag(key, "rms_jump", ratio, message, 1.0, _JUMP, "convention", more=more)


def _model_jump(logs: NDArray[np.float64], ratio: float) -> Flag:
    """Return the flag of a model that changed its size as a whole, which no comparison among its tensors shows."""
    n = int(np.count_nonzero(np.abs(logs) >= math.log(_JUMP)))
    verb = "exploded" if ratio > 1 else "collapsed"
    message = (
        f"the model as a whole {verb}: the median parameter tensor has {ratio:.3g} times the root mean square"
        f" of OLD, and {n:,} of {len(logs):,} changed {_JUMP:g}-fold or more"
    )
    more = {"n_jumped": n, "n_compared": len(logs)}
    return Flag("", "model_rms_jump", ratio, message, 1.0, _JUMP, "convention", more=more)
