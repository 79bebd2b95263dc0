"""The command-line options of the core: inputs, selection, tolerances, output, resources."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from diffai_core.keys import KeyFilter, Tolerance, Tolerances
from diffai_core.options import RegexType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SMALLEST_MEMORY = 32 << 20


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A number of bytes such as ``256M`` or ``1.5GiB``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", value.strip(), re.IGNORECASE)
        if not found:
            self.fail(f"{value!r} is not a size; write for instance 256M or 1G", param, ctx)
        n_bytes = int(float(found[1]) * _UNITS[found[2].upper()])
        if n_bytes < _SMALLEST_MEMORY:
            self.fail(f"{value} is too little; the smallest is 32M", param, ctx)
        return n_bytes


class NonNegative(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A finite number that is not negative."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = _number(str(value))
        if number is None:
            self.fail(f"{value!r} is not a finite number of at least 0", param, ctx)
        return number


class LayerTolerance(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """``PATTERN=rtol,atol``."""

    name = "tolerance"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[re.Pattern[str], Tolerance]:
        """Return the compiled pattern and its tolerance."""
        if isinstance(value, tuple):
            return value
        pattern, equals, numbers = str(value).rpartition("=")
        parts = [_number(part) for part in numbers.split(",")]
        if not equals or not pattern or len(parts) != 2 or None in parts:  # noqa: PLR2004 - rtol and atol
            self.fail(f"{value!r} is not PATTERN=rtol,atol; write for instance 'norm=1e-3,1e-6'", param, ctx)
        RegexType().convert(pattern, param, ctx)
        return re.compile(pattern), Tolerance(*(part or 0.0 for part in parts))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def core_options() -> dict[str, list[click.Parameter]]:
    """Return the options of the core by the heading under which the help shows them."""
    option = _option
    return {
        "Input": [
            option("-f", "--input-format", metavar="NAME", help="Read both inputs as this format."),
            option("-r", "--recursive", is_flag=True, help="Compare folders with everything below them."),
            option("--include", multiple=True, metavar="GLOB", help="In folders, only files that match; repeatable."),
            option("--exclude", multiple=True, metavar="GLOB", help="In folders, no files that match; repeatable."),
        ],
        "Selection": [
            option("--filter", type=RegexType(), metavar="REGEX", help="Only keys in which REGEX is found."),
            option("--path", metavar="KEY", help="Only KEY and the keys under it."),
            option("--ignore-keys-regex", type=RegexType(), metavar="REGEX", help="No keys in which REGEX is found."),
        ],
        "Tolerance": [
            option(
                "--epsilon",
                type=NonNegative(),
                default=0.0,
                metavar="NUMBER",
                help="Numbers that differ by at most NUMBER are the same.",
            ),
            option(
                "--tolerance-per-layer",
                type=LayerTolerance(),
                multiple=True,
                metavar="PATTERN=RTOL,ATOL",
                help="Tolerance of keys in which PATTERN is found; repeatable, the first match counts.",
            ),
        ],
        "Output": [
            option("-o", "--output", metavar="NAME", help="Write the list of results: cli, json or yaml."),
            option("--format", "--output-format", "format", metavar="NAME", help="Write a report: text, json or yaml."),
            option("--brief", is_flag=True, help="Write the verdict only, one line."),
            option("-q", "--quiet", is_flag=True, help="Write nothing; the exit code is the answer."),
            option("-v", "--verbose", is_flag=True, help="Write every line of long lists."),
            option("--no-color", is_flag=True, help="No colours, as with NO_COLOR set."),
            option("--debug", is_flag=True, help="Show the traceback of an error."),
        ],
        "Analyses": [option("--all", "all_analyses", is_flag=True, help="Run every installed analysis.")],
        "Performance": [
            option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Worker threads; default: one per core."),
            option(
                "--max-memory",
                type=Bytes(),
                default=256 << 20,
                metavar="SIZE",
                show_default="256M",
                help="Memory for buffers.",
            ),
        ],
        "About": [
            option("--plugins", is_flag=True, help="List plugins, formats and flags, and what is broken."),
            option("--json", is_flag=True, help="With --plugins: as JSON."),
            option(
                "--new-plugin",
                nargs=2,
                metavar="KIND NAME",
                help="Write a working plugin of KIND load, compare or report.",
            ),
        ],
    }


def _option(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, **settings)


def option_names(groups: Mapping[str, list[click.Parameter]]) -> set[str]:
    """Return all long names without dashes, with those that click adds."""
    names = {name.lstrip("-") for group in groups.values() for option in group for name in option.opts}
    return names | {"help", "version"}


def key_filter(params: Mapping[str, Any]) -> KeyFilter:
    """Return the selection asked for."""
    compiled: Callable[[str | None], re.Pattern[str] | None] = lambda text: re.compile(text) if text else None  # noqa: E731 - a local shorthand
    return KeyFilter(compiled(params["filter"]), params["path"] or "", compiled(params["ignore_keys_regex"]))


def tolerances(params: Mapping[str, Any]) -> Tolerances:
    """Return the tolerances asked for."""
    return Tolerances(Tolerance(atol=params["epsilon"]), tuple(params["tolerance_per_layer"]))


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
