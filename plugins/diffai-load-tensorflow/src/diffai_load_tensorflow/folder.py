"""Which checkpoint of a folder is meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError, SeparateFilesError, shown
from diffai_load_tensorflow.checkpoint import INDEX_SUFFIX
from diffai_load_tensorflow.table import FOOTER_BYTES, MAGIC

if TYPE_CHECKING:
    from diffai_core.plugin import Source

STATE_FILE = "checkpoint"
_MAX_STATE_BYTES = 1 << 20
_LATEST = re.compile(r'^\s*model_checkpoint_path\s*:\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_MAX_LISTED = 10
_DATA_FILE = re.compile(r"(.*)\.data-[0-9]{5}-of-[0-9]{5}", re.DOTALL)


def prefixes_in(folder: Source) -> list[str]:
    """Return the names of the checkpoints in a folder, sorted.

    Raises:
        LoadError: If it cannot be listed.
    """
    try:
        names = sorted(path.name for path in folder.path.iterdir() if path.name.endswith(INDEX_SUFFIX))
    except OSError as error:
        raise LoadError(folder.name, f"the folder cannot be listed ({error.strerror})") from error
    return [name.removesuffix(INDEX_SUFFIX) for name in names if is_index(folder.child(name))]


def is_index(source: Source) -> bool:
    """Whether a file ends as the index of a checkpoint does."""
    with source.open() as file:
        return file.size >= FOOTER_BYTES and file.read(file.size - len(MAGIC), len(MAGIC)) == MAGIC


def chosen_prefix(folder: Source, prefixes: list[str]) -> str:
    """Return the checkpoint to open: the only one, or the one that TensorFlow's ``checkpoint`` file calls the latest.

    That file may name a path on another machine; only its last part is used, beside the file itself.

    Raises:
        SeparateFilesError: If there is none.
        LoadError: If there are several and the file does not name one of them.
    """
    if not prefixes:
        raise SeparateFilesError(folder.name, f"holds no checkpoint (no *{INDEX_SUFFIX} file of TensorFlow)")
    if len(prefixes) == 1:
        return prefixes[0]
    latest = _latest(folder)
    if latest in prefixes:
        return latest
    names = ", ".join(f"{prefix}{INDEX_SUFFIX}" for prefix in prefixes[:_MAX_LISTED])
    names += ", …" if len(prefixes) > _MAX_LISTED else ""
    why = "no file 'checkpoint' says which is the latest" if latest is None else f"{shown(latest)} is not among them"
    raise LoadError(folder.name, f"holds {len(prefixes)} checkpoints, and {why}; pass one of {names}")


def files_beside(folder: Source, prefixes: list[str]) -> list[Source]:
    """Return the files of other checkpoints, and the state file: they are not to be compared by themselves."""
    stems = {f"{prefix}{INDEX_SUFFIX}" for prefix in prefixes} | {STATE_FILE}
    names = sorted(path.name for path in folder.path.iterdir() if path.is_file())
    data_files = {name for name in names if (found := _DATA_FILE.fullmatch(name)) and found[1] in prefixes}
    return [folder.child(name) for name in names if name in stems | data_files]


def _latest(folder: Source) -> str | None:
    if not (folder.path / STATE_FILE).is_file():
        return None
    with folder.child(STATE_FILE).open() as file:
        text = file.read(0, min(file.size, _MAX_STATE_BYTES)).decode("utf-8", "replace")
    found = _LATEST.search(text)
    return re.split(r"[/\\]+", found[1])[-1] if found else None
