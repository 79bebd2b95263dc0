"""What a variable is for, as far as its name says it in the ways that TensorFlow and Keras name variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from diffai_core.plugin import Role

ATTRIBUTE = "/.ATTRIBUTES/"
_OPTIMIZER = re.compile(r"(?:^|/)_?optimizer(?:/|$)|/\.OPTIMIZER_SLOT/")
_AVERAGES = frozenset({"ExponentialMovingAverage"})
_SLOTS = re.compile(
    r"(?:Adam|Momentum|RMSProp|Adagrad|Adadelta|Ftrl|AdaMax|AdagradDA|LAMB|adam_[mv]|lamb_[mv]|vr|vc|v)(?:_\d+)?"
)
_POWERS = frozenset({"beta1_power", "beta2_power"})
_BUFFERS = frozenset({"moving_mean", "moving_variance", "global_step", "save_counter"})
_METRICS = re.compile(r"(?:^|/)(?:keras_api/)?metrics/")


def role_of(name: str, names: Collection[str]) -> Role:
    """Return the role of the variable ``name`` among all ``names`` of its checkpoint.

    Args:
        name: Its key.
        names: All keys; a slot of an optimizer has the name of its variable in front.

    Example:
        >>> role_of("dense/kernel/Adam_1", {"dense/kernel", "dense/kernel/Adam_1"})
        'optimizer'
    """
    path = name.split(ATTRIBUTE, maxsplit=1)[0]
    parent, _, last = path.rpartition("/")
    if _OPTIMIZER.search(path) or last in _POWERS:
        return "optimizer"
    if parent in names and last in _AVERAGES:
        return "ema"
    if parent in names and _SLOTS.fullmatch(last):
        return "optimizer"
    return "buffers" if last in _BUFFERS or _METRICS.search(path) else "weights"
