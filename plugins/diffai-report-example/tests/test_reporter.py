"""What the laws cannot know: that every finding arrives, in order, with its values."""

from __future__ import annotations

import csv
import json

from diffai_report_example.reporter import render

from diffai_core.plugin import Finding
from diffai_core.testing import report


def test_every_finding_is_a_line_that_csv_reads_back():
    findings = [
        Finding("value_changed", "lr", old=0.1, new='fast, "very"'),
        Finding("tensor_added", "w\x1b[2J", values={"shape": [2, 3]}),
    ]
    first, second = csv.DictReader(render(report(findings), {}))
    assert (first["where"], first["old"], first["new"]) == ("lr", "0.1", 'fast, "very"')
    assert (second["where"], second["old"], json.loads(second["values"])) == ("w\\x1b[2J", "", {"shape": [2, 3]})
