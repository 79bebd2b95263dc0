"""The normal distribution agrees with SciPy, far into the tails."""

from __future__ import annotations

import pytest
from diffai_lib_statistics import normal_quantile, normal_share
from scipy import stats


@pytest.mark.parametrize("share", [1e-300, 1e-20, 1e-9, 0.025, 0.3, 0.5, 0.975, 1 - 1e-12])
def test_quantiles_agree_with_scipy(share: float) -> None:
    assert normal_quantile(share) == pytest.approx(stats.norm.ppf(share), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("value", [-38.0, -8.0, -1.96, 0.0, 0.3, 5.0])
def test_shares_agree_with_scipy(value: float) -> None:
    assert normal_share(value) == pytest.approx(stats.norm.cdf(value), rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="no share"):
        normal_quantile(share)
