"""What the laws cannot know: that the errors of this format are the right ones."""

from __future__ import annotations

import pytest
from diffai_load_example.loader import open_file

from diffai_core.plugin import LoadError, Source


def test_a_missing_element_is_an_error_that_names_file_and_offset(tmp_path):
    path = tmp_path / "short.example"
    path.write_bytes(b"EXAMPLE 1\nfc.weight 2 3\n\n" + bytes(20))
    with pytest.raises(LoadError, match="the arrays end at byte") as caught:
        open_file(Source(path), {})
    assert (caught.value.path, caught.value.offset) == (str(path), path.stat().st_size)
