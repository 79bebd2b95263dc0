"""The laws of a comparator, kept under the real engine."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import pytest

from diffai_core.findings import ABSENT, Finding, Level, Status
from diffai_core.specs import ComparatorSpec
from diffai_core.testing.builders import artifact, reblocked
from diffai_core.testing.folds import check_fold
from diffai_core.testing.laws import for_all
from diffai_core.testing.pairs import Pair, array_pairs, standard_pairs
from diffai_core.testing.running import run_comparator
from diffai_core.testing.subject import default_options, only, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from numpy.typing import NDArray

    from diffai_core.artifact import Artifact

_KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SOURCES = frozenset({"", "paper", "library", "convention", "calibrated", "user"})
_MIRROR = {"added": "removed", "removed": "added"}


class ComparatorTests:
    """Laws that every comparator keeps. Override ``plugin`` and, where it has more to say, :meth:`pairs`.

    Attributes:
        plugin: The ``plugin`` module that declares the comparator.
        name: Name of the comparator, where the module declares several.
        spec: The declaration itself, instead of ``plugin`` and ``name``.
        options: Options that differ from their defaults.
        asymmetric: Why swapping OLD and NEW gives other kinds of findings; empty if it does not.
        n_examples: Pairs of artefacts that Hypothesis tries for each law.
    """

    plugin: ClassVar[ModuleType | None] = None
    name: ClassVar[str] = ""
    spec: ClassVar[ComparatorSpec | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    asymmetric: ClassVar[str] = ""
    n_examples: ClassVar[int] = 40

    # -- what an author may override ---------------------------------------------------------------------------

    def pairs(self) -> Mapping[str, Pair]:
        """Return further pairs of artefacts to hold to the laws, by name; see :func:`diffai_core.testing.artifact`."""
        return {}

    def fold_values(self, result: Any) -> Any:
        """Return what of a fold's result must not depend on the order of merging; all of it by default."""
        return result

    # -- helpers -----------------------------------------------------------------------------------------------

    @property
    def comparator_spec(self) -> ComparatorSpec:
        """The declaration under test."""
        return self.spec or only(self.plugin, ComparatorSpec, self.name)

    def all_pairs(self) -> Iterator[tuple[str, Pair]]:
        """Yield the standard pairs and those of :meth:`pairs`."""
        yield from standard_pairs().items()
        yield from self.pairs().items()

    def compare(self, old: Artifact, new: Artifact, *, jobs: int = 1) -> tuple[Finding, ...]:
        """Return what the comparator finds under the real engine; fail if it fails or lets a warning out."""
        spec = self.comparator_spec
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return run_comparator(spec, old, new, options_of(spec, self.options), jobs=jobs)

    # -- laws --------------------------------------------------------------------------------------------------

    def test_an_artifact_does_not_differ_from_itself(self) -> None:
        """``compare(x, x)`` gives no finding of level change, warning or error."""
        for label, pair in self.all_pairs():
            for side in pair:
                loud = [finding for finding in self.compare(side, side) if finding.level != "info"]
                assert not loud, f"{label}: compared with itself: {loud[0]}"

    def test_swapping_old_and_new_mirrors_the_findings(self) -> None:
        """The same kinds at the same places, added and removed exchanged."""
        if self.asymmetric:
            pytest.skip(self.asymmetric)
        for label, (old, new) in self.all_pairs():
            there = Counter(_mirrored(finding) for finding in self.compare(old, new))
            back = Counter((finding.kind, _place(finding)) for finding in self.compare(new, old))
            assert there == back, f"{label}: {sorted((there - back) + (back - there))} only in one direction"

    def test_any_tensors_give_valid_findings(self) -> None:
        """NaN, Inf, empty, 0-d, one element, every dtype: no exception, no warning, well-formed findings."""

        def check(arrays: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]) -> None:
            old, new = (artifact(side) for side in arrays)
            self.check_findings(self.compare(old, new), old, new)

        for_all(check, array_pairs(), self.n_examples)

    def test_standard_pairs_give_valid_findings(self) -> None:
        """Awkward values, changed structure, trees: no exception, no warning, well-formed findings."""
        for _, (old, new) in self.all_pairs():
            self.check_findings(self.compare(old, new), old, new)

    def test_findings_do_not_depend_on_blocks_workers_or_repetition(self) -> None:
        """The same inputs give the same findings in the same order, to the last bit."""
        for label, (old, new) in self.all_pairs():
            wanted = repr(self.compare(old, new))
            assert repr(self.compare(old, new)) == wanted, f"{label}: a second run differs"
            assert repr(self.compare(old, new, jobs=2)) == wanted, f"{label}: two workers differ from one"
            small = repr(self.compare(reblocked(old, 3), reblocked(new, 5)))
            assert small == wanted, f"{label}: other block sizes give other findings"

    def test_defaults_of_all_options_work(self) -> None:
        """The comparator bears its own defaults."""
        spec = self.comparator_spec
        for _, (old, new) in self.all_pairs():
            run_comparator(spec, old, new, default_options(spec))

    def test_folds_are_mergeable(self) -> None:
        """Each fold of the plugin's own is a monoid: ``merge`` is associative and ``start`` its identity."""
        folds = [need for need in self.comparator_spec.needs if ":" in need]
        if not folds:
            pytest.skip("the comparator brings no fold of its own")
        for need in folds:
            check_fold(need, self.fold_values)

    def check_findings(self, findings: tuple[Finding, ...], old: Artifact, new: Artifact) -> None:
        """Fail unless every finding is well formed and speaks of something that is there."""
        keys = _known_keys(old) | _known_keys(new)
        for finding in findings:
            assert _KIND.fullmatch(finding.kind), f"kind {finding.kind!r} is not snake_case"
            assert finding.status in get_args(Status), f"{finding.kind}: status {finding.status!r} does not exist"
            assert finding.level in get_args(Level), f"{finding.kind}: level {finding.level!r} does not exist"
            assert not finding.where or finding.where in keys, f"{finding.kind}: {finding.where!r} is no key"
            assert finding.coverage is None or 0 <= finding.coverage <= 1, f"{finding.kind}: coverage is no share"
            assert finding.threshold_source in _SOURCES, f"{finding.kind}: source {finding.threshold_source!r}"
            assert finding.threshold is None or finding.threshold_source, f"{finding.kind}: threshold of no source"
            assert "\n" not in finding.message, f"{finding.kind}: the message is not one line"
            assert not any("\n" in line for line in finding.detail), f"{finding.kind}: a line of detail is not one line"
            if finding.status == "not_measurable":
                assert finding.message, f"{finding.kind}: not measurable, and the message does not name the input"
            for value in (finding.old, finding.new, finding.values, finding.null, finding.threshold):
                assert value is ABSENT or _is_plain(value), f"{finding.kind}: {value!r} is not a plain Python value"


def _mirrored(finding: Finding) -> tuple[str, str]:
    kind = "_".join(_MIRROR.get(word, word) for word in finding.kind.split("_"))
    return kind, _place(finding)


def _place(finding: Finding) -> str:
    return "" if "renamed" in finding.kind else finding.where  # a renamed tensor stands under its new name


def _known_keys(side: Artifact) -> set[str]:
    """Return tensor keys, tree paths, and the groups above them."""
    keys = {"tensors", "tree", *side.tables}
    for key in [*side.tensors, *_tree_paths(side.tree)]:
        parts = key.split(".")
        keys.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return keys


def _tree_paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield every path in both ways it may be written: keys after dots, or quoted in brackets."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _tree_paths(child, f"{path}.{key}" if path else str(key))
            yield from _tree_paths(child, f"{path}[{json.dumps(key)}]")
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _tree_paths(child, f"{path}[{index}]")


def _is_plain(value: Any) -> bool:
    """Whether a reporter can write the value: no NumPy scalars, no objects."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in {bool, int, float, str, bytes}
