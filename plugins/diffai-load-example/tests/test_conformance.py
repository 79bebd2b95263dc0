"""The example loader keeps the laws of diffai."""

from __future__ import annotations

import diffai_load_example.plugin

from diffai_core.testing import LoaderTests, PluginTests


class TestPlugin(PluginTests):
    plugin = diffai_load_example.plugin


class TestLoader(LoaderTests):
    plugin = diffai_load_example.plugin

    def write(self, path, arrays):
        lines = [" ".join([name, *map(str, array.shape)]) for name, array in arrays.items()]
        header = "\n".join(["EXAMPLE 1", *lines, "", ""])
        path.write_bytes(header.encode() + b"".join(array.tobytes() for array in arrays.values()))
