"""What a plugin declares: small immutable records that name the working code by a string.

Nothing here, and nothing a ``plugin.py`` needs, imports NumPy or anything heavier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

API_VERSION = 1
"""The number a plugin writes into ``api=``; it rises only when a plugin would have to change."""

HEAD_BYTES = 4096
"""Bytes at the start of a file by which its format is recognised."""

OptionKind = Literal["flag", "integer", "number", "text", "choice", "regex"]
Facet = Literal["tensors", "tree", "tables", "graph"]
Scope = Literal["changed", "paired", "all"]
ReportForm = Literal["document", "results"]
Stage = Literal["measure", "judge", "report"]
"""When a comparator runs: on its own, on what those found, or on what all others found."""
ReadingWay = Literal["auto", "mmap", "read"]
"""How to get at the bytes of files: through maps, by reading into buffers, or as it suits the file."""


class Magic(NamedTuple):
    """Bytes that identify a format when they stand at ``offset`` of the file."""

    data: bytes
    offset: int = 0


@dataclass(frozen=True)
class Option:
    """One command-line option of a plugin.

    Args:
        name: Long name without dashes, in kebab case: ``precision-loss-threshold``.
        help: One sentence that ends with a full stop.
        kind: ``flag`` (on or off), ``integer``, ``number``, ``text``, ``choice`` or ``regex`` (checked before the run).
        default: Value when the option is not given; ``False`` for a flag, ``()`` when ``multiple``.
        choices: The allowed words of a ``choice``.
        multiple: Whether the option may be repeated; the value is then a tuple.
        metavar: Placeholder in the help, for instance ``REGEX``.
        check: Of a ``text``, ``integer`` or ``number``: ``package.module:function``, called with each value before the
            run; it raises a ``UsageError`` where that means nothing, and what it returns is not used. Import nothing
            heavy there.

    The target finds the value under the name with underscores: ``options["precision_loss_threshold"]``.
    """

    name: str
    help: str
    kind: OptionKind = "flag"
    default: Any = False
    choices: tuple[str, ...] = ()
    multiple: bool = False
    metavar: str = ""
    check: str = ""


@dataclass(frozen=True)
class LoaderSpec:
    """A file format that a plugin can open.

    Args:
        name: Name of the format, as in ``--input-format NAME``.
        title: What it is called in a sentence, for instance ``safetensors``.
        target: ``package.module:function``; called as ``function(source, options) -> Artifact``.
        suffixes: File name endings, lower case with a dot (``.json``, ``vocab.txt``); a hint that content overrules.
        magic: Alternatives of bytes that identify the format.
        sniff: ``package.module:function`` called as ``function(head: bytes, size: int) -> bool`` on the first
            4 KiB when no magic decides; for formats without fixed magic bytes. Import nothing heavy there.
        folders: Glob patterns (relative to a directory); a directory with a match is opened as one artefact.
        folder_rank: Which loader opens a directory that several match, because models are published in several formats
            side by side: the one with the highest rank. What its model is not made of is compared file by file.
        dialect_of: Name of the more general format in which this one is written (``json`` for a tokenizer.json); where
            both recognise a file, this loader opens it.
        options: Options of this loader.
        api: ``API_VERSION`` the plugin was written for.
    """

    name: str
    title: str
    target: str
    suffixes: tuple[str, ...] = ()
    magic: tuple[Magic, ...] = ()
    sniff: str = ""
    folders: tuple[str, ...] = ()
    folder_rank: int = 0
    dialect_of: str = ""
    options: tuple[Option, ...] = ()
    api: int = API_VERSION


@dataclass(frozen=True)
class ComparatorSpec:
    """An analysis that a plugin adds.

    Args:
        name: Name of the analysis; off by default, it is switched on by the flag ``--<name>``.
        title: What it answers, one sentence that ends with a full stop; the help of its flag.
        target: ``package.module:function``; called as ``function(comparison, options) -> Iterable[Finding]``.
        default: Whether it runs without being asked for.
        facets: Parts of the artefacts that this comparator compares completely. What is in a file and compared
            by no comparator makes the result inconclusive.
        needs: Statistics of the one pass: names of the core's accumulators (``moments``, ``extrema`` …)
            or ``package.module:object`` naming a fold of the plugin's own.
        scope: Tensors for which ``needs`` are measured: ``changed`` pairs, all ``paired`` tensors, or ``all``.
        stage: When it runs. A comparator that ``judge``s finds in ``comparison.findings`` what those that ``measure``
            have found; one that ``report``s, also what the judges have.
        gate: Whether it answers as a gate, so that the exit code is its answer; ``--all`` does not ask for it.
        series: Whether it has an answer for more than two artefacts; it finds them in ``comparison.series``.
        second_look: What it reads again after the pass and what that costs, in a few words; empty if nothing.
        options: Options of this comparator.
        api: ``API_VERSION`` the plugin was written for.
    """

    name: str
    title: str
    target: str
    default: bool = False
    facets: tuple[Facet, ...] = ()
    needs: tuple[str, ...] = ()
    scope: Scope = "changed"
    stage: Stage = "measure"
    gate: bool = False
    series: bool = False
    second_look: str = ""
    options: tuple[Option, ...] = ()
    api: int = API_VERSION


@dataclass(frozen=True)
class ReporterSpec:
    """A way to write a report.

    Args:
        name: Name of the format: ``--format NAME`` for a document, ``--output NAME`` for a list of results.
        title: What it is, in a few words.
        target: ``package.module:function``; called as ``function(report, options) -> Iterable[str]``, the pieces
            of the text in order, each with its own line ends.
        form: ``document`` (one report with everything) or ``results`` (the bare list of findings).
        media_type: Media type of the text, for instance ``application/json``.
        flag: A flag that asks for it too, for instance ``markdown-output``; empty if there is none.
        options: Options of this reporter.
        api: ``API_VERSION`` the plugin was written for.
    """

    name: str
    title: str
    target: str
    form: ReportForm = "document"
    media_type: str = "text/plain"
    flag: str = ""
    options: tuple[Option, ...] = ()
    api: int = API_VERSION


@dataclass(frozen=True)
class KernelSpec:
    """Code that takes the core's statistics faster than NumPy does.

    Args:
        name: Name of the kernel: ``--kernel NAME``. The first that works is used without being asked for.
        title: What it is, in a few words.
        target: ``package.module:function``; called as ``function() -> Kernel`` (see ``diffai_core.kernels``). It
            raises :class:`PluginError` where the kernel cannot work, and imports no NumPy.
        api: ``API_VERSION`` the plugin was written for.
    """

    name: str
    title: str
    target: str
    api: int = API_VERSION


Spec = LoaderSpec | ComparatorSpec | ReporterSpec | KernelSpec


def options_of(spec: Spec) -> tuple[Option, ...]:
    """Return the options that ``spec`` declares; a kernel has none."""
    return () if isinstance(spec, KernelSpec) else spec.options
