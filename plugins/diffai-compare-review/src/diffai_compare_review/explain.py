"""The questions about changed tensors, in order; the first that is answered names the change."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_compare_review.cast import cast_cause
from diffai_compare_review.causes import TRAINED, Cause
from diffai_compare_review.effort import SAMPLE
from diffai_compare_review.look import open_look, spread
from diffai_compare_review.places import place
from diffai_compare_review.rank import RankTest, rank_cause, rank_test
from diffai_compare_review.rearrange import permute_cause, rotate_cause, transpose_cause, turned_cause
from diffai_compare_review.rescale import rescale_cause
from diffai_compare_review.survey import is_matrix, ref_of
from diffai_compare_review.values import grid_cause, prune_cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_compare_review.effort import Effort
    from diffai_compare_review.look import Look
    from diffai_core.plugin import Comparison, PairResult

AGREEING = 3
"""Matrices that must show the same rank."""
_FIRST = 3
"""Matrices of which the dear questions are asked; of the others only if one of these answers."""
_WIDE = 256
_COARSE_NOISE = 1e-3
"""Noise edge over the largest singular value from which a wider window is worth its cost; float32 has less."""
_FEW_GAP = 10.0
"""Gap that it takes where fewer than three matrices changed."""
_ONE_DIRECTION = 0.9
_WRITES = frozenset({"o", "down", "embed"})
"""Roles of the matrices that write into the residual stream."""


class Explained(NamedTuple):
    """What became of the changed tensors that were looked at.

    Args:
        causes: The cause of each, by its name.
        n_candidates: Changed tensors that could have been looked at.
        ranks: The rank tests that were made.
    """

    causes: Mapping[str, Cause]
    n_candidates: int
    ranks: Mapping[str, RankTest] = MappingProxyType({})

    @property
    def hidden(self) -> int:
        """Matrices in which rounding can hide a low rank."""
        return sum(test.is_hidden for test in self.ranks.values())


class _Questions:
    """Looks at one tensor, all questions but that for a rank; a class so that it can be sent to other workers."""

    def __init__(self, effort: Effort, *, thorough: bool) -> None:
        self.effort = effort
        self.thorough = thorough

    def __call__(self, result: PairResult) -> Cause | None:
        look = open_look(result, self.effort)
        return None if look is None else explain(look, thorough=self.thorough)


def explain(look: Look, *, thorough: bool) -> Cause:
    """Return the first explanation that holds for all that is looked at."""
    asked = [
        cast_cause,
        lambda one: rescale_cause(one, thorough=thorough),
        transpose_cause,
        turned_cause,
        permute_cause,
    ]
    asked += [rotate_cause] if thorough else []
    asked += [prune_cause, grid_cause, lambda one: prune_cause(one, trained=True)]
    for question in asked:
        cause = question(look)
        if cause is not None:
            return cause
    return TRAINED


def explained(comparison: Comparison, changed: Sequence[PairResult], effort: Effort) -> Explained:
    """Look at changed tensors: at matrices, and at others where there are none."""
    known = {result.pair.key: Cause("quantised", scheme) for result in changed if (scheme := _scheme(result))}
    rest = [result for result in changed if result.pair.key not in known]
    candidates = [result for result in rest if is_matrix(ref_of(result))] or rest
    chosen = [candidates[index] for index in spread(len(candidates), effort.most)]
    causes = dict(_ask(comparison, chosen, effort))
    trained = [result for result in chosen if causes.get(result.pair.key) is TRAINED]
    ranks = _ranks(comparison, [result for result in trained if is_matrix(ref_of(result))], effort)
    causes |= _low_ranks(ranks, candidates)
    return Explained({**known, **causes}, len(candidates), ranks)


def _scheme(result: PairResult) -> str:
    """Return how the scheme of quantisation changed; empty if it did not."""
    old, new = result.pair.old, result.pair.new
    if old is None or new is None or old.stored_as == new.stored_as:
        return ""
    if old.quantization is not None or new.quantization is not None:
        return f"{old.stored_as} -> {new.stored_as}"
    kinds = old.dtype.kind, new.dtype.kind
    return f"{old.stored_as} -> {new.stored_as}" if kinds in {("float", "int"), ("float", "uint")} else ""


def _ask(comparison: Comparison, chosen: Sequence[PairResult], effort: Effort) -> list[tuple[str, Cause]]:
    """Ask of the first few everything, of the others what is cheap unless one of these gave a dear answer."""
    first = chosen if effort.full else chosen[:_FIRST]
    answers = list(comparison.map(_Questions(effort, thorough=True), first, _bytes_read))
    dear = any(cause is not None and (cause.name == "rotated" or "and" in cause.variant) for cause in answers)
    rest = chosen[len(first) :]
    answers += comparison.map(_Questions(effort, thorough=dear), rest, _bytes_read)
    keys = [result.pair.key for result in chosen]
    return [(key, cause) for key, cause in zip(keys, answers, strict=True) if cause is not None]


def _bytes_read(result: PairResult) -> int:
    return ref_of(result).nbytes


class _RankOf:
    """Tests the rank of the change of one matrix."""

    def __init__(self, effort: Effort, side: int) -> None:
        self.effort = effort
        self.side = side

    def __call__(self, result: PairResult) -> RankTest | None:
        look = open_look(result, self.effort)
        return None if look is None else rank_test(look, side=self.side)


def _ranks(comparison: Comparison, trained: Sequence[PairResult], effort: Effort) -> dict[str, RankTest]:
    """Test the first few, wider where rounding may hide the rank, and all others if one of them is low."""
    first = trained if effort.full else trained[:_FIRST]
    side = effort.rank_side
    tests = _tests(comparison, first, effort, side)
    if effort is SAMPLE and tests and not any(test.is_low for test in tests.values()):
        doubtful = [result for result in first if result.pair.key in tests and _is_doubtful(tests[result.pair.key])]
        if doubtful:
            side = _WIDE
            tests |= _tests(comparison, doubtful, effort, side)
    if any(test.is_low for test in tests.values()):
        tests |= _tests(comparison, trained[len(first) :], effort, side)
    return tests


def _is_doubtful(test: RankTest) -> bool:
    """Whether the rounding of a coarse dtype is near enough to matter, or the rank too high for this window."""
    return (test.needs_wider or test.noise_edge_over_sigma1 > _COARSE_NOISE) and test.n_lines < _WIDE


def _tests(comparison: Comparison, some: Sequence[PairResult], effort: Effort, side: int) -> dict[str, RankTest]:
    tests = comparison.map(_RankOf(effort, side), some, _bytes_read)
    return {result.pair.key: test for result, test in zip(some, tests, strict=True) if test is not None}


def _low_ranks(ranks: Mapping[str, RankTest], candidates: Sequence[PairResult]) -> dict[str, Cause]:
    """Return the matrices whose change has a low rank: the same in three of them, or clearly where fewer changed."""
    low = {key: test for key, test in ranks.items() if test.is_low}
    if len(candidates) < AGREEING:
        low = {key: test for key, test in low.items() if test.gap >= _FEW_GAP}
        return {key: _edit(test) if test.rank == 1 else rank_cause(test) for key, test in low.items()}
    agreeing = {rank for rank, count in Counter(test.rank for test in low.values()).items() if count >= AGREEING}
    kept = {key: test for key, test in ranks.items() if test.rank in agreeing and (test.is_low or test.is_hidden)}
    shared = _shared_direction(kept)
    if shared is None:
        return {key: rank_cause(test) for key, test in kept.items()}
    return {key: _edit(test, shared) for key, test in kept.items()}


def _edit(test: RankTest, shared: float | None = None) -> Cause:
    details = dict(rank_cause(test).details)
    if shared is None:
        return Cause("rank_one_edit", "one direction", details)
    return Cause("rank_one_edit", "one direction in all outputs", {**details, "top_u_shared_cos": shared})


def _shared_direction(low: Mapping[str, RankTest]) -> float | None:
    """Return the least cosine of the left singular vectors if one direction was changed in all that write outputs."""
    if not low or any(test.rank != 1 for test in low.values()) or {place(key).base for key in low} - _WRITES:
        return None
    lefts = [test.left for test in low.values()]
    if len({len(left) for left in lefts}) > 1:
        return None
    cosines = [abs(float(np.dot(lefts[0], left))) for left in lefts[1:]]
    return min(cosines) if cosines and min(cosines) >= _ONE_DIRECTION else None
