"""What made a model smaller or larger, to the byte."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from diffai_core.plugin import Artifact, Comparison, PairResult, TensorRef

CAUSES = ("removed_tensors", "added_tensors", "shapes", "dtype", "quantization", "tied_storage")
"""What can change the bytes of the tensors; together they are the difference."""
_PARAMETERS = frozenset({"weights", "adapter"})
_CODE_BITS = 8
_NOTHING = "needs tensors: neither side has any"


class Cause(NamedTuple):
    """What one cause did to the size.

    Args:
        n_tensors: Tensors that it concerns.
        n_bytes: NEW less OLD.
    """

    n_tensors: int = 0
    n_bytes: int = 0

    def plus(self, n_bytes: int) -> Cause:
        """Return the sum with one more tensor."""
        return Cause(self.n_tensors + 1, self.n_bytes + n_bytes)


def compare(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one finding that says what became of the bytes."""
    results = comparison.results
    if not results:
        yield Finding("size_reduction", status="not_measurable", level="info", message=_NOTHING)
        return
    causes = _causes(results)
    old, new = _bytes(results, "old"), _bytes(results, "new")
    values: dict[str, Any] = {
        "bytes_old": old,
        "bytes": new,
        "reduction_bytes": old - new,
        "reduction_share": (old - new) / old if old else None,
        "parameters_old": _parameters(results, "old"),
        "parameters": _parameters(results, "new"),
        **_files(comparison),
        "causes": {name: cause._asdict() for name, cause in causes.items() if cause.n_tensors},
        "roles": _roles(results),
        **_zeros(results),
        "tensors": list(_rows(results)),
    }
    yield Finding(
        "size_reduction",
        level="info",
        values=values,
        null={"reduction_bytes": 0},
        coverage=1.0,
        message=_message(old, new, causes),
        detail=tuple(_table(causes, old)),
    )


def _causes(results: Sequence[PairResult]) -> dict[str, Cause]:
    """Return what each cause did. Bytes that several tensors share are taken out at the end, as ``tied_storage``."""
    found: defaultdict[str, Cause] = defaultdict(Cause)
    for result in results:
        for name, n_bytes in _parts(result.pair.old, result.pair.new):
            found[name] = found[name].plus(n_bytes)
    shared = [_shared(results, side) for side in ("old", "new")]
    n_bytes = shared[0].n_bytes - shared[1].n_bytes
    if n_bytes:
        found["tied_storage"] = Cause(abs(shared[0].n_tensors - shared[1].n_tensors) or shared[1].n_tensors, n_bytes)
    return {name: found[name] for name in CAUSES}


def _parts(old: TensorRef | None, new: TensorRef | None) -> Iterator[tuple[str, int]]:
    """Yield by what the bytes of one tensor changed: first its number of elements, then the bytes of each."""
    if new is None:
        yield "removed_tensors", -(old.nbytes if old else 0)
    elif old is None:
        yield "added_tensors", new.nbytes
    else:
        resized = old.nbytes * new.numel // old.numel if old.numel else new.nbytes
        if old.numel != new.numel:
            yield "shapes", resized - old.nbytes
        if new.nbytes != resized:
            yield (
                "quantization" if _is_quantised(old, new) or _is_quantised(new, old) else "dtype",
                new.nbytes - resized,
            )


def _is_quantised(ref: TensorRef, other: TensorRef) -> bool:
    """Whether a tensor holds codes: with scales, or integers of a byte or less where the other side has floats."""
    codes = ref.dtype.kind in ("int", "uint") and ref.dtype.bits <= _CODE_BITS and other.dtype.kind == "float"
    return codes or ref.quantization is not None


def _refs(results: Iterable[PairResult], side: str) -> Iterator[TensorRef]:
    for result in results:
        ref = getattr(result.pair, side)
        if ref is not None:
            yield ref


def _shared(results: Sequence[PairResult], side: str) -> Cause:
    """Return how many tensors are stored in the bytes of another one, and how many bytes that saves."""
    seen: set[Any] = set()
    total = Cause()
    for ref in _refs(results, side):
        if ref.storage in seen:
            total = total.plus(ref.nbytes)
        seen.add(ref.storage)
    return total


