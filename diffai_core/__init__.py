"""diffai: says truly what changed between two machine-learning artefacts.

Example:
    >>> from diffai_core import compare
    >>> report = compare("old.safetensors", "new.safetensors")  # doctest: +SKIP
    >>> report.exit_code  # doctest: +SKIP
    1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffai_core.api import compare as compare

__version__ = "0.1.0"
__all__ = ["__version__", "compare"]


def __getattr__(name: str) -> Any:
    if name == "compare":  # lazily, so that `import diffai_core.plugin` stays light
        from diffai_core.api import compare

        return compare
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
