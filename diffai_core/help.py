"""The click command and its help: options by subject, analyses by plugin, formats, and what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from diffai_core import streams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from diffai_core.options import PluginOptions
    from diffai_core.registry import Registry

_EXAMPLES = (
    "diffai base.safetensors finetuned.safetensors",
    "diffai old.safetensors new.safetensors --filter 'attention.*' --stats",
    "diffai checkpoint_a/ checkpoint_b/ --format json > report.json",
    "diffai old.safetensors new.safetensors --epsilon 1e-6 --quiet && echo same",
)
_EXIT_CODES = "0 the same, 1 different, 2 trouble, 3 no difference found but something was not compared."


class HelpfulCommand(click.Command):
    """The command with a help that stays readable however many plugins there are.

    Args:
        core: Options of the core by heading.
        plugins: Options of the plugins.
        registry: What is installed.
        callback: Called with all parameters.
    """

    def __init__(
        self,
        core: Mapping[str, list[click.Parameter]],
        plugins: PluginOptions,
        registry: Registry,
        callback: Callable[..., int],
    ) -> None:
        self._core = core
        self._plugins = plugins
        self._registry = registry
        options = [option for group in core.values() for option in group]
        version = click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=self._version,
            help="Show versions.",
        )
        core["About"].append(version)
        # Not click's own: where standard output is closed, that one is content to write nothing.
        help_option = click.Option(
            ["-h", "--help"], is_flag=True, expose_value=False, is_eager=True, callback=self._help
        )
        super().__init__(
            "diffai",
            callback=callback,
            params=[click.Argument(["paths"], nargs=-1), *options, version, help_option, *plugins.click_options()],
            context_settings={"max_content_width": 100},
            add_help_option=False,
        )

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage line."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] OLD NEW [LATER]...")

    def format_help_text(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does."""
        formatter.write_paragraph()
        formatter.write_text("What changed between two models, configs, results or datasets.")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by subject, then one group for each plugin."""
        for heading, options in self._core.items():
            _write_options(ctx, formatter, heading, options)
        for group in self._plugins.groups:
            _write_options(ctx, formatter, f"From {group.plugin}", group.click_options())

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write formats, exit codes, examples, and the plugins that do not work."""
        registry = self._registry
        with formatter.section("Formats"):
            formatter.write_text(", ".join(sorted(registry.loaders)) or "none: pip install 'diffai[all]'")
        with formatter.section("Reports"):
            names = sorted(
                {f"--format {name}" for name in registry.documents} | {f"--output {n}" for n in registry.results}
            )
            formatter.write_text(", ".join(names) or "none: pip install diffai-report-text")
        with formatter.section("Exit codes"):
            formatter.write_text(_EXIT_CODES)
        with formatter.section("Examples"):
            for example in _EXAMPLES:
                formatter.write_text(example)
        if registry.broken or self._plugins.warnings:
            with formatter.section("Not working (see diffai --plugins)"):
                for line in (*map(str, registry.broken), *self._plugins.warnings):
                    formatter.write_text(line)

    def _help(self, ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            streams.write(f"{ctx.get_help()}\n")
            ctx.exit()

    def _version(self, ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if not value:
            return
        from diffai_core import __version__

        labels = dict.fromkeys(registered.label for registered in self._registry.registered)
        streams.write("".join(f"{line}\n" for line in (f"diffai {__version__}", *labels)))
        ctx.exit()


def _write_options(
    ctx: click.Context, formatter: click.HelpFormatter, heading: str, options: Sequence[click.Parameter]
) -> None:
    records = [record for option in options if (record := option.get_help_record(ctx))]
    if records:
        with formatter.section(heading):
            formatter.write_dl(records, col_max=34)
