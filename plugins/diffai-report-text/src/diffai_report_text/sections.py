"""Which part of the report a finding belongs to, and what its kind is called in a sentence."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from diffai_core.plugin import ABSENT, GATE

if TYPE_CHECKING:
    from diffai_core.plugin import Finding
    from diffai_report_text.view import View


class Section(Enum):
    """A part of the report."""

    RECORDS = auto()
    ANALYSES = auto()
    REMARKS = auto()
    GATES = auto()
    NAMED = auto()
    STRUCTURE = auto()
    ERRORS = auto()
    TOLERANCE = auto()
    NOT_COMPARED = auto()
    HIDDEN = auto()


NAMED_CHANGE = "named_change"
"""The kind of the finding that says in one line what was done to OLD; it stands below the verdict."""

_SECTIONS = {
    GATE: Section.GATES,
    NAMED_CHANGE: Section.NAMED,
    "tensor_not_compared": Section.NOT_COMPARED,
    "model_structure": Section.STRUCTURE,
    "tolerance_to_pass": Section.TOLERANCE,
    "foreign_code": Section.REMARKS,
    "tensors_paired_by_content": Section.REMARKS,
    "entries_of_one_format": Section.REMARKS,
}
NOUNS = {
    "added": "added entries",
    "removed": "removed entries",
    "modified": "modified entries",
    "type_changed": "entries of another type",
    "tensor_added": "added tensors",
    "tensor_removed": "removed tensors",
    "tensor_renamed": "renamed tensors",
    "tensor_prefix_changed": "changed prefixes",
    "tensor_shape_changed": "tensors of another shape",
    "tensor_dtype_changed": "tensors of another dtype",
    "tensor_stats_changed": "changed tensors",
    "tensor_within_tolerance": "tensors within tolerance",
    "tensor_bits_changed": "tensors with other bits",
    "tensor_statistics": "tensors with statistics",
    "tensor_kept": "tensors of the same form",
}
"""Kinds of findings about one tensor or one entry, in the plural."""

_NOT_CHANGES = frozenset({"tensor_kept", "tensor_statistics"})  # shown because they were asked for


def section_of(finding: Finding, view: View) -> Section:
    """Return the part of the report that shows the finding.

    A change of level ``info`` is none, for instance because it is within the tolerance: it is shown only in full.
    """
    if finding.level == "error":
        return Section.ERRORS
    if finding.kind in _SECTIONS:
        return _SECTIONS[finding.kind]
    if finding.level == "info" and finding.kind in NOUNS.keys() - _NOT_CHANGES and not view.full:
        return Section.HIDDEN
    is_record = finding.kind in NOUNS or finding.old is not ABSENT or finding.new is not ABSENT
    return Section.RECORDS if is_record else Section.ANALYSES
