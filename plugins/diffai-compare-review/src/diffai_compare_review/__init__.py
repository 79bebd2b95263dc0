"""Names a change before it is measured, and reviews it by rules over what was measured."""

from __future__ import annotations
