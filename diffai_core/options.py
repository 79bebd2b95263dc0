"""Options of plugins on the command line, and their values back to the plugins.

A comparator that is off by default is switched on by the flag ``--<name>``. Options keep their plain names while
unclaimed; where the core or an earlier plugin has claimed a name, the later option is prefixed and a warning says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from diffai_core import values
from diffai_core.errors import PluginError, UsageError
from diffai_core.lazy import resolve
from diffai_core.specs import ComparatorSpec, Option, ReporterSpec, options_of
from diffai_core.wording import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from diffai_core.registry import Key, Registered, Registry


class Binding(NamedTuple):
    """One option on the command line, and the specs that get its value.

    Args:
        flag: Its name there, without dashes.
        option: As its plugin declares it.
        keys: Specs that find the value under the option's own name.
        switches: Name of the comparator that the flag switches on; empty for any other option.
        writes: The reporter that the flag asks for; ``None`` for any other option.
    """

    flag: str
    option: Option
    keys: tuple[Key, ...] = ()
    switches: str = ""
    writes: Key | None = None

    @property
    def parameter(self) -> str:
        """Name in click's ``ctx.params``; no option of the core can have it."""
        return f"plugin__{self.flag.replace('-', '_')}"

    @property
    def argument(self) -> str:
        """Name in the ``options`` that a target receives."""
        return self.option.name.replace("-", "_")


class OptionGroup(NamedTuple):
    """The options of one plugin."""

    plugin: str
    label: str
    bindings: tuple[Binding, ...]

    def click_options(self) -> list[click.Option]:
        """Return the options for a click command."""
        return [click_option(binding) for binding in self.bindings]


