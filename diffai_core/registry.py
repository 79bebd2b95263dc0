"""The plugins of a run: find → load → check → index. A broken plugin becomes a record, never a crash.

Each entry point is imported, registered with pluggy and asked for its specs inside its own ``try``, in sorted
order; what is wrong with one plugin, or with one spec of it, leaves all others untouched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from diffai_core import lazy, streams
from diffai_core.declarations import spec_problems
from diffai_core.discovery import FoundPlugin, find_plugins
from diffai_core.errors import PluginError
from diffai_core.hooks import HOOKS, Declared, HookCaller, HookProblem
from diffai_core.specs import API_VERSION, ComparatorSpec, KernelSpec, LoaderSpec, ReporterSpec, Spec, options_of
from diffai_core.wording import did_you_mean, error_text

Kind = Literal["loader", "comparator", "document", "results", "kernel"]
"""What a spec is; reporters are told apart by their form, because both forms may have one name (``json``)."""

Key = tuple[Kind, str]
"""Kind and name: unique among all working specs."""

Stage = Literal["find", "load", "hooks", "check"]
S = TypeVar("S", bound=Spec)
Trace = Callable[[str], None]

CORE_STATISTICS = frozenset(
    {
        "byte_planes",
        "changes",
        "columns",
        "counts",
        "extrema",
        "groups",
        "higher_moments",
        "histograms",
        "mantissa",
        "moments",
        "norms",
        "rows",
        "sparsity",
        "ulp",
    }
)
"""Names of the core's accumulators that ``needs`` may ask for; a test keeps them equal to what the engine has."""

_REPORT = "report it to its authors"
_WORDS: dict[Kind, str] = {
    "loader": "loader",
    "comparator": "comparator",
    "document": "reporter",
    "results": "reporter",
    "kernel": "kernel",
}
_KIND_OF_HOOK: dict[str, Kind] = dict(zip(HOOKS, ("loader", "comparator", "document", "kernel"), strict=True))
_KIND_OF_PREFIX: dict[str, Kind] = {
    "load": "loader",
    "compare": "comparator",
    "report": "document",
    "kernel": "kernel",
}


class Broken(NamedTuple):
    """A plugin, or one spec of it, that cannot be used.

    Args:
        plugin: Name of the entry point.
        dist: Name of the distribution.
        version: Version of the distribution.
        stage: Where it failed.
        reason: What is wrong, ending with what to do.
        kind: What the spec would have been, if that is known.
        name: Name of the spec, if that is known.

    Example:
        >>> print(Broken("load-foo", "acme-foo", "2.0", "check", "API 2, this diffai has 1; upgrade diffai"))
        acme-foo 2.0: API 2, this diffai has 1; upgrade diffai
    """

    plugin: str
    dist: str
    version: str
    stage: Stage
    reason: str
    kind: Kind | None = None
    name: str = ""

    def __str__(self) -> str:
        spec = f"{_WORDS[self.kind]} {self.name!r}: " if self.kind and self.name else ""
        return f"{self.dist} {self.version}: {spec}{self.reason}"


class Registered(NamedTuple, Generic[S]):
    """A spec that passed all checks, with its origin."""

    spec: S
    plugin: str
    dist: str
    version: str

    @property
    def label(self) -> str:
        """Distribution and version, as messages begin."""
        return f"{self.dist} {self.version}"

    @property
    def key(self) -> Key:
        """Kind and name of the spec."""
        return kind_of(self.spec), self.spec.name

    @property
    def defaults(self) -> dict[str, Any]:
        """What the target gets as ``options`` when none is given."""
        return {option.name.replace("-", "_"): option.default for option in options_of(self.spec)}


