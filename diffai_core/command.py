"""What the command does once its words are understood: list, scaffold, or compare and report."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from diffai_core import streams
from diffai_core.api import Opening, choose_comparators, compare_paths
from diffai_core.core_options import key_filter, tolerances
from diffai_core.errors import PluginError, UsageError
from diffai_core.folder_rules import FolderRules
from diffai_core.kernels import choose_kernel
from diffai_core.progress import Progress
from diffai_core.registry import resolve_target
from diffai_core.run import Settings
from diffai_core.selection import choose_reporter
from diffai_core.wording import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from diffai_core.findings import Report
    from diffai_core.kernels import Kernel
    from diffai_core.options import PluginOptions
    from diffai_core.registry import Registered, Registry
    from diffai_core.specs import ReporterSpec

    Params = Mapping[str, Any]

T = TypeVar("T")

_NARROWEST = 40
_END = object()


def dispatch(registry: Registry, plugins: PluginOptions, params: Params, say: Callable[[str], None]) -> int:
    """Do what the parameters ask for and return the exit code.

    Args:
        registry: The installed plugins.
        plugins: Their options.
        params: Values of all options and the paths, as click parsed them.
        say: Writes one line to standard error.

    Raises:
        DiffaiError: If it cannot be done.
    """
    _refuse_contradictions(params)
    if params["plugins"]:
        return _list_plugins(registry, plugins, as_json=params["json"])
    if params["new_plugin"]:
        return _write_plugin(*params["new_plugin"])
    paths = _paths(params["paths"])
    reporter = _reporter(registry, plugins, params)
    measuring = choose_kernel(registry, params["kernel"])
    warnings = (*_warnings(registry, plugins), *measuring.warnings)
    if not params["quiet"]:
        for line in warnings:
            say(line)
    report = replace(_compare(registry, plugins, params, measuring.kernel, paths), warnings=warnings)
    for finding in report.findings:
        if finding.level == "error":
            say(finding.message)
    _write(report, reporter, plugins, params)
    return report.exit_code


def _refuse_contradictions(params: Params) -> None:
    """What is asked for must be one thing: to list, to write a plugin, or to compare."""
    if params["json"] and not params["plugins"]:
        raise UsageError("--json belongs to --plugins; --format json writes the report as JSON")
    if params["plugins"] and params["new_plugin"]:
        raise UsageError("--plugins and --new-plugin exclude each other")
    mode = "--plugins" if params["plugins"] else "--new-plugin KIND NAME" if params["new_plugin"] else ""
    if mode and params["paths"]:
        raise UsageError(f"{mode} takes no paths; to compare, leave it out")


def _warnings(registry: Registry, plugins: PluginOptions) -> tuple[str, ...]:
    ineffective = plugins.without_effect(click.get_current_context())
    return (*registry.warnings, *map(str, registry.broken), *plugins.warnings, *ineffective)


def _list_plugins(registry: Registry, plugins: PluginOptions, *, as_json: bool) -> int:
    from diffai_core.plugin_table import plugin_rows, plugin_table

    if as_json:
        import json

        listing = json.dumps(plugin_rows(registry, plugins), indent=2)
    else:
        listing = plugin_table(registry, plugins)
    streams.write(f"{listing}\n")
    return 0


def _write_plugin(kind: str, name: str) -> int:
    from pathlib import Path

    from diffai_core.scaffold import next_steps, scaffold

    paths = scaffold(kind, name, Path.cwd())
    for path in paths:
        streams.write(f"wrote {path.relative_to(Path.cwd())}\n")
    streams.write(f"{next_steps(kind, name)}\n")
    return 0


def _paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    if len(paths) < 2:  # noqa: PLR2004 - OLD and NEW
        given = f"got {len(paths)}" if paths else "got none"
        raise UsageError(f"give two paths, OLD and NEW ({given}); diffai --help shows examples")
    return paths


def _reporter(registry: Registry, plugins: PluginOptions, params: Params) -> Registered[ReporterSpec]:
    flags = plugins.asked_reports(params)
    asked = [f"--{name}" for name in ("format", "output") if params[name] is not None] + [*flags]
    if len(asked) > 1:
        advice = "--format is the report, --output the bare results"
        raise UsageError(f"{' and '.join(asked)} exclude each other; {advice}")
    for kind, name in flags.values():
        return (registry.documents if kind == "document" else registry.results)[name]
    if params["output"] is not None:
        return choose_reporter(registry, "results", params["output"], "--output")
    return choose_reporter(registry, "document", "text" if params["format"] is None else params["format"], "--format")


def _compare(
    registry: Registry, plugins: PluginOptions, params: Params, kernel: Kernel, paths: tuple[str, ...]
) -> Report:
    values = plugins.values(params)
    enabled = set(plugins.enabled(params))
    if params["all_analyses"]:
        enabled.update(name for name, registered in registry.comparators.items() if not registered.spec.gate)
    rules = FolderRules(params["recursive"], params["include"], params["exclude"])
    with Progress(shown=streams.is_terminal(sys.stderr) and not params["quiet"]) as progress:
        settings = Settings(
            keys=key_filter(params),
            tolerances=tolerances(params),
            jobs=params["jobs"],
            max_memory=params["max_memory"],
            plugin_options={name: options for (kind, name), options in values.items() if kind == "comparator"},
            meter=progress,
            on_failure=streams.tell if params["debug"] else _ignore,
            kernel=kernel,
            reading=params["reading"],
            fail_on_unsafe=params["fail_on_unsafe"],
        )
        opening = Opening(params["input_format"], values, rules)
        return compare_paths(paths, registry, choose_comparators(registry, enabled), settings, opening)


def _ignore(_trace: str) -> None:
    """Without ``--debug`` the one line in the report says enough."""


def _write(report: Report, reporter: Registered[ReporterSpec], plugins: PluginOptions, params: Params) -> None:
    if params["quiet"]:
        return
    if params["brief"]:
        streams.write(f"{report.verdict}\n")
        return
    options = {**plugins.values(params).get(reporter.key, {}), **_terminal(params)}
    for piece in _rendered(reporter, report, options):
        streams.write(piece)


def _rendered(reporter: Registered[ReporterSpec], report: Report, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the pieces of the report; whatever the reporter does wrong is an error that names it."""
    render = resolve_target(reporter)
    pieces: Iterator[object] = _guarded(reporter, lambda: iter(render(report, options)))
    while (piece := _guarded(reporter, lambda: next(pieces, _END))) is not _END:
        if not isinstance(piece, str):
            given = f"gave a {type(piece).__name__} where a text belongs"
            raise PluginError(f"{reporter.label}: failed while reporting ({given}); report it to its authors")
        yield piece


def _guarded(reporter: Registered[ReporterSpec], call: Callable[[], T]) -> T:
    """Call code of a reporter.

    Raises:
        PluginError: Whatever the code raises.
    """
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = f"failed while reporting ({error_text(error)})"
        raise PluginError(f"{reporter.label}: {reason}; run with --debug for the traceback") from error


def _terminal(params: Params) -> dict[str, Any]:
    """What a reporter should know about where its text goes."""
    is_terminal = streams.is_terminal(sys.stdout)
    plain = params["no_color"] or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return {
        "color": is_terminal and not plain,
        "width": _width() if is_terminal else None,
        "verbose": params["verbose"],
        "full": params["verbose"],
    }


def _width() -> int:
    import shutil

    return max(shutil.get_terminal_size().columns, _NARROWEST)
