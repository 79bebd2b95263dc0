"""What a tensor of a checkpoint is for, by the names that PaddlePaddle gives."""

from __future__ import annotations

import re
from typing import Literal

_OPTIMIZER = re.compile(
    r"_(?:moment[12]?(?:_max)?|velocity|beta[12]_pow_acc|inf_norm|mean_square|mean_grad|momentum|fp32_master"
    r"|_avg_squared_grad|_avg_squared_update|sum_\d)_\d+$"
)
_BUFFERS = re.compile(r"(?:^|\.)_(?:mean|variance)$")


def role_of(name: str) -> Literal["weights", "optimizer", "buffers"]:
    """Return the role of a tensor.

    Example:
        >>> role_of("linear_0.w_0_moment1_0"), role_of("bn._mean"), role_of("fc.weight")
        ('optimizer', 'buffers', 'weights')
    """
    if _OPTIMIZER.search(name):
        return "optimizer"
    return "buffers" if _BUFFERS.search(name) else "weights"
