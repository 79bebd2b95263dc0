"""What a tensor of a train state is for, by the first parts of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_core.plugin import Role

import re

_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("optimizer", re.compile(r"(^|\.)(opt_state|optimizer_state|optimizer)(\.|$)")),
    ("ema", re.compile(r"(^|\.)(ema|ema_params|params_ema|ema_state)(\.|$)")),
    ("gradients", re.compile(r"(^|\.)(grads|grad_acc)(\.|$)")),
    ("buffers", re.compile(r"(^|\.)(batch_stats)(\.|$)")),
)


def role_of(name: str) -> Role:
    """Return the role of a tensor by name, as Flax, Optax and their users call the parts of a train state."""
    return next((role for role, pattern in _ROLES if pattern.search(name)), "weights")
