"""What ``--ignore-optimizer-state`` leaves out, and the finding that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from diffai_core.findings import Finding
from diffai_core.keys import KeyFilter

if TYPE_CHECKING:
    from diffai_core.artifact import Artifact

_LISTED = 20


def ignored_state(old: Artifact, new: Artifact) -> Iterator[Finding]:
    """Yield what was not looked at: tensors and their bytes on each side, and entries of the tree."""
    keys = KeyFilter(ignore_optimizer_state=True)
    values: dict[str, Any] = {}
    for label, side in (("old", old), ("new", new)):
        tensors = [ref for ref in side.tensors.values() if not keys.keeps_tensor(ref)]
        values[f"n_tensors_{label}"] = len(tensors)
        values[f"n_bytes_{label}"] = sum({ref.storage: ref.nbytes for ref in tensors}.values())
    entries = dict.fromkeys(entry for side in (old, new) for entry in _entries(side.tree, keys))
    values["entries"] = [*entries]
    told = ", ".join([*entries][:_LISTED]) or "no entries of the tree"
    yield Finding(
        "optimizer_state_ignored",
        level="info",
        values=values,
        message=f"ignored, as asked for: {values['n_tensors_old']:,} tensors of OLD ({values['n_bytes_old']:,} bytes),"
        f" {values['n_tensors_new']:,} of NEW ({values['n_bytes_new']:,} bytes); {told}",
    )


def _entries(tree: Mapping[str, Any], keys: KeyFilter) -> Iterator[str]:
    """Yield the highest keys that are left out."""
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", tree)]
    for path, level in waiting:
        for name, value in level.items():
            key = f"{path}.{name}" if path else str(name)
            if not keys.keeps(key):
                yield key
            elif isinstance(value, Mapping):
                waiting.append((key, value))
