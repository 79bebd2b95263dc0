"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_anomalies import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestAnomalyDetection(ComparatorTests):
    plugin = plugin
    name = "anomaly-detection"
