"""What the state of an optimizer says of the gradients of each parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_training import training_of

from diffai_compare_gradients.sums import exact_sum

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_lib_training import Optimizer, ParameterState, Training

    from diffai_compare_gradients.sums import SideSums, Sums
    from diffai_core.plugin import Artifact, KeyFilter, TensorRef

_SECOND = ("exp_avg_sq", "square_avg", "exp_avg_sq_row", "row_var", "variance")
_DECAY = {"square_avg": "alpha"}


@dataclass(frozen=True)
class Source:
    """The state of one parameter from which its gradients can be told.

    Args:
        state: The state.
        optimizer: Its optimizer.
        second: Running mean of g²; ``None`` if there is none.
        first: Running mean of g; ``None`` if there is none.
        momentum: Running sum of g; ``None`` if there is none.
        step: Steps taken; ``None`` if the file does not say.
        beta1: Decay of ``first`` in a step.
        beta2: Decay of ``second``.
    """

    state: ParameterState
    optimizer: Optimizer
    second: TensorRef | None
    first: TensorRef | None
    momentum: TensorRef | None
    step: int | None
    beta1: float | None
    beta2: float | None

    @property
    def name(self) -> str:
        """The parameter's tensor where it is known, else a state tensor: a key of the artefact either way."""
        ref = self.second or self.direction
        return self.state.name or (ref.name if ref is not None else "")

    @property
    def direction(self) -> TensorRef | None:
        """What keeps the direction of the gradients."""
        return self.first or self.momentum

    @property
    def numel(self) -> int:
        """Elements of the parameter."""
        shape = self.state.shape
        return 0 if shape is None else math.prod(shape)

    @property
    def is_factored(self) -> bool:
        """Whether the second moment is kept as row and column means (Adafactor)."""
        slot = "" if self.second is None else self.second.name.rpartition(".")[2]
        return slot in {"exp_avg_sq_row", "row_var"}

    @property
    def correction1(self) -> float | None:
        """What the first moment is divided by: 1 - β1^t."""
        return _correction(self.beta1, self.step)

    @property
    def correction2(self) -> float | None:
        """What the second moment is divided by: 1 - β2^t; Adafactor's needs no correction."""
        if self.optimizer.kind == "adafactor":
            return 1.0
        return _correction(self.beta2, self.step)

    @property
    def noise_null(self) -> float | None:
        """Pooled R of gradients that are all noise: Σ of the squared weights of the running mean, at this step."""
        if self.beta1 is None or self.correction1 is None or self.step is None:
            return None
        return (1 - self.beta1) / (1 + self.beta1) * (1 + self.beta1**self.step) / self.correction1


def _correction(beta: float | None, step: int | None) -> float | None:
    if beta is None or step is None or step < 1 or not 0 <= beta < 1:
        return None
    return float(1 - beta**step)


@dataclass(frozen=True)
class SideState:
    """What one side holds.

    Args:
        training: What a training left behind.
        sources: One for each parameter whose gradients the state remembers.
        n_without: Parameters of the groups that have no state.
        numel_all: Elements of all parameters with state, remembered or not.
    """

    training: Training
    sources: tuple[Source, ...]
    n_without: int
    numel_all: int

    @property
    def sized(self) -> tuple[Source, ...]:
        """Those whose size is known, not their direction alone."""
        return tuple(source for source in self.sources if source.second is not None)

    @property
    def kinds(self) -> str:
        """The kinds of the optimizers, joined."""
        return ", ".join(sorted({optimizer.kind or "unknown" for optimizer in self.training.optimizers}))

    @property
    def step(self) -> int | None:
        """The largest step of a parameter."""
        return max((source.step for source in self.sources if source.step is not None), default=None)


def state_of(artifact: Artifact, keys: KeyFilter) -> SideState:
    """Return what an artefact holds of optimizers, as far as the user wants to see it."""
    training = training_of(artifact)
    sources: list[Source] = []
    numel_all = 0
    for optimizer in () if keys.ignore_optimizer_state else training.optimizers:
        for source in _sources(optimizer):
            if _keeps(source.state, keys):
                numel_all += source.numel
                sources += [source] if source.second or source.direction else []
    n_without = sum(len(optimizer.keys_without_state) for optimizer in training.optimizers)
    return SideState(training, tuple(sources), n_without, numel_all)


def _keeps(state: ParameterState, keys: KeyFilter) -> bool:
    """Whether the user looks at a parameter: by the name of its state, or by its own."""
    names = [ref.name for ref in state.tensors.values()]
    if keys.ignore is not None and any(map(keys.ignore.search, names)):
        return False
    return any(map(keys.keeps, [*names, state.name] if state.name else names))


