"""Helpers: models with quantised weights, and findings about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from diffai_compare_quantization.plugin import diffai_comparators

from diffai_core.plugin import Quantization
from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.testing import artifact, tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.plugin import Artifact, Finding

SPECS = {
    spec.name: Registered(spec, "quantization", "diffai-compare-quantization", "0.1.0") for spec in diffai_comparators()
}


def _quantised(arrays: dict[str, Any], scheme: str, bits: int, *, scales: Any = None, **how: Any) -> Artifact:
    """Return a model whose matrices are quantised: dequantised values, codes of so many bits, and scales."""
    plain = artifact(arrays)
    made = dict(plain.tensors)
    for name, array in arrays.items():
        if array.ndim < 2:
            continue
        codes = tensor(f"{name}.codes", np.arange(array.size).astype(np.uint8).reshape(array.shape))
        stored = (codes,) if scales is None else (codes, tensor(f"{name}.scale", scales))
        made[name] = replace(made[name], quantization=Quantization(scheme=scheme, bits=bits, stored=stored, **how))
    return replace(plain, tensors=made)


def _run(old: Any, new: Any, name: str, **options: Any) -> list[Finding]:
    sides = [side if not isinstance(side, dict) else artifact(side) for side in (old, new)]
    settings = Settings(plugin_options={name: options})
    report = compare_artifacts(*sides, (SPECS[name],), settings)
    assert [finding for finding in report.findings if finding.level == "error"] == []
    return list(report.findings)


@pytest.fixture
def quantised() -> Callable[..., Artifact]:
    """Return the function that makes a quantised model."""
    return _quantised


@pytest.fixture
def analyse() -> Callable[..., tuple[Finding, dict[str, Finding]]]:
    """Return a function that gives the summary of ``--quantization-analysis`` and the flagged weights by name."""

    def run(old: Any, new: Any, **options: Any) -> tuple[Finding, dict[str, Finding]]:
        *flagged, summary = _run(old, new, "quantization-analysis", **options)
        assert summary.kind == "quantization_analysis"
        return summary, {finding.where: finding for finding in flagged}

    return run


@pytest.fixture
def explain() -> Callable[..., tuple[Finding, dict[str, Finding]]]:
    """Return a function that gives the summary of ``--quantization-aware`` and what is not explained, by name."""

    def run(old: Any, new: Any) -> tuple[Finding, dict[str, Finding]]:
        *flagged, summary = _run(old, new, "quantization-aware")
        assert summary.kind == "quantization_aware"
        return summary, {finding.where: finding for finding in flagged}

    return run
