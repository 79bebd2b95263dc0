"""Names what happened to values: from the causes of single tensors to the change of the model."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_compare_review.gates import counted
from diffai_compare_review.named import Name, evidence
from diffai_compare_review.rank import GAP, HIDDEN
from diffai_compare_review.survey import MATRIX, centred_cosine, elements_of, is_matrix, ref_of, rel_change
from diffai_compare_review.values import LATTICE
from diffai_compare_review.words import Which, joined, ranges, which_changed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from diffai_compare_review.causes import Cause
    from diffai_compare_review.effort import Effort
    from diffai_compare_review.explain import Explained
    from diffai_compare_review.survey import Survey
    from diffai_core.plugin import PairResult

_DOMINANT = 0.9
"""Share of the tensors looked at that must have one cause to name the change after it."""
_NOTED = 0.1
RELATED_COS = 0.1
RELATED_Z = 5.0
_MOSTLY = 0.5
_FAR = 0.5
"""Relative change from which a vector need not be related to what it was."""
_FULL = 0.99
"""Share of the floating-point parameters that changed in a full fine-tune."""
_WORDS = {
    "dtype_cast": "dtype cast",
    "rescaled": "rescaled",
    "sign_flips": "signs flipped",
    "transposed": "transposed",
    "permuted": "permuted",
    "rotated": "rotated",
    "pruned": "pruned",
    "on_grid": "rounded to a grid",
    "quantised": "quantised",
    "low_rank": "low-rank change",
    "rank_one_edit": "rank-one edit",
    "trained": "trained",
}


def name_values(survey: Survey, told: Explained, effort: Effort) -> Name:
    """Return the name of a change of values from the causes of the tensors looked at."""
    counts = Counter(cause.name for cause in told.causes.values())
    coverage = _coverage(survey, told)
    sampled = not effort.full
    name, count = counts.most_common(1)[0] if counts else ("trained", 0)
    if count < _DOMINANT * counts.total():
        found = _mixed(told, counts, sampled=sampled, coverage=coverage)
    elif name == "trained":
        found = _trained(survey, told, sampled=sampled, coverage=coverage)
    else:
        causes = {key: cause for key, cause in told.causes.items() if cause.name == name}
        found = _explained_by(survey, told, causes, sampled=sampled, coverage=coverage)
    return found if sampled else found._replace(details={**found.details, "tensors": _rows(told)})


def _rows(told: Explained) -> list[dict[str, Any]]:
    """Return what became of each tensor that was looked at."""
    rows: list[dict[str, Any]] = [
        {"tensor": key, "change": cause.name, "variant": cause.variant, **cause.details}
        for key, cause in told.causes.items()
    ]
    for row in rows:
        test = told.ranks.get(row["tensor"])
        if test is not None:
            row |= {"delta_rank_gap": test.gap, "noise_edge_over_sigma1": test.noise_edge_over_sigma1}
    return rows


def _coverage(survey: Survey, told: Explained) -> float | None:
    total = elements_of(survey.changed)
    looked = elements_of(result for result in survey.changed if result.pair.key in told.causes)
    return min(looked / total, 1.0) if total else None


def _variants(causes: Mapping[str, Cause]) -> list[str]:
    """Return the variants, the most frequent first."""
    return [variant for variant, _ in Counter(cause.variant for cause in causes.values()).most_common()]


def _explained_by(
    survey: Survey, told: Explained, causes: Mapping[str, Cause], *, sampled: bool, coverage: float | None
) -> Name:
    """Return the name of a change that has one cause."""
    first = next(iter(causes.values()))
    variants = _variants(causes)
    n_looked = len(told.causes)
    beyond = _beyond_a_rounding(survey, causes) if first.name == "dtype_cast" else []
    details: dict[str, Any] = {
        "variants": variants,
        "example": {"tensor": next(iter(causes)), **first.details},
        "n_explained": len(causes),
        "n_looked_at": n_looked,
        "unexplained": [*(key for key in told.causes if key not in causes), *beyond],
    }
    details |= _details_of(first.name, causes, survey)
    what, where = _what(first.name, variants, causes), _where(survey, causes, told)
    text = f"{_title(first.name, variants, causes)} ({what}; {where})"
    others = [key for key in told.causes if key not in causes]
    if others:
        text += f"; otherwise in {counted(len(others), 'tensor')} of the {n_looked:,} looked at, as {others[0]}"
    if beyond:
        text += f"; {len(beyond):,} tensors changed by more than one rounding"
    found = tuple(_evidence(first, causes))
    return Name(first.name, text, details, found, sampled, coverage=coverage, lines=_lines(told))


def _where(survey: Survey, causes: Mapping[str, Cause], told: Explained) -> str:
    """Return where: the tensors explained, by name if they are a part of the model and all were looked at."""
    n_changed = len(survey.changed)
    if len(told.causes) < n_changed:
        return f"{counted(n_changed, 'tensor')} changed"
    if survey.kept:
        rest = [result.pair.key for result in survey.model if result.pair.key not in causes]
        return f"{ranges([*causes], rest)}; {rest_of(survey)}"
    return counted(len(causes), "tensor")


_UNIT = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float8_e4m3fn": 2.0**-4, "float8_e5m2": 2.0**-3}
_SLACK = 2.02
"""Cutting instead of rounding doubles the error."""


def _beyond_a_rounding(survey: Survey, causes: Mapping[str, Cause]) -> list[str]:
    """Return tensors that were not looked at and changed by more, as a whole, than one rounding can."""
    details = next(iter(causes.values())).details
    units = [_UNIT[name] for name in (details["old_dtype"], details["new_dtype"]) if name in _UNIT]
    if details["old_dtype"] == details["new_dtype"] or not units:
        return []
    sizes = {result.pair.key: rel_change(result) for result in survey.changed if result.pair.key not in causes}
    return [key for key, size in sizes.items() if size is not None and size > _SLACK * max(units)]


def _title(name: str, variants: Sequence[str], causes: Mapping[str, Cause]) -> str:
    if name == "low_rank":
        rank = variants[0].removeprefix("rank ")
        return f"merged LoRA of rank {rank}" if len(variants) == 1 else "merged LoRA of several ranks"
    if name == "rank_one_edit" and "top_u_shared_cos" in next(iter(causes.values())).details:
        return "rank-one edits along one direction"
    return _WORDS[name]


def _what(name: str, variants: Sequence[str], causes: Mapping[str, Cause]) -> str:
    if name == "low_rank":
        gap = min(cause.details["delta_rank_gap"] for cause in causes.values())
        return f"the change has {joined(variants)}, gap {gap:.3g}"
    if name == "rank_one_edit":
        return "the change has rank 1"
    if name == "rescaled":
        return f"{joined(variants)}; equivalent if a neighbouring layer carries the inverse"
    return joined(variants)


def _details_of(name: str, causes: Mapping[str, Cause], survey: Survey) -> dict[str, Any]:
    """Return what is told of one class only."""
    if name == "low_rank":
        ranks = sorted({cause.details["delta_rank"] for cause in causes.values()})
        return {"rank": ranks[0] if len(ranks) == 1 else ranks, "targets": sorted(causes)}
    if name == "pruned":
        zeroed = [result.statistics["changes"].n_changed for result in survey.changed]
        return {"zeroed_share": sum(zeroed) / max(elements_of(survey.model), 1)}
    return {}


def _evidence(first: Cause, causes: Mapping[str, Cause]) -> list[dict[str, Any]]:
    """Return the numbers behind a cause, the least favourable of all tensors looked at."""

    def worst(field: str, pick: Any) -> Any:
        found = [cause.details[field] for cause in causes.values() if cause.details.get(field) is not None]
        return pick(found) if found else None

    tables: dict[str, list[dict[str, Any]]] = {
        "dtype_cast": [evidence("equal_share", worst("equal_share", min), None, 1.0, "convention")],
        "low_rank": [
            evidence("delta_rank_gap", worst("delta_rank_gap", min), 1.0, GAP, "calibrated"),
            evidence("noise_edge_over_sigma1", worst("noise_edge_over_sigma1", max), 1.0, HIDDEN, "calibrated"),
        ],
        "on_grid": [evidence("grid_residual", worst("grid_residual", max), 0.25, LATTICE, "calibrated")],
        "rescaled": [evidence("diag_fit_residual", worst("diag_fit_residual", max), 1.0, None, "")],
        "rotated": [evidence("row_norm_ratio_cv", worst("row_norm_ratio_cv", max), worst("null_cv", min))],
        "pruned": [evidence("zero_share", worst("zero_share", min), worst("zero_share_old", max))],
    }
    tables["rank_one_edit"] = tables["low_rank"]
    return [item for item in tables.get(first.name, []) if item["value"] is not None]


def _mixed(told: Explained, counts: Counter[str], *, sampled: bool, coverage: float | None) -> Name:
    noted = [(name, count) for name, count in counts.most_common() if count >= _NOTED * counts.total()]
    words = [f"{_WORDS[name]} in {count:,}" for name, count in noted]
    text = f"mixed ({joined(words)} of {counts.total():,} tensors looked at)"
    details = {
        "tensors_by_class": dict(counts.most_common()),
        "tensors": [
            {"tensor": key, "change": cause.name, "variant": cause.variant} for key, cause in told.causes.items()
        ],
    }
    return Name("mixed", text, details, (), sampled, coverage=coverage, lines=_lines(told))


def median(values: Iterable[float]) -> float:
    """Return the middle value; the module of that name takes longer to import than this whole analysis."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class _Kinship(NamedTuple):
    """How far changed matrices still point where they did."""

    median_cos: float
    median_z: float
    n: int

    @property
    def related(self) -> bool:
        return self.median_cos > RELATED_COS and self.median_z > RELATED_Z


