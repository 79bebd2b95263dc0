"""Gather the statistics that the chosen comparators need, so that each is computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_core.accumulators import ACCUMULATORS, Block, Fold, PairLayout
from diffai_core.errors import PluginError
from diffai_core.lazy import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    folds: dict[str, Fold[Any, Any]] = {"changes": ACCUMULATORS["changes"]}
    scopes: dict[str, Scope] = {"changes": "changed"}
    broken: dict[str, PluginError] = {}
    for registered in comparators:
        spec = registered.spec
        for need in spec.needs:
            try:
                folds.setdefault(need, ACCUMULATORS[need] if need in ACCUMULATORS else _third_party(need, registered))
            except PluginError as error:
                broken[spec.name] = error
                break
            scopes[need] = max(scopes.get(need, spec.scope), spec.scope, key=_WIDTH.__getitem__)
    # The core's own come first: what a plugin does to shared arrays cannot reach them.
    own_first = dict(sorted(folds.items(), key=lambda item: item[0] not in ACCUMULATORS))
    return FoldPlan(own_first, scopes, broken)


def _third_party(need: str, registered: Registered[ComparatorSpec]) -> GuardedFold:
    found = resolve(need, registered.label)
    fold = found() if isinstance(found, type) else found
    missing = [name for name in ("start", "update", "merge", "finish") if not callable(getattr(fold, name, None))]
    if missing:
        msg = f"{registered.label}: {need} is no fold, it lacks {', '.join(missing)}; report it to its authors"
        raise PluginError(msg)
    return GuardedFold(fold)
