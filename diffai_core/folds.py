"""Gather the statistics that the chosen comparators need, so that each is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_core.errors import PluginError
from diffai_core.layout import SMALL_STATE_BYTES
from diffai_core.lazy import resolve
from diffai_core.registry import CORE_STATISTICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffai_core.accumulators import Block, Fold
    from diffai_core.layout import PairLayout
    from diffai_core.registry import Registered
    from diffai_core.specs import ComparatorSpec, Scope

_WIDTH: dict[Scope, int] = {"changed": 0, "paired": 1, "all": 2}


@dataclass(frozen=True)
class FoldFailure:
    """Takes the place of a plugin's statistic after its code raised; the pass goes on without it."""

    reason: str
    trace: str


@dataclass(frozen=True)
class GuardedFold:
    """A plugin's fold whose exceptions end that statistic and not the pass."""

    fold: Fold[Any, Any]

    def state_bytes(self, layout: PairLayout, n_elements: int) -> int:
        """Return what the plugin says, if it says something that can be; else the usual."""
        stated = getattr(self.fold, "state_bytes", None)
        n_bytes = SMALL_STATE_BYTES if stated is None else _guarded(stated, layout, n_elements)
        return n_bytes if isinstance(n_bytes, int) and n_bytes >= 0 else SMALL_STATE_BYTES

    def start(self, layout: PairLayout) -> Any:
        """Return the plugin's empty state."""
        return _guarded(self.fold.start, layout)

    def update(self, state: Any, block: Block) -> Any:
        """Return the plugin's state after ``block``."""
        return state if isinstance(state, FoldFailure) else _guarded(self.fold.update, state, block)

    def merge(self, left: Any, right: Any) -> Any:
        """Return the plugin's merged state, or the first failure."""
        for state in (left, right):
            if isinstance(state, FoldFailure):
                return state
        return _guarded(self.fold.merge, left, right)

    def finish(self, state: Any) -> Any:
        """Return the plugin's result."""
        return state if isinstance(state, FoldFailure) else _guarded(self.fold.finish, state)


def _guarded(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, SystemExit too, must not end the pass
        import traceback

        return FoldFailure(f"{type(error).__name__}: {error}", traceback.format_exc())


class NeededFolds(Mapping[str, "Fold[Any, Any]"]):
    """Folds by name. The core's, and NumPy with them, are imported when the first of them is asked for.

    Args:
        core: Names of the core's folds; they come first, so that what a plugin does to shared arrays cannot
            reach them.
        third_party: The folds of plugins.
    """

    def __init__(self, core: Iterable[str], third_party: Mapping[str, Fold[Any, Any]]) -> None:
        self._core = tuple(core)
        self._third_party = third_party

    def __getitem__(self, name: str) -> Fold[Any, Any]:
        if name not in self._core:
            return self._third_party[name]
        from diffai_core.accumulators import ACCUMULATORS

        return ACCUMULATORS[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._core
        yield from self._third_party

    def __len__(self) -> int:
        return len(self._core) + len(self._third_party)


@dataclass(frozen=True)
class FoldPlan:
    """The union of what the comparators need.

    Args:
        folds: By name, ``changes`` always among them.
        scopes: The widest scope any comparator asked for.
        broken: Comparators whose fold could not be imported, with the error.
    """

    folds: Mapping[str, Fold[Any, Any]]
    scopes: Mapping[str, Scope]
    broken: Mapping[str, PluginError]


def plan_folds(comparators: Sequence[Registered[ComparatorSpec]]) -> FoldPlan:
    """Return what to measure so that every comparator finds what it needs."""
    third_party: dict[str, Fold[Any, Any]] = {}
    scopes: dict[str, Scope] = {"changes": "changed"}
    broken: dict[str, PluginError] = {}
    for registered in comparators:
        spec = registered.spec
        for need in spec.needs:
            try:
                if need not in CORE_STATISTICS and need not in third_party:
                    third_party[need] = _third_party(need, registered)
            except PluginError as error:
                broken[spec.name] = error
                break
            scopes[need] = max(scopes.get(need, spec.scope), spec.scope, key=_WIDTH.__getitem__)
    core = [need for need in scopes if need in CORE_STATISTICS]
    return FoldPlan(NeededFolds(core, third_party), scopes, broken)


def _third_party(need: str, registered: Registered[ComparatorSpec]) -> GuardedFold:
    found = resolve(need, registered.label)
    fold = found() if isinstance(found, type) else found
    missing = [name for name in ("start", "update", "merge", "finish") if not callable(getattr(fold, name, None))]
    if missing:
        msg = f"{registered.label}: {need} is no fold, it lacks {', '.join(missing)}; report it to its authors"
        raise PluginError(msg)
    return GuardedFold(fold)