def kinship(changed: Sequence[PairResult]) -> _Kinship | None:
    """Return the cosines of the matrices large enough to tell.

    ``None`` without one, and where one side is so much larger that a training which ran away has no more of its start
    in it than the least cosine looked for.
    """
    if swamped(changed) is not None:
        return None
    pairs = [(centred_cosine(result), ref_of(result)) for result in changed]
    found = [(cosine, cosine * sqrt(ref.numel)) for cosine, ref in pairs if cosine is not None and _tells(ref)]
    if not found:
        return None
    return _Kinship(median(cosine for cosine, _ in found), median(z for _, z in found), len(found))


def swamped(changed: Sequence[PairResult]) -> float | None:
    """Return how many times as large NEW is, by the median of the matrices, if that hides what it has of OLD."""
    moments = [result.statistics.get("moments") for result in changed if _tells(ref_of(result))]
    ratios = [found.norm_ratio for found in moments if found is not None and found.norm_ratio]
    ratio = median(ratios) if ratios else 1.0
    return None if RELATED_COS < ratio < 1 / RELATED_COS else ratio


def _tells(ref: Any) -> bool:
    return is_matrix(ref) and ref.numel >= MATRIX


def _trained(survey: Survey, told: Explained, *, sampled: bool, coverage: float | None) -> Name:
    """Return fine-tune, whole or in part, or unrelated weights."""
    kin = kinship(survey.changed)
    kept = _kept(survey)
    n_changed, n_kept = elements_of(survey.changed), elements_of(kept)
    share = n_changed / max(n_changed + n_kept, 1)
    found = [] if kin is None else _kin_evidence(kin)
    if kin is not None and not kin.related and share >= _MOSTLY:
        text = (
            f"unrelated weights of the same architecture (median cosine {kin.median_cos:.2g} over {kin.n:,} matrices;"
            f" related ones have more than {RELATED_COS})"
        )
        return Name("unrelated_weights", text, _kin_details(kin), tuple(found), coverage=share)
    details = {"changed_parameter_share": share, **_sizes(survey), **({} if kin is None else _kin_details(kin))}
    lines = _lines(told)
    doubtful = bool(told.hidden) and told.hidden == len(told.ranks)
    unknown = kin is None and share >= _FULL and not _sizes(survey).get("rel_change_median", _FAR) < _FAR
    details |= {"low_rank_excluded": bool(told.ranks) and not doubtful, "n_looked_at": len(told.causes)}
    if unknown:
        lines = (*lines, _why_unknown(swamped(survey.changed)))
    if share >= _FULL:
        size = _median_text(details)
        text = f"full fine-tune ({counted(len(survey.changed), 'tensor')}{size})"
        return Name("full_fine_tune", text, details, tuple(found), sampled, doubtful or unknown, coverage, lines)
    which = _which(survey, kept)
    untouched = kin is None or kin.related
    text = f"partial fine-tune ({which.text}; {rest_of(survey)})"
    if not untouched:
        text = f"partly replaced ({which.text} unrelated to before; {rest_of(survey)})"
    details |= {"which": which.name, "part": which.text, "replaced": not untouched}
    return Name("partial_fine_tune", text, details, tuple(found), sampled, doubtful, coverage, lines)


