"""Names what happened to the values and shapes of a model: the questions about it as a whole, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_review.explain import explained
from diffai_compare_review.faults import MOST_SHARE, ONE_BIT, bit_flips
from diffai_compare_review.look import open_look
from diffai_compare_review.named import Name, evidence
from diffai_compare_review.nonfinite import became_non_finite, non_finite_change
from diffai_compare_review.places import place
from diffai_compare_review.rearrange import transpose_cause, turned_cause
from diffai_compare_review.strangers import strangers
from diffai_compare_review.structure import Fusion, fusions, resize_cause
from diffai_compare_review.survey import elements, elements_of, ref_of
from diffai_compare_review.values_changed import RELATED_COS, RELATED_Z, median, name_values
from diffai_compare_review.words import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from diffai_compare_review.causes import Cause
    from diffai_compare_review.effort import Effort
    from diffai_compare_review.survey import Survey
    from diffai_core.plugin import PairResult, TensorRef

_FEW = 2
_RELATED = 0.1
_SAME_ARCHITECTURE = 0.5
"""Share of the parameters that must have a counterpart of equal shape."""


def model_change(survey: Survey, effort: Effort) -> Name | None:
    """Return the name of what happened to the values and shapes of the model's tensors."""
    fused = fusions(survey.added, survey.removed, effort)
    held = {ref.name for fusion in fused for ref in (fusion.whole, *fusion.parts)}
    added = [ref for ref in survey.added if ref.name not in held]
    removed = [ref for ref in survey.removed if ref.name not in held]
    resized = _shape_causes(survey.reshaped, effort)
    other = _other_architecture(survey, added, removed, resized, effort)
    if other is not None:
        return other
    values = _values(survey, effort)
    structure = [*_structures(fused, added, removed, resized, survey)]
    if values is None:
        return _first_of(structure)
    return _first_of([values, *structure])


def _first_of(names: Sequence[Name]) -> Name | None:
    if not names:
        return None
    first = names[0]
    text = "; ".join([first.text, *(name.text for name in names[1:])])
    parts = {"with": [{"change": name.change, **name.details} for name in names[1:]]} if names[1:] else {}
    return Name(
        first.change,
        text,
        {**first.details, **parts},
        tuple(item for name in names for item in name.evidence),
        any(name.sampled for name in names),
        first.doubtful,
        first.coverage,
        first.lines,
    )


def _values(survey: Survey, effort: Effort) -> Name | None:
    if not survey.changed:
        return None
    flips = bit_flips(survey.changed, survey.model)
    if flips is not None and not survey.added and not survey.removed and not survey.reshaped:
        found = [
            evidence("one_bit_share", flips.one_bit_share, null=0.0004, threshold=ONE_BIT, source="calibrated"),
            evidence("n_changed", flips.n_changed, null=0, threshold=f"share {MOST_SHARE}", source="calibrated"),
        ]
        where = f"{flips.places[0]['tensor']} element {flips.places[0]['index']:,} bit {flips.places[0]['bit']}"
        more = f" and {flips.n_changed - 1:,} more" if flips.n_changed > 1 else ""
        text = f"bit flips ({flips.n_changed:,} elements differ, in one bit each: {where}{more}; a fault, not training)"
        details = {"n_elements": flips.n_changed, "n_looked_at": flips.n_looked, "places": flips.places}
        return Name(
            "bit_flips",
            text,
            details,
            tuple(found),
            sampled=flips.n_looked < flips.n_changed,
            coverage=min(flips.n_looked / flips.n_changed, 1.0),
        )
    lost = non_finite_change(survey.changed)
    if lost is not None:
        return lost
    name = name_values(survey, explained(survey.comparison, survey.changed, effort), effort)
    gone = [result.pair.key for result in became_non_finite(survey.changed)]
    if not gone:
        return name
    text = f"{name.text}; NaN or infinite values, finite before, in {_counted(gone, 'tensor')}"
    return name._replace(text=text, details={**name.details, "non_finite_tensors": gone})


