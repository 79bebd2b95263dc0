"""Fixtures: training checkpoints written by torch, and the findings on them."""

from __future__ import annotations

import pytest

from diffai_core import compare

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # small tensors: threads that wait for each other cost more than they save


@pytest.fixture
def save(tmp_path):
    """Save what a training saves under a name of its own; return the path."""

    def saved(model, optimizer, name="checkpoint.pt", **more):
        path = tmp_path / name
        state = {"model": model.state_dict() if hasattr(model, "state_dict") else model}
        torch.save(state | {"optimizer": optimizer.state_dict()} | more, path)
        return path

    return saved


@pytest.fixture
def findings():
    """Return a function that gives the summary of one analysis and its other findings."""

    def run(old, new, name="gradient-analysis", **arguments):
        report = compare(old, new, analyses=[name], **arguments)
        found = [finding for finding in report.findings if finding.plugin == name]
        assert [finding for finding in report.findings if finding.level == "error"] == []
        (summary,) = (finding for finding in found if finding.kind == name.replace("-", "_"))
        assert (summary.where, summary.level) == ("", "info")
        return summary, [finding for finding in found if finding is not summary]

    return run
