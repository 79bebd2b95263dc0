"""Resolve ``package.module:object``, with an error that names plugin, module and missing dependency."""

from __future__ import annotations

import importlib
import re
from typing import Any

from diffai_core.errors import PluginError

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_target(text: str) -> bool:
    """Whether ``text`` has the form ``package.module:object``.

    Example:
        >>> is_target("acme_diffai.loader:open_acme"), is_target("acme_diffai.loader")
        (True, False)
    """
    return _TARGET.fullmatch(text) is not None


def resolve(target: str, owner: str) -> Any:
    """Import the module of ``target`` and return the object it names.

    Args:
        target: ``package.module:object``.
        owner: Distribution and version for the message, for instance ``diffai-load-hdf5 0.1.0``.

    Raises:
        PluginError: If the module, one of its dependencies, or the object is missing, or the import fails.
    """
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if missing.partition(".")[0] == module_name.partition(".")[0]:
            reason = f"has no module {missing!r}; reinstall it"
        else:
            reason = f"needs the package {missing.partition('.')[0]!r}; pip install {missing.partition('.')[0]}"
        raise PluginError(f"{owner}: {reason}") from error
    except (Exception, SystemExit) as error:
        msg = f"{owner}: importing {module_name} failed ({type(error).__name__}: {error}); report it to its authors"
        raise PluginError(msg) from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            msg = f"{owner}: module {module_name} has no {attribute!r}; report it to its authors"
            raise PluginError(msg) from error
    return found
