"""Each law of a kernel catches the one that breaks it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest
from hypothesis import Phase

from diffai_core.lazy import resolve
from diffai_core.plugin import KernelSpec
from diffai_core.testing import KernelTests, kernel, laws

ANY = "test_any_pair_is_measured_as_it_is"
STYLES = "test_numbers_of_every_style_are_measured_as_they_are"
ONE = "test_one_change_is_found_wherever_it_is"
ALIGNED = "test_every_alignment_gives_the_same_bits"
NAMES = "test_it_takes_only_statistics_that_exist"
TAKEN = "test_ordinary_numbers_are_not_left_to_the_reference"
BYTES = "test_bytes_are_the_same_only_where_they_are"
SHRINKS = "test_a_file_that_shrinks_is_an_error_and_not_the_end"
BEYOND = "test_nothing_is_read_beyond_the_elements"
CHOICES = {"dtype": "float32", "dtypes": ("float32", "float32"), "reading": "read", "hazard": "cut before"}


@pytest.fixture(autouse=True)
def subjects(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent / "subjects"))
    monkeypatch.setattr(laws, "PHASES", (Phase.generate,))


def check(law, subject, folder):
    tests = KernelTests()
    tests.spec = KernelSpec("subject", "A subject.", f"broken_kernels:{subject}")
    tests.n_examples = 40
    made = resolve(tests.spec.target, "the subject")()
    known = {"kernel": made, "workers": kernel.workers_of(made), "tmp_path": folder, **CHOICES}
    function = getattr(tests, law)
    function(**{name: known[name] for name in inspect.signature(function).parameters})


@pytest.mark.parametrize(
    ("law", "subject", "complaint"),
    [
        (ANY, "miscounts", "Changes"),
        (ANY, "rounds", "old: mean is"),
        (ANY, "cancels", "old: m2 is"),
        (ANY, "forgets_moments", "delta: 0 numbers instead of"),
        (ALIGNED, "writes", "has written to the elements"),
        (STYLES, "no_negative_zero", "n_neg_zero=0"),
        (ONE, "leaves_out_the_end", "for a change at 64"),
        (ALIGNED, "depends_on_alignment", "bytes on, by array"),
        (NAMES, "unknown_name", "medians"),
        (TAKEN, "keeps_states", "did not begin anew"),
        (TAKEN, "never_takes", "0 of 1 leaves taken"),
        (BYTES, "always_same", "differ at 0: True"),
        (SHRINKS, "zeros_where_unreadable", "the error names"),
        (BEYOND, "reads_beyond", "ended with status -11"),
    ],
)
def test_a_kernel_that_breaks_a_law_is_caught(law, subject, complaint, tmp_path):
    with pytest.raises((Exception, pytest.fail.Exception), match=complaint):
        check(law, subject, tmp_path)


@pytest.mark.parametrize("law", [ANY, STYLES, ONE, ALIGNED, NAMES, TAKEN, BYTES, SHRINKS, BEYOND])
def test_a_kernel_that_keeps_the_laws_passes(law, tmp_path):
    check(law, "good", tmp_path)


GONE = """
from diffai_core.plugin import KernelSpec, PluginError
from diffai_core.testing import KernelTests

def load():
    raise PluginError("gone: not built")

class TestGone(KernelTests):
    spec = KernelSpec("gone", "Gone.", "test_gone:load")
"""


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("other", "skipped"), ("other,gone", "error")])
def test_a_kernel_that_cannot_be_used_is_skipped_unless_it_must_be_there(tmp_path, required, outcome):
    (tmp_path / "test_gone.py").write_text(GONE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "opaque or statistics_that_exist"]
    done = subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTHONPATH": str(tmp_path), kernel.REQUIRED: required},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert re.search(rf"\b1 {outcome}\b", done.stdout), done.stdout
