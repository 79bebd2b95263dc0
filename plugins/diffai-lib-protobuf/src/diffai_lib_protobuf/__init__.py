"""A lazy walk over protobuf's wire format: fields with their places, payload skipped, nothing trusted."""

from __future__ import annotations

from diffai_lib_protobuf.message import FIXED32, FIXED64, LENGTH, VARINT, Field, Message

__all__ = ["FIXED32", "FIXED64", "LENGTH", "VARINT", "Field", "Message"]
