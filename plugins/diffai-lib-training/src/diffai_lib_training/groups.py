"""Parameter groups of optimizers: as lists of dicts, and flattened into keys as distributed checkpoints keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffai_lib_training.tree import Entry, below, containers, number

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLAT = re.compile(r"(?:(.+?)\.)?param_groups\.(.+)\.([^.]+)", re.DOTALL)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are updated with the same settings.

    Args:
        path: Place in the tree.
        values: Settings as they are stored: ``lr``, ``betas``, ``eps``, ``weight_decay`` …
        keys: What the state calls the parameters of the group, in order.
        paths: Places of settings that do not stand below ``path``.
    """

    path: str
    values: Mapping[str, Any]
    keys: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)

    def path_of(self, name: str) -> str:
        """Return the place of a setting in the tree."""
        return self.paths.get(name) or below(self.path, name)

    @property
    def learning_rate(self) -> float | None:
        """The stored learning rate."""
        return number(self.values.get("lr"))

    @property
    def betas(self) -> tuple[float, float] | None:
        """Decay rates of the first and second moment (1); ``None`` where the group does not store two."""
        found = self.values.get("betas")
        pair = [number(beta) for beta in found] if isinstance(found, list | tuple) else []
        if len(pair) >= 2 and pair[0] is not None and pair[1] is not None:  # noqa: PLR2004 - two moments
            return pair[0], pair[1]
        return None

    @property
    def eps(self) -> float | None:
        """The stored term that keeps the denominator from 0."""
        return number(self.values.get("eps"))

    @property
    def weight_decay(self) -> float | None:
        """The stored weight decay."""
        return number(self.values.get("weight_decay"))


def has_groups(value: Any) -> bool:
    """Whether a dict holds parameter groups as a list of dicts."""
    groups = value.get("param_groups")
    return isinstance(groups, list | tuple) and all(isinstance(group, dict) for group in groups)


def groups_of(entry: Entry) -> tuple[ParameterGroup, ...]:
    """Return the parameter groups of an optimizer's state dict."""
    groups = entry.value.get("param_groups", ())
    return tuple(_group(Entry(f"{below(entry.path, 'param_groups')}[{i}]", group)) for i, group in enumerate(groups))


def _group(entry: Entry) -> ParameterGroup:
    params = entry.value.get("params")
    keys = tuple(map(str, params)) if isinstance(params, list | tuple) else ()
    return ParameterGroup(entry.path, {key: value for key, value in entry.value.items() if key != "params"}, keys)


def tensor_prefix(path: str) -> str:
    """Return a path in the tree as names of tensors write it: keys after dots, files of a folder before a colon.

    Example:
        >>> tensor_prefix("optimizer_states[0]"), tensor_prefix('["optimizer.pt"]'), tensor_prefix("optimizer")
        ('optimizer_states.0', 'optimizer.pt:', 'optimizer')
    """
    if path.startswith('["'):
        file, _, rest = path[2:].partition('"]')
        return f"{file}:{tensor_prefix(rest.removeprefix('.'))}"
    return path.replace('["', ".").replace('"]', "").replace("[", ".").replace("]", "")


def flat_groups(tree: Mapping[str, Any]) -> dict[str, tuple[ParameterGroup, ...]]:
    """Return the groups that are flattened into keys, by what stands before the names of their tensors.

    ``optim.param_groups.0.lr`` is a setting of a numbered group, ``param_groups.layer.weight.lr`` one of a parameter;
    parameters with the same settings are one group.
    """
    found: dict[str, dict[str, dict[str, Entry]]] = {}
    for name, entry in containers(tree):
        for key, value in () if name.startswith("__") else entry.value.items():
            match = _FLAT.fullmatch(key) if isinstance(key, str) and "param_groups." in key else None
            if match is not None:
                prefix = ".".join(part for part in (tensor_prefix(entry.path), match[1] or "") if part)
                place = Entry(below(entry.path, key), value)
                found.setdefault(prefix, {}).setdefault(match[2], {})[match[3]] = place
    return {prefix: _gathered(members) for prefix, members in found.items()}


def _gathered(members: Mapping[str, Mapping[str, Entry]]) -> tuple[ParameterGroup, ...]:
    alike: dict[str, list[str]] = {}
    for name, settings in members.items():
        same = name if name.isdecimal() else repr(sorted((key, entry.value) for key, entry in settings.items()))
        alike.setdefault(same, []).append(name)
    return tuple(_flat_group(names, members[names[0]]) for names in alike.values())


def _flat_group(names: list[str], settings: Mapping[str, Entry]) -> ParameterGroup:
    listed = settings["params"].value if "params" in settings else None
    keys = tuple(map(str, listed)) if isinstance(listed, list | tuple) else ()
    first = min((entry.path for entry in settings.values()), default="")
    return ParameterGroup(
        first,
        {key: entry.value for key, entry in settings.items() if key != "params"},
        keys or (() if names[0].isdecimal() else tuple(names)),
        {key: entry.path for key, entry in settings.items()},
    )