def _sources(optimizer: Optimizer) -> Iterator[Source]:
    for state in optimizer.states:
        group = optimizer.group_of(state)
        settings: Mapping[str, Any] = {} if group is None else group.values
        betas = None if group is None else group.betas
        second = next((state.tensors[slot] for slot in _SECOND if slot in state.tensors), None)
        slot = "" if second is None else second.name.rpartition(".")[2]
        beta2 = settings.get(_DECAY[slot]) if slot in _DECAY else betas[1] if betas else None
        yield Source(
            state,
            optimizer,
            _real(second),
            _beside(second, _real(state.tensors.get("exp_avg"))),
            _real(state.tensors.get("momentum_buffer")) if second is None else None,
            state.step(),
            betas[0] if betas else None,
            beta2 if isinstance(beta2, float) else None,
        )


def _beside(second: TensorRef | None, first: TensorRef | None) -> TensorRef | None:
    """Return the first moment, unless it is not of the shape of the second and so of another parameter."""
    return first if second is None or first is None or first.shape == second.shape else None


def _real(ref: TensorRef | None) -> TensorRef | None:
    return ref if ref is not None and (ref.dtype.kind == "float" or ref.quantization is not None) else None


@dataclass(frozen=True)
class Gradient:
    """What is known of the gradients of one parameter.

    Args:
        source: The state it is told from.
        n: Elements behind it.
        n_not_finite: Elements of the state that are NaN or infinite, which are left out.
        sum_v: Σv̂, the sum of the mean squared gradients; ``None`` if it cannot be corrected for the first steps or is
            beyond float64.
        sum_m2: Σm̂²; ``None`` likewise.
        never_updated: Whether no gradient but 0 ever reached any element.
    """

    source: Source
    n: int
    n_not_finite: int
    sum_v: float | None
    sum_m2: float | None
    never_updated: bool

    @property
    def rms(self) -> float | None:
        """Root of the mean squared norm of the gradient: √Σv̂."""
        return None if self.sum_v is None else math.sqrt(max(self.sum_v, 0.0))

    @property
    def rms_per_parameter(self) -> float | None:
        """The same for a single element: √(Σv̂/n)."""
        return None if self.rms is None or not self.n else self.rms / math.sqrt(self.n)

    @property
    def pooled_ratio(self) -> float | None:
        """R = Σm̂²/Σv̂; ``None`` without gradients."""
        return pooled_ratio([self])

    @property
    def snr(self) -> float | None:
        """Signal-to-noise ratio of one gradient."""
        return snr(self.pooled_ratio, self.source.noise_null)

    def row(self) -> dict[str, Any]:
        """Return the gradient as a row of a table."""
        return {
            "name": self.source.name,
            "optimizer": self.source.optimizer.kind,
            "step": self.source.step,
            "n": self.n,
            "rms_grad": self.rms,
            "rms_grad_per_param": self.rms_per_parameter,
            "pooled_R": self.pooled_ratio,
            "noise_null_c": self.source.noise_null,
            "snr": self.snr,
            "never_updated": self.never_updated,
            **({"n_not_finite": self.n_not_finite} if self.n_not_finite else {}),
        }


def gradient_of(source: Source, sums: SideSums) -> Gradient:
    """Return what the measured sums of a state with second moments say."""
    assert source.second is not None
    second = sums.of(source.second)
    first = None if source.first is None else sums.of(source.first)
    columns = source.numel // second.n if source.is_factored and second.n else 1
    correction1, correction2 = source.correction1, source.correction2
    return Gradient(
        source,
        second.n_finite * columns,
        second.n - second.n_finite + (0 if first is None else first.n - first.n_finite),
        None if correction2 is None or _is_no_size(second) else _finite(second.total * columns / correction2),
        None if first is None or correction1 is None else _finite(first.squares / correction1**2),
        second.n > 0 and second.n_zero == second.n,
    )


def _is_no_size(second: Sums) -> bool:
    """Whether no sum of squares can be told: nothing is finite, or the sum is negative, as only damage makes it."""
    return second.total < 0 or (second.n > 0 and not second.n_finite)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # beyond float64


def pooled_ratio(gradients: Sequence[Gradient]) -> float | None:
    """Return Σm̂²/Σv̂ over all gradients that have both; ``None`` if there are none."""
    both = [(g.sum_m2, g.sum_v) for g in gradients if g.sum_m2 is not None and g.sum_v is not None]
    total = exact_sum(v for _, v in both)
    if not 0 < total < math.inf:
        return None
    return exact_sum(m for m, _ in both) / total


def snr(ratio: float | None, null: float | None) -> float | None:
    """Return the ratio of mean to standard deviation of a gradient's elements, 0 where noise explains all.

    ``√((R - c) / (1 - R))``: for elements of mean m and deviation s, R is (m² + c·s²) / (m² + s²). ``None`` where it is
    not known, in the first step (R = c = 1), or where R is above 1, as rounding and constant gradients make it.
    """
    if ratio is None or null is None or null >= 1 or ratio >= 1:
        return None
    return math.sqrt(max(ratio - null, 0.0) / (1 - ratio))
