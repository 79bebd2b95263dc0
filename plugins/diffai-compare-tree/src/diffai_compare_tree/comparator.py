"""Compares configuration and metadata of two artefacts, each difference at its path."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffai_compare_tree.describe import nothing_selected, of_one_format, within_tolerance
from diffai_compare_tree.paths import Path, key_segment
from diffai_compare_tree.walk import Rules, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison, Finding


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one finding for each difference between the trees, sorted by key.

    Kinds: ``added``, ``removed``, ``modified``, ``type_changed``, ``duplicate_id``, ``repeated_difference``,
    ``entries_of_one_format``, ``values_within_tolerance`` and ``not_compared``; the README says what each means and how
    paths are written.

    Args:
        comparison: The two artefacts, the selection of keys and the tolerances.
        options: ``array_id_key``, ``ignore_case``, ``ignore_whitespace``.
    """
    rules = Rules(
        keys=comparison.keys,
        tolerances=comparison.tolerances,
        id_key=options.get("array_id_key", ""),
        ignore_case=options.get("ignore_case", False),
        ignore_whitespace=options.get("ignore_whitespace", False),
    )
    trees = comparison.old.tree, comparison.new.tree
    own = _entries_of_one_format(comparison)
    told: dict[str, str] = {}
    for finding in Walk(rules).findings(*trees):
        told[finding.where] = finding.kind
        yield replace(finding, level="info") if finding.where in own else finding
    only = {kind: [where for where in own if told.get(where) == kind] for kind in ("removed", "added")}
    if any(only.values()):
        yield of_one_format(only["removed"], only["added"])
    exact = rules.exact
    if exact != rules:
        n_tolerated = sum(finding.where not in told for finding in Walk(exact).findings(*trees))
        if n_tolerated:
            yield within_tolerance(n_tolerated)
    if rules.keys.active and not comparison.results and not any(_selects(rules, tree) for tree in trees):
        yield nothing_selected()


def _entries_of_one_format(comparison: Comparison) -> set[str]:
    """Return the paths of entries that one side of two model formats has: what the other has no place for.

    Between configuration files of two formats they are differences like any other.
    """
    old, new = comparison.old, comparison.new
    if old.format == new.format or not (old.tensors and new.tensors):
        return set()
    return {str(Path(None, key_segment(key))) for key in old.tree.keys() ^ new.tree.keys()}


def _selects(rules: Rules, tree: Mapping[str, Any]) -> bool:
    """Whether the rules keep any path of ``tree``: then it would be missing from an empty one."""
    return next(Walk(rules).findings(tree, {}), None) is not None
