"""The analysis keeps the laws of diffai."""

from __future__ import annotations

import diffai_compare_example.plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = diffai_compare_example.plugin


class TestComparator(ComparatorTests):
    plugin = diffai_compare_example.plugin
