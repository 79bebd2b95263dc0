"""The plugin keeps the laws of the conformance kit, and every page is well-formed and self-contained."""

from __future__ import annotations

from diffai_report_html import plugin
from html_pages import check

from diffai_core.testing import PluginTests, ReporterTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestHtml(ReporterTests):
    plugin = plugin
    n_examples = 20

    def check_text(self, text, given_report):
        check(text)
        assert all(line.isprintable() for line in text.split("\n"))
