"""What a file wants to have called is listed, and is trouble where the user asks for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffai_core.artifact import Foreign
from diffai_core.run import Settings, compare_artifacts
from diffai_core.testing import artifact

CALLS = (Foreign("posix.system", "evil.pt", 17), Foreign("builtins.eval", "evil.pt", 40))


def test_every_callable_of_a_file_is_in_one_finding_with_its_place() -> None:
    report = compare_artifacts(artifact(), replace(artifact(), foreign=(*CALLS, CALLS[0])), ())
    (finding,) = report.findings
    assert finding.kind == "foreign_code"
    assert finding.where == "evil.pt"
    assert finding.values == {
        "n_callables": 2,
        "callables": ["posix.system", "builtins.eval"],
        "offsets": [17, 40],
    }
    assert finding.message == "evil.pt: wants builtins.eval, posix.system to be imported or called; nothing was"
    assert finding.level == "warning"


@pytest.mark.parametrize("side", ["old", "new"])
def test_fail_on_unsafe_makes_it_trouble_on_either_side(side) -> None:
    sides = {"old": artifact(), "new": artifact()}
    assert compare_artifacts(*sides.values(), (), Settings(fail_on_unsafe=True)).exit_code == 0
    sides[side] = replace(artifact(), foreign=CALLS)
    assert compare_artifacts(*sides.values(), ()).exit_code == 0
    assert compare_artifacts(*sides.values(), (), Settings(fail_on_unsafe=True)).exit_code == 2


def test_a_long_list_is_cut_in_the_message_and_whole_in_the_values() -> None:
    many = tuple(Foreign(f"package.module{i}.f", "model.pkl", i) for i in range(1000))
    (finding,) = compare_artifacts(replace(artifact(), foreign=many), artifact(), ()).findings
    assert finding.values["n_callables"] == 1000
    assert len(finding.message) < 300
    assert "and 995 more" in finding.message
