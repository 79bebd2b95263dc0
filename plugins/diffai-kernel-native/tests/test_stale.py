"""An extension that was built from other sources than those that stand there is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from diffai_kernel_native import kernel

from diffai_core.plugin import PluginError


def test_an_extension_of_other_sources_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "src/diffai_kernel_native"
    (tmp_path / "native").mkdir()
    (tmp_path / "native/leaf.hpp").write_text("int x;", encoding="ascii")
    monkeypatch.setattr(kernel, "__file__", str(package / "kernel.py"))
    with pytest.raises(PluginError, match="built from other sources; install the plugin again"):
        kernel._refuse_if_stale(SimpleNamespace(SOURCES="0" * 64))


def test_the_extension_at_hand_is_of_these_sources():
    native = pytest.importorskip("diffai_kernel_native._native", reason="no compiler")
    kernel._refuse_if_stale(native)
    assert len(native.SOURCES) == 64
