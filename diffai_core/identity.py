"""How far two artefacts are the same: the verdict that opens every report."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

from diffai_core.artifact import FileTensor
from diffai_core.findings import Counts, Identity, NotCompared, Verdict
from diffai_core.pairing import PairResult, Relation
from diffai_core.reading import SCAN_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from diffai_core.artifact import Artifact
    from diffai_core.files import DataFile

Ranges = list[tuple[int, int]]


def count_tensors(results: Iterable[PairResult]) -> Counts:
    """Count each tensor once, by the first that applies: not compared, added, removed, changed, renamed, equal."""
    counts = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for result in results:
        counts[_class_of(result)] += 1
    return Counts(**counts)


def _class_of(result: PairResult) -> str:
    if result.relation is None:
        return "added" if result.pair.old is None else "removed"
    if result.relation is Relation.NOT_COMPARED:
        return "not_compared"
    if result.relation is Relation.CHANGED or not (result.same_shape and result.same_dtype):
        return "changed"
    if result.pair.renamed:
        return "renamed"
    if result.relation is Relation.IDENTICAL:
        return "identical"
    return "equal_values" if result.relation is Relation.EQUAL_VALUES else "within_tolerance"


def judge(
    old: Artifact,
    new: Artifact,
    results: Sequence[PairResult],
    counts: Counts,
    others: int,
    not_compared: Sequence[NotCompared],
    *,
    tolerated: int,
    selected: bool,
) -> Verdict:
    """Return the verdict.

    Args:
        old: The artefact OLD.
        new: The artefact NEW.
        results: One for each tensor looked at.
        counts: How many of them fared how.
        others: Differences found outside the tensors, in metadata and configuration.
        not_compared: What nothing compared, tensors included.
        tolerated: Values outside the tensors that differ within the tolerance.
        selected: Whether the run looked at some of the keys only; the files as a whole are then not judged.

    Raises:
        LoadError: If bytes outside the tensors cannot be read.
    """
    total = len(old.tensors.keys() | new.tensors.keys())
    scope = f" in the selection ({len(results):,} of {total:,})" if selected else ""
    if counts.changed or counts.renamed or counts.added or counts.removed:
        return Verdict(Identity.DIFFERENT, _differences(counts) + scope + (", metadata changed" if others else ""))
    if others and (not_compared or not results):
        missing = f"; {len(not_compared):,} not compared" if not_compared else ""
        return Verdict(Identity.DIFFERENT, f"{_plural(others, 'value')} changed{missing}")
    if not_compared:
        return Verdict(Identity.INCONCLUSIVE, _inconclusive(results, not_compared))
    if counts.equal_values or counts.within_tolerance or tolerated:
        return Verdict(Identity.EQUAL_VALUES, _equalities(counts, tolerated) + scope + _metadata(others))
    return _judge_identical(old, new, results, others, scope)


def _judge_identical(old: Artifact, new: Artifact, results: Sequence[PairResult], others: int, scope: str) -> Verdict:
    """Tell identical files from identical tensors in files that differ."""
    n_tensors = f"{_plural(len(results), 'tensor')} equal bit for bit"
    if not scope and not others and files_identical(old, new, results):
        return Verdict(Identity.IDENTICAL_FILES, n_tensors if results else "")
    if not results:
        return Verdict(Identity.EQUAL_VALUES, "the files are written differently")
    if scope and not others:
        return Verdict(Identity.IDENTICAL_TENSORS, n_tensors + scope)
    differences = ", ".join(_container_differences(old, new, others))
    return Verdict(Identity.IDENTICAL_TENSORS, f"{n_tensors}{scope}; files differ in {differences}")


def _differences(counts: Counts) -> str:
    total = sum(vars(counts).values())
    parts = [f"{counts.changed:,} of {_plural(total, 'tensor')} changed"]
    names = ("added", "removed", "renamed", "equal_values", "within_tolerance", "identical", "not_compared")
    parts.extend(f"{getattr(counts, name):,} {_WORDS.get(name, name)}" for name in names if getattr(counts, name))
    return ", ".join(parts)


_WORDS = {
    "equal_values": "equal in value with other bits",
    "within_tolerance": "within tolerance",
    "not_compared": "not compared",
}


def _inconclusive(results: Sequence[PairResult], not_compared: Sequence[NotCompared]) -> str:
    if len(not_compared) > 1:
        return f"no difference found, but {len(not_compared):,} not compared"
    missing = not_compared[0]
    if missing.where == "selection" and not results:
        return f"nothing was compared: {missing.reason}"
    return f"no difference found, but {missing.where} was not compared"


def _equalities(counts: Counts, tolerated: int) -> str:
    names = ("equal_values", "within_tolerance", "identical")
    total = sum(getattr(counts, name) for name in names)
    parts = [f"{getattr(counts, name):,} {_WORDS.get(name, name)}" for name in names if getattr(counts, name)]
    tensors = [f"{_plural(total, 'tensor')}: {', '.join(parts)}"] if total else []
    return "; ".join([*tensors, *([f"{_plural(tolerated, 'other value')} within tolerance"] if tolerated else [])])


def _metadata(others: int) -> str:
    return "; metadata changed" if others else ""


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _container_differences(old: Artifact, new: Artifact, others: int) -> list[str]:
    found = []
    if old.format != new.format:
        found.append(f"container ({old.format}, {new.format})")
    if len(old.files) != len(new.files):
        found.append(f"sharding ({_plural(len(old.files), 'file')}, {_plural(len(new.files), 'file')})")
    elif old.format == new.format and list(old.tensors) != list(new.tensors):
        found.append("tensor order")
    if others:
        found.append("metadata")
    return found or ["layout"]


def files_identical(old: Artifact, new: Artifact, results: Iterable[PairResult]) -> bool:
    """Whether both artefacts are made of the same files, byte for byte.

    Bytes already found equal as tensors are not read again.

    Raises:
        LoadError: If the other bytes cannot be read.
    """
    pairs = _paired_files(old, new)
    if not pairs:
        return False
    compared = _compared_ranges(results)
    return all(a.same_file(b) or _equal_except(a, b, sorted(compared.get((a.path, b.path), ()))) for a, b in pairs)


def _paired_files(old: Artifact, new: Artifact) -> list[tuple[DataFile, DataFile]] | None:
    """Pair files by their place in the artefact; ``None`` if one side has a place or a size that the other has not."""
    if len(old.files) == len(new.files) == 1:
        pairs = [(old.files[0], new.files[0])]
    else:
        olds, news = ({os.path.relpath(file.path, side.name): file for file in side.files} for side in (old, new))
        if olds.keys() != news.keys() or len(olds) != len(old.files) or len(news) != len(new.files):
            return None
        pairs = [(olds[place], news[place]) for place in sorted(olds)]
    return pairs if all(a.size == b.size for a, b in pairs) else None


def _compared_ranges(results: Iterable[PairResult]) -> Mapping[tuple[str, str], Ranges]:
    """Byte ranges known to be equal at the same place of two files."""
    ranges: defaultdict[tuple[str, str], Ranges] = defaultdict(list)
    for result in results:
        old, new = result.pair.old, result.pair.new
        if (
            result.relation is Relation.IDENTICAL
            and isinstance(old, FileTensor)
            and isinstance(new, FileTensor)
            and old.offset == new.offset
        ):
            ranges[old.file.path, new.file.path].append((old.offset, old.offset + old.nbytes))
    return ranges


def _equal_except(old: DataFile, new: DataFile, known: Ranges) -> bool:
    place = 0
    for start, stop in [*known, (old.size, old.size)]:
        while place < start:
            count = min(SCAN_BYTES, start - place)
            if old.read(place, count) != new.read(place, count):
                return False
            place += count
        place = max(place, stop)
    return True