def _shape_causes(reshaped: Sequence[PairResult], effort: Effort) -> dict[str, Cause]:
    """Return why tensors have another shape, where that can be told."""
    causes: dict[str, Cause] = {}
    for result in reshaped[: effort.most]:
        look = open_look(result, effort)
        cause = None if look is None else transpose_cause(look) or turned_cause(look) or resize_cause(look)
        if (
            cause is not None
            and cause.details.get("common_rows_cos", 1.0) is not None
            and (abs(cause.details.get("common_rows_cos", 1.0)) > _RELATED)
        ):
            causes[result.pair.key] = cause
    if not effort.full and causes and len({cause.variant for cause in causes.values()}) == 1:
        kind = next(iter(causes.values()))
        if kind.name == "transposed":  # the others are as transposed as those looked at
            for result in reshaped[effort.most :]:
                if _mirrored(result):
                    causes[result.pair.key] = kind
    return causes


def _mirrored(result: PairResult) -> bool:
    old, new = result.pair.old, result.pair.new
    return old is not None and new is not None and sorted(old.shape) == sorted(new.shape)


def _other_architecture(
    survey: Survey, added: Sequence[TensorRef], removed: Sequence[TensorRef], shapes: dict[str, Cause], effort: Effort
) -> Name | None:
    """Return whether most parameters of one side have no counterpart on the other."""
    odd = [result for result in survey.reshaped if result.pair.key not in shapes]
    lone_old = elements([*removed, *(result.pair.old for result in odd if result.pair.old is not None)])
    lone_new = elements([*added, *(ref_of(result) for result in odd)])
    if not (lone_old or lone_new):
        return None
    total_old = elements(result.pair.old for result in survey.model if result.pair.old is not None)
    total_new = elements(result.pair.new for result in survey.model if result.pair.new is not None)
    shared = min(1 - lone_old / max(total_old, 1), 1 - lone_new / max(total_new, 1))
    adapters = added and all(_is_adapter(ref) for ref in added) and not removed and not odd
    if shared >= _SAME_ARCHITECTURE or adapters:
        return None
    kin = _kin(survey, added, removed, effort)
    if kin is not None:
        return kin
    depth = [_depth(result.pair.old.name for result in survey.model if result.pair.old is not None)]
    depth.append(_depth(result.pair.new.name for result in survey.model if result.pair.new is not None))
    blocks = f", {depth[0]} -> {depth[1]} blocks" if depth[0] != depth[1] else ""
    text = (
        f"other architecture ({shared:.0%} of the parameters have a counterpart of equal shape{blocks},"
        f" {total_old:,} -> {total_new:,} parameters)"
    )
    details = {
        "shared_parameter_share": shared,
        "blocks_old": depth[0],
        "blocks_new": depth[1],
        "parameters_old": total_old,
        "parameters_new": total_new,
    }
    found = evidence("shared_parameter_share", shared, 1.0, _SAME_ARCHITECTURE, "convention")
    return Name("other_architecture", text, details, (found,), coverage=1.0)


def _kin(survey: Survey, added: Sequence[TensorRef], removed: Sequence[TensorRef], effort: Effort) -> Name | None:
    """Return whether tensors of equal shapes stand on both sides under other names, related or not."""
    pairs = strangers(removed, added, effort)
    named_old = {old for old, _ in pairs.pairs}
    covered = elements(ref for ref in removed if ref.name in named_old) + elements_of(survey.kept)
    total = elements(result.pair.old for result in survey.model if result.pair.old is not None)
    if len(pairs.pairs) < _FEW or covered < _SAME_ARCHITECTURE * total:
        return None
    cosine, z = median(pairs.cosines), median(pairs.zs)
    related = cosine > RELATED_COS and z > RELATED_Z
    measured = f"median cosine {cosine:.2g} over {len(pairs.pairs):,} matrices paired by their shapes"
    found = (
        evidence("median_centred_cos", cosine, 0.0, RELATED_COS, "calibrated"),
        evidence("median_centred_cos_z", z, 0.0, RELATED_Z, "calibrated"),
    )
    details = {
        "median_centred_cos": cosine,
        "median_centred_cos_z": z,
        "n_matrices": len(pairs.pairs),
        "paired_by_shape": [list(pair) for pair in pairs.pairs],
    }
    if related:
        return Name("mixed", f"renamed and changed ({measured})", details, found, sampled=True, doubtful=True)
    text = f"unrelated weights of the same shapes under other names ({measured}; related ones have more than 0.1)"
    return Name("unrelated_weights", text, details, found, sampled=True, coverage=min(covered / max(total, 1), 1.0))


