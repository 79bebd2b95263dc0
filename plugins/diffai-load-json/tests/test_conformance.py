"""Holds the plugin to the laws of the test kit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from diffai_load_json import plugin as json_plugin

from diffai_core.testing import LoaderTests, PluginTests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SAMPLE = {
    "model": {"hidden_size": 768, "layers": [{"type": "attention", "heads": 12}, {"type": "mlp", "ratio": 4.0}]},
    "training": {"lr": 3e-4, "steps": 100_000, "seed": None, "resume": False, "note": "grüße \U0001f600"},
    "history": [[step, 1.0 / (1 + step)] for step in range(20)],
}


class TestPlugin(PluginTests):
    plugin = json_plugin


class TestLoader(LoaderTests):
    plugin = json_plugin
    dtypes = ()

    def write_sample(self, path: Path) -> None:
        path.write_text(json.dumps(SAMPLE, indent=1, ensure_ascii=False), encoding="utf-8")

    def sample_tree(self) -> Mapping[str, Any]:
        return SAMPLE
