"""What ``diffai --plugins`` shows: every plugin with what it reads or adds, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core import __version__
from diffai_core.errors import PluginError
from diffai_core.kernels import REFERENCE, choose_kernel, load_kernel
from diffai_core.specs import ComparatorSpec, LoaderSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from diffai_core.discovery import FoundPlugin
    from diffai_core.options import PluginOptions
    from diffai_core.registry import Broken, Key, Kind, Registered, Registry

_HEAD = ("kind", "name", "reads / adds", "distribution", "version", "status")
_NOTHING = "\N{EN DASH}"
_WIDEST = 44
_SHOWN: dict[Kind, str] = {
    "loader": "load",
    "comparator": "compare",
    "document": "report",
    "results": "report",
    "kernel": "kernel",
}
_REPORT_FLAGS: dict[Kind, str] = {"document": "--format", "results": "--output"}
_SWITCHED_OFF = "by DIFFAI_PLUGINS or DIFFAI_DISABLE; change them to use it"


class PluginRow(NamedTuple):
    """A line of the table.

    Args:
        kind: ``load``, ``compare``, ``report`` or ``kernel``; a dash where a broken plugin does not tell.
        name: Name of the spec; of the entry point where a plugin did not get as far as a spec.
        title: What it is or answers.
        plugin: Name of the entry point.
        distribution: Name of the distribution.
        version: Version of the distribution.
        reads: Suffixes and folder patterns of a loader.
        flags: What can be typed to use it.
        default: Whether it takes part in every comparison; the kernel that measures.
        status: ``ok``, ``broken`` or ``off``.
        reason: Why it is broken or off, ending with what to do; empty if it is not.
    """

    kind: str
    name: str
    title: str
    plugin: str
    distribution: str
    version: str
    reads: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    default: bool = False
    status: str = "ok"
    reason: str = ""


def plugin_rows(registry: Registry, options: PluginOptions) -> list[dict[str, Any]]:
    """Return the lines of the table as plain records for JSON.

    Args:
        registry: The plugins.
        options: Their options, for the flags under which they can be used.
    """
    return [row._asdict() for row in _rows(registry, options)]


def plugin_table(registry: Registry, options: PluginOptions) -> str:
    """Return the table as aligned text without a final line end.

    Long lists are cut with an ellipsis; ``diffai --plugins --json`` has everything.

    Args:
        registry: The plugins.
        options: Their options, for the flags under which they can be used.
    """
    rows = _rows(registry, options)
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return (
        text
        if any(row.plugin for row in rows)
        else f"{text}\nno plugin is installed; pip install 'diffai[all]' installs all"
    )


def _rows(registry: Registry, options: PluginOptions) -> list[PluginRow]:
    """Return the rows by kind in the order of a run, then by name."""
    flags = _flags_by_spec(options)
    rows = [
        *(_working(spec, flags.get(spec.key, [])) for spec in registry.registered if spec.key[0] != "kernel"),
        *_kernels(registry),
        *map(_broken, registry.broken),
        *map(_off, registry.disabled),
    ]
    order = ["load", "compare", "report", "kernel", _NOTHING]
    return sorted(rows, key=lambda row: (order.index(row.kind), row.name, row.distribution))


def _flags_by_spec(options: PluginOptions) -> dict[Key, list[str]]:
    flags: dict[Key, list[str]] = {}
    for binding in options.bindings:
        keys: Iterable[Key] = [("comparator", binding.switches)] if binding.switches else binding.keys
        keys = [binding.writes] if binding.writes else keys
        for key in keys:
            flags.setdefault(key, []).append(f"--{binding.flag}")
    return flags


def _kernels(registry: Registry) -> Iterator[PluginRow]:
    """Yield the kernels: the one in use first tells what it makes use of, the others why or how."""
    in_use = choose_kernel(registry).kernel
    for name, registered in registry.kernels.items():
        row = PluginRow(
            "kernel",
            name,
            registered.spec.title,
            registered.plugin,
            registered.dist,
            registered.version,
            flags=(f"--kernel {name}",),
            default=name == in_use.name,
        )
        try:
            detail = load_kernel(registered).detail
        except PluginError as error:
            yield row._replace(status="broken", reason=str(error).removeprefix(f"{registered.label}: "))
        else:
            yield row._replace(reads=(detail,) if detail else ())
    yield PluginRow(
        "kernel",
        REFERENCE,
        "the statistics with NumPy",
        "",
        "diffai",
        __version__,
        flags=(f"--kernel {REFERENCE}",),
        default=in_use.name == REFERENCE,
    )


def _working(registered: Registered[Any], flags: list[str]) -> PluginRow:
    kind, name = registered.key
    if kind in _REPORT_FLAGS:
        flags = [f"{_REPORT_FLAGS[kind]} {name}", *flags]
    spec = registered.spec
    reads = (*spec.suffixes, *spec.folders) if isinstance(spec, LoaderSpec) else ()
    default = spec.default if isinstance(spec, ComparatorSpec) else False
    origin = registered.plugin, registered.dist, registered.version
    return PluginRow(_SHOWN[kind], name, spec.title, *origin, reads, tuple(flags), default)


def _broken(broken: Broken) -> PluginRow:
    kind = _SHOWN[broken.kind] if broken.kind else _NOTHING
    name = broken.name or broken.plugin.removeprefix(f"{kind}-")
    return PluginRow(kind, name, "", broken.plugin, broken.dist, broken.version, status="broken", reason=broken.reason)


def _off(plugin: FoundPlugin) -> PluginRow:
    prefix, _, rest = plugin.name.partition("-")
    kind, name = (prefix, rest) if prefix in _SHOWN.values() else (_NOTHING, plugin.name)
    return PluginRow(kind, name, "", plugin.name, plugin.dist, plugin.version, status="off", reason=_SWITCHED_OFF)


def _cells(row: PluginRow) -> tuple[str, ...]:
    always = (("in use",) if row.kind == "kernel" else ("on by default",)) if row.default else ()
    adds = _shortened((*always, *row.reads, *row.flags))
    status = f"{row.status}: {row.reason}" if row.reason else row.status
    return row.kind, row.name, adds or _NOTHING, row.distribution, row.version, status


def _shortened(items: tuple[str, ...]) -> str:
    """Join as many items as fit."""
    shown = ""
    for item in items:
        longer = f"{shown}, {item}" if shown else item
        if shown and len(longer) > _WIDEST:
            return f"{shown}, …"
        shown = longer
    return shown
