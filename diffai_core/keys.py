"""Which keys a run looks at, and how far values under a key may differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import re


@dataclass(frozen=True)
class KeyFilter:
    """The keys (tensor names, tree paths, columns) that a run looks at.

    Args:
        pattern: ``--filter``: only keys in which it is found.
        path: ``--path``: only this key and those under it (``encoder`` keeps ``encoder.layer.0`` and not ``encoder2``).
        ignore: ``--ignore-keys-regex``: no keys in which it is found.
    """

    pattern: re.Pattern[str] | None = None
    path: str = ""
    ignore: re.Pattern[str] | None = None

    def keeps(self, key: str) -> bool:
        """Whether ``key`` is looked at.

        Example:
            >>> KeyFilter(path="encoder").keeps("encoder.layer.0"), KeyFilter(path="encoder").keeps("encoder2")
            (True, False)
        """
        if self.path and key != self.path and not key.startswith((f"{self.path}.", f"{self.path}[")):
            return False
        if self.pattern is not None and not self.pattern.search(key):
            return False
        return self.ignore is None or not self.ignore.search(key)

    @property
    def active(self) -> bool:
        """Whether anything can be left out."""
        return bool(self.pattern or self.path or self.ignore)


class Tolerance(NamedTuple):
    """Values are within tolerance when ``|new - old| <= atol + rtol * |old|``."""

    rtol: float = 0.0
    atol: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether nothing but equality will do."""
        return self.rtol == 0 and self.atol == 0


EXACT = Tolerance()
"""Nothing but equality will do."""


@dataclass(frozen=True)
class Tolerances:
    """The tolerance of every key: the first matching pattern, else the default.

    Args:
        default: ``--epsilon`` as an absolute tolerance.
        by_pattern: ``--tolerance-per-layer``, in the order given; a pattern matches where it is found in the key.
    """

    default: Tolerance = EXACT
    by_pattern: tuple[tuple[re.Pattern[str], Tolerance], ...] = ()

    def of(self, key: str) -> Tolerance:
        """Return the tolerance of ``key``."""
        for pattern, tolerance in self.by_pattern:
            if pattern.search(key):
                return tolerance
        return self.default
