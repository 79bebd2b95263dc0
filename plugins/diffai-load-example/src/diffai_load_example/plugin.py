"""What diffai is told about the example format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Declare the format; the loader itself is imported when a file of it is opened."""
    yield LoaderSpec(
        name="example",
        title="example arrays",
        target="diffai_load_example.loader:open_file",
        suffixes=(".example",),
        magic=(Magic(b"EXAMPLE 1\n"),),
    )
