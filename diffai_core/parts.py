"""Brings two artefacts into one form where one holds a quantised weight and the other the parts it is stored in.

Whether a loader puts the parts together may hang on a configuration that lies beside one of the files only, or on how a
part is stored. The parts are there on both sides, so they are what is compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.artifact import Artifact, TensorRef


def in_one_form(old: Artifact, new: Artifact) -> tuple[Artifact, Artifact]:
    """Return both artefacts, quantised weights taken apart where the other one holds their parts.

    Args:
        old: The artefact OLD.
        new: The artefact NEW.
    """
    old_tensors, new_tensors = _taken_apart(old.tensors, new.tensors), _taken_apart(new.tensors, old.tensors)
    return (
        old if old_tensors is old.tensors else replace(old, tensors=old_tensors),
        new if new_tensors is new.tensors else replace(new, tensors=new_tensors),
    )


def _taken_apart(tensors: Mapping[str, TensorRef], other: Mapping[str, TensorRef]) -> Mapping[str, TensorRef]:
    apart = {name for name, ref in tensors.items() if _is_in_parts(name, ref, tensors, other)}
    if not apart:
        return tensors
    found: dict[str, TensorRef] = {}
    for name, ref in tensors.items():
        parts = ref.quantization.stored if ref.quantization is not None and name in apart else ()
        found.update({part.name: part for part in parts} if parts else {name: ref})
    return found


def _is_in_parts(name: str, ref: TensorRef, tensors: Mapping[str, TensorRef], other: Mapping[str, TensorRef]) -> bool:
    """Whether ``other`` holds all parts of a quantised weight, of their dtypes, and nothing under its own name."""
    if ref.quantization is None:
        return False
    parts = {part.name: part for part in ref.quantization.stored}
    if len(parts) < len(ref.quantization.stored) or any(part in tensors for part in parts if part != name):
        return False
    if name in other and name not in parts:
        return False
    there = {part: other.get(part) for part in parts}
    return all(
        found is not None and found.quantization is None and found.dtype == parts[part].dtype
        for part, found in there.items()
    )
