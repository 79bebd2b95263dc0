"""What the test kit adds to every run of pytest: its markers, so that ``--strict-markers`` knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "slow: takes more than ten seconds; leave out with -m 'not slow'")