def _why_unknown(times: float | None) -> str:
    if times is None:
        return f"no matrix of {MATRIX:,} elements tells whether both are related: it may be other training"
    return f"the matrices of NEW are {times:.2g} times as large: whether it comes from OLD cannot be told any more"


def _kept(survey: Survey) -> list[PairResult]:
    return [result for result in survey.kept if ref_of(result).dtype.kind == "float"]


def _which(survey: Survey, kept: Sequence[PairResult]) -> Which:
    """Return the part that changed, told by what did not where that is shorter."""
    changed = [result.pair.key for result in survey.changed]
    unchanged = [result.pair.key for result in kept]
    which = which_changed(changed, unchanged)
    if which.name != "listed" or len(unchanged) > len(changed):
        return which
    others = ranges(unchanged, changed)
    return Which("all but", f"all but {others}") if len(others) + 8 < len(which.text) else which


def rest_of(survey: Survey) -> str:
    """Return how far everything else is as before."""
    same = all(result.relation is not None and result.relation.value == "identical" for result in survey.kept)
    return "all else bit-identical" if same else "all else equal"


def _kin_evidence(kin: _Kinship) -> list[dict[str, Any]]:
    return [
        evidence("median_centred_cos", kin.median_cos, 0.0, RELATED_COS, "calibrated"),
        evidence("median_centred_cos_z", kin.median_z, 0.0, RELATED_Z, "calibrated"),
    ]


