"""The structure of both models: every tensor's shape and dtype, and what changed about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_tensors.describe import describe
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison, PairResult, TensorPair, TensorRef


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a summary of the structure and, unless only differences are asked for, one line per kept tensor."""
    yield Finding("model_structure", level="info", values=_summary(comparison))
    if options.get("diff_only"):
        return
    for result in comparison.results:
        if result.same_shape and result.same_dtype and result.pair.new is not None:
            yield Finding("tensor_kept", where=result.pair.key, level="info", new=describe(result.pair.new))


def _summary(comparison: Comparison) -> dict[str, Any]:
    changes = [line for result in comparison.results if (line := _structural_change(result))]
    total, modified = _modified_parameters(comparison)
    return {
        "structural_changes": changes,
        "parameters_old": _parameters(result.pair.old for result in comparison.results),
        "parameters_new": _parameters(result.pair.new for result in comparison.results),
        "parameters_changed_share": modified / total if total else 0.0,
    }


def _parameters(refs: Iterator[TensorRef | None]) -> int:
    """Elements of all weights, tied storage counted once."""
    return sum({ref.storage: ref.numel for ref in refs if ref is not None and ref.is_parameter}.values())


def _modified_parameters(comparison: Comparison) -> tuple[int, int]:
    """Count elements compared one by one, and those of them whose value changed."""
    total = modified = 0
    for result in comparison.results:
        ref = result.pair.new
        if result.relation in {None, Relation.NOT_COMPARED} or ref is None or not ref.is_parameter:
            continue
        if not result.same_shape:
            continue
        total += ref.numel
        if "changes" in result.statistics and result.relation is not Relation.IDENTICAL:
            modified += result.statistics["changes"].n_changed
    return total, modified


def _structural_change(result: PairResult) -> str:
    """Return one line that says how the tensor's place in the structure changed; empty if it did not."""
    pair = result.pair
    if pair.old is None or pair.new is None:
        ref = pair.new or pair.old
        return f"{'+' if pair.old is None else '-'} {pair.key}: {_form(ref)}" if ref is not None else ""
    parts = [*_renaming(pair)]
    if pair.old.shape != pair.new.shape:
        parts.append(f"{list(pair.old.shape)} -> {list(pair.new.shape)}")
    if pair.old.stored_as != pair.new.stored_as:
        parts.append(f"{pair.old.stored_as} -> {pair.new.stored_as}")
    return f"{'!' if len(parts) > pair.renamed else '~'} {pair.key}: {', '.join(parts)}" if parts else ""


def _renaming(pair: TensorPair) -> list[str]:
    return [f"renamed from {pair.old.name}"] if pair.renamed and pair.old is not None else []


def _form(ref: TensorRef) -> str:
    role = "" if ref.role == "weights" else f", role={ref.role}"
    return f"shape={list(ref.shape)}, dtype={ref.stored_as}, params={ref.numel}{role}"
