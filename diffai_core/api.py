"""Open two paths and compare them; what the command line and ``from diffai_core import compare`` share."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core import values
from diffai_core.errors import LoadError, UsageError
from diffai_core.files import Source
from diffai_core.folder_rules import FolderRules
from diffai_core.kernels import choose_kernel
from diffai_core.keys import KeyFilter, Tolerance, Tolerances
from diffai_core.options import checked_value
from diffai_core.registry import load_registry
from diffai_core.run import Settings, compare_artifacts
from diffai_core.selection import is_folder, open_artifact
from diffai_core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from diffai_core.artifact import Artifact
    from diffai_core.findings import Report
    from diffai_core.registry import Key, Registered, Registry
    from diffai_core.specs import ComparatorSpec


@dataclass(frozen=True)
class Opening:
    """How the inputs are opened.

    Args:
        input_format: Name of the loader for both inputs; chosen by content if ``None``.
        options: Options of the loaders by spec.
        rules: Which files of a folder belong to it.
    """

    input_format: str | None = None
    options: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)
    rules: FolderRules = field(default_factory=FolderRules)


def compare_paths(
    paths: Sequence[str | bytes | PathLike[str]],
    registry: Registry,
    comparators: Sequence[Registered[ComparatorSpec]],
    settings: Settings | None = None,
    opening: Opening | None = None,
) -> Report:
    """Open two paths or a series of them, compare the last with the first, and close them.

    Args:
        paths: Path of OLD, of what lies between in a series, and of NEW.
        registry: The installed plugins.
        comparators: The analyses to run, in order.
        settings: Selection, tolerances and resources.
        opening: How the inputs are opened.

    Raises:
        LoadError: If one of them cannot be read truthfully.
        UsageError: If a path is none, or it cannot be told how to read what it names.
    """
    opening = opening or Opening()
    first, *middle, last = [Source(values.input_path(name, path)) for name, path in _named(paths)]
    if middle and not any(registered.spec.series for registered in comparators):
        raise UsageError(_no_series(len(paths), registry))
    with ExitStack() as stack:
        old, new = _open_both((first, last), registry, opening, stack)
        between = [stack.enter_context(_open(source, registry, opening)) for source in middle]
        if is_folder(first) or is_folder(last):
            from diffai_core.folder import match_folders

            old, new = match_folders(old, new)
        return compare_artifacts(old, new, comparators, settings, between)


def _named(paths: Sequence[str | bytes | PathLike[str]]) -> Iterator[tuple[str, str | bytes | PathLike[str]]]:
    """Yield each path after what messages call it."""
    for number, path in enumerate(paths):
        yield "OLD" if not number else "NEW" if number == len(paths) - 1 else f"path {number + 1}", path


def _no_series(n_paths: int, registry: Registry) -> str:
    names = [f"--{name}" for name, registered in registry.comparators.items() if registered.spec.series]
    able = f"only {listed(names)} can" if names else "no installed analysis can"
    return f"got {n_paths} paths: {able} compare a series; for two artefacts give OLD and NEW"


def _open_both(
    sources: Sequence[Source], registry: Registry, opening: Opening, stack: ExitStack
) -> tuple[Artifact, Artifact]:
    """Open both sides; of two folders of which one is a damaged model, each file by itself.

    Raises:
        LoadError: If one of them cannot be read truthfully.
    """
    sides: list[Artifact] = []
    damage: dict[Source, LoadError] = {}
    for source in sources:
        try:
            sides.append(stack.enter_context(_open(source, registry, opening)))
        except LoadError as error:
            if opening.rules.chosen or not all(map(is_folder, sources)):
                raise
            damage[source] = error
    if damage:
        opening = replace(opening, rules=replace(opening.rules, by_file=True))
        try:
            sides = [stack.enter_context(_open(source, registry, opening, damage.get(source))) for source in sources]
        except LoadError as error:  # there is nothing else in one of the folders
            raise next(iter(damage.values())) from error
    return sides[0], sides[1]


def _open(source: Source, registry: Registry, opening: Opening, damage: LoadError | None = None) -> Artifact:
    if is_folder(source):
        from diffai_core.folder import open_folder

        return open_folder(source, registry, opening.rules, opening.input_format, opening.options, damage)
    return open_artifact(source, registry, opening.input_format, opening.options)


def choose_comparators(registry: Registry, extra: Iterable[str] = ()) -> list[Registered[ComparatorSpec]]:
    """Return what runs: the analyses that are on by default, then those in ``extra``, by name.

    Raises:
        UsageError: If there is no analysis of a name in ``extra``.
    """
    wanted = set(extra)
    for name in sorted(wanted):
        values.require_known(name, registry.comparators, "analysis")
    chosen = [spec for name, spec in registry.comparators.items() if spec.spec.default or name in wanted]
    return sorted(chosen, key=lambda registered: (not registered.spec.default, registered.spec.name))


def compare(
    old: str | bytes | PathLike[str],
    new: str | bytes | PathLike[str],
    *later: str | bytes | PathLike[str],
    analyses: Iterable[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    filter: str | None = None,  # noqa: A002 - the name of the option
    path: str = "",
    ignore_keys_regex: str | None = None,
    ignore_optimizer_state: bool = False,
    epsilon: float = 0.0,
    tolerance_per_layer: Mapping[str, tuple[float, float]] | None = None,
    input_format: str | None = None,
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    jobs: int | None = None,
    kernel: str | None = None,
    fail_on_unsafe: bool = False,
) -> Report:
    """Compare two artefacts as ``diffai OLD NEW`` does.

    Args:
        old: Path of OLD.
        new: Path of NEW, or with ``later`` of the second artefact of a series.
        later: Paths of the artefacts after it; the last is NEW then. An analysis of a series must be asked for.
        analyses: Names of analyses to run besides those that always run: ``["stats"]``.
        options: Options by name of the analysis, with underscores: ``{"tensors": {"tensor_details": True}}``.
        filter: Only keys in which this regular expression is found.
        path: Only this key and the keys under it.
        ignore_keys_regex: No keys in which this regular expression is found.
        ignore_optimizer_state: Whether to leave out what only a training needs to go on: state of optimizers,
            schedulers, gradient scalers and generators of random numbers.
        epsilon: Numbers that differ by at most this are the same.
        tolerance_per_layer: ``(rtol, atol)`` by regular expression; the first that is found in a key counts.
        input_format: Name of the loader for both inputs; chosen by content if not given.
        recursive: Whether folders are compared with everything below them.
        include: In folders, only files that match one of these patterns.
        exclude: In folders, no files that match one of these patterns.
        jobs: Worker threads; one for each core if not given, but a single one where NumPy measures.
        kernel: What measures: ``"numpy"`` or an installed kernel; the fastest that works if not given.
        fail_on_unsafe: Whether it is trouble (exit code 2) that a file wants foreign code to be called.

    Raises:
        DiffaiError: If they cannot be compared; the message is the one line the command would print.

    Example:
        >>> compare("old.safetensors", "new.safetensors", epsilon=1e-6).exit_code  # doctest: +SKIP
        0
    """
    registry = load_registry()
    chosen = choose_comparators(registry, values.list_of("analyses", "names", analyses))
    pattern = values.named("filter", values.optional(values.regex), filter)
    ignore = values.named("ignore_keys_regex", values.optional(values.regex), ignore_keys_regex)
    default = Tolerance(atol=values.named("epsilon", values.non_negative, epsilon))
    by_pattern = values.named(
        "tolerance_per_layer", values.layer_tolerances, {} if tolerance_per_layer is None else tolerance_per_layer
    )
    given = values.named("options", partial(_checked_options, registry), {} if options is None else options)
    measuring = choose_kernel(registry, values.named("kernel", values.optional(values.text), kernel))
    settings = Settings(
        keys=KeyFilter(
            pattern,
            values.named("path", values.text, path),
            ignore,
            values.named("ignore_optimizer_state", values.flag, ignore_optimizer_state),
        ),
        tolerances=Tolerances(default, by_pattern),
        jobs=values.named("jobs", values.optional(values.job_count), jobs),
        kernel=measuring.kernel,
        fail_on_unsafe=values.named("fail_on_unsafe", values.flag, fail_on_unsafe),
        plugin_options={spec.spec.name: {**spec.defaults, **given.get(spec.spec.name, {})} for spec in chosen},
    )
    rules = FolderRules(
        values.named("recursive", values.flag, recursive),
        values.list_of("include", "patterns", include),
        values.list_of("exclude", "patterns", exclude),
    )
    opening = Opening(values.named("input_format", values.optional(values.text), input_format), rules=rules)
    idle = sorted(given.keys() - settings.plugin_options.keys())
    report = compare_paths((old, new, *later), registry, chosen, settings, opening)
    without_effect = (f"options of {name} have no effect without analyses=[{name!r}]" for name in idle)
    return replace(report, warnings=(*measuring.warnings, *without_effect))


def _checked_options(registry: Registry, given: object) -> dict[str, dict[str, Any]]:
    """Return the options in ``{analysis: {option: value}}``; every name must exist and every value fit."""
    checked: dict[str, dict[str, Any]] = {}
    for name, of_analysis in values.mapping(given).items():
        values.require_known(name, registry.comparators, "analysis")
        known = {option.name.replace("-", "_"): option for option in registry.comparators[name].spec.options}
        for key in values.named(name, values.mapping, of_analysis):
            values.require_known(key, known, f"option of {name}")
        checked[name] = {
            key: values.named(f"{name}: {key}", partial(checked_value, known[key]), value)
            for key, value in of_analysis.items()
        }
    return checked
