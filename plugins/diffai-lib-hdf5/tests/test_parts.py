"""Single parts against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_lib_hdf5.boxes import boxes, cut_for
from diffai_lib_hdf5.checksum import lookup3
from diffai_lib_hdf5.lzf import inflate_lzf
from hypothesis import given
from hypothesis import strategies as st


def test_the_checksum_gives_the_answers_of_its_author():
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


@pytest.mark.parametrize(
    ("packed", "plain"),
    [(b"\x02abc", b"abc"), (b"\x00a\x20\x00", b"aaaa"), (b"\x01ab\xe0\x03\x01", b"ab" + b"ab" * 6)],
)
def test_lzf_gives_back_what_was_compressed(packed, plain):
    assert inflate_lzf(packed, 100) == plain


@pytest.mark.parametrize("packed", [b"\x05abc", b"\x20\x00", b"\x00a\xe0", b"\x00a\x20", b"\x00a\xe0\xff\x00"])
def test_damaged_lzf_is_an_error(packed):
    with pytest.raises(ValueError, match=r"they "):
        inflate_lzf(packed, 100)


@given(
    shape=st.lists(st.integers(0, 6), max_size=3).map(tuple),
    seed=st.integers(0, 5),
    limit=st.sampled_from([4, 20, 100, 10_000]),
)
def test_boxes_cover_every_element_once_in_the_wanted_order(shape, seed, limit):
    order = tuple(np.random.default_rng(seed).permutation(len(shape)).tolist())
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffai_lib_hdf5.boxes.MAX_BOX_BYTES", limit)
        cut = cut_for(shape, order, 4, (2,) * len(shape))
        found = [array[tuple(slice(*span) for span in box)] for box in boxes(shape, order, cut)]
    assert all(part.size * 4 <= max(limit, 4) for part in found)
    joined = [part.transpose(order).reshape(-1) for part in found]
    wanted = array.transpose(order).reshape(-1)
    assert np.array_equal(np.concatenate(joined) if joined else wanted[:0], wanted)
