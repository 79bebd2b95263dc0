"""What is noteworthy about a quantised weight, and why."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diffai_compare_quantization.look import Look

BELOW_NULL_DB = 3.0
"""How far below rounding normal values an SQNR is noteworthy (calibrated: heavy tails and rows of unequal size cost
up to 2 dB)."""
PEER_MADS = 3.5
_MAD = 1.4826
_LEAST_PEERS = 8
_MISPACKED_DB = 3.0
_PACKED_RIGHT_DB = 15.0
_COMPENSATING = ("gptq", "awq")


class Flag(NamedTuple):
    """Something that a person should look at.

    Args:
        name: Short name, for scripts.
        reason: What it is, with its numbers.
    """

    name: str
    reason: str


def flags_of(looks: Sequence[Look], most_error: float | None) -> dict[str, list[Flag]]:
    """Return the flags of each weight that has any, by name.

    Args:
        looks: All weights.
        most_error: The relative error that the user allows; ``None`` if that was not said.
    """
    least = _least_of_peers(looks)
    found = {look.target.key: [*_flags(look, most_error), *_peer_flags(look, least)] for look in looks}
    return {key: flags for key, flags in found.items() if flags}


def compensates(look: Look) -> bool:
    """Whether the method trades the SQNR of weights for less loss of the model, as GPTQ and AWQ do on purpose."""
    return look.stored_as.lower().startswith(_COMPENSATING)


def _flags(look: Look, most_error: float | None) -> Iterable[Flag]:
    error = look.relative_error
    if most_error is not None and error is not None and error > most_error:
        yield Flag("above_threshold", f"relative error {error:.3g} is above {most_error:g}")
    if look.kind == "identical":
        return
    yield from _damage(look)
    yield from _below_null(look)


def _damage(look: Look) -> Iterable[Flag]:
    counts = look.target.counts
    if look.sqnr_db is not None and look.rtn_sqnr_db is not None and look.is_coarser:  # noqa: SIM102 - one question each
        if look.sqnr_db < _MISPACKED_DB and look.rtn_sqnr_db > _PACKED_RIGHT_DB:
            reason = (
                f"{look.sqnr_db:.1f} dB, and rounding OLD to nearest gives {look.rtn_sqnr_db:.1f}: wrong order or scale"
            )
            yield Flag("mis_packed", reason)
    if look.scales is not None:
        faults = look.scales.faults(look.target.new.numel, counts.old.n_zero if counts else None)
        if faults:
            yield Flag("bad_scales", f"of {look.scales.n:,} scales {', '.join(faults)}")
    if counts is None or not look.is_coarser:
        return
    lost = counts.old.n_finite - counts.new.n_finite
    if lost > 0:
        yield Flag("overflow", f"{lost:,} finite values became NaN or infinite")


def _below_null(look: Look) -> Iterable[Flag]:
    sqnr, null = look.sqnr_db, look.gaussian_sqnr_db
    if sqnr is None or null is None or compensates(look) or not look.is_coarser or sqnr >= null - BELOW_NULL_DB:
        return
    reason = f"{sqnr:.1f} dB, {null - sqnr:.1f} below rounding normal values"
    if look.rtn_sqnr_db is not None:
        reason += f"; rounding OLD to nearest gives {look.rtn_sqnr_db:.1f}"
    if look.outlier_columns:
        reason += f", which {look.outlier_columns:,} outlier columns cost 3 dB or more"
    yield Flag("below_null", reason)


def _least_of_peers(looks: Sequence[Look]) -> dict[str, float]:
    """Return for each way of storing the SQNR below which a weight stands out: median - 3.5 MAD, at least 3 dB less."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for look in looks:
        if look.is_coarser and look.sqnr_db is not None:
            groups[look.stored_as].append(look.sqnr_db)
    found = {}
    for name, values in groups.items():
        if len(values) >= _LEAST_PEERS:
            middle = median(values)
            spread = _MAD * median([abs(value - middle) for value in values])
            found[name] = middle - max(PEER_MADS * spread, BELOW_NULL_DB)
    return found


def _peer_flags(look: Look, least: dict[str, float]) -> Iterable[Flag]:
    sqnr = look.sqnr_db
    if look.is_coarser and sqnr is not None and sqnr < least.get(look.stored_as, -math.inf) and not compensates(look):
        limit = least[look.stored_as]
        yield Flag("below_peers", f"{sqnr:.1f} dB, and all but outliers of {look.stored_as} are above {limit:.1f}")


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
