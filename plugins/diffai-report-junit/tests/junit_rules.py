"""The rules of the JUnit schema that Jenkins publishes (junit-10.xsd), as far as a report can break them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

COUNTS = {"tests", "failures", "errors"}
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
    "testsuite": COUNTS
    | {"name", "group", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "assertions", "time", "classname", "status", "class", "file", "line", "log", "group", "url"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
    "system-err": set(),
}
REQUIRED = {
    "testsuite": {"name", "tests", "failures", "errors"},
    "testcase": {"name"},
    "property": {"name", "value"},
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
}
WITH_TEXT = {"failure", "error", "skipped", "system-out", "system-err"}


def check(text):
    """Fail unless the document keeps the rules and counts right; return its root."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    for node in root.iter():
        assert set(node.attrib) <= ATTRIBUTES[node.tag], f"<{node.tag}> has {set(node.attrib) - ATTRIBUTES[node.tag]}"
        assert set(node.attrib) >= REQUIRED.get(node.tag, set())
        assert {child.tag for child in node} <= CHILDREN.get(node.tag, set())
        if node.tag not in WITH_TEXT:
            assert not (node.text or "").strip()
        assert not (node.tail or "").strip()
    for suite in root:
        tags = [child.tag for child in suite]
        assert tags == sorted(tags, key=["properties", "testcase", "system-out", "system-err"].index)
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for outcome in ("failures", "errors", "skipped"):
            tag = outcome.removesuffix("s")
            assert int(suite.get(outcome)) == sum(case.find(tag) is not None for case in cases)
        for case in cases:
            assert sum(child.tag in {"skipped", "error", "failure"} for child in case) <= 1
    for outcome in COUNTS:
        assert int(root.get(outcome)) == sum(int(suite.get(outcome)) for suite in root)
    return root
