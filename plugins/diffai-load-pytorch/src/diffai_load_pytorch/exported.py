"""Exported programs (``.pt2``): weights beside each other as raw bytes or in checkpoints of their own, and a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_zip import STORED

from diffai_core.plugin import LoadError, NotCompared, Text
from diffai_load_pytorch.archive import Archive
from diffai_load_pytorch.builders import view
from diffai_load_pytorch.dtypes import EXPORTED
from diffai_load_pytorch.members import add_other_members
from diffai_load_pytorch.saved import add_checkpoint
from diffai_load_pytorch.values import StorageValue

if TYPE_CHECKING:
    from diffai_load_pytorch.assembly import Assembly

MAX_JSON_BYTES = 256 << 20
MAX_CONTAINERS = 5_000_000
PROGRAM_KEY = "__program__"
CONSTANTS_KEY = "CONSTANTS"

_PROGRAM = "serialized_exported_program.json"
_OLD_INPUTS = "serialized_example_inputs.pt"
_OLD_STATE, _OLD_CONSTANTS = "serialized_state_dict.pt", "serialized_constants.pt"


def is_exported(archive: Archive) -> bool:
    """Whether a zip file is an exported program."""
    if archive.has(_PROGRAM) or archive.word("archive_format") == "pt2":
        return True
    return any(name.startswith("models/") and name.endswith(".json") for name in archive.members)


def add_exported(assembly: Assembly, archive: Archive, prefix: str) -> None:
    """Add weights, constants, graph and what describes them.

    Raises:
        LoadError: If something is damaged.
    """
    for name in list(archive.members):
        if name.startswith("data/weights/") and name.endswith("_config.json"):
            _add_configured(assembly, archive, name, prefix)
        elif name.startswith("data/constants/") and name.endswith("_config.json"):
            _add_configured(assembly, archive, name, _joined(prefix, CONSTANTS_KEY))
    for name, below in ((_OLD_STATE, prefix), (_OLD_CONSTANTS, _joined(prefix, CONSTANTS_KEY))):
        if archive.has(name):
            _add_nested(assembly, archive, name, below)
    for name in archive.members:
        if name == _OLD_INPUTS or (name.startswith("data/sample_inputs/") and name.endswith(".pt")):
            _add_inputs(assembly, archive, name)
    programs = [name for name in archive.members if name == _PROGRAM or _is_model(name)]
    for name in programs:
        _add_program(assembly, archive, name, prefix, alone=len(programs) == 1)
    add_other_members(assembly, archive, prefix)


def _is_model(name: str) -> bool:
    return name.startswith("models/") and name.endswith(".json")


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _json(archive: Archive, name: str) -> Any:
    """Return a JSON member.

    Raises:
        LoadError: If it is none.
    """
    from diffai_lib_json import parse_json

    start = archive.members[name].start
    try:
        text = archive.read(name, MAX_JSON_BYTES).decode("utf-8")
        return parse_json(Text(archive.file.name, text, "utf-8", 0), MAX_CONTAINERS)
    except UnicodeDecodeError as error:
        raise LoadError(archive.file.name, f"member {name!r} is not UTF-8", start) from error
    except LoadError as error:
        raise LoadError(archive.file.name, f"member {name!r}: {error.reason}", start) from error


def _add_configured(assembly: Assembly, archive: Archive, name: str, prefix: str) -> None:
    """Add the tensors that a list of them describes."""
    folder = name.rpartition("/")[0]
    config = _json(archive, name)
    try:
        entries = config["config"].items()
    except (TypeError, KeyError, AttributeError) as error:
        raise _damaged(archive, name, "has no list of tensors") from error
    for key, entry in entries:
        try:
            member = f"{folder}/{entry['path_name']}"
            meta, is_pickle = entry.get("tensor_meta"), entry.get("use_pickle")
        except (TypeError, KeyError, AttributeError) as error:
            raise _damaged(archive, name, f"describes {key[:80]!r} wrongly") from error
        target = _joined(prefix, key)
        if is_pickle:
            _add_nested(assembly, archive, member, target)
        elif meta is not None:
            _add_raw(assembly, archive, member, target, meta)


def _add_raw(assembly: Assembly, archive: Archive, member: str, name: str, meta: Any) -> None:
    """Add a tensor whose storage is a member."""
    payload = archive.payload(member)
    try:
        kind = EXPORTED[meta["dtype"]]
        size, stride = (tuple(part["as_int"] for part in meta[key]) for key in ("sizes", "strides"))
        storage = StorageValue(member, kind, payload.size // kind.itemsize, payload)
        value = view(storage, kind, meta["storage_offset"]["as_int"], size, stride)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        words = str(error) if type(error) is ValueError else "its description is damaged"
        raise _damaged(archive, member, words) from error
    assembly.add_tensor(name, value, "weights", archive.file, big_endian=archive.is_big_endian)


def _add_nested(assembly: Assembly, archive: Archive, name: str, prefix: str) -> None:
    """Add a checkpoint that is a member of the zip file."""
    archive.payload(name)
    member = archive.members[name]
    if member.method != STORED:
        assembly.not_readable.append(NotCompared(prefix or name, f"{name} is a compressed file in a file"))
        return
    add_checkpoint(assembly, Archive(archive.file, member.start, member.size), prefix)


def _add_inputs(assembly: Assembly, archive: Archive, name: str) -> None:
    """List what the checkpoint of sample inputs names; as data, its digest is compared."""
    member = archive.members[name]
    if member.size and (member.method != STORED or archive.file.read(member.start, 1) != b"P"):
        assembly.not_readable.append(NotCompared(name, "is a compressed file in a file, or in a format before zip"))
    elif member.size:
        inner = Archive(archive.file, member.start, member.size)
        source = inner.source("data.pkl")
        assembly.add_foreign(inner.unpickled(source, "data/"), source, archive.file)


def _add_program(assembly: Assembly, archive: Archive, name: str, prefix: str, *, alone: bool) -> None:
    from diffai_load_pytorch.graph import graph_of

    program = _json(archive, name)
    try:
        found = graph_of(program["graph_module"]["graph"])
        rest = {key: value for key, value in program.items() if key != "graph_module"}
        rest["signature"] = program["graph_module"].get("signature")
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise _damaged(archive, name, "has no graph that can be read") from error
    if alone:
        assembly.graph = found
    else:
        assembly.not_readable.append(NotCompared(name, "one of several graphs"))
    key = PROGRAM_KEY if alone else f"{PROGRAM_KEY}.{name}"
    assembly.add_tree(rest, _joined(prefix, key), archive.file)


def _damaged(archive: Archive, name: str, reason: str) -> LoadError:
    return LoadError(archive.file.name, f"member {name[:200]!r}: {reason}", archive.members[name].start)
