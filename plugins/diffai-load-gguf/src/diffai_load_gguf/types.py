"""The element types of ggml, by the numbers that a GGUF file gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import dtype, opaque_dtype

if TYPE_CHECKING:
    from diffai_core.plugin import DType


class BlockType(NamedTuple):
    """A type of which so many elements together are stored in a block of bytes.

    Args:
        name: What it is called, lower case: ``q4_k``.
        elements: Elements in a block, consecutive ones of a row.
        nbytes: Bytes of a block.
        bits: Bits of one code, scales not included.
        group_size: Consecutive elements that share a scale.
        swapped: Where a block holds numbers of two bytes, which a big-endian file holds the other way round; ``None``
            where it is not known how such a file would hold this type.
    """

    name: str
    elements: int
    nbytes: int
    bits: float
    group_size: int
    swapped: tuple[int, ...] | None = None

    def stored_dtype(self, *, big_endian: bool = False) -> DType:
        """Return the type of whole blocks, which can only be equal or not."""
        suffix = " big-endian" if big_endian and self.swapped else ""
        return opaque_dtype(f"block of {self.name}{suffix}", self.nbytes)


PLAIN_TYPES: dict[int, DType] = {
    0: dtype("float32"),
    1: dtype("float16"),
    24: dtype("int8"),
    25: dtype("int16"),
    26: dtype("int32"),
    27: dtype("int64"),
    28: dtype("float64"),
    30: dtype("bfloat16"),
}

BLOCK_TYPES: dict[int, BlockType] = {
    2: BlockType("q4_0", 32, 18, 4, 32, (0,)),
    3: BlockType("q4_1", 32, 20, 4, 32),
    6: BlockType("q5_0", 32, 22, 5, 32),
    7: BlockType("q5_1", 32, 24, 5, 32),
    8: BlockType("q8_0", 32, 34, 8, 32, (0,)),
    10: BlockType("q2_k", 256, 84, 2, 16),
    11: BlockType("q3_k", 256, 110, 3, 16),
    12: BlockType("q4_k", 256, 144, 4, 32, (0, 2)),
    13: BlockType("q5_k", 256, 176, 5, 32),
    14: BlockType("q6_k", 256, 210, 6, 16, (208,)),
    15: BlockType("q8_k", 256, 292, 8, 256),
    16: BlockType("iq2_xxs", 256, 66, 2, 32),
    17: BlockType("iq2_xs", 256, 74, 2, 16),
    18: BlockType("iq3_xxs", 256, 98, 3, 32),
    19: BlockType("iq1_s", 256, 50, 1, 32),
    20: BlockType("iq4_nl", 32, 18, 4, 32),
    21: BlockType("iq3_s", 256, 110, 3, 32),
    22: BlockType("iq2_s", 256, 82, 2, 16),
    23: BlockType("iq4_xs", 256, 136, 4, 32),
    29: BlockType("iq1_m", 256, 56, 1, 16),
    34: BlockType("tq1_0", 256, 54, 1.6, 256),
    35: BlockType("tq2_0", 256, 66, 2, 256),
    39: BlockType("mxfp4", 32, 17, 4, 32, ()),
    40: BlockType("nvfp4", 64, 36, 4, 16, ()),
    41: BlockType("q1_0", 128, 18, 1, 128),
    42: BlockType("q2_0", 64, 18, 2, 64),
}

OPAQUE_TYPES: dict[int, BlockType] = {
    31: BlockType("q4_0_4_4", 32, 18, 4, 32),
    32: BlockType("q4_0_4_8", 32, 18, 4, 32),
    33: BlockType("q4_0_8_8", 32, 18, 4, 32),
    36: BlockType("iq4_nl_4_4", 32, 18, 4, 32),
    37: BlockType("iq4_nl_4_8", 32, 18, 4, 32),
    38: BlockType("iq4_nl_8_8", 32, 18, 4, 32),
}
"""Types that ggml had for a while: rows woven together for one kind of processor. Equal or not is all that is told."""

NAMES_OF_OTHERS = {4: "q4_2", 5: "q4_3", 9: "q8_1"}
"""Types whose blocks had several layouts under one number."""
