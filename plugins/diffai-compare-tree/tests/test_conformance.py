"""Holds the plugin to the laws of the test kit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_compare_tree import plugin as tree_plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Artifact


class TestPlugin(PluginTests):
    plugin = tree_plugin


class TestComparator(ComparatorTests):
    plugin = tree_plugin

    def pairs(self) -> Mapping[str, tuple[Artifact, Artifact]]:
        shared = {"lr": 1}
        other = {"lr": 2}
        return {
            "one side empty": (artifact(tree={"a": {"b": [1, 2]}}), artifact()),
            "shared values": (artifact(tree={"a": shared, "b": [shared]}), artifact(tree={"a": other, "b": [other]})),
        }


class TestComparatorById(TestComparator):
    options = {"array_id_key": "id", "ignore_case": True, "ignore_whitespace": True}  # noqa: RUF012 - a class attribute
