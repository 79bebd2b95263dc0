"""The command ``diffai``: from the words of a command line to an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from diffai_core.errors import DiffaiError
from diffai_core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

TROUBLE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; the entry point of the script.

    Args:
        arguments: Words after the program's name; those of the process if not given.
    """
    # The pool of BLAS threads costs 60 ms at start and is never used: sums must not depend on a number of threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`diffai … | head`): nothing can be written any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        # Nothing is written anywhere, so there is nothing to tidy: end at once, whatever the workers are doing.
        sys.stdout.flush()
        os._exit(INTERRUPTED)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        return _trouble(_usage_message(error), words)
    except (DiffaiError, MemoryError, OSError) as error:
        return _trouble(str(error) or type(error).__name__, words)
    return code


def say(message: str) -> None:
    """Write one line to standard error; what could control a terminal is escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
    print(f"diffai: {shown}", file=sys.stderr)  # noqa: T201 - a command speaks on standard error


def _trouble(message: str, words: Sequence[str]) -> int:
    if "--debug" in words:
        import traceback

        traceback.print_exc()
    say(message)
    return TROUBLE


def _usage_message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"{error.option_name}: no such option{did_you_mean(error.option_name, error.possibilities or ())}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        names = error.param.opts or [error.param.human_readable_name]
        return f"{max(names, key=len)}: {error.message}"
    return error.format_message().rstrip(".")


def _run(words: list[str]) -> int:
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
    with command.make_context("diffai", list(words)) as context:
        return int(command.invoke(context))


if __name__ == "__main__":
    sys.exit(main())
