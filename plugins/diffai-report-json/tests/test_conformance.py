"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from diffai_report_json import plugin

from diffai_core.testing import PluginTests, ReporterTests

if TYPE_CHECKING:
    from diffai_core.plugin import ReporterSpec

_SPECS = {spec.form: spec for spec in plugin.diffai_reporters()}


class TestPlugin(PluginTests):
    plugin = plugin


class TestDocument(ReporterTests):
    spec: ClassVar[ReporterSpec] = _SPECS["document"]


class TestResults(ReporterTests):
    spec: ClassVar[ReporterSpec] = _SPECS["results"]
