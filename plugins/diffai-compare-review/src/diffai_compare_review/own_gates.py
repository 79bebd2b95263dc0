"""Rules that need no other analysis: values, structure, configuration, tokenizer, code, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_review.gates import Gate, clear, counted, flagged, unchecked
from diffai_compare_review.survey import Survey, ref_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_compare_review.gates import Severity
    from diffai_compare_review.named import Name
    from diffai_core.plugin import Comparison, Finding, PairResult

_LINEAGE: dict[str, Severity] = {"unrelated_weights": "high", "other_architecture": "high", "bit_flips": "high"}
_TREE = frozenset({"added", "removed", "modified", "type_changed"})
_GENERATION = ("generation_config", "eos_token_id", "bos_token_id", "pad_token_id", "chat_template")
_TOKENIZER = ("tokenizer", "vocab.", "vocab[", "merges", "added_tokens", "special_tokens")


def own_gates(comparison: Comparison, name: Name | None) -> Iterator[Gate]:
    """Yield the answers of all rules that can be asked of two artefacts alone."""
    survey = Survey(comparison)
    yield _readable(comparison, survey)
    yield _non_finite(survey)
    yield _overflow(survey)
    yield _tensors(survey, name)
    yield _lineage(survey, name)
    yield _tokenizer(comparison, survey)
    yield _generation(comparison)
    yield _foreign(comparison)


def _readable(comparison: Comparison, survey: Survey) -> Gate:
    missing = [item.where for item in comparison.new.not_readable]
    missing += [error.path for error in comparison.new.errors]
    missing += [result.pair.key for result in survey.model if result.reason]
    if missing:
        text = f"{counted(len(missing), 'part')} of NEW not read"
        return flagged("readable", "high", text, missing[0], n_not_read=len(missing))
    return clear("readable", "everything in NEW was read")


def _special(result: PairResult) -> tuple[int, int] | None:
    """Return how many values of OLD and of NEW are NaN or infinite."""
    counts = result.statistics.get("counts")
    return None if counts is None else (counts.old.n - counts.old.n_finite, counts.new.n - counts.new.n_finite)


def _non_finite(survey: Survey) -> Gate:
    grown, n_new, n_added_unmeasured = [], 0, 0
    for result in survey.model:
        if not ref_of(result).is_parameter:  # a causal mask is infinite where it masks
            continue
        special = _special(result)
        if special is None:
            n_added_unmeasured += result.pair.old is None and ref_of(result).dtype.kind == "float"
            continue
        before = 0 if result.pair.old is None else special[0]
        if special[1] > before:
            grown.append(result.pair.key)
            n_new += special[1] - before
    if grown:
        text = f"{n_new:,} more NaN or infinite in {counted(len(grown), 'tensor')}"
        return flagged("non_finite_values", "high", text, grown[0], n_values=n_new, n_tensors=len(grown))
    if n_added_unmeasured:
        needs = f"{counted(n_added_unmeasured, 'added tensor')} not measured; --deployment-readiness measures all"
        return unchecked("non_finite_values", needs)
    return clear("non_finite_values", "no NaN or infinite value that OLD has not", n_values=0)


def _overflow(survey: Survey) -> Gate:
    found = []
    for result in survey.model:
        counts = result.statistics.get("counts")
        if counts is not None and result.pair.new is not None and counts.new.n_float16_overflow:
            before = 0 if result.pair.old is None else counts.old.n_float16_overflow
            found.append((counts.new.n_float16_overflow, before, result.pair.key))
    total, before = sum(count for count, _, _ in found), sum(count for _, count, _ in found)
    if total > before:
        text = f"{total:,} values become infinite in float16 ({before:,} before)"
        return flagged("float16_overflow", "medium", text, max(found)[2], n_values=total, n_values_old=before)
    return clear(
        "float16_overflow", f"{total:,} values become infinite in float16, no more than before", n_values=total
    )


def _tensors(survey: Survey, name: Name | None) -> Gate:
    """Ask whether programs that load OLD find what they need in NEW."""
    if name is not None and name.change in {"fused_or_split", "rename", "adapter_added"}:
        text = f"{name.text}; what loads OLD by name must know"
        return flagged("tensors_as_before", "medium", text, source="named_change")
    n_removed, n_added, n_shapes = len(survey.removed), len(survey.added), len(survey.reshaped)
    where = (
        survey.removed[0].name
        if survey.removed
        else survey.reshaped[0].pair.key
        if survey.reshaped
        else survey.added[0].name
        if survey.added
        else ""
    )
    text = f"{counted(n_removed, 'tensor')} removed, {n_added:,} added, {n_shapes:,} of another shape"
    numbers: dict[str, Any] = {"n_removed": n_removed, "n_added": n_added, "n_other_shape": n_shapes}
    if survey.renamed and not where:
        text = f"{counted(len(survey.renamed), 'tensor')} renamed"
        return flagged("tensors_as_before", "medium", text, survey.renamed[0].pair.key, n_renamed=len(survey.renamed))
    if not where:
        return clear("tensors_as_before", "the same names and shapes", **numbers)
    severity: Severity = "high" if n_removed or n_shapes else "medium"
    return flagged("tensors_as_before", severity, text, where, **numbers)


def _lineage(survey: Survey, name: Name | None) -> Gate:
    if not survey.model:
        return unchecked("lineage", "needs weights on both sides")
    if name is None:
        return clear("lineage", "no change of the model")
    if name.change in _LINEAGE:
        return flagged("lineage", _LINEAGE[name.change], name.text, source="named_change", **_numbers(name))
    return clear("lineage", name.text, **_numbers(name))


def _numbers(name: Name) -> dict[str, Any]:
    return {item["measure"]: item["value"] for item in name.evidence}


def _tree_findings(comparison: Comparison) -> list[Finding]:
    return [finding for finding in comparison.findings if finding.kind in _TREE]


def _tokenizer(comparison: Comparison, survey: Survey) -> Gate:
    """Ask whether tokens changed and the embedding did not."""
    from diffai_compare_review.places import place

    if not any(_is_tokenizer(key) for side in (comparison.old, comparison.new) for key in _top(side.tree)):
        return unchecked("tokenizer_matches_embedding", "needs the folder of the model with its tokenizer")
    changed = [finding for finding in _tree_findings(comparison) if _is_tokenizer(finding.where)]
    if not changed:
        return clear("tokenizer_matches_embedding", "the tokenizer is as before")
    entries = counted(len(changed), "entry", "entries")
    same = [result for result in survey.kept if place(result.pair.key).role == "embed"]
    if same:
        text = f"{entries} of the tokenizer changed, the embedding did not"
        return flagged(
            "tokenizer_matches_embedding", "high", text, same[0].pair.key, changed[0].kind, n_entries=len(changed)
        )
    text = f"{entries} of the tokenizer changed, and so did the embedding"
    return flagged(
        "tokenizer_matches_embedding", "medium", text, changed[0].where, changed[0].kind, n_entries=len(changed)
    )


def _top(tree: Any) -> list[str]:
    return [key for key in tree if isinstance(key, str)]


def _is_tokenizer(path: str) -> bool:
    return path.lstrip('["').startswith(_TOKENIZER)


def _generation(comparison: Comparison) -> Gate:
    found = [one for one in _tree_findings(comparison) if any(word in one.where for word in _GENERATION)]
    if found:
        text = f"{counted(len(found), 'entry', 'entries')} on generation changed"
        return flagged("generation_settings", "medium", text, found[0].where, found[0].kind, n_entries=len(found))
    if not comparison.new.tree:
        return unchecked("generation_settings", "needs the folder of the model with its configuration")
    return clear("generation_settings", "end tokens and generation settings are as before")


def _foreign(comparison: Comparison) -> Gate:
    before = {one.name for one in comparison.old.foreign}
    names = sorted({one.name for one in comparison.new.foreign})
    fresh = [name for name in names if name not in before]
    if fresh:
        text = f"NEW wants {fresh[0]} to be imported or called; OLD does not"
        return flagged("foreign_code", "high", text, source="foreign_code", n_callables=len(fresh))
    if names:
        text = f"NEW wants {names[0]} to be imported or called, as OLD does"
        return flagged("foreign_code", "low", text, source="foreign_code", n_callables=len(names))
    return clear("foreign_code", "the file asks for no code")
