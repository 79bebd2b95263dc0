"""``--learning-rate-analysis``: rates, schedules, and whether they agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_training import training_of

from diffai_compare_hyperparameters.estimate import Estimate, estimates, least_rate_sum
from diffai_compare_hyperparameters.schedule import TOLERANCE, Check, checks_of
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_lib_training import LearningRate, Training

    from diffai_core.plugin import Artifact, Comparison

KIND = "learning_rate_analysis"


@dataclass(frozen=True)
class Side:
    """Learning rates of one side.

    Args:
        training: What the training left behind.
        rates: Rates of the first source that has any, one for each group.
        checks: Its schedules held against its rates.
    """

    training: Training
    rates: tuple[LearningRate, ...]
    checks: tuple[Check, ...]

    @property
    def rate(self) -> float | None:
        """The rate of the first group."""
        return self.rates[0].value if self.rates else None

    @property
    def pattern(self) -> str | None:
        """The schedule in words; ``None`` if the files do not say."""
        known = [check.pattern for check in self.checks if check.predicted] or [check.pattern for check in self.checks]
        return "; ".join(dict.fromkeys(known)) or None

    @property
    def mismatches(self) -> list[Check]:
        """Schedules from which the rates depart, and rates on which optimizer and scheduler disagree."""
        found = [check for check in self.checks if check.departs]
        optimizer = tuple(rate.value for rate in self.training.learning_rates if rate.source == "optimizer")
        scheduler = tuple(rate.value for rate in self.training.learning_rates if rate.source == "scheduler")
        both = Check("param_groups", "the rate that the scheduler set last", None, scheduler, optimizer)
        return [*found, both] if both.departs else found


def _side(artifact: Artifact, comparison: Comparison) -> Side:
    training = training_of(artifact, comparison.keys.keeps)
    known = training.learning_rates
    source = known[0].source if known else ""
    rates = tuple(rate for rate in known if rate.source == source)
    return Side(training, rates, tuple(checks_of(training, artifact.tree)))


def analyse(comparison: Comparison, _: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the summary, and a finding for each schedule that is not kept to."""
    old, new = (_side(artifact, comparison) for artifact in (comparison.old, comparison.new))
    if not old.rates and not new.rates:
        yield Finding(KIND, status="not_measurable", level="info", message=_missing(comparison))
        return
    found = estimates(comparison, old.training, new.training)
    yield _summary(comparison, old, new, found)
    before = {check.path for check in old.mismatches}
    for check in new.mismatches:
        yield Finding(
            "learning_rate_off_schedule",
            level="info" if check.path in before else "warning",
            values=check.row(),
            null={"max_rel_error": 0.0},
            threshold=TOLERANCE,
            threshold_source="calibrated",
            message=f"the learning rate is not that of the schedule ({check.pattern}) at {check.path}",
        )


def _missing(comparison: Comparison) -> str:
    if comparison.keys.ignore_optimizer_state:
        return "optimizer and scheduler are left out, as --ignore-optimizer-state asks; run without it"
    return (
        "no learning rate is in the files: needs param_groups, a scheduler's state, a log or settings (also as"
        " metadata of safetensors); give training checkpoints"
    )


def _summary(comparison: Comparison, old: Side, new: Side, found: Sequence[Estimate]) -> Finding:
    before, after = old.training.step(), new.training.step()
    steps = after - before if before is not None and after is not None else None
    bound = None if found else least_rate_sum(comparison, new.training)
    values: dict[str, Any] = {
        "lr_old": old.rate,
        "lr_new": new.rate,
        "lr_ratio": _ratio(old.rate, new.rate),
        "pattern_old": old.pattern,
        "pattern_new": new.pattern,
        "max_rel_error_old": _worst(old),
        "max_rel_error_new": _worst(new),
        "steps_between": steps,
    }
    if found:
        values["lr_from_weights"] = found[0].rate
        values["weight_decay_from_weights"] = found[0].decay
        values["from_weights"] = [estimate.row() for estimate in found]
    if bound is not None:
        values["lr_sum_lower_bound"] = bound
        values["lr_mean_lower_bound"] = bound / steps if steps and steps > 0 else None
    for name, side in (("old", old), ("new", new)):
        values[f"details_{name}"] = _details(side)
    return Finding(
        KIND,
        level="info",
        values=values,
        null={"lr_ratio": 1.0, "max_rel_error_new": 0.0},
        message=_message(old, new, found),
    )


def _ratio(old: float | None, new: float | None) -> float | None:
    if not old or new is None or not math.isfinite(old) or not math.isfinite(new):
        return None
    return new / old


def _details(side: Side) -> dict[str, Any]:
    """Return where the rates of one side stand and what its schedules say."""
    return {
        "source": side.rates[0].source if side.rates else None,
        "path": side.rates[0].path if side.rates else None,
        "n_groups": len(side.rates),
        "groups": [{"path": rate.path, "lr": rate.value, "group": rate.group} for rate in side.rates],
        "schedules": [check.row() for check in side.checks],
        "step": side.training.step(),
        "epoch": side.training.epoch,
    }


def _worst(side: Side) -> float | None:
    return max((check.error for check in side.checks if check.error is not None), default=None)


def _message(old: Side, new: Side, found: Sequence[Estimate]) -> str:
    parts = []
    for name, side in (("OLD", old), ("NEW", new)):
        if not side.rates:
            parts.append(f"{name} holds no learning rate")
        else:
            many = len({rate.value for rate in side.rates})
            groups = f", {many} different in {len(side.rates)} groups" if many > 1 else ""
            parts.append(f"{name}: {side.rate:.6g} from {side.rates[0].path}{groups}")
    if found:
        parts.append("one step apart: weights and moments give the rate itself")
    return "; ".join(parts)
