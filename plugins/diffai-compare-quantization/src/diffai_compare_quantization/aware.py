"""Whether rounding to the dtype or grid of NEW explains every change."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_compare_quantization.targets import EXPLAINED, targets
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_quantization.targets import Target
    from diffai_core.plugin import Comparison

_LEAST_SHARE = 0.999
"""Of a sample, the share that must be explained: scales of scales are rounded too, and a tie may go either way."""
_SPREAD = 1.25
"""By how much the relative error of all elements may exceed that of the sample."""
_SCALES = re.compile(r"(^|[._])(input_|output_|weight_)?(scales?|zero_points?)$")
"""Names of what quantisation adds beside weights: scales and zero points, of activations too."""
_STORAGE = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Largest relative error of a level that is stored in these dtypes."""
_NOTHING = "needs tensors of floating-point numbers that OLD and NEW both have, with equal shapes"


class Explanation(NamedTuple):
    """What explains a change.

    Args:
        how: The rounding, or why it is none.
        explained: Whether rounding explains it; ``None`` if that cannot be told.
        share: Share of the elements looked at that it explains.
        sampled: Share of the elements looked at.
    """

    how: str
    explained: bool | None
    share: float | None = None
    sampled: float = 1.0


def compare(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the tensors whose change is more than rounding, then one finding that sums up."""
    found = targets(comparison, EXPLAINED)
    others = _others(comparison, found)
    if not found:
        yield Finding("quantization_aware", status="not_measurable", level="info", message=_NOTHING)
        return
    pairs = list(zip(found, comparison.map(partial(explain), found, lambda target: target.nbytes), strict=True))
    unexplained = [(target, told) for target, told in pairs if told.explained is False]
    if 2 * len(unexplained) <= sum(not target.identical for target, _ in pairs):  # else they are the rule
        for target, told in unexplained:
            yield Finding(
                "quantization_aware_tensor",
                where=target.key,
                status="measured" if told.sampled == 1.0 else "estimated",
                level="warning",
                values={"explained": False, "explained_share": told.share, "sampled_share": told.sampled},
                null={"explained_share": 1.0},
                coverage=told.sampled,
                message=f"rounding does not explain the change: {told.how}",
            )
    yield _summary(pairs, others)


def _others(comparison: Comparison, found: Sequence[Target]) -> dict[str, int]:
    """Count what is beside the tensors looked at, and is not explained by rounding."""
    known = {target.new.name for target in found} | {target.old.name for target in found}
    counts = {"n_added": 0, "n_removed": 0, "n_other_changed": 0, "n_scales_added": 0}
    for result in comparison.results:
        ref = result.pair.new or result.pair.old
        if ref is None or ref.role not in EXPLAINED or ref.name in known:
            continue
        if result.relation is None:
            kind = "n_scales_added" if _SCALES.search(ref.name) else "n_added"
            counts[kind if result.pair.new else "n_removed"] += 1
        elif result.relation not in (Relation.IDENTICAL, Relation.EQUAL_VALUES):
            counts["n_other_changed"] += 1
    return counts


def explain(target: Target) -> Explanation:
    """Look at one tensor: in full where it may be a cast, at sampled rows where it is quantised.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    from diffai_compare_quantization.look import look
    from diffai_compare_quantization.sample import SAMPLE

    if target.identical:
        return Explanation("identical", explained=True, share=1.0)
    found = look(target, SAMPLE)
    if found.kind == "cast" and found.cast is not None:
        return Explanation(found.cast.best, explained=True, share=1.0)
    if found.kind == "recast" and found.cast is not None:
        how = f"it is no rounding to {target.new.dtype}; {found.cast.best} comes nearest"
        return Explanation(how, explained=False, share=found.cast.share, sampled=found.sampled)
    if found.scheme is not None and found.kind in ("quantized", "grid", "codes"):
        return _levels(target, found)
    if found.kind in ("quantized", "grid", "codes"):
        return Explanation(f"how {found.stored_as} is rounded is not known", explained=None)
    return Explanation("values changed and lie on no grid", explained=False, share=0.0, sampled=found.sampled)


def _levels(target: Target, found: Any) -> Explanation:
    """Hold NEW against the nearest levels of its grid."""
    from diffai_compare_quantization.grids import matrix_scheme
    from diffai_compare_quantization.nearest import explained_share
    from diffai_compare_quantization.sample import SAMPLE, read_rows, rows_of

    scheme = matrix_scheme(found.scheme, target.new)
    if scheme is None:
        return Explanation(f"{found.stored_as} shares scales along an axis that is not looked at", explained=None)
    rows = rows_of(target.old, target.new, n_elements=SAMPLE)
    old, new = read_rows(target.old, rows), read_rows(target.new, rows)
    if found.kind == "codes":
        new = _with_scales(target, rows.indices, old, new)
    stored = _STORAGE.get(target.new.dtype.name, 0.0) if found.kind == "grid" else 0.0
    share = explained_share(old, new, scheme, stored)
    if share is None:
        return Explanation(f"{found.stored_as} cannot be held against OLD: all zero or not finite", explained=None)
    told = Explanation(f"nearest level of {found.stored_as}", share >= _LEAST_SHARE, share, rows.n / rows.numel)
    if told.explained and not rows.complete and _is_larger_elsewhere(found, old, new):
        return told._replace(how=f"{told.how} in the sample, but other elements changed more", explained=False)
    return told if told.explained else told._replace(how=f"it is not always the {told.how}")


def _with_scales(target: Target, rows: Sequence[int], old: Any, codes: Any) -> Any:
    """Return codes times their scales, or times those with which rounding gives them."""
    from diffai_compare_quantization.codes import factors_beside, rounding_factors

    factors = rounding_factors(old, codes) if target.scale is None else factors_beside(target.scale, rows)
    return codes * factors[:, None]


def _is_larger_elsewhere(found: Any, old: Any, new: Any) -> bool:
    """Whether the error of all elements, which the pass has measured, is more than that of the sample."""
    import numpy as np

    signal, noise = float(np.sum(old * old)), float(np.sum((new - old) ** 2))
    error = found.relative_error
    return bool(error is not None and signal > 0 and error > _SPREAD * (noise / signal) ** 0.5)


def _summary(pairs: Sequence[tuple[Target, Explanation]], others: Mapping[str, int]) -> Finding:
    changed = [(target, told) for target, told in pairs if not target.identical]
    unexplained = [target.key for target, told in changed if told.explained is False]
    unknown = [target.key for target, told in changed if told.explained is None]
    is_sampled = any(told.sampled < 1.0 for _, told in changed)
    n_elements = sum(target.new.numel for target, _ in pairs)
    answered = sum(target.new.numel for target, told in pairs if told.explained is not None)
    return Finding(
        "quantization_aware",
        status="not_measurable"
        if unknown and len(unknown) == len(changed)
        else "estimated"
        if is_sampled
        else "measured",
        level="info",
        values={
            "explained": False if unexplained or _has_more(others) else None if unknown else True,
            "n_explained": len(changed) - len(unexplained) - len(unknown),
            "n_unexplained": len(unexplained),
            "n_unknown": len(unknown),
            "n_unchanged": len(pairs) - len(changed),
            **others,
            "unexplained": unexplained,
            "tensors": [_row(target, told) for target, told in changed],
        },
        null={"explained": True, "n_unexplained": 0},
        threshold={"explained_share": _LEAST_SHARE},
        threshold_source="convention",
        coverage=answered / n_elements,
        message=_message(changed, unexplained, unknown, others),
    )


def _has_more(others: Mapping[str, int]) -> bool:
    return any(count for name, count in others.items() if name != "n_scales_added")


def _row(target: Target, told: Explanation) -> dict[str, Any]:
    return {"tensor": target.key, **told._asdict()}


def _message(
    changed: Sequence[Any], unexplained: Sequence[str], unknown: Sequence[str], others: Mapping[str, int]
) -> str:
    if not changed and not _has_more(others):
        return "nothing changed that would need an explanation"
    if unexplained:
        counted = f"{len(unexplained):,} of {len(changed):,} changed tensors"
        return f"{counted} are more than rounding, {unexplained[0]} among them"
    if unknown:
        return f"the levels of {len(unknown):,} of {len(changed):,} changed tensors are not known"
    if _has_more(others):
        return "rounding explains every tensor that both sides have, but not what was added, removed or changed besides"
    return "every change is rounding to the dtype or to the levels of NEW"
