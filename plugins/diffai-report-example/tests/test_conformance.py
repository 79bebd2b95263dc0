"""The report format keeps the laws of diffai."""

from __future__ import annotations

import diffai_report_example.plugin

from diffai_core.testing import PluginTests, ReporterTests


class TestPlugin(PluginTests):
    plugin = diffai_report_example.plugin


class TestReporter(ReporterTests):
    plugin = diffai_report_example.plugin
