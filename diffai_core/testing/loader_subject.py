"""The loader under test: what its author says about it, and how the laws open and write files of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import strategies as st

from diffai_core.files import Source
from diffai_core.specs import LoaderSpec
from diffai_core.testing.arrays import SHAPES, array_dicts, sample_array
from diffai_core.testing.laws import for_all
from diffai_core.testing.subject import only, options_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from diffai_core.artifact import Artifact


class LoaderSubject:
    """What an author says about a loader; the attributes are described at :class:`LoaderTests`."""

    plugin: ClassVar[ModuleType | None] = None
    name: ClassVar[str] = ""
    spec: ClassVar[LoaderSpec | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)
    names: ClassVar[tuple[str, ...]] = ("weight", "layer.0.bias", "layer.1.bias")
    shapes: ClassVar[tuple[tuple[int, ...], ...]] = SHAPES
    min_tensors: ClassVar[int] = 1
    max_tensors: ClassVar[int] = 3
    suffix: ClassVar[str] = ""
    reads_payload_at_open: ClassVar[str] = ""
    ignores_truncation: ClassVar[str] = ""
    knows_offsets: ClassVar[bool] = True
    n_examples: ClassVar[int] = 40
    n_damaged: ClassVar[int] = 100
    damage_seconds: ClassVar[float] = 60.0

    # -- what an author overrides ------------------------------------------------------------------------------

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        """Write a file (or folder) of the format at ``path`` with the reference library."""
        pytest.fail(f"override write({path.name!r}, {sorted(arrays)}) in the test class", pytrace=False)

    def write_sample(self, path: Path) -> None:
        """Write a small typical file; by default :meth:`sample` through :meth:`write`."""
        self.write(path, self.sample())

    def sample_tree(self) -> Mapping[str, Any] | None:
        """Return the ``tree`` of the typical file; ``None`` leaves it unchecked."""
        return None

    def arrays(self) -> st.SearchStrategy[dict[str, NDArray[Any]]]:
        """Return the strategy for the contents of a file."""
        return array_dicts(
            self.dtypes,
            self.names,
            self.shapes,
            min_size=self.min_tensors,
            max_size=min(self.max_tensors, len(self.names)),
        )

    def sample(self) -> dict[str, NDArray[Any]]:
        """Return small typical contents of a file: as many tensors as are allowed, dtypes in turn."""
        if not self.dtypes:
            pytest.skip("the format holds no tensors")
        typical: tuple[tuple[int, ...], ...] = ((8, 4), (7,))
        shapes = [shape for shape in typical if shape in self.shapes] or [max(self.shapes, key=len)]
        return {
            name: sample_array(self.dtypes[i % len(self.dtypes)], shapes[i % len(shapes)], seed=i)
            for i, name in enumerate(self.names[: self.max_tensors])
        }

    # -- helpers -----------------------------------------------------------------------------------------------

    @property
    def loader_spec(self) -> LoaderSpec:
        """The declaration under test."""
        return self.spec or only(self.plugin, LoaderSpec, self.name)

    def path_in(self, folder: Path, stem: str = "sample") -> Path:
        """Return a path for a file of the format."""
        suffixes = self.loader_spec.suffixes
        return folder / f"{stem}{self.suffix or (suffixes[0] if suffixes else '')}"

    def open(self, path: Path) -> Artifact:
        """Open ``path`` with the loader."""
        opened: Artifact = target_of(self.loader_spec)(Source(path), options_of(self.loader_spec, self.options))
        return opened

    def written(self, folder: Path) -> Path:
        """Write the typical file into ``folder`` and return its path."""
        path = self.path_in(folder)
        self.write_sample(path)
        return path

    def check_arrays(self, folder: Path, law: Callable[[Path, dict[str, NDArray[Any]], int], None]) -> None:
        """Call ``law(path, arrays, max_bytes)`` for many contents of a file and sizes of a block."""
        if not self.dtypes:
            pytest.skip("the format holds no tensors")
        number = itertools.count()

        def written(example: tuple[dict[str, NDArray[Any]], int]) -> None:
            arrays, max_bytes = example
            path = self.path_in(folder, f"case-{next(number)}")
            self.write(path, arrays)
            law(path, arrays, max_bytes)

        for_all(written, st.tuples(self.arrays(), st.integers(1, 600)), self.n_examples)
