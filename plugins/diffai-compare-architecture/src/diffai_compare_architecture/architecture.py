"""How the architectures of two models differ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from diffai_compare_architecture.anatomy import anatomy_of
from diffai_compare_architecture.graphs import graph_of, operator_sets, operators_of, signature
from diffai_compare_architecture.table import table
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_architecture.anatomy import Anatomy, Told
    from diffai_core.plugin import Artifact, Comparison, Graph

_KIND = "architecture_comparison"
_MOST_DIFFERENCES = 40


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary."""
    del options
    old, new = (anatomy_of(side, comparison.keys) for side in (comparison.old, comparison.new))
    graphs = graph_of(comparison.old), graph_of(comparison.new)
    if old is not None and new is not None:
        yield _of_tensors(comparison, old, new, graphs)
    elif graphs[0] is not None and graphs[1] is not None:
        yield _of_graphs(comparison, graphs[0], graphs[1])
    else:
        missing = [side for side, found in (("OLD", old), ("NEW", new)) if found is None]
        yield Finding(
            _KIND,
            status="not_measurable",
            level="info",
            message=f"needs a model with named weights on both sides; none is looked at in {' and '.join(missing)}",
        )


def _of_tensors(
    comparison: Comparison, old: Anatomy, new: Anatomy, graphs: tuple[Graph | None, Graph | None]
) -> Finding:
    depths = _depths(old, new)
    pairs = _pairs(old, new, depths)
    graph_differences, graph_values = _graph_parts(*graphs)
    alignment = _alignment(comparison)
    differences = [f"{label} {before} -> {after}" for label, before, after in pairs if before != after]
    differences += [*_role_differences(old, new), *_tied_differences(old, new), *graph_differences]
    unknown = _not_measurable(old, new)
    values = {
        "type1": old.type,
        "type2": new.type,
        "depth": list(depths),
        "differences": differences[:_MOST_DIFFERENCES],
        "n_differences": len(differences),
        **{
            label.replace(" ", "_"): [before, after] for label, before, after in pairs if label not in {"type", "depth"}
        },
        **alignment,
        "roles1": dict(old.by_role),
        "roles2": dict(new.by_role),
        "stacks1": dict(old.stacks),
        "stacks2": dict(new.stacks),
        "tied1": [list(group) for group in old.tied],
        "tied2": [list(group) for group in new.tied],
        "sources1": _sources(old),
        "sources2": _sources(new),
        "not_measurable": unknown,
        **graph_values,
    }
    return Finding(
        _KIND,
        level="info",
        values=values,
        null={"n_differences": 0, "matched_parameters_share": 1.0},
        message=_message(old, new, differences, alignment),
        detail=table([*pairs, *_role_rows(old, new)]),
    )


def _depths(old: Anatomy, new: Anatomy) -> tuple[int, int]:
    """Return the number of blocks of both or, where one has none, the number of weight matrices of both."""
    if old.n_blocks and new.n_blocks:
        return old.n_blocks, new.n_blocks
    return old.n_layers, new.n_layers


def _pairs(old: Anatomy, new: Anatomy, depths: tuple[int, int]) -> list[tuple[str, Any, Any]]:
    """Return what both sides say, by the name of the field."""
    return [
        ("type", old.type, new.type),
        ("kind", old.kind or None, new.kind or None),
        ("depth", *depths),
        ("width", _value(old.width), _value(new.width)),
        ("heads", _value(old.n_heads), _value(new.n_heads)),
        ("head dim", _value(old.head_dim), _value(new.head_dim)),
        ("gqa ratio", old.gqa_ratio, new.gqa_ratio),
        ("weight matrices", old.n_layers, new.n_layers),
        ("params", old.n_parameters, new.n_parameters),
        *([("active params", old.active_parameters, new.active_parameters)] if _has_experts(old, new) else []),
    ]


def _has_experts(*sides: Anatomy) -> bool:
    return any("expert" in side.by_role for side in sides)


def _value(told: Told | None) -> int | None:
    return None if told is None else told.value


def _sources(side: Anatomy) -> dict[str, str]:
    told = {"width": side.width, "heads": side.n_heads, "head_dim": side.head_dim}
    return {name: one.source for name, one in told.items() if one is not None}


