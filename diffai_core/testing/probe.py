"""Open untrusted files in a child process that can be stopped: what happens to each is one line of JSON.

A loader that hangs, crashes the interpreter or asks for all memory takes only the child with it.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_core.errors import LoadError
from diffai_core.files import Source
from diffai_core.lazy import resolve
from diffai_core.testing.watch import descriptor_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_core.artifact import Artifact

MEMORY_LIMIT = 2 << 30
"""Bytes of address space a loader may ask for beyond what its imports took."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Args:
        path: The file.
        error: Name of the exception; empty if everything could be read.
        message: Its text.
        error_path: The file a ``LoadError`` names.
        offset: The offset a ``LoadError`` names.
        digest: Digest of all that was read; empty after an error.
        seconds: How long it took.
        n_left_open: File descriptors left open.
        warnings: Texts of the warnings that leaked.
    """

    path: str
    error: str = ""
    message: str = ""
    error_path: str = ""
    offset: int | None = None
    digest: str = ""
    seconds: float = 0.0
    n_left_open: int = 0
    warnings: tuple[str, ...] = ()


def read_everything(artifact: Artifact) -> str:
    """Read all tensors, the tree and the graph; return a digest of names, shapes, dtypes and values."""
    digest = hashlib.sha256()
    for name, ref in artifact.tensors.items():
        digest.update(repr((name, ref.shape, ref.dtype.name)).encode())
        for block in ref.blocks(1 << 20):
            digest.update(block.tobytes())
        for part in ref.quantization.stored if ref.quantization else ():
            for block in part.blocks(1 << 20):
                digest.update(block.tobytes())
    digest.update(repr((artifact.graph, artifact.foreign)).encode("utf-8", "surrogatepass"))
    digest.update(repr(artifact.tree).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def examine(target: str, path: str, options: Mapping[str, Any]) -> Outcome:
    """Open one file with the loader ``target``, read everything, close it."""
    before = descriptor_count()
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen = _open_and_read(target, path, options)
    seconds = time.perf_counter() - started
    leaked = max(descriptor_count() - before, 0)
    texts = tuple(str(warning.message) for warning in caught)
    return Outcome(path, **seen, seconds=seconds, n_left_open=leaked, warnings=texts)


def _open_and_read(target: str, path: str, options: Mapping[str, Any]) -> dict[str, Any]:
    loader = resolve(target, "the loader under test")
    try:
        with loader(Source(path), dict(options)) as artifact:
            return {"digest": read_everything(artifact)}
    except LoadError as error:
        return {
            "error": "LoadError",
            "message": str(error),
            "error_path": error.path,
            "offset": error.offset,
        }
    except Exception as error:  # noqa: BLE001 - which exception it is, is the question
        return {"error": type(error).__name__, "message": str(error)}


def probe(target: str, paths: Sequence[Path], options: Mapping[str, Any], limit_s: float) -> list[Outcome]:
    """Open each file in a child process.

    Args:
        target: ``package.module:function`` of the loader.
        paths: Files or folders.
        options: Options of the loader.
        limit_s: Seconds for all files together.

    Returns:
        One outcome for each file, in order. A file that hung has the error ``hang``; one that ended the
        interpreter has the error ``crash``; the files after it are left out.
    """
    job = {"path": sys.path, "target": target, "files": [str(path) for path in paths], "options": dict(options)}
    command = [sys.executable, "-c", "from diffai_core.testing.probe import main; main()"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    stopped = ""
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        try:
            output, complaint = child.communicate(json.dumps(job), timeout=limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output, complaint = child.communicate()
            stopped = "hang"
    outcomes = [_outcome(line) for line in output.splitlines()]
    if len(outcomes) < len(paths):
        message = f"not done after {limit_s:g} s" if stopped else f"exit status {child.returncode}: {complaint[-2000:]}"
        outcomes.append(Outcome(str(paths[len(outcomes)]), error=stopped or "crash", message=message))
    return outcomes


def _outcome(line: str) -> Outcome:
    record = json.loads(line)
    return Outcome(**record | {"warnings": tuple(record["warnings"])})


def main() -> None:
    """Read a job from standard input; print one outcome a line."""
    job = json.loads(sys.stdin.read())
    resolve(job["target"], "the loader under test")  # its imports are not the file's doing
    gc.freeze()  # what was imported is no garbage; without it each file would cost milliseconds of looking
    _limit_memory()
    for path in job["files"]:
        print(json.dumps(asdict(examine(job["target"], path, job["options"]))), flush=True)  # noqa: T201 - the protocol


def _limit_memory() -> None:
    """Make an allocation that a lying header asks for a ``MemoryError`` instead of an exhausted machine."""
    statm = Path("/proc/self/statm")
    if not statm.exists():  # only Linux both says and limits it
        return
    import resource

    in_use = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_LIMIT, in_use + MEMORY_LIMIT))
