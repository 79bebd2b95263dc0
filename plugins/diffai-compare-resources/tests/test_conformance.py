"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_resources import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestMemoryAnalysis(ComparatorTests):
    plugin = plugin
    name = "memory-analysis"


class TestInferenceSpeedEstimate(ComparatorTests):
    plugin = plugin
    name = "inference-speed-estimate"


class TestPerformanceImpactEstimate(ComparatorTests):
    plugin = plugin
    name = "performance-impact-estimate"
