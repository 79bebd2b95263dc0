"""Ask one plugin for its specs: register it with pluggy, call its hooks, find hooks that pluggy would not call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from diffai_core import hookspecs
from diffai_core.specs import ComparatorSpec, KernelSpec, LoaderSpec, ReporterSpec, Spec
from diffai_core.wording import did_you_mean, error_text, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOKS: dict[str, type[Spec]] = {
    "diffai_loaders": LoaderSpec,
    "diffai_comparators": ComparatorSpec,
    "diffai_reporters": ReporterSpec,
    "diffai_kernels": KernelSpec,
}
"""The hooks and the record each of them yields, in the order they are called."""

MAX_RECORDS = 1000
_MARKER = f"{hookspecs.PROJECT}_impl"
_REPORT = "report it to its authors"


class Declared(NamedTuple):
    """A record that a hook yielded."""

    hook: str
    record: Any


class HookProblem(NamedTuple):
    """Why a hook gave less than it should: the reason ends with what to do."""

    hook: str
    reason: str


class HookCaller:
    """Calls the hooks of one plugin at a time, so that none can see or spoil another's.

    Args:
        trace: Called with one line for each hook called.
    """

    def __init__(self, trace: Callable[[str], None]) -> None:
        self._trace = trace
        self._manager = _new_manager()

    def ask(self, plugin: object) -> list[Declared | HookProblem]:
        """Return what the hooks of ``plugin`` yield, and what is wrong with them; raises nothing of the plugin's."""
        try:
            return self._ask(plugin)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's code may raise anything
            self._manager = _new_manager()  # a failed registration may be half done
            return [HookProblem("", f"cannot be registered ({error_text(error)}); {_REPORT}")]

    def _ask(self, plugin: object) -> list[Declared | HookProblem]:
        answers: list[Declared | HookProblem] = [*misnamed_hooks(plugin)]
        name = self._manager.register(plugin, "plugin")
        implemented = {caller.name for caller in self._manager.get_hookcallers(plugin) or ()}
        if not implemented and not answers:
            answers.append(HookProblem("", f"implements no hook ({listed(HOOKS)}); {_REPORT}"))
        for hook in HOOKS:
            if hook in implemented:
                answers += self._call(hook)
        if name is not None:
            self._manager.unregister(name=name)
        return answers

    def _call(self, hook: str) -> Iterator[Declared | HookProblem]:
        count = 0
        try:
            for record in self._records(hook):
                count += 1
                yield Declared(hook, record)
        except HookError as error:
            yield HookProblem(hook, f"{hook} {error}; {_REPORT}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's code may raise anything
            yield HookProblem(hook, f"{hook} failed ({error_text(error)}); {_REPORT}")
        self._trace(f"{hook} gave {count} record{'' if count == 1 else 's'}")

    def _records(self, hook: str) -> Iterator[Any]:
        wanted = HOOKS[hook].__name__
        results = getattr(self._manager.hook, hook)()
        if len(results) != 1:
            raise HookError(f"returned None; yield {wanted} records from it")
        if isinstance(results[0], (str, bytes, dict)) or not hasattr(results[0], "__iter__"):
            raise HookError(f"returned a {type(results[0]).__name__}; yield {wanted} records from it")
        for count, record in enumerate(results[0]):
            if count == MAX_RECORDS:
                raise HookError(f"yields more than {MAX_RECORDS:,} records")
            yield record


class HookError(Exception):
    """A hook breaks its contract."""


def misnamed_hooks(plugin: object) -> Iterator[HookProblem]:
    """Yield the functions of ``plugin`` that are meant as hooks and that pluggy would pass over in silence."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue
        marker = getattr(function, _MARKER, None)
        hook = (marker or {}).get("specname") or name
        if hook in HOOKS:
            if marker is None:
                yield HookProblem(hook, f"{name} lacks the decorator @hookimpl; {_REPORT}")
        elif (marker and not marker.get("optionalhook")) or (marker is None and name.startswith("diffai_")):
            meant = did_you_mean(hook, HOOKS) or f"; the hooks are {listed(HOOKS)}."
            yield HookProblem(hook, f"{hook} is not a hook{meant} Upgrade diffai, or {_REPORT}")


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager
