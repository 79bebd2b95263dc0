"""The state of optimizers: parameter groups, state tensors, and the kind that their names tell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from diffai_lib_training.groups import ParameterGroup, flat_groups, groups_of, has_groups, tensor_prefix
from diffai_lib_training.naming import name_parameters
from diffai_lib_training.tree import Entry, containers, whole

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from diffai_core.plugin import Artifact, TensorRef


@dataclass(frozen=True)
class ParameterState:
    """What an optimizer keeps for one parameter.

    Args:
        key: What the state calls the parameter: ``3`` or ``layer.weight``.
        group: Index of its group; ``None`` if no group lists it.
        name: Tensor of the artefact that holds the parameter; empty if that cannot be told for sure.
        tensors: State tensors by slot: ``exp_avg``, ``exp_avg_sq``, ``momentum_buffer`` …
        values: Plain values by slot: ``step`` where it is stored as a number.
    """

    key: str
    group: int | None
    name: str = ""
    tensors: Mapping[str, TensorRef] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the parameter, as far as the state tells it."""
        return _shape_of(self.tensors)

    def step(self) -> int | None:
        """Return how many steps were taken for this parameter: a stored number, or a tensor of one element.

        Raises:
            LoadError: If the tensor cannot be read.
        """
        if "step" in self.values:
            return whole(self.values["step"])
        ref = self.tensors.get("step")
        if ref is None or ref.numel != 1:
            return None
        try:
            return whole(float(ref.read().reshape(-1)[0]))
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True)
class Optimizer:
    """The state of one optimizer.

    Args:
        path: Place in the tree or in front of the tensor names: ``optimizer``, ``optimizer_states[0]``.
        kind: ``adam``, ``adamw``, ``sgd``, ``lion`` …, by the slots and settings; empty if these do not tell.
        groups: Parameter groups in order; empty if the file holds none.
        states: One for each parameter that has state, in the order of the groups.
    """

    path: str
    kind: str
    groups: tuple[ParameterGroup, ...]
    states: tuple[ParameterState, ...]

    @property
    def keys_without_state(self) -> tuple[str, ...]:
        """Keys of parameters that are in a group and have no state: no gradient ever reached them."""
        known = {state.key for state in self.states}
        return tuple(key for group in self.groups for key in group.keys if key not in known)

    def group_of(self, state: ParameterState) -> ParameterGroup | None:
        """Return the group of a parameter."""
        return None if state.group is None else self.groups[state.group]


def find_optimizers(artifact: Artifact) -> tuple[Optimizer, ...]:
    """Return the optimizers of an artefact; nothing is read but names and shapes."""
    entries = {tensor_prefix(entry.path): entry for _, entry in containers(artifact.tree) if has_groups(entry.value)}
    flat = {prefix: groups for prefix, groups in flat_groups(artifact.tree).items() if prefix not in entries}
    slots = _tensors_by_optimizer(artifact.tensors, entries.keys() | flat.keys())
    found = [_optimizer(entry, groups_of(entry), slots.pop(prefix, {}), artifact) for prefix, entry in entries.items()]
    found += [  # groups that are flattened, stored elsewhere, or nowhere
        _optimizer(Entry(prefix, {}), flat.get(prefix, ()), slots.get(prefix, {}), artifact)
        for prefix in dict.fromkeys((*slots, *flat))
    ]
    return tuple(found)


def _tensors_by_optimizer(
    tensors: Mapping[str, TensorRef], known: Container[str]
) -> dict[str, dict[str, dict[str, TensorRef]]]:
    """Return the state tensors by optimizer, parameter and slot, read off their names.

    Args:
        tensors: All tensors.
        known: What stands before the names of tensors of an optimizer whose groups are in the tree.
    """
    found: dict[str, dict[str, dict[str, TensorRef]]] = {}
    for name, ref in tensors.items():
        file, colon, inner = name.rpartition(":")
        if inner.startswith("state."):
            prefix, rest = file + colon, inner.removeprefix("state.")
        else:
            prefix, divider, rest = inner.partition(".state.")
            prefix = file + colon + prefix
            if not divider:
                continue
        if ref.role != "optimizer" and not name.endswith(".__key__") and prefix not in known:
            continue
        key, _, slot = rest.rpartition(".")
        if key:
            found.setdefault(prefix, {}).setdefault(key, {})[slot] = ref
    return found


