"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_report import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestReport(ComparatorTests):
    plugin = plugin
    name = "generate-report"
    n_examples = 15


class TestCharts(ComparatorTests):
    plugin = plugin
    name = "include-charts"
    n_examples = 15
