"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_report_text import plugin

from diffai_core.testing import PluginTests, ReporterTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestText(ReporterTests):
    plugin = plugin
    name = "text"


class TestTextOnATerminal(ReporterTests):
    plugin = plugin
    name = "text"
    options = {"width": 80, "full": False}  # noqa: RUF012 - a constant of the test class


class TestListOfResults(ReporterTests):
    plugin = plugin
    name = "cli"
    n_examples = 10
