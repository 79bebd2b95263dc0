"""The command-line options of the core: inputs, selection, tolerances, output, resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from diffai_core import values
from diffai_core.keys import KeyFilter, Tolerance, Tolerances
from diffai_core.options import Checked

if TYPE_CHECKING:
    from collections.abc import Mapping


def core_options() -> dict[str, list[click.Parameter]]:
    """Return the options of the core by the heading under which the help shows them."""
    option = _option
    return {
        "Input": [
            option("-f", "--input-format", metavar="NAME", help="Read both inputs as this format."),
            option("-r", "--recursive", is_flag=True, help="Compare folders with everything below them."),
            option("--include", multiple=True, metavar="GLOB", help="In folders, only files that match; repeatable."),
            option("--exclude", multiple=True, metavar="GLOB", help="In folders, nothing that matches; repeatable."),
            option("--fail-on-unsafe", is_flag=True, help="Fail where a file wants foreign code to be called."),
        ],
        "Selection": [
            option(
                "--filter",
                type=Checked("regex", values.regex),
                metavar="REGEX",
                help="Only keys in which REGEX is found.",
            ),
            option("--path", metavar="KEY", help="Only KEY and the keys under it."),
            option(
                "--ignore-keys-regex",
                type=Checked("regex", values.regex),
                metavar="REGEX",
                help="No keys in which REGEX is found.",
            ),
            option(
                "--ignore-optimizer-state",
                is_flag=True,
                help="No state of optimizers, schedulers, scalers and random numbers.",
            ),
        ],
        "Tolerance": [
            option(
                "--epsilon",
                type=Checked("number", values.typed(values.decimal, values.non_negative)),
                default=0.0,
                show_default=True,
                metavar="NUMBER",
                help="Numbers that differ by at most NUMBER are the same.",
            ),
            option(
                "--tolerance-per-layer",
                type=Checked("tolerance", values.layer_tolerance),
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
        "Analyses": [option("--all", "all_analyses", is_flag=True, help="Run every installed analysis but gates.")],
        "Performance": [
            option(
                "--jobs",
                type=Checked("jobs", values.typed(int, values.job_count)),
                metavar="N",
                help="Worker threads; one for each core, but a single one where NumPy measures.",
            ),
            option(
                "--kernel", metavar="NAME", help="What measures: auto, numpy, or a faster kernel that is installed."
            ),
            option(
                "--io",
                "reading",
                type=Checked("way of reading", values.reading_way),
                default="auto",
                show_default=True,
                metavar="WAY",
                help="Get at files by mmap or read; auto maps large local files, numpy always reads.",
            ),
            option(
                "--max-memory",
                type=Checked("bytes", values.byte_count),
                default="256M",
                metavar="SIZE",
                show_default=True,
                help="Memory for buffers and what is being measured.",
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
    return KeyFilter(
        params["filter"], params["path"] or "", params["ignore_keys_regex"], params["ignore_optimizer_state"]
    )


def tolerances(params: Mapping[str, Any]) -> Tolerances:
    """Return the tolerances asked for."""
    return Tolerances(Tolerance(atol=params["epsilon"]), tuple(params["tolerance_per_layer"]))