class PluginOptions(NamedTuple):
    """The options of all plugins.

    Args:
        groups: Plugins that have options, in sorted order.
        defaults: Values of all options that are not given, by spec.
        on: Comparators that run without being asked for.
        warnings: One line for each option whose name was claimed already.
    """

    groups: tuple[OptionGroup, ...]
    defaults: Mapping[Key, Mapping[str, Any]]
    on: frozenset[str]
    warnings: tuple[str, ...] = ()

    @property
    def bindings(self) -> Iterator[Binding]:
        """All options, group by group."""
        return (binding for group in self.groups for binding in group.bindings)

    def click_options(self) -> list[click.Option]:
        """Return all options for a click command, group by group."""
        return [option for group in self.groups for option in group.click_options()]

    def values(self, params: Mapping[str, Any]) -> dict[Key, dict[str, Any]]:
        """Return what each spec gets as ``options``: given values, else defaults.

        Args:
            params: ``ctx.params`` of click; parameters that are not there have their default.
        """
        values = {key: dict(defaults) for key, defaults in self.defaults.items()}
        for binding in self.bindings:
            for key in binding.keys:
                values[key][binding.argument] = params.get(binding.parameter, binding.option.default)
        return values

    def enabled(self, params: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the comparators to run: those on by default and those switched on."""
        switches = (binding for binding in self.bindings if binding.switches)
        return self.on | {binding.switches for binding in switches if params.get(binding.parameter)}

    def asked_reports(self, params: Mapping[str, Any]) -> dict[str, Key]:
        """Return the reporters that are asked for by flags of their own, by flag."""
        asked = (binding for binding in self.bindings if binding.writes and params.get(binding.parameter))
        return {f"--{binding.flag}": binding.writes for binding in asked if binding.writes}

    def without_effect(self, ctx: click.Context) -> list[str]:
        """Return a line for each given option that belongs to comparators of which none runs."""
        enabled = self.enabled(ctx.params)
        switches = {binding.switches: f"--{binding.flag}" for binding in self.bindings if binding.switches}
        lines = []
        for binding in self.bindings:
            idle = binding.keys and all(kind == "comparator" and name not in enabled for kind, name in binding.keys)
            if idle and ctx.get_parameter_source(binding.parameter) is not ParameterSource.DEFAULT:
                needed = " or ".join(switches[name] for _, name in binding.keys)
                lines.append(f"--{binding.flag} has no effect without {needed}")
        return lines


def plugin_options(registry: Registry, claimed: Iterable[str]) -> PluginOptions:
    """Give every option of every plugin its name on the command line.

    Args:
        registry: The plugins.
        claimed: Names of the core's own options, without dashes: ``output``, ``help`` …
    """
    binder = _Binder(claimed)
    for registered in registry.registered:
        if isinstance(registered.spec, ComparatorSpec) and not registered.spec.default:
            binder.add_switch(registered)
        if isinstance(registered.spec, ReporterSpec) and registered.spec.flag:
            binder.add_report_flag(registered)
        for option in options_of(registered.spec):
            binder.add_option(registered, option)
    return PluginOptions(
        groups=tuple(binder.groups()),
        defaults={spec.key: spec.defaults for spec in registry.registered},
        on=frozenset(name for name, spec in registry.comparators.items() if spec.spec.default),
        warnings=tuple(binder.warnings),
    )


def click_option(binding: Binding) -> click.Option:
    """Return the click option for ``binding``; a wrong value becomes a usage error of one line."""
    option = binding.option
    names = [f"--{binding.flag}", binding.parameter]
    if option.kind == "flag":
        return click.Option(names, is_flag=True, default=False, help=option.help)
    return click.Option(
        names,
        type=_click_type(option),
        default=option.default,
        multiple=option.multiple,
        metavar=option.metavar or _METAVARS.get(option.kind),
        help=option.help,
        show_default=option.default not in (None, "", ()),
    )


class Checked(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A value that a check makes from what is typed, or refuses.

    Args:
        name: What kind of value it is.
        check: Returns the value or raises a ``UsageError``; gets texts only.
    """

    def __init__(self, name: str, check: Callable[[Any], Any]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; one that is no text has been checked, or is a default."""
        if not isinstance(value, str):
            return value
        try:
            return self._check(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def checked_value(option: Option, value: object) -> Any:
    """Return the value that a target gets for ``option`` when it is given in Python.

    Raises:
        UsageError: If it does not have the kind of the option.
    """
    if value is None and option.default is None:
        return None
    check = values.one_of(option.choices) if option.kind == "choice" else _CHECKS[option.kind]
    if option.check:
        check = _own_check(option, check)
    return values.several(check)(value) if option.multiple else check(value)


def _own_check(option: Option, of_kind: Callable[[Any], Any]) -> Callable[[object], Any]:
    """Return a check for a value that must be of its kind and mean something to its plugin."""

    def check(value: object) -> Any:
        checked = of_kind(value)
        function = resolve(option.check, f"--{option.name}")
        try:
            function(checked)
        except UsageError:
            raise
        except Exception as error:
            raise PluginError(f"--{option.name}: its check failed ({error_text(error)}); report it") from error
        return checked

    return check


def _pattern_text(value: object) -> str:
    return values.regex(value).pattern


_METAVARS = {"integer": "N", "number": "NUMBER", "text": "TEXT", "regex": "REGEX"}
_CHECKS: dict[str, Callable[[object], Any]] = {
    "flag": values.flag,
    "integer": values.integer,
    "number": values.number,
    "text": values.text,
    "regex": _pattern_text,
}
_TYPED: dict[str, Callable[[Any], Any]] = {
    "integer": values.typed(int, values.integer),
    "number": values.typed(values.decimal, values.number),
    "regex": _pattern_text,
    "text": values.text,
}


def _click_type(option: Option) -> Any:
    if option.kind == "choice":
        return click.Choice(option.choices)
    check = _TYPED[option.kind]
    return Checked(option.kind, _own_check(option, check) if option.check else check)


class _Binder:
    """Hands out the names of options, each once; identical options of one distribution share theirs."""

    def __init__(self, claimed: Iterable[str]) -> None:
        self._owners = dict.fromkeys(claimed, "diffai itself")
        self._flags: dict[tuple[str, Option], str] = {}
        self._bindings: dict[str, Binding] = {}
        self._plugins: dict[str, Registered[Any]] = {}
        self.warnings: list[str] = []

    def add_switch(self, registered: Registered[Any]) -> None:
        """Bind the flag that switches a comparator on."""
        spec = registered.spec
        flag = self._claim(spec.name, "compare", registered)
        self._bindings[flag] = Binding(flag, Option(spec.name, spec.title), switches=spec.name)

    def add_report_flag(self, registered: Registered[ReporterSpec]) -> None:
        """Bind the flag that asks for a reporter."""
        spec = registered.spec
        flag = self._claim(spec.flag, "report", registered)
        way = "--format" if spec.form == "document" else "--output"
        option = Option(spec.flag, f"Write the report as {way} {spec.name} does.")
        self._bindings[flag] = Binding(flag, option, writes=registered.key)

    def add_option(self, registered: Registered[Any], option: Option) -> None:
        """Bind an option under a name of its own, or that of an identical option of the same distribution."""
        shared = registered.dist, option
        if shared not in self._flags:
            flag = self._flags[shared] = self._claim(option.name, registered.spec.name, registered)
            self._bindings[flag] = Binding(flag, option)
        binding = self._bindings[self._flags[shared]]
        self._bindings[binding.flag] = binding._replace(keys=(*binding.keys, registered.key))

    def groups(self) -> Iterator[OptionGroup]:
        """Yield the options of each plugin, in the order they were added."""
        by_plugin: dict[tuple[str, str], list[Binding]] = {}
        for flag, registered in self._plugins.items():
            by_plugin.setdefault((registered.plugin, registered.label), []).append(self._bindings[flag])
        for (plugin, label), bindings in by_plugin.items():
            yield OptionGroup(plugin, label, tuple(bindings))

    def _claim(self, name: str, prefix: str, registered: Registered[Any]) -> str:
        flag = name
        while flag in self._owners:
            flag = f"{prefix}-{flag}"
        if flag != name:
            self.warnings.append(f"{registered.label}: --{name} belongs to {self._owners[name]}; use --{flag} instead")
        self._owners[flag] = registered.label
        self._plugins[flag] = registered
        return flag