def _depth(names: Iterable[str]) -> int:
    """Return the number of blocks that the names of tensors tell."""
    return len({where.stack for where in map(place, names) if where.block is not None})


def _is_adapter(ref: TensorRef) -> bool:
    return ref.role == "adapter" or place(ref.name).role in {"lora_a", "lora_b"}


def _structures(
    fused: Sequence[Fusion],
    added: Sequence[TensorRef],
    removed: Sequence[TensorRef],
    shapes: dict[str, Cause],
    survey: Survey,
) -> Iterator[Name]:
    """Yield what happened to shapes and to tensors of one side, as parts of a name."""
    if fused:
        yield _fused(fused)
    turned = [key for key, cause in shapes.items() if cause.name == "transposed"]
    if turned:
        same = all("trained" not in shapes[key].variant for key in turned)
        held = "hold the same values with other axes" if same else "hold related values with other axes"
        text = f"transposed ({len(turned):,} tensors {held})"
        details = {"n_transposed": len(turned), "axes": shapes[turned[0]].details["axes"]}
        yield Name("transposed", text, details, sampled=True)
    yield from _resized({key: cause for key, cause in shapes.items() if cause.name == "resized"})
    odd = [result.pair.key for result in survey.reshaped if result.pair.key not in shapes]
    if odd:
        text = f"{_counted(odd, 'tensor')} of another shape"
        yield Name("structure_changed", text, {"other_shape": odd})
    if added and not removed and all(_is_adapter(ref) for ref in added):
        text = f"adapter added ({len(added):,} tensors, {elements(added):,} parameters)"
        yield Name("adapter_added", text, {"adapter_parameters": elements(added)})
    elif added or removed:
        sides = (("added", added), ("removed", removed))
        text = " and ".join(f"{_counted([ref.name for ref in some], 'tensor')} {what}" for what, some in sides if some)
        yield Name("structure_changed", text, {"tensors_added": len(added), "tensors_removed": len(removed)})


def _counted(names: Sequence[str], noun: str) -> str:
    """Return how many there are, by name if they are few."""
    count = f"{len(names):,} {noun if len(names) == 1 else noun + 's'}"
    return f"{count} ({joined(names)})" if len(names) <= _FEW else count


def _fused(fused: Sequence[Fusion]) -> Name:
    into = "fused" if fused[0].into_new else "split"
    layouts = sorted({fusion.layout for fusion in fused if fusion.layout != "not looked at"})
    roles = "/".join(place(part.name).base for part in fused[0].parts)
    text = f"{into} ({roles} in {len(fused):,} tensors, {joined(layouts)}, the same values)"
    details = {"direction": into, "n_fused": len(fused), "layouts": layouts, "parts": roles.split("/")}
    return Name("fused_or_split", text, details, sampled=True)


def _resized(resized: dict[str, Cause]) -> Iterator[Name]:
    """Yield which embeddings or heads have other numbers of rows, and whether the rows of both are the same."""
    if not resized:
        return
    kinds = {"embeddings" if place(key).role in {"embed", "position"} else "layers" for key in resized}
    names = "embeddings" if kinds == {"embeddings"} else "rows"
    first = next(iter(resized.values()))
    kept = min(cause.details["common_rows_identical_share"] for cause in resized.values())
    same = "common rows bit-identical" if kept == 1 else f"{kept:.0%} of the common rows identical"
    text = f"{names} resized ({_counted([*resized], 'tensor')}: {first.variant}, {same})"
    details: dict[str, Any] = {"resized": {key: dict(cause.details) for key, cause in resized.items()}}
    found = evidence("common_rows_identical_share", kept, 0.0)
    yield Name("embeddings_resized", text, details, (found,), sampled=True)
