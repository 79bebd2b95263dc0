"""A training that ran away is not called another one."""

from __future__ import annotations

import numpy as np
import pytest
from planted_models import named, transformer

BASE = transformer()


@pytest.mark.parametrize("backwards", [False, True])
def test_weights_that_grew_beyond_what_tells_kinship_leave_it_open(backwards):
    rng = np.random.default_rng(5)
    grown = {
        key: (value + 40 * value.std() * rng.standard_normal(value.shape)).astype(value.dtype)
        for key, value in BASE.items()
    }
    finding = named(*((grown, BASE) if backwards else (BASE, grown)))
    assert (finding.values["change"], finding.status) == ("full_fine_tune", "hint")
    assert any("whether it comes from OLD cannot be told" in line for line in finding.detail)
