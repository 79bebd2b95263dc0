"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_tensors import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestTensors(ComparatorTests):
    plugin = plugin
    name = "tensors"


class TestStats(ComparatorTests):
    plugin = plugin
    name = "stats"


class TestShowStructure(ComparatorTests):
    plugin = plugin
    name = "show-structure"
