"""How many heads each attention layer has: by what the files say, never by a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_layers import facts_of, place

from diffai_compare_attention.layouts import HeadCount
from diffai_core.plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from diffai_compare_attention.layers import Layer
    from diffai_core.plugin import Artifact, TensorRef

_COMMON_DIMS = (256, 192, 128, 96, 80, 72, 64, 48, 40, 32, 16, 8)
_BIAS_TABLES = frozenset({"relative_attention_bias", "relative_position_bias_table", "attn_rel_b"})
_MATRIX = 2


class Stated(NamedTuple):
    """What one source says of a layer's heads; 0 where it says nothing.

    Args:
        n: Heads of the queries.
        n_kv: Heads of the keys and values.
        dim: Width of a head.
        source: What says so: a path in the tree, a tensor, or an option.
    """

    n: int
    n_kv: int
    dim: int
    source: str


class HeadSources(NamedTuple):
    """All that says how many heads the layers of one side have.

    Args:
        config: What the configuration says.
        option: What the user says.
        tables: Heads by the tables of relative positions, by stack and block (block ``None``: of the stack).
    """

    config: Stated
    option: Stated
    tables: Mapping[tuple[str, int | None], Stated]


def head_sources(side: Artifact, refs: Iterable[TensorRef], options: Mapping[str, Any]) -> HeadSources:
    """Return what the files of one side and the user say.

    Raises:
        PluginError: If a number of heads on the command line is negative.
    """
    n_heads, n_kv_heads = options["num_heads"], options["num_kv_heads"]
    if n_heads < 0 or n_kv_heads < 0 or (n_kv_heads and not n_heads):
        raise PluginError("--num-heads must be at least 1, and --num-kv-heads goes with it")
    facts = facts_of(side)
    stated = [facts.n_heads, facts.n_kv_heads, facts.head_dim]
    numbers = [fact.value if fact is not None and isinstance(fact.value, int) else 0 for fact in stated]
    path = next((fact.path for fact in stated if fact is not None), "")
    return HeadSources(
        Stated(numbers[0], numbers[1], numbers[2], path),
        Stated(n_heads, n_kv_heads, 0, "--num-heads"),
        _tables(refs),
    )


def _tables(refs: Iterable[TensorRef]) -> dict[tuple[str, int | None], Stated]:
    found: dict[tuple[str, int | None], Stated] = {}
    for ref in refs:
        if len(ref.shape) != _MATRIX or not any(table in ref.name for table in _BIAS_TABLES):
            continue
        where = place(ref.name)
        stated = Stated(ref.shape[1], 0, 0, ref.name)
        found[where.prefix, where.block] = stated
        found.setdefault((where.prefix, None), stated)  # T5 has one for all blocks of a stack
    return found


def heads_of(layer: Layer, sources: HeadSources) -> HeadCount | str:
    """Return the heads of a layer, or why they cannot be told and what would help."""
    for stated in _statements(layer, sources):
        fitted = _fitted(layer, stated)
        if fitted is not None:
            return fitted
    if sources.option.n:
        return f"{sources.option.n} heads do not fit {_shapes(layer)}"
    said = ""
    if sources.config.n or sources.config.dim:
        said = f"{sources.config.n or sources.config.dim} of {sources.config.source} does not fit; "
    return f"{said}{_shapes(layer)} {_possible(layer)}"


def _statements(layer: Layer, sources: HeadSources) -> Iterator[Stated]:
    """Yield what the sources say of this layer, the surest first."""
    if "q" in layer.spread_heads:
        n, dim = layer.spread_heads["q"]
        yield Stated(n, 0, dim, "the shape of the kernel")
    if sources.config.n or sources.config.dim:
        yield sources.config
    if sources.config.n and sources.config.dim:  # widths differ between towers
        yield sources.config._replace(dim=0)
    if layer.q_norm:
        yield Stated(0, 0, layer.q_norm, "the norm of the queries")
    table = sources.tables.get((layer.prefix, layer.block)) or sources.tables.get((layer.prefix, None))
    if table is not None:
        yield table
    if sources.option.n:
        yield sources.option


def _fitted(layer: Layer, stated: Stated) -> HeadCount | None:
    """Return the heads if what is stated fits all shapes of the layer."""
    width = _query_width(layer, stated)
    if not width:
        return None
    dim = stated.dim or (width // stated.n if stated.n else 0)
    if not dim or width % dim or (stated.n and width != stated.n * dim):
        return None
    n, kv_width = width // dim, _kv_width(layer, width)
    if layer.q_norm == dim == width and not stated.n:
        return None  # the norm spans all heads
    if not kv_width or kv_width % dim or n % (kv_width // dim):
        return None
    n_kv = kv_width // dim
    return HeadCount(n, n_kv, dim, stated.source) if _agree(layer, n * dim, n_kv * dim) else None


def _agree(layer: Layer, width: int, kv_width: int) -> bool:
    matrices = layer.matrices
    widths = {"q": width, "k": kv_width, "v": kv_width, "kv": 2 * kv_width, "qkv": width + 2 * kv_width}
    if any(role in matrices and matrices[role].n_out != wanted for role, wanted in widths.items()):
        return False
    return "o" not in matrices or matrices["o"].n_in == width


def _query_width(layer: Layer, stated: Stated) -> int:
    """Return the number of elements of all queries, 0 if it is unknown."""
    matrices = layer.matrices
    if "q" in matrices:
        return matrices["q"].n_out
    if "o" in matrices:
        return matrices["o"].n_in
    fused = matrices["qkv"].n_out if "qkv" in matrices else 0
    if stated.n and fused:
        parts = stated.n + 2 * (stated.n_kv or stated.n)
        return 0 if fused % parts else fused // parts * stated.n
    return 0


def _kv_width(layer: Layer, width: int) -> int:
    matrices = layer.matrices
    for role in ("k", "v"):
        if role in matrices:
            return matrices[role].n_out
    if "kv" in matrices:
        return matrices["kv"].n_out // 2
    return (matrices["qkv"].n_out - width) // 2 if "qkv" in matrices else 0


def _shapes(layer: Layer) -> str:
    name, matrix = next(iter(layer.matrices.items()))
    if "q" in layer.matrices:
        name, matrix = "q", layer.matrices["q"]
    return f"{matrix.n_out} rows of {name}"


def _possible(layer: Layer) -> str:
    """Say which numbers of heads of usual widths would fit."""
    width = _query_width(layer, Stated(0, 0, 0, "")) or layer.matrices[next(iter(layer.matrices))].n_out // 3
    fits = [width // dim for dim in _COMMON_DIMS if _fitted(layer, Stated(0, 0, dim, "")) is not None]
    if not fits:
        return "fit no usual width of a head"
    words = ", ".join(map(str, fits[:-1]))
    return f"fit {words} or {fits[-1]} heads" if words else f"fit {fits[0]} heads"
