"""The errors diffai raises; each message says what is wrong, where, and what to do."""

from __future__ import annotations


class DiffaiError(Exception):
    """Base of every error that diffai reports as one line instead of a traceback."""


class UsageError(DiffaiError):
    """The command line asks for something that does not exist or does not fit together."""


class LoadError(DiffaiError):
    """A file cannot be read truthfully: damaged, truncated, unsafe, or not what it claims to be.

    Args:
        path: The file as the user named it.
        reason: What is wrong, in words that end without a full stop.
        offset: Byte offset in the file at which the damage was seen, or ``None`` for the file as a whole.

    Example:
        >>> str(LoadError("b.safetensors", "the header is not JSON", offset=8))
        'b.safetensors: byte 8: the header is not JSON'
    """

    def __init__(self, path: object, reason: str, offset: int | None = None) -> None:
        super().__init__(path, reason, offset)
        self.path = str(path)
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        place = "" if self.offset is None else f"byte {self.offset:,}: "
        return f"{self.path}: {place}{self.reason}"


class UnknownFormatError(LoadError):
    """No installed plugin reads the file; nothing says that it is damaged."""


class SeparateFilesError(LoadError):
    """A folder holds files of this format that are no single artefact; the core compares them one by one."""


class PluginError(DiffaiError):
    """A plugin breaks the contract of its kind; the message names the plugin and the remedy."""
