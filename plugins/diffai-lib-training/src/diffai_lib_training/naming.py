"""Which tensor an entry of an optimizer's state belongs to.

A state counts the parameters through its groups. Where the file keeps the order of the model, an entry is named only if
every way to lay the groups over the model's tensors, in order and shape by shape, gives it the same tensor; where it
does not, only if no other tensor has its shape.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_core.plugin import Artifact, TensorRef

    Shape = tuple[int, ...]
    Keys = Sequence[str]
    Shapes = Mapping[str, Shape | None]

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "position_ids", "relative_position_index")
_NOT_MODELS = ("callbacks.", "loops.", "rng_state", "scaler.", "amp_scaler.", "lr_scheduler")
_STATE = re.compile(r"\bstate\.\w+\.(?:__key__|exp_avg|exp_avg_sq|momentum_buffer|square_avg|step|sum)$")
_MAX_GROUPS = 3


class _Weight(NamedTuple):
    name: str
    shape: Shape


def name_parameters(groups: Sequence[Keys], shapes: Shapes, artifact: Artifact) -> dict[str, str]:
    """Return the names of the parameters that can be told for sure.

    Args:
        groups: Keys of each parameter group, in order.
        shapes: Shape of each key that has state; ``None`` if unknown.
        artifact: What holds the parameters.
    """
    keys = [key for group in groups for key in group]
    direct = _by_key(keys, artifact.tensors)
    if direct:
        return direct
    found = []
    for weights in _models(artifact, len(keys)):
        ordered = _keeps_order(artifact, weights)
        found.append(_by_order(groups, shapes, weights) if ordered else _by_shape(shapes, weights))
    most = max(map(len, found), default=0)
    return _agreed([names for names in found if len(names) == most])


def _by_key(keys: Keys, tensors: Mapping[str, TensorRef]) -> dict[str, str]:
    """Name parameters whose keys are names, with or without what stands before them in the file."""
    named = {key: key for key in keys if key in tensors and tensors[key].role != "optimizer"}
    wanted = {key for key in keys if not key.isdecimal()} - named.keys()
    doubled: set[str] = set()
    for name, ref in tensors.items() if wanted else ():
        if not ref.is_parameter or _STATE.search(name):
            continue
        rest = name
        while rest:
            _, _, rest = rest.partition(".")
            if rest in wanted:
                if rest in named:
                    doubled.add(rest)
                named[rest] = name
    return {key: name for key, name in named.items() if key not in doubled}


def _models(artifact: Artifact, n_keys: int) -> Iterator[list[_Weight]]:
    """Yield the parameters of each model in the artefact that has so many, then those of all together."""
    weights = [_Weight(name, ref.shape) for name, ref in _parameters(artifact)]
    by_head: dict[str, list[_Weight]] = {}
    for weight in weights:
        by_head.setdefault(weight.name.partition(".")[0], []).append(weight)
    if len(by_head) > 1:
        yield from (model for _, model in sorted(by_head.items()) if len(model) >= n_keys)
    yield weights


def _parameters(artifact: Artifact) -> Iterator[tuple[str, TensorRef]]:
    storages = set()
    for name, ref in artifact.tensors.items():
        if not ref.is_parameter or ref.dtype.kind not in {"float", "complex"} or _STATE.search(name):
            continue
        if name.rpartition(".")[2] in _BUFFERS or name.startswith(_NOT_MODELS) or ref.storage in storages:
            continue
        storages.add(ref.storage)  # a tied tensor is one parameter
        yield name, ref


def _keeps_order(artifact: Artifact, weights: Sequence[_Weight]) -> bool:
    """Whether the file keeps the order in which the model has its tensors; safetensors sorts them by name."""
    names = [weight.name for weight in weights]
    return artifact.format == "pytorch" or names != sorted(names)


def _by_shape(shapes: Shapes, weights: Sequence[_Weight]) -> dict[str, str]:
    keys = Counter(shapes.values())
    names = {weight.shape: weight.name for weight in weights}
    count = Counter(weight.shape for weight in weights)
    return {
        key: names[shape] for key, shape in shapes.items() if shape is not None and keys[shape] == count[shape] == 1
    }


def _by_order(groups: Sequence[Keys], shapes: Shapes, weights: Sequence[_Weight]) -> dict[str, str]:
    layouts = list(_layouts(groups, weights))
    whole = [names for layout in layouts if (names := _laid(layout, shapes, complete=True))]
    parts = whole or [names for layout in layouts if (names := _laid(layout, shapes, complete=False))]
    return _agreed(parts)


def _layouts(groups: Sequence[Keys], weights: Sequence[_Weight]) -> Iterator[list[tuple[Keys, Sequence[_Weight]]]]:
    """Yield the ways in which programs divide a model among groups: one after another, or by kind of parameter."""
    yield [([key for group in groups for key in group], weights)]
    if not 1 < len(groups) <= _MAX_GROUPS:
        return
    kinds = [_kind(weight) for weight in weights]
    for owner in itertools.product(range(len(groups)), repeat=_MAX_GROUPS):
        if len(set(owner)) == len(groups):
            yield [
                (group, [weight for weight, kind in zip(weights, kinds, strict=True) if owner[kind] == index])
                for index, group in enumerate(groups)
            ]


def _kind(weight: _Weight) -> int:
    """Return 0 for matrices, 1 for biases and 2 for other vectors: those that weight decay is kept from or not."""
    if weight.name.endswith("bias"):
        return 1
    return 2 if len(weight.shape) <= 1 else 0


def _laid(layout: Sequence[tuple[Keys, Sequence[_Weight]]], shapes: Shapes, *, complete: bool) -> dict[str, str] | None:
    names: dict[str, str] = {}
    for keys, weights in layout:
        if len(keys) > len(weights) or (complete and len(keys) != len(weights)):
            return None
        first = _first_fit(keys, shapes, weights)
        if first is None:
            return None
        last = first if complete else _last_fit(keys, shapes, weights)
        names |= {key: weights[a].name for key, a, b in zip(keys, first, last, strict=True) if a == b}
    return names


def _first_fit(keys: Keys, shapes: Shapes, weights: Sequence[_Weight]) -> list[int] | None:
    """Return the earliest place of each key when keys are laid over the tensors in order; ``None`` if that fails."""
    places, position = [], 0
    for key in keys:
        wanted = shapes.get(key)
        while position < len(weights) and wanted is not None and weights[position].shape != wanted:
            position += 1
        if position == len(weights):
            return None
        places.append(position)
        position += 1
    return places


def _last_fit(keys: Keys, shapes: Shapes, weights: Sequence[_Weight]) -> list[int]:
    places = _first_fit(keys[::-1], shapes, weights[::-1])
    assert places is not None  # what can be laid from the front can be laid from the back
    return [len(weights) - 1 - place for place in places[::-1]]


def _agreed(candidates: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return what all candidates say alike."""
    if not candidates:
        return {}
    first, *others = candidates
    return {key: name for key, name in first.items() if all(other.get(key) == name for other in others)}
