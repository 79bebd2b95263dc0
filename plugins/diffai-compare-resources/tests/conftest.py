"""Runs a comparator of this plugin on artefacts in memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from diffai_compare_resources import plugin

from diffai_core.testing import ComparatorTests


@pytest.fixture
def run():
    """Return the one finding of a comparator under the real engine."""

    def run(name, old, new, **options):
        tests = type("Case", (ComparatorTests,), {"plugin": plugin, "name": name, "options": options})()
        (finding,) = tests.compare(old, new)
        return finding

    return run


@pytest.fixture(scope="session")
def models():
    """Return the module with the small models."""
    spec = importlib.util.spec_from_file_location("resource_models", Path(__file__).with_name("models.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
