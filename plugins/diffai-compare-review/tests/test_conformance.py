"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_review import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestChange(ComparatorTests):
    plugin = plugin
    name = "change"


class TestChangeSummary(ComparatorTests):
    plugin = plugin
    name = "change-summary"


class TestReviewFriendly(ComparatorTests):
    plugin = plugin
    name = "review-friendly"


class TestRiskAssessment(ComparatorTests):
    plugin = plugin
    name = "risk-assessment"


class TestDeploymentReadiness(ComparatorTests):
    plugin = plugin
    name = "deployment-readiness"
