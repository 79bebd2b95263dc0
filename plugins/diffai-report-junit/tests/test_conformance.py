"""The plugin keeps the laws of the conformance kit, and every document keeps the rules of the schema."""

from __future__ import annotations

from diffai_report_junit import plugin
from junit_rules import check

from diffai_core.testing import PluginTests, ReporterTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestJUnit(ReporterTests):
    plugin = plugin
    n_examples = 30

    def check_text(self, text, given_report):
        check(text)
        assert all(line.isprintable() for line in text.split("\n"))
