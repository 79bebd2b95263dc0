"""The laws of a kernel, against exact arithmetic and against the folds that define the statistics."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st

from diffai_core.accumulators import ACCUMULATORS
from diffai_core.artifact import FileTensor
from diffai_core.dtypes import dtype as find_dtype
from diffai_core.dtypes import opaque_dtype
from diffai_core.errors import PluginError
from diffai_core.keys import Tolerance
from diffai_core.layout import LEAF, PairLayout
from diffai_core.layout import leaves as leaves_of
from diffai_core.measuring import TensorJob, measure
from diffai_core.segments import Worker
from diffai_core.specs import KernelSpec
from diffai_core.testing import kernel_hazards as hazards
from diffai_core.testing.kernel_cases import EDGES, REAL_DTYPES, STYLES, Case, Recipe, case, recipes
from diffai_core.testing.kernel_oracle import Oracle
from diffai_core.testing.kernel_runs import (
    WAYS,
    differing,
    distance_from_reference,
    names_taken,
    opened,
    reference,
    run,
)
from diffai_core.testing.laws import for_all
from diffai_core.testing.subject import only, target_of
from diffai_core.workers import PerThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from diffai_core.kernels import Kernel
    from diffai_core.specs import ReadingWay
    from diffai_core.testing.kernel_cases import Relation, Style
    from diffai_core.testing.kernel_runs import Way

REQUIRED = "DIFFAI_REQUIRE_KERNELS"
"""Environment variable with the names of kernels, separated by commas, that must not be missing: their tests fail
instead of being skipped."""

FEWER = "DIFFAI_KERNEL_EXAMPLES"
"""Environment variable with the most examples of each law, for builds that run slowly."""

_BY_ORACLE = frozenset({"moments", "higher_moments", "norms"})
_RELATIONS: tuple[Relation, ...] = ("few changed", "independent", "one changed")
_TAME: tuple[Style, ...] = ("moderate", "zeros", "constant")
_WILD: tuple[Style, ...] = ("mixed", "special")
_SHIFTED: tuple[Way, ...] = ("array", "mmap", "read")
_FEW = 5000
"""Elements of which exact sums of fourth powers take little time."""

_FEW_SIZES = st.one_of(st.sampled_from(EDGES), st.integers(0, 700))


class KernelTests:
    """Laws that every kernel keeps. Override ``plugin``.

    Attributes:
        plugin: The ``plugin`` module that declares the kernel.
        name: Name of the kernel, where the module declares several.
        spec: The declaration itself, instead of ``plugin`` and ``name``.
        environment: Environment variables with which the kernel is loaded: to test its variants.
        n_examples: Pairs of tensors that Hypothesis tries for each law.
    """

    plugin: ClassVar[ModuleType | None] = None
    name: ClassVar[str] = ""
    spec: ClassVar[KernelSpec | None] = None
    environment: ClassVar[Mapping[str, str]] = {}
    n_examples: ClassVar[int] = 150

    # -- helpers -----------------------------------------------------------------------------------------------

    @property
    def kernel_spec(self) -> KernelSpec:
        """The declaration under test."""
        return self.spec or only(self.plugin, KernelSpec, self.name)

    @pytest.fixture
    def kernel(self, monkeypatch: pytest.MonkeyPatch) -> Kernel:
        """The kernel under test; the test is skipped where it cannot be used and need not be there."""
        for variable, value in self.environment.items():
            monkeypatch.setenv(variable, value)
        try:
            found: Kernel = target_of(self.kernel_spec)()
        except PluginError as error:
            if self.kernel_spec.name in os.environ.get(REQUIRED, "").split(","):
                raise
            pytest.skip(str(error))
        return found

    @pytest.fixture
    def workers(self, kernel: Kernel) -> Mapping[Way, Worker]:
        """One worker for each way of reading; each is used again and again, so that nothing may be left over."""
        return workers_of(kernel)

    def _hazard(self, name: str, folder: Path) -> list[hazards.Outcome]:
        return hazards.outcomes(name, self.kernel_spec.target, self.environment, folder)

    @property
    def _n_examples(self) -> int:
        return min(self.n_examples, int(os.environ.get(FEWER) or self.n_examples))

    # -- laws: what is measured --------------------------------------------------------------------------------

    def test_any_pair_is_measured_as_it_is(self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path) -> None:
        """Any dtypes, numbers, shapes, places and ways: counts and extremes exactly, sums to 1e-12."""

        def check(example: tuple[Recipe, Way]) -> None:
            pair, way = case(example[0]), example[1]
            check_case(kernel, workers, pair, way if pair.fits_files else "array", tmp_path)

        for_all(check, st.tuples(recipes(_FEW_SIZES), st.sampled_from(WAYS)), self._n_examples)

    @pytest.mark.parametrize("dtype", REAL_DTYPES)
    def test_numbers_of_every_style_are_measured_as_they_are(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path, dtype: str
    ) -> None:
        """Each dtype with itself and with two others: NaN, Inf, -0.0, subnormal and extreme numbers, constants."""
        at = REAL_DTYPES.index(dtype)
        others = dtype, REAL_DTYPES[(at + 5) % len(REAL_DTYPES)], REAL_DTYPES[(at + 12) % len(REAL_DTYPES)]
        for seed, (style, other) in enumerate(itertools.product(STYLES, others)):
            relation = _RELATIONS[seed % 3]
            tolerance = Tolerance(0.0, 0.5) if seed % 2 else Tolerance(1e-3, 1e-8)
            recipe = Recipe(dtype, other, (2, 64), style, relation, tolerance, seed=seed)
            check_case(kernel, workers, case(recipe), "array", tmp_path)

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "int64", "uint64", "int4"])
    def test_every_size_around_a_boundary_is_measured_as_it_is(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path, dtype: str
    ) -> None:
        """Sizes at which vectors and pieces end, with ordinary numbers up to the last one, which is a special one."""
        for size in EDGES:
            pair = case(Recipe(dtype, dtype, (size,), "moderate", "one changed", seed=size))
            check_case(kernel, workers, pair, "array", tmp_path)

    @pytest.mark.parametrize(
        ("dtypes", "shape"),
        [
            (("float64", "float64"), (LEAF + 1,)),
            (("float64", "float64"), (337, 97)),
            (("int64", "uint64"), (1031, 97)),
            (("int64", "float64"), (2, LEAF)),
            (("bfloat16", "float32"), (1031, 97)),
            (("float32", "float32"), (LEAF - 1,)),
        ],
    )
    def test_many_leaves_are_measured_as_they_are(
        self,
        kernel: Kernel,
        workers: Mapping[Way, Worker],
        tmp_path: Path,
        dtypes: tuple[str, str],
        shape: tuple[int, ...],
    ) -> None:
        """Leaves that the kernel takes between leaves of numbers too extreme for it, which it may leave alone."""
        pair = case(Recipe(*dtypes, shape, "mixed", "few changed", seed=len(shape) + shape[0]))
        check_case(kernel, workers, pair, "read", tmp_path)

    @pytest.mark.parametrize("dtype", REAL_DTYPES)
    def test_one_change_is_found_wherever_it_is(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path, dtype: str
    ) -> None:
        """A planted change at any place, the last one of a leaf too, is counted and located."""
        kind = find_dtype(dtype)
        for size, place in [*((70, i) for i in range(70)), (LEAF + 1, LEAF - 1), (LEAF + 1, LEAF)]:
            old = np.ones(size, kind.numpy)
            new = old.copy()
            new[place] = 0.5 if dtype == "float8_e8m0fnu" else 0
            pair = Case(Recipe(dtype, dtype, (size,)), old, new)
            found = run(workers["array"], pair, "array", tmp_path, _taken(kernel, pair, "changes", "extrema"))
            if "changes" in found:
                assert found["changes"][:3] == (size, size - 1, 1), f"{found['changes']} for a change at {place}"
            if "extrema" in found:
                assert found["extrema"].max_abs_diff_index == place, f"{found['extrema']} for a change at {place}"

    def test_what_lies_on_the_tolerance_is_within_it(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path
    ) -> None:
        """``|new - old| <= atol + rtol * |old|``, equality included, where all of it is exact."""
        old = np.array([2.0, 2.0, 2.0, -2.0, 0.0, np.inf, np.inf, np.nan, 4.0])
        new = np.array([3.0, 3.25, 1.0, -3.0, 0.5, np.inf, 1.0, np.nan, np.nan])
        pair = Case(Recipe("float64", "float64", (9,), tolerance=Tolerance(0.25, 0.5)), old, new)
        for found in run(workers["array"], pair, "array", tmp_path, _taken(kernel, pair, "changes")).values():
            assert found == (9, 2, 7, 3, 1), f"{found}: NaN, Inf and 3.25 are above tolerance, and nothing else"

    # -- laws: what it must not depend on ----------------------------------------------------------------------

    def test_every_way_to_hand_elements_over_gives_the_same_bits(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path
    ) -> None:
        """Leaf by leaf from memory or whole files, mapped or read, by a used worker or by a new one."""

        def check(recipe: Recipe) -> None:
            pair = case(recipe)
            names = names_taken(kernel, pair)
            wanted = run(Worker(kernel, "auto"), pair, "array", tmp_path, names)
            for way in WAYS if pair.fits_files else WAYS[:2]:
                complaint = differing(wanted, run(workers[way], pair, way, tmp_path, names))
                assert not complaint, f"by {way}: {complaint}"

        for_all(check, recipes(_FEW_SIZES), self._n_examples // 3)
        for seed, dtypes in enumerate((("float64", "float64"), ("int64", "int64"), ("float4_e2m1fn", "bfloat16"))):
            check(Recipe(*dtypes, (3, LEAF), "mixed", shifts=(3, 8), seed=seed))

    @pytest.mark.parametrize("dtypes", [("float32", "float32"), ("bfloat16", "float64"), ("int64", "uint8")])
    def test_every_alignment_gives_the_same_bits(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path, dtypes: tuple[str, str]
    ) -> None:
        """Elements that begin at any of 64 bytes, in memory and in a file."""
        pair = case(Recipe(*dtypes, (3, 128), "moderate"))
        names = names_taken(kernel, pair)
        wanted = run(workers["array"], pair, "array", tmp_path, names)
        for shift, way in itertools.product(range(64), _SHIFTED):
            moved = case(pair.recipe._replace(shifts=(shift, shift * 5 % 64)))
            complaint = differing(wanted, run(workers[way], moved, way, tmp_path, names))
            assert not complaint, f"{shift} bytes on, by {way}: {complaint}"

    @pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("int8", "int8")])
    def test_the_number_of_workers_changes_no_bit(
        self, kernel: Kernel, tmp_path: Path, dtypes: tuple[str, str]
    ) -> None:
        """Several segments, measured side by side and merged in order."""
        pair = case(Recipe(*dtypes, (140, 16_385), "moderate"))
        names = names_taken(kernel, pair)
        wanted: dict[str, Any] = {}
        for n_workers in (1, 2, 3):
            with ThreadPoolExecutor(n_workers) as threads:
                found = _measure_files(pair, names, PerThread(lambda: Worker(kernel, "auto")), threads, tmp_path)
            wanted = wanted or found
            assert not differing(wanted, found), f"{n_workers} workers: {differing(wanted, found)}"
        complaint = distance_from_reference(reference(pair, names, tmp_path), wanted)
        assert not complaint, complaint

    def test_a_tensor_measured_against_itself_is_one_that_did_not_change(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path
    ) -> None:
        """One source for both sides gives what two equal sources give."""

        def check(example: tuple[Recipe, Way]) -> None:
            recipe = example[0]._replace(new_dtype=example[0].old_dtype, relation="equal")
            pair = case(recipe)
            way = example[1] if pair.fits_files else "array"
            names = names_taken(kernel, pair)
            itself = run(workers[way], case(recipe._replace(relation="itself")), way, tmp_path, names)
            complaint = differing(run(workers[way], pair, way, tmp_path, names), itself)
            assert not complaint, complaint

        for_all(check, st.tuples(recipes(_FEW_SIZES), st.sampled_from(WAYS)), self._n_examples // 3)

    def test_its_statistics_and_those_of_the_folds_can_be_taken_together(
        self, kernel: Kernel, workers: Mapping[Way, Worker], tmp_path: Path
    ) -> None:
        """All statistics in one pass, whoever takes which."""
        for dtype, style in itertools.product(("float32", "bfloat16", "float64", "int64"), _WILD):
            pair = case(Recipe(dtype, dtype, (24, 128), style))
            taken = names_taken(kernel, pair)
            every = run(workers["read"], pair, "read", tmp_path, ACCUMULATORS)
            complaint = differing(run(workers["read"], pair, "read", tmp_path, taken), {n: every[n] for n in taken})
            assert not complaint, complaint

    # -- laws: what it says of itself --------------------------------------------------------------------------

    def test_it_takes_only_statistics_that_exist(self, kernel: Kernel) -> None:
        """Names of the core, for tensors that have such a statistic; nothing but ``changes`` of opaque elements."""
        assert isinstance(kernel.name, str)
        assert isinstance(kernel.detail, str)
        assert kernel.memory >= 0
        for names, shape in itertools.product(itertools.pairwise(REAL_DTYPES), ((), (0,), (5,), (4, 32), (4, 33))):
            layout = PairLayout.of(shape, find_dtype(names[0]), find_dtype(names[1]))
            for name in kernel.statistics(layout):
                assert ACCUMULATORS[name].start(layout) is not None, f"there is no {name} of {shape} {names}"
        opaque = opaque_dtype("bytes3", 3)
        assert kernel.statistics(PairLayout.of((4, 32), opaque, opaque)) <= {"changes"}

    def test_ordinary_numbers_are_not_left_to_the_reference(self, kernel: Kernel) -> None:
        """What the kernel says that it takes, it takes: of numbers of every dtype that fit into float64."""
        for dtype, style in itertools.product(REAL_DTYPES, _TAME):
            pair = case(Recipe(dtype, dtype, (4, 128), style, "independent"))
            worker = kernel.worker("auto")
            if names := kernel.statistics(pair.layout):
                leaves = tuple(leaves_of(pair.layout))
                worker.start(pair.layout, names, leaves)
                n_taken = worker.add(leaves, pair.old, pair.new)
                assert n_taken == len(leaves), f"{style} {dtype}: {n_taken} of {len(leaves)} leaves taken"
                assert worker.states().keys() == names, f"{style} {dtype}: not the statistics asked for"
                assert worker.states() == {}, "states() did not begin anew"

    # -- laws: files -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("reading", ["auto", "mmap", "read"])
    def test_bytes_are_the_same_only_where_they_are(self, kernel: Kernel, tmp_path: Path, reading: ReadingWay) -> None:
        """A difference of one bit anywhere between ``start`` and ``stop`` is seen, and none outside."""
        worker = kernel.worker(reading)
        for size, shifts in ((1, (0, 0)), (300, (3, 8)), (8192, (1, 63)), (1_000_003, (5, 4096))):
            for place in {0, size // 2, size - 1}:
                old = np.arange(size, dtype=np.uint32).astype(np.uint8)
                new = old.copy()
                new[place] ^= 0x80
                with opened(Case(Recipe("uint8", "uint8", (size,), shifts=shifts), old, new), "read", tmp_path) as refs:
                    a, b = (ref for ref in refs if isinstance(ref, FileTensor))
                    for start, stop in ((0, size), (0, place), (place, place + 1), (place + 1, size)):
                        found = worker.same_bytes(a, b, start, stop)
                        wanted = not start <= place < stop
                        assert found in {None, wanted}, f"bytes {start} to {stop} differ at {place}: {found}"
                        assert worker.same_bytes(a, a, start, stop) in {None, True}, "a file differs from itself"

    @pytest.mark.parametrize("hazard", hazards.FILES)
    def test_a_file_that_shrinks_is_an_error_and_not_the_end(self, kernel: Kernel, tmp_path: Path, hazard: str) -> None:
        """Cut off before or while it is read, mapped or not: an error that names file and offset; then all is well."""
        assert kernel.name
        for outcome in self._hazard(hazard, tmp_path):
            assert not outcome.complaint, f"{outcome.label}: {outcome.complaint}"

    def test_nothing_is_read_beyond_the_elements(self, kernel: Kernel, tmp_path: Path) -> None:
        """Elements at the end of the memory of the process; where it cannot be guarded the test is skipped."""
        assert kernel.name
        for outcome in self._hazard("guarded", tmp_path):
            assert not outcome.complaint, f"{outcome.label}: {outcome.complaint}"


def check_case(kernel: Kernel, workers: Mapping[Way, Worker], pair: Case, way: Way, folder: Path) -> None:
    """Fail unless the kernel measures a pair as it is."""
    names = names_taken(kernel, pair)
    found = run(workers[way], pair, way, folder, names)
    exact = _BY_ORACLE if pair.old.size <= _FEW else _BY_ORACLE - {"higher_moments"}
    Oracle(pair).check({name: result for name, result in found.items() if name in exact or name not in _BY_ORACLE})
    others = [name for name in names if name not in exact]
    complaint = distance_from_reference(reference(pair, others, folder), {name: found[name] for name in others})
    assert not complaint, complaint


def workers_of(kernel: Kernel) -> Mapping[Way, Worker]:
    """Return one worker for each way to hand elements over."""
    readings: dict[Way, ReadingWay] = {
        "array": "auto",
        "blocks": "auto",
        "auto": "auto",
        "mmap": "mmap",
        "read": "read",
    }
    return {way: Worker(kernel, reading) for way, reading in readings.items()}


def _taken(kernel: Kernel, pair: Case, *wanted: str) -> Iterator[str]:
    return (name for name in names_taken(kernel, pair) if name in wanted)


def _measure_files(
    pair: Case, names: tuple[str, ...], own: PerThread[Worker], threads: ThreadPoolExecutor, folder: Path
) -> dict[str, Any]:
    with opened(pair, "auto", folder) as (old, new):
        folds = {name: ACCUMULATORS[name] for name in names}
        return measure(TensorJob(old, new, pair.layout), folds, own, threads.map)
