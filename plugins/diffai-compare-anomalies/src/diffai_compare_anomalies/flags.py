"""What is said of a tensor that stands out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Status


class Flag(NamedTuple):
    """One reason why a tensor of one side, or a pair of tensors, stands out.

    Args:
        where: Key of the tensor in the report.
        metric: What stands out: ``non_finite``, ``outlying_log_rms`` …
        value: The measured value.
        message: Why, in a line for a person.
        null: What the value is for a tensor of this shape with which nothing is wrong.
        threshold: What the value was held against.
        threshold_source: Where the threshold comes from.
        status: How sure it is.
        more: Further values: indices, offsets, shares.
    """

    where: str
    metric: str
    value: Any
    message: str
    null: Any = 0
    threshold: Any = None
    threshold_source: str = ""
    status: Status = "measured"
    more: Mapping[str, Any] = {}

    @property
    def key(self) -> tuple[str, str]:
        """What makes the same flag of the other side its counterpart."""
        return self.where, self.metric
