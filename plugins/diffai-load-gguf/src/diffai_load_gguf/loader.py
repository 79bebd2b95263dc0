"""Opens a GGUF file, or a folder that holds the parts of one model."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import Artifact, LoadError, SeparateFilesError
from diffai_load_gguf.cursor import shown
from diffai_load_gguf.header import Header, read_header
from diffai_load_gguf.tensors import Tensors, find_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_core.plugin import DataFile, Source, TensorRef

_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf", re.IGNORECASE)
_CONTAINER_KEYS = frozenset({"general.alignment", "split.no", "split.count", "split.tensors.count"})
"""Keys that tell how the file is laid out, nothing about the model."""


class _Part(NamedTuple):
    label: str
    file: DataFile
    header: Header
    tensors: Tensors


def open_gguf(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: a file, or a folder with one model in one file or in parts.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If a file breaks the format, or the parts do not fit together.
    """
    with ExitStack() as files:
        parts = _open_folder(source, files) if source.is_folder else [_open_part(source, source.path.name, files)]
        artifact = _assemble(source, parts)
        files.pop_all()  # from here on the artefact closes them
    return artifact


def _open_folder(folder: Source, files: ExitStack) -> list[_Part]:
    names = _names(folder)
    if len(names) > 1:
        _check_names(folder, names)
    parts = [_open_part(folder.child(name), name, files) for name in names]
    if len(parts) > 1:
        _check_parts(parts)
    return parts


def _names(folder: Source) -> list[str]:
    try:
        names = sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise LoadError(folder.name, f"the folder cannot be listed ({error.strerror})") from error
    names = [name for name in names if name.lower().endswith(".gguf")]
    if not names:
        raise LoadError(folder.name, "holds no *.gguf file")
    return names


def _check_names(folder: Source, names: list[str]) -> None:
    """Make sure that several files are the parts of one model, all of them.

    Raises:
        SeparateFilesError: If they are models of their own.
        LoadError: If a part is missing.
    """
    sets: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for name in names:
        found = _PART.fullmatch(name)
        if not found:
            raise SeparateFilesError(folder.name, f"holds several models, among them {name!r}; pass one of the files")
        sets[found[1], int(found[3])].append(int(found[2]))
    if len(sets) > 1:
        raise SeparateFilesError(folder.name, f"holds {len(sets)} models in parts; pass one of the files")
    ((stem, total), numbers) = next(iter(sets.items()))
    if numbers != list(range(1, total + 1)):
        reason = f"holds {len(numbers)} of the {total} parts {stem}-*-of-{total:05d}.gguf"
        raise LoadError(folder.name, reason)


def _open_part(source: Source, label: str, files: ExitStack) -> _Part:
    file = files.enter_context(source.open())
    header = read_header(file)
    return _Part(label, file, header, find_tensors(file, header))


def _check_parts(parts: list[_Part]) -> None:
    """Make sure that each part says of itself what its name says.

    Raises:
        LoadError: If one does not.
    """
    n_tensors = sum(len(part.header.infos) for part in parts)
    wanted = {"split.count": len(parts), "split.tensors.count": n_tensors}
    for number, part in enumerate(parts):
        for key, value in (("split.no", number), *wanted.items()):
            found = part.header.pairs.get(key, value if key == "split.tensors.count" else None)
            if found != value:
                reason = f"{key} is {found}, and by the names of the files and what they hold it is {value}"
                raise LoadError(part.file.name, reason, 0)


def _assemble(source: Source, parts: list[_Part]) -> Artifact:
    return Artifact(
        name=source.name,
        format="gguf",
        tensors=_joined(parts),
        tree=_merged({part.label: part.header.pairs for part in parts}),
        files=tuple(part.file for part in parts),
        not_readable=tuple(lost for part in parts for lost in part.tensors.not_readable),
    )


def _joined(parts: Iterable[_Part]) -> dict[str, TensorRef]:
    tensors: dict[str, TensorRef] = {}
    for part in parts:
        for ref in part.tensors.refs:
            if ref.name in tensors:
                raise LoadError(part.file.name, f"tensor {shown(ref.name)} is here and in another part", 0)
            tensors[ref.name] = ref
    return tensors


def _merged(by_part: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the pairs of all parts; where they disagree, a key holds the value of each part by its name."""
    merged: dict[str, Any] = {}
    disagreeing: set[str] = set()
    for pairs in by_part.values():
        for key, value in pairs.items():
            if key not in _CONTAINER_KEYS and not _is_same(merged.setdefault(key, value), value):
                disagreeing.add(key)
    for key in disagreeing:
        merged[key] = {label: pairs[key] for label, pairs in by_part.items() if key in pairs}
    return merged


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: unlike ``==``, 1 is not ``True``, and NaN is NaN."""
    return one is other or repr(one) == repr(other)
