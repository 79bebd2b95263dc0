"""The command ``diffai``: from the words of a command line to an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from diffai_core import streams
from diffai_core.errors import DiffaiError
from diffai_core.interrupts import INTERRUPTED, end_now, end_on_interrupt
from diffai_core.wording import did_you_mean, error_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

TROUBLE = 2
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; the entry point of the script.

    Args:
        arguments: Words after the program's name. If not given, those of the process, which then is taken to end
            with the command: an interrupt ends it at once, and closed standard streams are replaced.
    """
    owns_process = arguments is None
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        if owns_process:
            streams.reserve_numbers()
            end_on_interrupt()
        code = _answer(words)
        if owns_process:
            streams.settle()
    except KeyboardInterrupt:
        if owns_process:
            end_now()
        return INTERRUPTED
    return code


def say(message: str) -> None:
    """Write one line to standard error; what could control a terminal is escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
    streams.tell(f"diffai: {shown}\n")


def _answer(words: list[str]) -> int:
    # The pool of BLAS threads costs 60 ms at start and is never used: sums must not depend on a number of threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = _run(words)
        streams.flush()
    except BrokenPipeError:  # the reader has gone (`diffai … | head`)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit(0) among it: never an answer
        if "--debug" in words:
            import traceback

            streams.tell(traceback.format_exc())
        say(_message(error))
        return TROUBLE
    return code


def _message(error: BaseException) -> str:
    import click

    if isinstance(error, click.ClickException):
        return _usage_message(error)
    if isinstance(error, (DiffaiError, MemoryError, OSError)):
        return str(error) or type(error).__name__
    return f"internal error ({error_text(error)}); run with --debug for the traceback and report it"


def _usage_message(error: click.ClickException) -> str:
    import click

    from diffai_core.known import KNOWN_FLAGS

    if isinstance(error, click.NoSuchOption):
        if error.option_name in KNOWN_FLAGS:
            return f"{error.option_name}: no installed plugin adds it; pip install {KNOWN_FLAGS[error.option_name]}"
        return f"{error.option_name}: no such option{did_you_mean(error.option_name, _long_options(error.ctx))}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        names = error.param.opts or [error.param.human_readable_name]
        return f"{max(names, key=len)}: {error.message}"
    return error.format_message().rstrip(".")


def _long_options(context: click.Context | None) -> list[str]:
    params = context.command.get_params(context) if context else []
    return [name for param in params for name in param.opts if name.startswith("--")]


def _run(words: list[str]) -> int:
    from click.exceptions import Exit

    from diffai_core.core_options import core_options, option_names
    from diffai_core.help import HelpfulCommand
    from diffai_core.options import plugin_options
    from diffai_core.registry import load_registry

    registry = load_registry()
    core = core_options()
    plugins = plugin_options(registry, option_names(core))

    def run(**params: Any) -> int:
        from diffai_core.command import dispatch

        return dispatch(registry, plugins, params, say)

    command = HelpfulCommand(core, plugins, registry, callback=run)
    # Not Command.main: on an interrupt it writes to standard error.
    try:
        context = command.make_context("diffai", list(words))
    except Exit as ended:  # --help or --version
        return ended.exit_code
    with context:
        return int(command.invoke(context))


if __name__ == "__main__":
    sys.exit(main())