def _optimizer(
    entry: Entry,
    groups: tuple[ParameterGroup, ...],
    tensors: Mapping[str, Mapping[str, TensorRef]],
    artifact: Artifact,
) -> Optimizer:
    values = _plain_state(entry)
    order = {key: index for index, group in enumerate(groups) for key in group.keys}
    keys = [key for key in order if key in tensors or key in values]
    keys += sorted((tensors.keys() | values.keys()) - order.keys(), key=_natural)
    if groups and not order and len(groups) == 1:  # a whole optimizer keeps the parameters themselves in the group
        order = dict.fromkeys(keys, 0)
    states = tuple(ParameterState(key, order.get(key), "", tensors.get(key, {}), values.get(key, {})) for key in keys)
    return Optimizer(entry.path, kind_of(groups, states), groups, _named(states, groups, artifact))


def _plain_state(entry: Entry) -> dict[str, dict[str, Any]]:
    state = entry.value.get("state")
    if not isinstance(state, dict):
        return {}
    return {str(key): value for key, value in state.items() if isinstance(value, dict)}


def _natural(key: str) -> tuple[int, int | str]:
    return (0, int(key)) if key.isdecimal() and len(key) < 19 else (1, key)  # noqa: PLR2004 - digits of 64 bits


def _named(
    states: Sequence[ParameterState], groups: Sequence[ParameterGroup], artifact: Artifact
) -> tuple[ParameterState, ...]:
    shapes = {state.key: state.shape for state in states}
    grouped = [list(group.keys) for group in groups if group.keys] or [[state.key for state in states]]
    names = name_parameters(grouped, shapes, artifact)
    return tuple(
        replace(state, name=state.tensors["__key__"].name if "__key__" in state.tensors else names.get(state.key, ""))
        for state in states
    )


_LIKE_PARAMETER = (
    *("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "sum", "acc_delta", "exp_inf", "prev", "ax"),
    *("grad_avg", "variance", "state1", "state2", "master_param", "fp32_param", "__key__"),
)


def _shape_of(tensors: Mapping[str, TensorRef]) -> tuple[int, ...] | None:
    for slot in _LIKE_PARAMETER:
        if slot in tensors:
            return tensors[slot].shape
    row, column = tensors.get("exp_avg_sq_row"), tensors.get("exp_avg_sq_col")
    if row is not None and column is not None and row.shape and column.shape:
        return (*row.shape, column.shape[-1])
    row, column = tensors.get("row_var"), tensors.get("col_var")
    if row is not None and column is not None and row.shape and column.shape:
        return (*row.shape[:-1], column.shape[-1])
    return None


_KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("nadam", frozenset({"exp_avg", "exp_avg_sq", "mu_product"})),
    ("adamax", frozenset({"exp_avg", "exp_inf"})),
    ("adafactor", frozenset({"exp_avg_sq_row", "exp_avg_sq_col"})),
    ("adafactor", frozenset({"row_var", "col_var"})),
    ("adam", frozenset({"exp_avg", "exp_avg_sq"})),
    ("lion", frozenset({"exp_avg"})),
    ("adadelta", frozenset({"square_avg", "acc_delta"})),
    ("rmsprop", frozenset({"square_avg"})),
    ("adagrad", frozenset({"sum"})),
    ("asgd", frozenset({"ax", "eta"})),
    ("rprop", frozenset({"prev", "step_size"})),
    ("adam-8bit", frozenset({"state1", "state2", "absmax1"})),
    ("adam-32bit", frozenset({"state1", "state2"})),
    ("one-moment-8bit", frozenset({"state1", "absmax1"})),
    ("sgd", frozenset({"momentum_buffer"})),
)
"""Kinds by the slots of their state; the first whose slots are all there."""


def kind_of(groups: Iterable[ParameterGroup], states: Iterable[ParameterState]) -> str:
    """Return what kind of optimizer keeps such state, by the names of its slots and settings.

    ``adam`` stands for all that keep two moments; ``adamw`` where a group says that weight decay is decoupled.
    """
    slots = {slot for state in states for slot in (*state.tensors, *state.values)}
    settings = {name: value for group in groups for name, value in group.values.items()}
    kind = next((kind for kind, wanted in _KINDS if wanted <= slots), "")
    if kind == "adam":
        return _adam(settings)
    if kind == "sgd" and "ns_steps" in settings:
        return "muon"
    if not kind and {"momentum", "dampening", "nesterov"} <= settings.keys():
        return "sgd"  # without momentum it keeps no state
    return kind


def _adam(settings: Mapping[str, Any]) -> str:
    if settings.get("decoupled_weight_decay") is True:
        return "radam" if "amsgrad" not in settings else "adamw"
    return "adam"
