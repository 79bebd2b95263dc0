"""The reader of the tutorial can tell a kept promise from a broken one."""

from __future__ import annotations

import pytest
from tutorial import Command, Shown, steps

TEXT = """
<!-- file: a.py -->
```python
x = 1
```

```console
$ one
$ two
first
...
```
"""


def test_files_and_commands_are_found_in_order():
    assert steps(TEXT) == [Shown("a.py", "x = 1\n"), Command("one", ""), Command("two", "first\n...\n")]


@pytest.mark.parametrize(
    ("promise", "output", "kept"),
    [
        ("", "", True),
        ("", "warning\n", False),
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n", "b\n", False),
        ("a...\n", "abc\n", True),
        ("a...\n", "abc\nd\n", False),
        ("a\n...\n", "a\n", True),
        ("a\n...\n", "a\nb\nc\n", True),
        ("...\nc\n", "a\nb\nc\n", True),
        ("...\nd\n", "a\nb\nc\n", False),
    ],
)
def test_a_promise_is_kept_by_its_words_alone(promise, output, kept):
    assert Command("x", promise).promises(output) is kept
