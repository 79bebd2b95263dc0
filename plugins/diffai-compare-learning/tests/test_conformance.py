"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_learning import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestLearningProgress(ComparatorTests):
    plugin = plugin
    name = "learning-progress"


class TestConvergenceAnalysis(ComparatorTests):
    plugin = plugin
    name = "convergence-analysis"