class Registry(NamedTuple):
    """Everything that is installed and works, and what does not work; immutable.

    Args:
        loaders: Formats by name.
        comparators: Analyses by name.
        documents: Reporters of form ``document`` by name (``--format``).
        results: Reporters of form ``results`` by name (``--output``).
        kernels: Kernels by name (``--kernel``), besides the core's own.
        broken: Plugins and specs that cannot be used.
        disabled: Plugins that the environment switches off.
        warnings: Lines for standard error.
    """

    loaders: Mapping[str, Registered[LoaderSpec]]
    comparators: Mapping[str, Registered[ComparatorSpec]]
    documents: Mapping[str, Registered[ReporterSpec]]
    results: Mapping[str, Registered[ReporterSpec]]
    kernels: Mapping[str, Registered[KernelSpec]]
    broken: tuple[Broken, ...] = ()
    disabled: tuple[FoundPlugin, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def registered(self) -> tuple[Registered[Any], ...]:
        """All working specs, plugin by plugin in sorted order, each plugin's in the order it declares them."""
        kinds = (self.loaders, self.comparators, self.documents, self.results, self.kernels)
        specs = [registered for by_name in kinds for registered in by_name.values()]
        return tuple(sorted(specs, key=lambda registered: (registered.plugin, registered.dist)))


def load_registry(environ: Mapping[str, str] | None = None) -> Registry:
    """Find and load the installed plugins.

    Args:
        environ: Where ``DIFFAI_PLUGINS``, ``DIFFAI_DISABLE`` and ``DIFFAI_TRACE`` are looked up;
            ``os.environ`` if not given.
    """
    environ = os.environ if environ is None else environ
    found = find_plugins()
    chosen = tuple(_chosen(found, environ))
    registry = build_registry(chosen, _print_trace if environ.get("DIFFAI_TRACE", "0") not in {"", "0"} else _no_trace)
    disabled = tuple(plugin for plugin in found if plugin not in chosen)
    return registry._replace(disabled=disabled, warnings=tuple(_unknown_names(found, environ)))


def build_registry(plugins: Iterable[FoundPlugin], trace: Trace | None = None) -> Registry:
    """Load, check and index ``plugins``, whatever they do.

    Args:
        plugins: In the order in which they may claim names.
        trace: Called with one line for each plugin that loads and each hook that is called.
    """
    outcomes = _unique(_specs(plugins, trace or _no_trace))
    registered: dict[Key, Registered[Any]] = {}
    broken: list[Broken] = []
    for outcome in outcomes:
        if isinstance(outcome, Broken):
            broken.append(outcome)
        else:
            registered[outcome.key] = outcome
    return Registry(
        loaders=_index(registered, "loader"),
        comparators=_index(registered, "comparator"),
        documents=_index(registered, "document"),
        results=_index(registered, "results"),
        kernels=_index(registered, "kernel"),
        broken=tuple(broken),
    )


def resolve_target(registered: Registered[Any]) -> Callable[..., Any]:
    """Import the working code of a spec.

    Raises:
        PluginError: If it cannot be imported or called.
    """
    return resolve_callable(registered.spec.target, registered)


def resolve_callable(target: str, registered: Registered[Any]) -> Callable[..., Any]:
    """Import ``target``, a function that belongs to the plugin of ``registered``.

    Raises:
        PluginError: If it cannot be imported or called.
    """
    found = lazy.resolve(target, registered.label)
    if not callable(found):
        raise PluginError(f"{registered.label}: {target} is not a function; {_REPORT}")
    function: Callable[..., Any] = found
    return function


def kind_of(spec: Spec) -> Kind:
    """Return the kind under which ``spec`` is indexed."""
    if isinstance(spec, LoaderSpec):
        return "loader"
    if isinstance(spec, ComparatorSpec):
        return "comparator"
    if isinstance(spec, KernelSpec):
        return "kernel"
    return "results" if spec.form == "results" else "document"


def _specs(plugins: Iterable[FoundPlugin], trace: Trace) -> Iterator[Registered[Any] | Broken]:
    """Load each plugin, ask it for its specs and check each of them."""
    caller = HookCaller(trace)
    taken: dict[str, FoundPlugin] = {}
    for found in plugins:
        first = taken.setdefault(found.name, found)
        if first is not found:
            reason = f"the plugin name {found.name!r} is taken by {first.label}; uninstall one of the two"
            yield _broken(found, "find", reason)
            continue
        trace(f"{found.label} [{found.name}]")
        try:
            plugin = found.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs other people's code
            yield _broken(found, "load", _load_problem(found, error))
            continue
        for answer in caller.ask(plugin):
            yield _refused(found, answer) if isinstance(answer, HookProblem) else _checked(found, answer)


def _load_problem(found: FoundPlugin, error: BaseException) -> str:
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing and missing == found.package:
        return f"cannot be loaded ({error_text(error)}); reinstall it"
    if missing and missing != "diffai_core":
        return f"needs the package {missing!r}; pip install {missing}"
    if isinstance(error, ImportError):
        return f"cannot be loaded ({error_text(error)}); upgrade diffai and {found.dist}"
    return f"cannot be loaded ({error_text(error)}); {_REPORT}"


def _refused(found: FoundPlugin, problem: HookProblem) -> Broken:
    return _broken(found, "hooks", problem.reason, _KIND_OF_HOOK.get(problem.hook))


def _checked(found: FoundPlugin, declared: Declared) -> Registered[Any] | Broken:
    kind, record, wanted = _KIND_OF_HOOK[declared.hook], declared.record, HOOKS[declared.hook]
    if not isinstance(record, wanted):
        reason = f"{declared.hook} yielded a {type(record).__name__} instead of a {wanted.__name__}; {_REPORT}"
        return _broken(found, "check", reason, kind)
    try:
        reason = _api_problem(record, found.dist) or _declaration_problem(record)
    except Exception as error:  # noqa: BLE001 - fields of any type can break a check in any way
        reason = f"cannot be checked ({error_text(error)}); {_REPORT}"
    if reason:
        return _broken(found, "check", reason, kind, str(record.name))
    return Registered(record, found.name, found.dist, found.version)


def _api_problem(spec: Spec, dist: str) -> str:
    api: Any = spec.api
    if not isinstance(api, int) or api < 1:
        return f"API {api!r}, this diffai has {API_VERSION}; upgrade {dist}"
    if api > API_VERSION:
        return f"API {api}, this diffai has {API_VERSION}; upgrade diffai"
    return ""


def _declaration_problem(spec: Spec) -> str:
    problems = list(spec_problems(spec, CORE_STATISTICS))
    return f"{', '.join(problems)}; {_REPORT}" if problems else ""


def _unique(outcomes: Iterable[Registered[Any] | Broken]) -> Iterator[Registered[Any] | Broken]:
    """Pass on the first spec of each kind and name; the later ones are broken."""
    taken: dict[Key, Registered[Any]] = {}
    for outcome in outcomes:
        if isinstance(outcome, Broken) or taken.setdefault(outcome.key, outcome) is outcome:
            yield outcome
            continue
        first = taken[outcome.key]
        remedy = _REPORT if first.dist == outcome.dist else "uninstall one of the two"
        reason = f"the name is taken by {first.label}; {remedy}"
        kind, name = outcome.key
        yield Broken(outcome.plugin, outcome.dist, outcome.version, "check", reason, kind, name)


def _broken(found: FoundPlugin, stage: Stage, reason: str, kind: Kind | None = None, name: str = "") -> Broken:
    kind = kind or _KIND_OF_PREFIX.get(found.name.partition("-")[0])
    return Broken(found.name, found.dist, found.version, stage, reason, kind, name)


def _index(registered: Mapping[Key, Registered[Any]], kind: Kind) -> Mapping[str, Registered[Any]]:
    return MappingProxyType({name: spec for (its_kind, name), spec in registered.items() if its_kind == kind})


def _chosen(found: Iterable[FoundPlugin], environ: Mapping[str, str]) -> Iterator[FoundPlugin]:
    only, never = _names(environ, "DIFFAI_PLUGINS"), _names(environ, "DIFFAI_DISABLE") or frozenset()
    for plugin in found:
        names = {plugin.name, plugin.dist}
        if (only is None or names & only) and not names & never:
            yield plugin


def _unknown_names(found: Iterable[FoundPlugin], environ: Mapping[str, str]) -> Iterator[str]:
    known = {name for plugin in found for name in (plugin.name, plugin.dist)}
    for variable in ("DIFFAI_PLUGINS", "DIFFAI_DISABLE"):
        for name in sorted((_names(environ, variable) or frozenset()) - known):
            meant = did_you_mean(name, known) or "; diffai --plugins lists what is installed"
            yield f"{variable}: no plugin {name!r} is installed{meant}"


def _names(environ: Mapping[str, str], variable: str) -> frozenset[str] | None:
    """Return the names in ``variable``, or ``None`` where it is not set (set and empty means none)."""
    if variable not in environ:
        return None
    return frozenset(name.strip() for name in environ[variable].split(",") if name.strip())


def _no_trace(_: str) -> None:
    """Say nothing."""


def _print_trace(line: str) -> None:
    streams.tell(f"diffai trace: {line}\n")
