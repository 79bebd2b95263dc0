"""Runs a comparator of this plugin on artefacts in memory."""

from __future__ import annotations

import pytest
from diffai_compare_regression import plugin

from diffai_core.comparison import Comparison
from diffai_core.keys import KeyFilter, Tolerances
from diffai_core.specs import ComparatorSpec
from diffai_core.testing import ComparatorTests
from diffai_core.testing.subject import only, options_of


@pytest.fixture
def run():
    """Return the findings of one comparator under the real engine."""

    def run(name, old, new, **options):
        tests = type("Case", (ComparatorTests,), {"plugin": plugin, "name": name, "options": options})()
        return list(tests.compare(old, new))

    return run


@pytest.fixture
def gates(run):
    """Return what each rule of ``--fail-if`` comes to: its gate."""

    def gates(old, new, *rules, **options):
        return run("policy", old, new, fail_if=rules, **options)

    return gates


@pytest.fixture
def judged():
    """Return the gate of one rule about what other analyses found."""

    def judged(rule, *findings, name="policy"):
        from diffai_compare_regression.policy import compare

        comparison = Comparison(None, None, (), KeyFilter(), Tolerances(), findings=findings)
        options = options_of(only(plugin, ComparatorSpec, name), {"fail_if": (rule,)})
        (found,) = compare(comparison, options)
        return found

    return judged
