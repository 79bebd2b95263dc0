"""What the command does once its words are understood: list, scaffold, or compare and report."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from diffai_core.api import Opening, choose_comparators, compare_paths
from diffai_core.core_options import available_cores, key_filter, tolerances
from diffai_core.errors import UsageError
from diffai_core.folder import FolderRules
from diffai_core.lazy import resolve
from diffai_core.progress import Progress
from diffai_core.run import Settings
from diffai_core.selection import choose_reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_core.findings import Report
    from diffai_core.options import PluginOptions
    from diffai_core.registry import Registered, Registry
    from diffai_core.specs import ReporterSpec

    Params = Mapping[str, Any]

_NARROWEST = 40


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
    if params["plugins"]:
        return _list_plugins(registry, plugins, as_json=params["json"])
    if params["new_plugin"]:
        return _write_plugin(*params["new_plugin"])
    old, new = _two_paths(params["paths"])
    reporter = _reporter(registry, params)
    warnings = _warnings(registry, plugins)
    if not params["quiet"]:
        for line in warnings:
            say(line)
    report = replace(_compare(registry, plugins, params, old, new), warnings=warnings)
    for finding in report.findings:
        if finding.level == "error":
            say(finding.message)
    _write(report, reporter, plugins, params)
    return report.exit_code


def _warnings(registry: Registry, plugins: PluginOptions) -> tuple[str, ...]:
    ineffective = plugins.without_effect(click.get_current_context())
    return (*registry.warnings, *map(str, registry.broken), *plugins.warnings, *ineffective)


def _list_plugins(registry: Registry, plugins: PluginOptions, *, as_json: bool) -> int:
    from diffai_core.plugin_table import plugin_rows, plugin_table

    if as_json:
        click.echo(json.dumps(plugin_rows(registry, plugins), indent=2))
    else:
        click.echo(plugin_table(registry, plugins))
    return 0


def _write_plugin(kind: str, name: str) -> int:
    from pathlib import Path

    from diffai_core.scaffold import next_steps, scaffold

    paths = scaffold(kind, name, Path.cwd())
    for path in paths:
        click.echo(f"wrote {path.relative_to(Path.cwd())}")
    click.echo(next_steps(kind, name))
    return 0


def _two_paths(paths: tuple[str, ...]) -> tuple[str, str]:
    if len(paths) != 2:  # noqa: PLR2004 - OLD and NEW
        given = f"got {len(paths)}" if paths else "got none"
        raise UsageError(f"give two paths, OLD and NEW ({given}); diffai --help shows examples")
    return paths[0], paths[1]


def _reporter(registry: Registry, params: Params) -> Registered[ReporterSpec]:
    if params["format"] and params["output"]:
        raise UsageError("--format and --output exclude each other; --format is the report, --output the bare results")
    if params["output"]:
        return choose_reporter(registry, "results", params["output"], "--output")
    return choose_reporter(registry, "document", params["format"] or "text", "--format")


def _compare(registry: Registry, plugins: PluginOptions, params: Params, old: str, new: str) -> Report:
    values = plugins.values(params)
    enabled = registry.comparators if params["all_analyses"] else plugins.enabled(params)
    rules = FolderRules(params["recursive"], params["include"], params["exclude"])
    with Progress(shown=sys.stderr.isatty() and not params["quiet"]) as progress:
        settings = Settings(
            keys=key_filter(params),
            tolerances=tolerances(params),
            jobs=params["jobs"] or available_cores(),
            max_memory=params["max_memory"],
            plugin_options={name: options for (kind, name), options in values.items() if kind == "comparator"},
            progress=progress,
            on_failure=_show if params["debug"] else _ignore,
        )
        opening = Opening(params["input_format"], values, rules)
        return compare_paths(old, new, registry, choose_comparators(registry, enabled), settings, opening)


def _show(trace: str) -> None:
    sys.stderr.write(trace)


def _ignore(_trace: str) -> None:
    """Without ``--debug`` the one line in the report says enough."""


def _write(report: Report, reporter: Registered[ReporterSpec], plugins: PluginOptions, params: Params) -> None:
    if params["quiet"]:
        return
    # A name that the terminal's encoding lacks must not end the report.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper in a command
    if params["brief"]:
        sys.stdout.write(f"{report.verdict}\n")
        return
    render = resolve(reporter.spec.target, reporter.label)
    options = {**plugins.values(params).get(reporter.key, {}), **_terminal(params)}
    for piece in render(report, options):
        sys.stdout.write(piece)


def _terminal(params: Params) -> dict[str, Any]:
    """What a reporter should know about where its text goes."""
    is_terminal = sys.stdout.isatty()
    plain = params["no_color"] or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return {
        "color": is_terminal and not plain,
        "width": max(shutil.get_terminal_size().columns, _NARROWEST) if is_terminal else None,
        "verbose": params["verbose"],
        "full": params["verbose"],
    }
