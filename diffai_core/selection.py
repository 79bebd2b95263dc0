"""Which loader opens a path: ``--input-format``, else content, else suffix.

Content is magic bytes (the longest match wins), then the loaders' own look at the first 4 KiB; a dialect wins against
the format it is written in; the suffix breaks a tie, and decides alone only where no content does. What stays ambiguous
or unknown is an error that lists what can be typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_core.artifact import Artifact, FileTensor, TensorRef
from diffai_core.errors import DiffaiError, LoadError, PluginError, UnknownFormatError, UsageError
from diffai_core.folder_match import matches_folder
from diffai_core.known import (
    GENERIC_SUFFIXES,
    KNOWN_REPORTS,
    KnownFormat,
    known_by_content,
    known_by_name,
    known_by_suffix,
    magic_length,
    suffix_length,
)
from diffai_core.registry import Broken, Registered, Registry, resolve_callable, resolve_target
from diffai_core.wording import did_you_mean, error_text, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from diffai_core.files import Source
    from diffai_core.registry import Key
    from diffai_core.specs import LoaderSpec, ReporterSpec, ReportForm

    Loader = Registered[LoaderSpec]

_SHOWN_BYTES = 4
_MOST_LISTED = 12


def choose_loader(source: Source, registry: Registry, forced: str | None = None) -> Loader:
    """Return the loader for a file.

    Args:
        source: The file.
        registry: The plugins.
        forced: ``--input-format``; the file is not looked at then.

    Raises:
        UsageError: If there is no format ``forced``, or several loaders have equal claims.
        LoadError: If the file cannot be read, is empty, or no loader reads it.
    """
    if forced is not None:
        return _forced_loader(registry, forced)
    head, size = source.head()
    if not size:
        raise LoadError(source.name, "is empty")
    return _Choice(source, registry, head, size).loader()


def choose_folder_loader(source: Source, registry: Registry, forced: str | None = None) -> Loader | None:
    """Return the loader that opens a directory as one artefact, or ``None`` where its files are to be compared.

    Args:
        source: The directory.
        registry: The plugins.
        forced: ``--input-format``; only this loader is considered then.

    Raises:
        UsageError: If there is no format ``forced``, or several loaders have equal claims.
        LoadError: If the directory cannot be read.
    """
    loaders = registry.loaders.values() if forced is None else [_forced_loader(registry, forced)]
    matching = [loader for loader in loaders if matches_folder(source, loader.spec.folders)]
    highest = max((loader.spec.folder_rank for loader in matching), default=0)
    best = [loader for loader in matching if loader.spec.folder_rank == highest]
    if len(best) > 1:
        raise _ambiguous(source, best)
    return best[0] if best else None


def choose_reporter(registry: Registry, form: ReportForm, name: str, flag: str) -> Registered[ReporterSpec]:
    """Return a reporter by name.

    Args:
        registry: The plugins.
        form: ``document`` or ``results``.
        name: As given by the user.
        flag: The option it was given to, for the message.

    Raises:
        UsageError: If there is none.
    """
    by_name = registry.documents if form == "document" else registry.results
    if name in by_name:
        return by_name[name]
    broken = [broken for broken in registry.broken if broken.kind in {"document", "results"}]
    dist = KNOWN_REPORTS.get(name)
    present = {spec.dist for spec in registry.registered} | {plugin.dist for plugin in broken}
    if dist is None or dist in present:
        raise _no_such(flag, name, by_name, broken)
    raise UsageError(f"{flag} {name}: no installed plugin writes it; pip install {dist}")


def open_artifact(
    source: Source,
    registry: Registry,
    forced: str | None = None,
    options: Mapping[Key, Mapping[str, Any]] | None = None,
) -> Artifact:
    """Open a file, or a directory that is one artefact.

    Args:
        source: The file or directory.
        registry: The plugins.
        forced: ``--input-format``.
        options: Options by spec, as ``PluginOptions.values`` returns them; defaults where a loader is not there.

    Raises:
        UsageError: If there is no format ``forced``, or several loaders have equal claims.
        LoadError: If it cannot be read truthfully.
        PluginError: If the loader fails in any other way.
    """
    if is_folder(source):
        loader = choose_folder_loader(source, registry, forced)
        if loader is None:
            raise LoadError(source.name, "is a directory that no installed plugin reads as one model")
    else:
        loader = choose_loader(source, registry, forced)
    values = (options or {}).get(loader.key, loader.defaults)
    try:
        return open_with(loader, source, values)
    except LoadError as error:
        found = None if forced is None else _named_by_content(source, registry)
        if found in {None, forced}:
            raise
        reason = f"{error.reason}; its content says {found}, --input-format {forced}"
        raise LoadError(error.path, reason, error.offset) from error


def _named_by_content(source: Source, registry: Registry) -> str | None:
    """Return the format that a file is of by its own account; ``None`` for a directory or where nothing tells."""
    try:
        return None if is_folder(source) else choose_loader(source, registry).spec.name
    except (LoadError, UsageError):
        return None


def open_with(loader: Loader, source: Source, options: Mapping[str, Any]) -> Artifact:
    """Open ``source`` with ``loader``.

    Raises:
        LoadError: If it cannot be read truthfully.
        PluginError: If the loader fails in any other way.
    """
    opener = resolve_target(loader)
    try:
        artifact = opener(source, options)
    except DiffaiError:
        raise
    except (Exception, SystemExit) as error:
        msg = f"{loader.label}: failed while opening {source.name} ({error_text(error)})"
        raise PluginError(f"{msg}; run with --debug for the traceback") from error
    if not isinstance(artifact, Artifact):
        msg = f"{loader.label}: {loader.spec.target} returned a {type(artifact).__name__} instead of an Artifact"
        raise PluginError(f"{msg}; report it to its authors")
    problem = _problem_of(artifact)
    if problem:
        artifact.close()
        raise PluginError(f"{loader.label}: opened {source.name} wrongly: {problem}; report it to its authors")
    return artifact


def _problem_of(artifact: Artifact) -> str:
    """Return how an artefact breaks what the core relies on; empty if it does not."""
    if not artifact.files:
        return "the Artifact names no files"
    tensors: Mapping[str, Any] = artifact.tensors  # whatever the loader put there
    for name, ref in tensors.items():
        if not isinstance(ref, TensorRef) or ref.name != name:
            return f"tensors[{name!r}] is not a TensorRef of that name"
        length: Any
        for length in ref.shape:
            if not isinstance(length, int) or length < 0:
                return f"tensor {name!r} has the shape {ref.shape!r}"
        if ref.quantization is not None and isinstance(ref, FileTensor):
            return f"tensor {name!r} is quantised and says that its values lie in the file"
    return ""


def is_folder(source: Source) -> bool:
    """Whether ``source`` is a directory.

    Raises:
        LoadError: If the path cannot be looked at.
    """
    try:
        return source.is_folder
    except OSError as error:
        raise LoadError(source.name, (error.strerror or str(error)).lower()) from error


class _Choice:
    """One file for which a loader is looked for.

    Args:
        source: The file.
        registry: The plugins.
        head: Its first 4 KiB.
        size: Bytes in the file.
    """

    def __init__(self, source: Source, registry: Registry, head: bytes, size: int) -> None:
        self._source = source
        self._registry = registry
        self._head = head
        self._size = size
        self._failures: list[str] = []

    def loader(self) -> Loader:
        """Return the one loader; raises if there is none or more than one."""
        candidates = self._by_magic() or self._by_sniffing() or self._by_suffix()
        if not candidates:
            raise self._miss()
        best = self._suffix_winners(_most_special([*candidates, *self._dialects_by_suffix(candidates)]))
        if len(best) > 1:
            raise _ambiguous(self._source, best)
        return best[0]

    def _by_magic(self) -> list[Loader]:
        """Return the loaders with the longest match; of several, those whose own look does not say no."""
        lengths = {name: magic_length(loader.spec.magic, self._head) for name, loader in self._registry.loaders.items()}
        longest = max(lengths.values(), default=0)
        if not longest:
            return []
        tied = [loader for name, loader in self._registry.loaders.items() if lengths[name] == longest]
        if len(tied) == 1:
            return tied
        return [loader for loader in tied if not loader.spec.sniff or self._recognised(loader)] or tied

    def _by_sniffing(self) -> list[Loader]:
        """Return the loaders that recognise the content; those with the file's suffix are asked first.

        The others are asked, and their modules imported, only if none of these does or they read a dialect, because
        the suffix would break a tie in favour of these anyway.
        """
        sniffing = [loader for loader in self._registry.loaders.values() if loader.spec.sniff]
        likely = self._with_suffix(sniffing)
        found = [loader for loader in likely if self._recognised(loader)]
        names = {loader.spec.name for loader in found}
        others = [
            loader for loader in sniffing if loader not in likely and (not found or loader.spec.dialect_of in names)
        ]
        return found + [loader for loader in others if self._recognised(loader)]

    def _by_suffix(self) -> list[Loader]:
        """Return the loaders with the file's suffix.

        A loader that knows its content by sight and did not recognise this file is trusted less than one that
        goes by the suffix alone, and not at all if the file is plainly something else or the suffix may stand for
        anything.
        """
        matching = self._with_suffix(self._registry.loaders.values())
        trusting = [loader for loader in matching if not loader.spec.magic and not loader.spec.sniff]
        if trusting or not matching:
            return trusting
        known = known_by_content(self._head, self._size)
        something_else = known is not None and not _is_installed(known, self._registry)
        suffix = self._source.path.suffix.lower()
        says_little = suffix in GENERIC_SUFFIXES and max(map(self._suffix_length, matching)) == len(suffix)
        return [] if something_else or says_little else matching

    def _dialects_by_suffix(self, candidates: Sequence[Loader]) -> list[Loader]:
        """Return the dialects of ``candidates`` whose suffix the file has and the general format has not.

        What tells a dialect may stand too far back in the file to be seen.
        """
        general = {loader.spec.name for loader in candidates if not self._suffix_length(loader)}
        dialects = [loader for loader in self._registry.loaders.values() if loader.spec.dialect_of in general]
        return [loader for loader in self._with_suffix(dialects) if loader not in candidates]

    def _with_suffix(self, loaders: Iterable[Loader]) -> list[Loader]:
        return [loader for loader in loaders if self._suffix_length(loader)]

    def _suffix_winners(self, loaders: Sequence[Loader]) -> list[Loader]:
        longest = max(map(self._suffix_length, loaders))
        return [loader for loader in loaders if self._suffix_length(loader) == longest]

    def _suffix_length(self, loader: Loader) -> int:
        return suffix_length(loader.spec.suffixes, self._source.path.name)

    def _recognised(self, loader: Loader) -> bool:
        """Ask the loader's sniff function; one that fails does not recognise the file and is named in a miss."""
        try:
            return bool(resolve_callable(loader.spec.sniff, loader)(self._head, self._size))
        except PluginError as error:
            self._failures.append(str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one loader's failure must not hide the others
            self._failures.append(f"{loader.label}: failed while looking at the file ({error_text(error)})")
        return False

    def _miss(self) -> LoadError:
        known = known_by_content(self._head, self._size) or known_by_suffix(self._source.path.name)
        if known is not None and _is_installed(known, self._registry):
            known = None  # it is installed and does not recognise the file
        reason = self._unknown() if known is None else _not_installed(known, self._registry)
        return UnknownFormatError(self._source.name, "; ".join([reason, *self._failures]))

    def _unknown(self) -> str:
        start = self._head[:_SHOWN_BYTES].hex(" ")
        if self._registry.loaders:
            advice = f"installed formats: {_few(self._registry.loaders)} (choose one with --input-format)"
        else:
            advice = "no format is installed; pip install diffai-load-safetensors reads safetensors, for instance"
        broken = [str(broken) for broken in self._registry.broken if broken.kind == "loader"]
        return "; ".join([f"unknown format (starts with {start})", advice, *broken])


def _most_special(loaders: Sequence[Loader]) -> list[Loader]:
    """Leave out the formats of which others among ``loaders`` are dialects."""
    general = {loader.spec.dialect_of for loader in loaders}
    return [loader for loader in loaders if loader.spec.name not in general] or list(loaders)


def _is_installed(known: KnownFormat, registry: Registry) -> bool:
    return any(known.name == name or known.dist == loader.dist for name, loader in registry.loaders.items())


def _not_installed(known: KnownFormat, registry: Registry) -> str:
    """Say which distribution reads ``known``: to install, to repair, or to switch on."""
    names = {known.dist, f"load-{known.name}"}
    broken = [str(broken) for broken in registry.broken if _could_read(broken, known)]
    disabled = [plugin.label for plugin in registry.disabled if {plugin.dist, plugin.name} & names]
    if broken:
        return "; ".join([f"no working plugin reads {known.title}", *broken])
    if disabled:
        return f"{listed(disabled)} would read {known.title} but is switched off by DIFFAI_PLUGINS or DIFFAI_DISABLE"
    return f"no installed plugin reads {known.title}; pip install {known.dist}"


def _could_read(broken: Broken, known: KnownFormat) -> bool:
    if broken.kind != "loader":
        return False
    return known.name in {broken.name, broken.plugin.removeprefix("load-")} or broken.dist == known.dist


def _forced_loader(registry: Registry, name: str) -> Loader:
    if name in registry.loaders:
        return registry.loaders[name]
    broken = [broken for broken in registry.broken if broken.kind == "loader"]
    known = known_by_name(name)
    if known is not None and not _is_installed(known, registry):
        raise UsageError(f"--input-format {name}: {_not_installed(known, registry)}")
    raise _no_such("--input-format", name, registry.loaders, broken)


def _no_such(flag: str, name: str, installed: Iterable[str], broken: Iterable[Broken]) -> UsageError:
    installed = list(installed)
    parts = [f"no such format{did_you_mean(name, installed)}", f"installed: {_few(installed)}", *map(str, broken)]
    return UsageError(f"{flag} {name}: {'; '.join(parts).replace('?;', '?')}")


def _few(names: Collection[str]) -> str:
    """Return the names, or how many there are if a line cannot hold them."""
    return listed(names) if len(names) <= _MOST_LISTED else f"{len(names)}, which diffai --plugins lists"


def _ambiguous(source: Source, loaders: Sequence[Loader]) -> UsageError:
    candidates = [f"{loader.spec.name} ({loader.label})" for loader in loaders]
    example = min(loader.spec.name for loader in loaders)
    return UsageError(
        f"{source.name}: several formats fit: {listed(candidates)}; choose one with --input-format {example}"
    )
