"""What kind of models two files hold, how they differ, and how well they use their parameters."""

from __future__ import annotations