def _bytes(results: Sequence[PairResult], side: str) -> int:
    """Return the bytes of all tensors of a side; shared ones once."""
    return sum(ref.nbytes for ref in _refs(results, side)) - _shared(results, side).n_bytes


def _parameters(results: Sequence[PairResult], side: str) -> int:
    return sum({ref.storage: ref.numel for ref in _refs(results, side) if ref.role in _PARAMETERS}.values())


def _files(comparison: Comparison) -> dict[str, Any]:
    """Return the sizes of the files, metadata, compression and what else is in them included."""
    old, new = (_file_bytes(side) for side in (comparison.old, comparison.new))
    share = (old - new) / old if old and new is not None else None
    return {"file_bytes_old": old, "file_bytes": new, "file_reduction_share": share}


def _file_bytes(side: Artifact) -> int | None:
    return sum({file.path: file.size for file in side.files}.values()) if side.files else None


def _roles(results: Sequence[PairResult]) -> dict[str, dict[str, int]]:
    """Return the bytes of both sides by what tensors are for."""
    found: dict[str, dict[str, int]] = {}
    for side, name in (("old", "bytes_old"), ("new", "bytes")):
        sizes = {ref.storage: (ref.role, ref.nbytes) for ref in reversed(list(_refs(results, side)))}
        for role, n_bytes in sizes.values():
            counts = found.setdefault(role, {"bytes_old": 0, "bytes": 0})
            counts[name] += n_bytes
    return dict(sorted(found.items()))


def _zeros(results: Sequence[PairResult]) -> dict[str, Any]:
    """Return what zeros take and what NEW would take with a bit for each element and the others as they are.

    Only tensors whose zeros were counted and that are not quantised.
    """
    zero_bytes = {"old": 0, "new": 0}
    sparse_form, seen = 0, set()
    for result in results:
        counts = result.statistics.get("counts")
        for side in ("old", "new"):
            ref = getattr(result.pair, side)
            if ref is None or (side, ref.storage) in seen:
                continue
            seen.add((side, ref.storage))
            known = counts is not None and ref.quantization is None
            n_zero = getattr(counts, side).n_zero if known else 0
            zero_bytes[side] += n_zero * ref.dtype.bits // 8
            if side == "new":
                sparse_form += min(ref.nbytes, -(-ref.numel // 8) + (ref.numel - n_zero) * ref.dtype.bits // 8)
    return {"zero_bytes_old": zero_bytes["old"], "zero_bytes": zero_bytes["new"], "bitmask_form_bytes": sparse_form}


def _rows(results: Sequence[PairResult]) -> Iterator[dict[str, Any]]:
    """Yield what became of each tensor whose bytes changed, the largest change first."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for result in results:
        old, new = result.pair.old, result.pair.new
        by = dict(_parts(old, new))
        if by:
            sizes = {"bytes_old": old.nbytes if old else None, "bytes": new.nbytes if new else None}
            kinds = {"stored_as_old": old.stored_as if old else None, "stored_as": new.stored_as if new else None}
            rows.append((-abs(sum(by.values())), {"tensor": result.pair.key, **sizes, **kinds, "causes": by}))
    yield from (row for _, row in sorted(rows, key=lambda item: (item[0], item[1]["tensor"])))


def _message(old: int, new: int, causes: Mapping[str, Cause]) -> str:
    if old == new:
        return "the tensors take as many bytes as before"
    total = new - old
    name, cause = max(causes.items(), key=lambda item: item[1].n_bytes / total)
    share = f"{abs(total) / old:.1%} {'smaller' if total < 0 else 'larger'}: " if old else ""
    verb = "took" if total < 0 else "added"
    noun = "tensor" if cause.n_tensors == 1 else "tensors"
    most = f"{name.replace('_', ' ')} of {cause.n_tensors:,} {noun} {verb} {abs(cause.n_bytes):,}"
    return f"{share}{old:,} -> {new:,} bytes of tensors; {most} bytes"


def _table(causes: Mapping[str, Cause], old: int) -> Iterator[str]:
    for name, cause in causes.items():
        if cause.n_tensors:
            noun = "tensor " if cause.n_tensors == 1 else "tensors"
            share = f" {cause.n_bytes / old:>+9.1%}" if old else ""
            yield f"{name.replace('_', ' '):<16} {cause.n_tensors:>7,} {noun} {cause.n_bytes:>+20,} bytes{share}"