def _kin_details(kin: _Kinship) -> dict[str, Any]:
    return {"median_centred_cos": kin.median_cos, "median_centred_cos_z": kin.median_z, "n_matrices": kin.n}


def _sizes(survey: Survey) -> dict[str, Any]:
    sizes = [size for size in map(rel_change, survey.changed) if size is not None]
    if not sizes:
        return {}
    return {"rel_change_min": min(sizes), "rel_change_median": median(sizes), "rel_change_max": max(sizes)}


def _median_text(details: Mapping[str, Any]) -> str:
    if "rel_change_median" not in details:
        return ""
    low, mid, high = (details[f"rel_change_{name}"] for name in ("min", "median", "max"))
    return f", rel_change {low:.2g} to {high:.2g}, median {mid:.2g}"


def _lines(told: Explained) -> tuple[str, ...]:
    """Return what was looked at, where that was not everything, and what rounding hides."""
    lines = []
    n_looked, n_all = len(told.causes), told.n_candidates
    if n_looked < n_all:
        lines.append(f"{n_looked:,} of {n_all:,} changed matrices were looked into; --change-summary looks into all")
    if told.ranks and told.hidden == len(told.ranks):
        lines.append("a low rank (merged LoRA) is not excluded: rounding hides it")
    return tuple(lines)
