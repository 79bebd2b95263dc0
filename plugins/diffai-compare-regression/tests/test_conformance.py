"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from diffai_compare_regression import plugin

from diffai_core.testing import ComparatorTests, PluginTests


class TestPlugin(PluginTests):
    plugin = plugin


class TestPolicy(ComparatorTests):
    plugin = plugin
    name = "policy"


class TestPolicyWithRules(ComparatorTests):
    plugin = plugin
    name = "policy"
    options = {"fail_if": ("tensors_added > 0", "tensors_removed > 0", "changes > 100000")}  # noqa: RUF012 - read only


class TestRegressionTest(ComparatorTests):
    plugin = plugin
    name = "regression-test"
    asymmetric = "what became worse one way became better the other"


class TestAlertOnDegradation(ComparatorTests):
    plugin = plugin
    name = "alert-on-degradation"
    asymmetric = "what became worse one way became better the other"
