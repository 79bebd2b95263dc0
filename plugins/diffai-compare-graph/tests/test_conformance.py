"""Holds the plugin to the laws of the test kit."""

from __future__ import annotations

from diffai_compare_graph import plugin as graph_plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = graph_plugin


class TestComparator(ComparatorTests):
    plugin = graph_plugin
