"""Which keys a run looks at, and how far values under a key may differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diffai_core.artifact import TensorRef


@lru_cache(maxsize=1)
def _training_state() -> re.Pattern[str]:
    """Compile it when it is asked for: no start has to wait for it."""
    return re.compile(
        r"""(?: ^ | [./:\]"] )
            (?: optim | optimizers? | optimizer[-_]states? | optimizer[-_]state[-_]dict | opt[-_]state
              | (?:lr[-_])?schedulers? (?:[-_]state[-_]dict)? | (?:grad|loss|amp)?[-_]?scaler (?:[-_]state[-_]dict)?
              | (?:\w+[-_])?rng[-_]states? (?:_\d+)? )
            (?: $ | [.\["] | \.(?:pt|pth|bin|safetensors)\b )""",
        re.VERBOSE | re.IGNORECASE,
    )


def is_training_state(key: str) -> bool:
    """Whether a key names state of an optimizer, a scheduler, a gradient scaler or a generator of random numbers.

    Example:
        >>> [is_training_state(key) for key in ("optimizer.state.0.exp_avg", "rng_state", "optimizer_head.weight")]
        [True, True, False]
    """
    return _training_state().search(key) is not None


@dataclass(frozen=True)
class KeyFilter:
    """The keys (tensor names, tree paths, columns) that a run looks at.

    Args:
        pattern: ``--filter``: only keys in which it is found.
        path: ``--path``: only this key and those under it (``encoder`` keeps ``encoder.layer.0`` and not ``encoder2``).
        ignore: ``--ignore-keys-regex``: no keys in which it is found.
        ignore_optimizer_state: ``--ignore-optimizer-state``: nothing that only a training needs to go on.
    """

    pattern: re.Pattern[str] | None = None
    path: str = ""
    ignore: re.Pattern[str] | None = None
    ignore_optimizer_state: bool = False

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
        if self.ignore_optimizer_state and is_training_state(key):
            return False
        return self.ignore is None or not self.ignore.search(key)

    def keeps_tensor(self, ref: TensorRef) -> bool:
        """Whether a tensor is looked at, by its name and its role."""
        return self.keeps(ref.name) and not (self.ignore_optimizer_state and ref.role == "optimizer")

    @property
    def active(self) -> bool:
        """Whether anything can be left out."""
        return bool(self.pattern or self.path or self.ignore or self.ignore_optimizer_state)


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