def _not_measurable(old: Anatomy, new: Anatomy) -> dict[str, str]:
    """Return why a field is null."""
    found = {}
    attends = any("transformer" in side.kind for side in (old, new))
    if attends and any(side.n_heads is None and "transformer" in side.kind for side in (old, new)):
        found["heads"] = "the rows of a projection fit many numbers of heads: give the folder with its config.json"
    if any(side.active_parameters is None for side in (old, new)):
        found["active_params"] = "the configuration does not say how many experts a token uses"
    return found


def _role_differences(old: Anatomy, new: Anatomy) -> list[str]:
    gone, come = sorted(set(old.by_role) - set(new.by_role)), sorted(set(new.by_role) - set(old.by_role))
    return [f"only OLD has {', '.join(gone)}"] * bool(gone) + [f"only NEW has {', '.join(come)}"] * bool(come)


def _tied_differences(old: Anatomy, new: Anatomy) -> list[str]:
    if sorted(map(len, old.tied)) == sorted(map(len, new.tied)):
        return []
    return [f"tied tensors {len(old.tied)} -> {len(new.tied)} groups"]


def _role_rows(old: Anatomy, new: Anatomy) -> Iterator[tuple[str, Any, Any]]:
    for role in sorted(set(old.by_role) | set(new.by_role)):
        yield f"params in {role}", old.by_role.get(role), new.by_role.get(role)


def _alignment(comparison: Comparison) -> dict[str, Any]:
    """Return how the weights of both sides were matched, as the core paired them."""
    counts: Counter[str] = Counter()
    matched = total = 0
    for result in comparison.results:
        pair = result.pair
        ref = pair.new or pair.old
        if ref is None or not ref.is_parameter:
            continue
        total += ref.numel
        if pair.old is None or pair.new is None:
            counts["unmatched_new" if pair.old is None else "unmatched_old"] += 1
            continue
        counts[f"matched_by_{pair.paired_by}"] += 1
        counts["reshaped"] += not pair.same_shape
        matched += ref.numel if pair.same_shape else 0
    names = ("matched_by_name", "matched_by_prefix", "matched_by_content", "reshaped", "unmatched_old", "unmatched_new")
    return {
        **{name: counts[name] for name in names},
        "matched_parameters_share": matched / total if total else None,
    }


def _graph_parts(old: Graph | None, new: Graph | None) -> tuple[list[str], dict[str, Any]]:
    """Return the differences of the graphs in words, and what is in them."""
    if old is None or new is None:
        return [], {}
    before, after = operators_of(old), operators_of(new)
    operators = [
        f"{op} {before.get(op, 0)} -> {after.get(op, 0)}"
        for op in sorted(set(before) | set(after))
        if before.get(op) != after.get(op)
    ]
    versions = operator_sets(old), operator_sets(new)
    signatures = signature(old), signature(new)
    words = [f"operators: {one}" for one in operators]
    words += [f"operator sets {versions[0]} -> {versions[1]}"] * (versions[0] != versions[1])
    words += [f"{side} differ" for side in ("inputs", "outputs") if signatures[0][side] != signatures[1][side]]
    return words, {
        "operators1": before,
        "operators2": after,
        "operator_sets1": versions[0],
        "operator_sets2": versions[1],
        "signature1": signatures[0],
        "signature2": signatures[1],
    }


def _of_graphs(comparison: Comparison, old: Graph, new: Graph) -> Finding:
    """Return what two graphs without weights tell."""
    differences, values = _graph_parts(old, new)
    counts = [sum(operators_of(graph).values()) for graph in (old, new)]
    return Finding(
        _KIND,
        level="info",
        values={
            "type1": _format(comparison.old),
            "type2": _format(comparison.new),
            "depth": [None, None],
            "differences": differences[:_MOST_DIFFERENCES],
            "n_differences": len(differences),
            "nodes": counts,
            **values,
        },
        null={"n_differences": 0},
        message=f"graphs without weights: {counts[0]} -> {counts[1]} operators, {len(differences)} differences",
    )


def _format(artifact: Artifact) -> str:
    return f"{artifact.format} graph"


def _message(old: Anatomy, new: Anatomy, differences: list[str], alignment: Mapping[str, Any]) -> str:
    share = alignment["matched_parameters_share"]
    matched = "" if share is None else f"; {100 * share:.3g} % of the weights have a counterpart of their shape"
    if not differences:
        return f"the same architecture: {new.type}{matched}"
    return f"{old.type} against {new.type}: {len(differences)} differences{matched}"
