"""The laws of a loader."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import strategies as st

from diffai_core.dtypes import dtype as find_dtype
from diffai_core.files import HEAD_BYTES, Source
from diffai_core.lazy import resolve
from diffai_core.specs import LoaderSpec
from diffai_core.testing import watch
from diffai_core.testing.arrays import SHAPES, array_dicts, differences, sample_array
from diffai_core.testing.blocks import block_complaint
from diffai_core.testing.damage import flips, truncations
from diffai_core.testing.laws import for_all
from diffai_core.testing.probe import Outcome, probe, read_everything
from diffai_core.testing.subject import only, options_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from diffai_core.artifact import Artifact
    from diffai_core.testing.damage import Damaged

PAYLOAD = 16 << 20


class LoaderTests:
    """Laws that every loader keeps. Override ``plugin`` and ``write``; the rest has defaults.

    ``write`` saves arrays with the *reference* library of the format, never with the loader's own code.

    Attributes:
        plugin: The ``plugin`` module that declares the loader.
        name: Name of the loader, where the module declares several.
        spec: The declaration itself, instead of ``plugin`` and ``name``.
        options: Options that differ from their defaults.
        dtypes: Dtypes the format can hold; ``()`` for a format without tensors (override ``write_sample`` then).
        names: Names of tensors to try.
        shapes: Shapes of tensors to try; leave out what the format cannot hold.
        min_tensors: Fewest tensors a file can have.
        max_tensors: Most tensors a file can have.
        suffix: Ending of the files written; the loader's first suffix if empty. ``write`` may also make a folder.
        reads_payload_at_open: Why the format cannot say shapes and dtypes without reading all; empty if it can.
        ignores_truncation: Why a file that was cut short can look complete; empty if it cannot.
        knows_offsets: Whether errors of a truncated file name the byte where it ends.
        n_examples: Examples that Hypothesis tries for each law.
        n_damaged: Files cut short, and files with flipped bits, that are tried.
        damage_seconds: Seconds for opening all damaged files of one law.
    """

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

    # -- laws of reading ---------------------------------------------------------------------------------------

    def test_keys_are_the_written_ones_and_stable_over_two_opens(self, tmp_path: Path) -> None:
        """The same file gives the same keys in the same order, and they are those that were written."""

        def law(path: Path, arrays: dict[str, NDArray[Any]], _: int) -> None:
            with self.open(path) as first, self.open(path) as second:
                assert list(first.tensors) == list(second.tensors), "two opens give different keys"
                assert sorted(first.tensors) == sorted(arrays), "the keys are not those that were written"
                for key, ref in first.tensors.items():
                    assert ref.name == key, f"the tensor under {key!r} calls itself {ref.name!r}"
                    assert ref.storage == second.tensors[key].storage or ref.storage == id(ref), (
                        f"{key!r}: two opens give different storage keys"
                    )

        self.check_arrays(tmp_path, law)

    def test_read_gives_the_reference_arrays_bit_for_bit(self, tmp_path: Path) -> None:
        """Shape, dtype and every bit are those that the reference library wrote."""

        def law(path: Path, arrays: dict[str, NDArray[Any]], _: int) -> None:
            with self.open(path) as artifact:
                for key, wanted in arrays.items():
                    ref = artifact.tensors[key]
                    assert ref.shape == wanted.shape, f"{key!r}: shape {ref.shape} instead of {wanted.shape}"
                    assert ref.dtype.numpy == wanted.dtype, f"{key!r}: dtype {ref.dtype} instead of {wanted.dtype}"
                    complaint = differences(wanted, ref.read())
                    assert not complaint, f"read() of {key!r}: {complaint}"

        self.check_arrays(tmp_path, law)

    def test_blocks_concatenate_to_the_reference_array_for_any_block_size(self, tmp_path: Path) -> None:
        """Blocks are 1-D, small enough, of whole rows where a row fits, and together the array."""

        def law(path: Path, arrays: dict[str, NDArray[Any]], max_bytes: int) -> None:
            with self.open(path) as artifact:
                for key, wanted in arrays.items():
                    for size in (max_bytes, 1, 1 << 24):
                        complaint = block_complaint(artifact.tensors[key], wanted, size)
                        assert not complaint, f"blocks({size}) of {key!r}: {complaint}"

        self.check_arrays(tmp_path, law)

    def test_tensors_can_be_pickled_and_read_elsewhere(self, tmp_path: Path) -> None:
        """A worker in another process gets the same tensor, whether or not the artefact is still open."""

        def law(path: Path, arrays: dict[str, NDArray[Any]], _: int) -> None:
            with self.open(path) as artifact:
                packed = {key: pickle.dumps(artifact.tensors[key]) for key in arrays}
            for key, wanted in arrays.items():
                with watch.closing_reopened_files():
                    ref = pickle.loads(packed[key])  # noqa: S301 - we have just written it
                    assert (ref.name, ref.shape, ref.dtype.numpy) == (key, wanted.shape, wanted.dtype)
                    complaint = differences(wanted, ref.read())
                assert not complaint, f"{key!r} after unpickling: {complaint}"

        self.check_arrays(tmp_path, law)

    def test_shape_and_dtype_are_known_without_reading_the_payload(self, tmp_path: Path) -> None:
        """Opening a big file and looking at every tensor reads less than half of it."""
        if self.reads_payload_at_open:
            pytest.skip(self.reads_payload_at_open)
        if not self.dtypes:
            pytest.skip("the format holds no tensors")
        self.open(self.written(tmp_path)).close()  # imports are read once
        path = self.path_in(tmp_path, "big")
        dtype = max(self.dtypes, key=lambda name: find_dtype(name).bits)
        shape = (PAYLOAD * 8 // find_dtype(dtype).bits // 1024, 1024)
        self.write(path, {self.names[0]: sample_array(dtype, shape)})
        before = watch.bytes_taken(tmp_path)
        with self.open(path) as artifact:
            ref = artifact.tensors[self.names[0]]
            assert (ref.shape, ref.dtype.name, ref.nbytes) == (shape, dtype, PAYLOAD)
            n_bytes = watch.bytes_taken(tmp_path) - before
        assert n_bytes < PAYLOAD // 2, (
            f"opening read {n_bytes:,} of {PAYLOAD:,} payload bytes; read them in blocks(), or say in"
            " `reads_payload_at_open` why the format needs it"
        )

    # -- laws of good manners ----------------------------------------------------------------------------------

    def test_the_input_is_unchanged_and_all_files_are_closed(self, tmp_path: Path) -> None:
        """Reading everything leaves the input as it was and no descriptor open."""
        path = self.written(tmp_path)
        before = _fingerprint(path)
        read_everything_once(self.open(path))
        n_open = watch.descriptor_count()
        for _ in range(3):
            read_everything_once(self.open(path))
        assert watch.descriptor_count() <= n_open, "files are still open after Artifact.close()"
        assert _fingerprint(path) == before, "the loader changed its input"

    def test_two_opens_read_the_same(self, tmp_path: Path) -> None:
        """Tensors and tree of the same file are the same each time."""
        path = self.written(tmp_path)
        assert read_everything_once(self.open(path)) == read_everything_once(self.open(path))

    def test_the_tree_is_the_written_one(self, tmp_path: Path) -> None:
        """Config and metadata are those that were written."""
        wanted = self.sample_tree()
        if wanted is None:
            pytest.skip("the test class does not override sample_tree()")
        with self.open(self.written(tmp_path)) as artifact:
            assert repr(_sorted(artifact.tree)) == repr(_sorted(wanted)), "the tree is not the one that was written"

    def test_the_artifact_lists_its_files(self, tmp_path: Path) -> None:
        """What was opened is in ``Artifact.files``, so that the core can say that it was written to."""
        path = self.written(tmp_path)
        with self.open(path) as artifact:
            assert artifact.format == self.loader_spec.name, f"the artefact calls its format {artifact.format!r}"
            assert artifact.files, "Artifact.files is empty"
            artifact.check_unchanged()

    # -- laws of recognition -----------------------------------------------------------------------------------

    def test_content_identifies_a_file_whatever_its_suffix(self, tmp_path: Path) -> None:
        """Magic bytes or ``sniff`` recognise the format."""
        spec = self.loader_spec
        path = self.written(tmp_path)
        if path.is_dir():
            assert any(list(path.glob(pattern)) for pattern in spec.folders), "no pattern of `folders` matches"
            return
        if not spec.magic and not spec.sniff:
            pytest.skip("the format is known by its suffix alone")
        data = path.read_bytes()
        assert recognises(spec, data[:HEAD_BYTES], len(data)), "neither `magic` nor `sniff` recognises the file"

    def test_content_declines_random_bytes(self) -> None:
        """Neither magic bytes nor ``sniff`` claim what is not of the format, and ``sniff`` raises nothing."""
        rng = random.Random(0)  # noqa: S311 - not a secret
        heads = [b"", b"\0", b"\0" * HEAD_BYTES, b"\xff" * HEAD_BYTES, b"\x80\x04N.", b"hello, world\n"]
        heads += [rng.randbytes(rng.choice((1, 8, 100, HEAD_BYTES))) for _ in range(200)]
        for head in heads:
            assert not recognises(self.loader_spec, head, len(head)), f"claims {head[:40]!r}…"

    # -- laws of damage ----------------------------------------------------------------------------------------

    def test_a_missing_file_is_a_load_error(self, tmp_path: Path) -> None:
        """No file, an empty folder and a pipe are errors that name the path; nothing waits."""
        missing, folder, pipe = (
            self.path_in(tmp_path, "no"),
            self.path_in(tmp_path, "dir"),
            self.path_in(tmp_path, "pipe"),
        )
        folder.mkdir()
        paths = [missing, folder]
        if hasattr(os, "mkfifo"):
            os.mkfifo(pipe)
            paths.append(pipe)
        for outcome in self.probe(paths):
            self.check_outcome(outcome)
            assert outcome.error == "LoadError", f"{outcome.path} gives no LoadError"

    def test_every_truncation_is_a_load_error_that_names_the_file(self, tmp_path: Path) -> None:
        """A file cut short is never taken for a complete one, and most errors say at which byte."""
        intact, damaged = self.damaged(tmp_path, lambda data: truncations(data, self.n_damaged))
        outcomes = self.probe([intact, *damaged])
        assert not outcomes[0].error, f"the intact file: {outcomes[0].message}"
        for outcome in outcomes[1:]:
            self.check_outcome(outcome)
            complete = outcome.digest == outcomes[0].digest
            assert outcome.error or complete or self.ignores_truncation, (
                f"{outcome.path} opens, and its content differs; if the format cannot tell, say why in"
                " `ignores_truncation`"
            )
        errors = [outcome for outcome in outcomes if outcome.error]
        assert not errors or not self.knows_offsets or any(outcome.offset is not None for outcome in errors), (
            "no error of a truncated file has an offset: LoadError(path, reason, offset)"
        )

    def test_flipped_bits_give_a_load_error_or_something_readable(self, tmp_path: Path) -> None:
        """Damage is never another exception, a hang, a crash or an allocation without bound."""
        _, damaged = self.damaged(tmp_path, lambda data: flips(data, self.n_damaged))
        for outcome in self.probe(damaged):
            self.check_outcome(outcome)

    def damaged(self, folder: Path, damage: Callable[[bytes], list[Damaged]]) -> tuple[Path, list[Path]]:
        """Write the typical file and its damaged copies; in a folder, one file of it is damaged at a time."""
        intact = self.written(folder)
        copies = []
        parts = [part for part in sorted(intact.rglob("*")) if part.is_file()] if intact.is_dir() else [intact]
        for number, part in enumerate(parts):
            for label, data in damage(part.read_bytes()):
                copy = self.path_in(folder, f"{number}-{label}")
                if intact.is_dir():
                    self.write_sample(copy)
                    (copy / part.relative_to(intact)).write_bytes(data)
                else:
                    copy.write_bytes(data)
                copies.append(copy)
        return intact, copies

    def probe(self, paths: list[Path]) -> list[Outcome]:
        """Open ``paths`` in a child process."""
        spec = self.loader_spec
        return probe(spec.target, paths, options_of(spec, self.options), self.damage_seconds)

    def check_outcome(self, outcome: Outcome) -> None:
        """Fail unless a file gave a ``LoadError`` that names it, or could be read, and left nothing behind."""
        assert outcome.error in {"", "LoadError"}, f"{outcome.path}: {outcome.error}: {outcome.message}"
        assert not outcome.n_left_open, f"{outcome.path}: {outcome.n_left_open} files stay open ({outcome.message})"
        assert not outcome.warnings, f"{outcome.path}: a warning leaks: {outcome.warnings[0]}"
        if outcome.error:
            assert outcome.error_path.startswith(outcome.path), f"the error names another file: {outcome.message}"
            assert "\n" not in outcome.message, f"the error is not one line: {outcome.message}"
            assert outcome.offset is None or outcome.offset >= 0, f"negative offset: {outcome.message}"


def recognises(spec: LoaderSpec, head: bytes, size: int) -> bool:
    """Whether the magic bytes or ``sniff`` of a loader claim a file that begins with ``head``."""
    if any(head[magic.offset : magic.offset + len(magic.data)] == magic.data for magic in spec.magic):
        return True
    return bool(spec.sniff) and bool(resolve(spec.sniff, spec.name)(head, size))


def read_everything_once(artifact: Artifact) -> str:
    """Read everything, close the artefact and return the digest."""
    with artifact:
        return read_everything(artifact)


def _sorted(value: Any) -> Any:
    """Return the value with sorted mappings, so that ``repr`` compares trees with NaN and tells ``1`` from ``True``."""
    if isinstance(value, dict):
        return [(key, _sorted(value[key])) for key in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _fingerprint(path: Path) -> list[tuple[str, int, str]]:
    parts = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [
        (str(part), part.stat().st_mtime_ns, hashlib.sha256(part.read_bytes()).hexdigest())
        for part in parts
        if part.is_file()
    ]
