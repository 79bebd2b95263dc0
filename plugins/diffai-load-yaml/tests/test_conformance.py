"""Holds the plugin to the laws of the test kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from diffai_load_yaml import plugin as yaml_plugin

from diffai_core.testing import LoaderTests, PluginTests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHARED = {"name": "adamw", "betas": [0.9, 0.95]}
SAMPLE = {
    "model": {"hidden_size": 768, "layers": [{"type": "attention", "heads": 12}, {"type": "mlp", "ratio": 4.0}]},
    "training": {"lr": 3e-4, "steps": 100_000, "seed": None, "resume": False, "note": "grüße \U0001f600"},
    "optimizers": {"generator": SHARED, "critic": SHARED},
    "history": [[step, 1.0 / (1 + step)] for step in range(20)],
}


class TestPlugin(PluginTests):
    plugin = yaml_plugin


class TestLoader(LoaderTests):
    plugin = yaml_plugin
    dtypes = ()
    ignores_truncation = "YAML has no end mark; a document that is cut short is often a document"

    def write_sample(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(SAMPLE, version=(1, 1), allow_unicode=True), encoding="utf-8")

    def sample_tree(self) -> Mapping[str, Any]:
        return SAMPLE
