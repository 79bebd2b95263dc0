"""Opens inference models: a program, as protobuf or JSON, and the file of its parameters beside it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError, NotCompared, SeparateFilesError, Source
from diffai_load_paddle.parameters import read_parameters
from diffai_load_paddle.pir import known_type, read_pir
from diffai_load_paddle.program import read_program
from diffai_load_paddle.sniff import is_parameters, is_pir, is_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile, TensorRef
    from diffai_load_paddle.described import Described
    from diffai_load_paddle.parameters import Stored

_PARAMETERS, _PROGRAMS = ".pdiparams", (".pdmodel", ".json")


def open_paddle(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: a program, a file of parameters, or a folder with one of each.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If a file is damaged, or program and parameters contradict each other.
    """
    with ExitStack() as files:
        artifact = _Model(source, files).artifact()
        files.pop_all()  # from here on the artefact closes them
    return artifact


class _Model:
    def __init__(self, source: Source, files: ExitStack) -> None:
        self._source = source
        self._files = files
        self._opened: list[DataFile] = []

    def artifact(self) -> Artifact:
        program, parameters = self._pair()
        described = None if program is None else self._described(program)
        stored: list[Stored] = []
        file: DataFile | None = None
        if parameters is not None:
            file = self._open(parameters)
            stored = read_parameters(file)
        tensors: dict[str, TensorRef] = {}
        missing: tuple[NotCompared, ...] = ()
        if file is not None:
            names = (
                [str(index) for index in range(len(stored))] if described is None else _names(described, stored, file)
            )
            tensors = {name: found.tensor(name, file) for name, found in zip(names, stored, strict=True)}
        elif described is not None and described.parameters:
            missing = (NotCompared("parameters", f"there is no {_PARAMETERS} file beside the program that has them"),)
        return Artifact(
            name=self._source.name,
            format="paddle",
            tensors=tensors,
            tree={} if described is None else described.tree,
            graph=None if described is None else described.graph,
            files=tuple(self._opened),
            not_readable=missing,
        )

    def _open(self, source: Source) -> DataFile:
        file = self._files.enter_context(source.open())
        self._opened.append(file)
        return file

    def _described(self, program: Source) -> Described:
        file = self._open(program)
        return read_program(file) if is_program(file.read(0, min(file.size, 64))) else read_pir(file)

    def _pair(self) -> tuple[Source | None, Source | None]:
        """Return the program and the parameters, of which one may be missing."""
        if self._source.is_folder:
            return self._pair_in_folder()
        head, _ = self._source.head()
        path = self._source.path
        if is_parameters(head) or (path.suffix == _PARAMETERS and not is_program(head)):
            return self._beside(*_PROGRAMS), self._source
        return self._source, self._beside(_PARAMETERS)

    def _pair_in_folder(self) -> tuple[Source | None, Source | None]:
        names = sorted(path.name for path in self._source.path.iterdir() if not path.name.startswith("."))
        stems = {Path(name).stem for name in names if name.endswith((_PARAMETERS, ".pdmodel"))}
        if len(stems) != 1:
            reason = f"holds {len(stems)} models of PaddlePaddle; pass the file of one of them"
            raise SeparateFilesError(self._source.name, reason)
        (stem,) = stems
        ends = [
            [f"{stem}{ending}" for ending in endings if f"{stem}{ending}" in names]
            for endings in (_PROGRAMS, [_PARAMETERS])
        ]
        program, parameters = (self._source.child(found[0]) if found else None for found in ends)
        return program, parameters

    def _beside(self, *endings: str) -> Source | None:
        """Return the file with the same name and one of these endings, if there is one."""
        path = self._source.path
        folder = Source(path.parent, os.path.dirname(self._source.name) or ".")  # noqa: PTH120 - a name, no path
        stems = dict.fromkeys([path.stem, path.name])
        for name in (f"{stem}{ending}" for ending in endings for stem in stems):
            if name != path.name and (path.parent / name).exists():
                found = folder.child(name)
                if not name.endswith(".json") or is_pir(found.head()[0]):
                    return found
        return None


def _names(described: Described, stored: list[Stored], file: DataFile) -> list[str]:
    """Return the names of tensors: parameters are stored in the order of their names.

    Raises:
        LoadError: If there are not as many tensors as parameters, or one has another type or shape.
    """
    names = sorted(described.parameters)
    if len(names) != len(stored):
        reason = f"holds {len(stored):,} tensors, and the program beside it has {len(names):,} parameters"
        raise LoadError(file.name, reason, 0)
    for name, found in zip(names, stored, strict=True):
        wanted = described.parameters[name]
        other_type = known_type(wanted.dtype) and wanted.dtype != found.kind.name
        other_shape = wanted.shape is not None and not _fits(wanted.shape, found.shape)
        if other_type or other_shape:
            should, here = _shown(wanted.dtype, wanted.shape), _shown(found.kind.name, found.shape)
            raise LoadError(file.name, f"parameter {name[:80]!r} should be {should}; here is {here}", found.start)
    return names


def _shown(kind: str, shape: tuple[int | str | None, ...] | None) -> str:
    return f"{kind}, shape {list(shape or ())}"


def _fits(wanted: tuple[int | str | None, ...], shape: tuple[int, ...]) -> bool:
    same = len(wanted) == len(shape) and all(a is None or a == b for a, b in zip(wanted, shape, strict=True))
    return same or (not wanted and shape == (1,)) or (wanted == (1,) and not shape)
