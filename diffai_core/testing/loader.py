"""The laws of a loader."""

from __future__ import annotations

import hashlib
import pickle
import random
from typing import TYPE_CHECKING, Any

import pytest

from diffai_core.dtypes import dtype as find_dtype
from diffai_core.lazy import resolve
from diffai_core.specs import HEAD_BYTES
from diffai_core.testing import watch
from diffai_core.testing.arrays import differences, sample_array
from diffai_core.testing.blocks import block_complaint
from diffai_core.testing.loader_damage import DamageLaws
from diffai_core.testing.probe import read_everything

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from diffai_core.artifact import Artifact
    from diffai_core.specs import LoaderSpec

PAYLOAD = 16 << 20
"""Bytes of the tensor that must not be read at open; a map brings in 2 MiB at each place that is touched."""


class LoaderTests(DamageLaws):
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

    # -- laws of reading ---------------------------------------------------------------------------------------

    def test_keys_are_the_written_ones_and_stable_over_two_opens(self, tmp_path: Path) -> None:
        """The same file gives the same keys in the same order, and they are those that were written."""

        def law(path: Path, arrays: dict[str, NDArray[Any]], _: int) -> None:
            with self.open(path) as first, self.open(path) as second:
                assert list(first.tensors) == list(second.tensors), "two opens give different keys"
                assert sorted(first.tensors) == sorted(arrays), "the keys are not those that were written"
                for key, ref in first.tensors.items():
                    assert ref.name == key, f"the tensor under {key!r} calls itself {ref.name!r}"

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
