"""Names the change of a model as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_compare_review.gates import counted
from diffai_compare_review.named import Name, evidence
from diffai_compare_review.survey import Survey
from diffai_compare_review.words import joined
from diffai_core.plugin import FileTensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_compare_review.effort import Effort
    from diffai_core.plugin import Artifact, Comparison, PairResult


def name_change(comparison: Comparison, effort: Effort) -> Name | None:
    """Return what the change is, or ``None`` where nothing changed that has a name.

    Args:
        comparison: Both artefacts after the pass.
        effort: How much may be read again.
    """
    survey = Survey(comparison)
    if not comparison.old.tensors or not comparison.new.tensors or not comparison.results:
        return None
    beside = list(_beside(survey))
    main = None
    if survey.changed or survey.reshaped or survey.added or survey.removed:
        from diffai_compare_review.model_change import model_change

        main = model_change(survey, effort)
    if main is None and beside:
        kept = "all else bit-identical" if survey.all_identical else "all values equal"
        beside[0] = beside[0]._replace(text=f"{beside[0].text[:-1]}; {kept})")
    names = [*([main] if main else []), *beside]
    return _with_rest(names[0], [name.text for name in names[1:]], survey) if names else None


def _with_rest(name: Name, also: Sequence[str], survey: Survey) -> Name:
    text = name.text if not also else f"{name.text}; also {joined(also)}"
    details = {
        **name.details,
        "also": list(also),
        "n_changed": len(survey.changed) + len(survey.reshaped),
        "n_kept": len(survey.kept),
        "n_added": len(survey.added),
        "n_removed": len(survey.removed),
    }
    return name._replace(text=text, details=details)


def _beside(survey: Survey) -> Iterator[Name]:
    """Yield what changed without any value of the model: names, order, dtype, other state, metadata, files."""
    if survey.recast:
        forms = sorted({_forms(result) for result in survey.recast})
        text = f"dtype cast without loss ({joined(forms)}, {len(survey.recast):,} tensors, equal values)"
        found = evidence("equal_share", 1.0)
        yield Name("dtype_cast", text, {"casts": forms, "direction": "lossless"}, (found,), coverage=1.0)
    if survey.reordered:
        text = f"transposed ({len(survey.reordered):,} tensors hold the same values with other axes)"
        yield Name("transposed", text, {"n_transposed": len(survey.reordered)}, coverage=1.0)
    if survey.renamed:
        yield _renamed(survey.renamed)
    if survey.state_changed:
        text = f"training state ({counted(len(survey.state_changed), 'tensor')} of optimizer, gradients or averages)"
        yield Name("training_state_only", text, {"n_state_changed": len(survey.state_changed)}, coverage=1.0)
    if survey.tree_changed:
        text = f"metadata ({counted(survey.tree_changed, 'entry', 'entries')})"
        yield Name("metadata_only", text, {"n_entries": survey.tree_changed}, coverage=1.0)
    yield from _containers(survey)


def _forms(result: PairResult) -> str:
    old, new = result.pair.old, result.pair.new
    return f"{old.stored_as} -> {new.stored_as}" if old is not None and new is not None else ""


def _renamed(renamed: Sequence[PairResult]) -> Name:
    example = renamed[0].pair
    text = f"rename ({counted(len(renamed), 'tensor')}, as {example.old_name} -> {example.key})"
    return Name("rename", text, {"n_renamed": len(renamed), "example": [example.old_name, example.key]}, coverage=1.0)


def _containers(survey: Survey) -> Iterator[Name]:
    old, new = survey.comparison.old, survey.comparison.new
    if old.format != new.format:
        text = f"other container ({old.format} -> {new.format})"
        yield Name("other_container", text, {"formats": [old.format, new.format]}, coverage=1.0)
    n_old, n_new = _shards(old), _shards(new)
    if old.format == new.format and n_old != n_new:
        yield Name("reshard", f"re-shard ({n_old:,} -> {n_new:,} files)", {"files": [n_old, n_new]}, coverage=1.0)


def _shards(side: Artifact) -> int:
    """Return how many files hold its tensors, as far as tensors lie in files."""
    return len({ref.file.path for ref in side.tensors.values() if isinstance(ref, FileTensor)})
