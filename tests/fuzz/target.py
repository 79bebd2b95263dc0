"""Feed one loader with what a coverage-guided fuzzer makes of a good file; anything but a ``LoadError`` is a crash.

    python tests/fuzz/target.py PLUGIN:TEST_CLASS SCRATCH [options of libFuzzer]

Called by run.py, once for each loader, because the fuzzer ends the process.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from subjects import Subject, libraries_of, subjects

from diffai_core.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.artifact import Artifact

MOST_READ = 8 << 20
"""Bytes read of a file's tensors: whether it can be opened and its first blocks be read is what is asked."""


def seeds(sample: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the files of a sample, relative to it, with their bytes."""
    for file in sorted(sample.rglob("*")) if sample.is_dir() else [sample]:
        if file.is_file():
            yield file.relative_to(sample), file.read_bytes()


def read(artifact: Artifact) -> None:
    """Read what a comparison would read."""
    parts = [part for ref in artifact.tensors.values() if ref.quantization for part in ref.quantization.stored]
    blocks = (block for ref in chain(artifact.tensors.values(), parts) for block in ref.blocks(1 << 16))
    n_read = 0
    for block in blocks:
        n_read += block.nbytes + 1
        if n_read > MOST_READ:
            break
    repr((artifact.tree, artifact.graph, artifact.foreign))


def fuzz(subject: Subject, scratch: Path, arguments: list[str]) -> None:
    """Run the fuzzer; it ends the process."""
    sample = subject.test.written(_folder(scratch / "sample"))
    files = list(seeds(sample))
    corpus = _folder(scratch / "corpus")
    for number, (_, data) in enumerate(files):
        (corpus / f"seed-{number}").write_bytes(bytes([number]) + data)
    case = scratch / "case" / sample.name

    def one(data: bytes) -> None:
        relative, _ = files[data[0] % len(files)] if data else files[0]
        shutil.rmtree(case.parent, ignore_errors=True)
        case.parent.mkdir()
        if sample.is_dir():
            shutil.copytree(sample, case)
        (case / relative if sample.is_dir() else case).write_bytes(data[1:])
        try:
            with subject.test.open(case) as artifact:
                read(artifact)
        except LoadError:
            pass

    atheris.Setup([sys.argv[0], str(corpus), *arguments], one)
    atheris.Fuzz()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def main() -> None:
    """Fuzz the loader that is named."""
    name, scratch, arguments = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    package = name.partition(":")[0].replace("-", "_")
    code = libraries_of(package)
    with atheris.instrument_imports(include=code):
        for module in map(importlib.import_module, code):
            for part in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
                importlib.import_module(part.name)
    found = {subject.name: subject for subject in subjects(package)}
    fuzz(found[name], scratch, arguments)


if __name__ == "__main__":
    main()
