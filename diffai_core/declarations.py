"""Checks of what a plugin declares: is a spec complete, well-typed and free of contradictions?

Pure functions over the records of :mod:`diffai_core.specs`. Each yields the problems as sentences without a full
stop; a spec without problems can be used without further questions. Plugins are other people's code, so nothing
is taken on trust, not even the types of the fields.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from diffai_core.errors import UsageError
from diffai_core.lazy import is_target
from diffai_core.specs import (
    HEAD_BYTES,
    ComparatorSpec,
    Facet,
    KernelSpec,
    LoaderSpec,
    Magic,
    Option,
    OptionKind,
    ReporterSpec,
    ReportForm,
    Scope,
    Spec,
    Stage,
)
from diffai_core.values import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CORE_KERNELS = frozenset({"auto", "numpy"})
"""Names that no plugin may give to its kernel."""
_KINDS: tuple[str, ...] = get_args(OptionKind)


def spec_problems(spec: Spec, statistics: frozenset[str]) -> Iterator[str]:
    """Yield what is wrong with ``spec``, most basic first.

    Args:
        spec: What a hook yielded; its API number has been checked.
        statistics: Names of the core's accumulators, which ``needs`` may ask for.

    Example:
        >>> list(spec_problems(LoaderSpec(name="acme", title="ACME", target="acme.loader"), frozenset()))
        ["target 'acme.loader' does not have the form package.module:object"]
    """
    yield from _name_problems("name", spec.name)
    yield from _sentence_problems("title", spec.title, full_stop=isinstance(spec, ComparatorSpec))
    yield from _target_problems("target", spec.target)
    if isinstance(spec, LoaderSpec):
        yield from _loader_problems(spec)
    elif isinstance(spec, ComparatorSpec):
        yield from _comparator_problems(spec, statistics)
    elif isinstance(spec, ReporterSpec):
        yield from _reporter_problems(spec)
    else:
        yield from _kernel_problems(spec)
        return
    yield from _options_problems(spec.options)


def option_problems(option: Option) -> Iterator[str]:
    """Yield what is wrong with one option."""
    yield from _name_problems("name", option.name)
    yield from _sentence_problems("help", option.help, full_stop=True)
    if option.kind not in _KINDS:
        yield f"kind {option.kind!r} is none of {', '.join(_KINDS)}"
        return
    choices = list(_text_tuple_problems("choices", option.choices))
    yield from choices or _choices_problems(option)
    if not choices:
        yield from _default_problems(option)
    if not isinstance(option.metavar, str):
        yield "metavar is not a text"
    if option.check != "":
        yield from _target_problems("check", option.check)
        if option.kind not in _FITS or option.kind == "regex":
            yield f"check only fits the kinds text, integer and number, not {option.kind!r}"


def _name_problems(field: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        yield f"{field} {value!r} is not in kebab case (lower-case words joined by single hyphens)"


def _sentence_problems(field: str, value: Any, *, full_stop: bool) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        yield f"{field} is missing"
    elif "\n" in value:
        yield f"{field} has more than one line"
    elif full_stop and not value.endswith("."):
        yield f"{field} does not end with a full stop"


def _target_problems(field: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not is_target(value):
        yield f"{field} {value!r} does not have the form package.module:object"


def _text_tuple_problems(field: str, value: Any) -> Iterator[str]:
    if not isinstance(value, tuple) or not all(isinstance(item, str) and item for item in value):
        yield f"{field} {value!r} is not a tuple of texts"


def _loader_problems(spec: LoaderSpec) -> Iterator[str]:
    yield from list(_text_tuple_problems("suffixes", spec.suffixes)) or _suffix_problems(spec.suffixes)
    yield from _magic_problems(spec.magic)
    if spec.sniff != "":
        yield from _target_problems("sniff", spec.sniff)
    yield from list(_text_tuple_problems("folders", spec.folders)) or _folder_problems(spec.folders)
    if not _is_integer(spec.folder_rank):
        yield f"folder_rank {spec.folder_rank!r} is not a whole number"
    if not isinstance(spec.dialect_of, str):
        yield f"dialect_of {spec.dialect_of!r} is not the name of a format"


def _suffix_problems(suffixes: tuple[str, ...]) -> Iterator[str]:
    for suffix in suffixes:
        if "." not in suffix[:-1] or suffix != suffix.lower():
            yield f"suffix {suffix!r} is not the end of a file name in lower case, with its dot"


def _magic_problems(magic: Any) -> Iterator[str]:
    if not isinstance(magic, tuple) or not all(isinstance(item, Magic) for item in magic):
        yield "magic is not a tuple of Magic records"
        return
    for item in magic:
        if not isinstance(item.data, bytes) or not item.data:
            yield f"magic {item.data!r} is not bytes"
        elif not _is_integer(item.offset) or not 0 <= item.offset <= HEAD_BYTES - len(item.data):
            yield f"magic {item.data!r} does not lie in the first {HEAD_BYTES:,} bytes of a file"


def _folder_problems(patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        parts = pattern.split("/")
        if "" in parts or ".." in parts or "**" in parts:
            yield f"folder pattern {pattern!r} is not a path inside the folder without '..' and '**'"


def _comparator_problems(spec: ComparatorSpec, statistics: frozenset[str]) -> Iterator[str]:
    if not isinstance(spec.default, bool):
        yield f"default {spec.default!r} is neither True nor False"
    yield from _subset_problems("facets", spec.facets, get_args(Facet))
    if spec.scope not in get_args(Scope):
        yield f"scope {spec.scope!r} is none of {', '.join(get_args(Scope))}"
    if spec.stage not in get_args(Stage):
        yield f"stage {spec.stage!r} is none of {', '.join(get_args(Stage))}"
    for name, value in (("gate", spec.gate), ("series", spec.series)):
        if not isinstance(value, bool):
            yield f"{name} {value!r} is neither True nor False"
    if spec.second_look != "":
        yield from _sentence_problems("second_look", spec.second_look, full_stop=False)
    not_texts = list(_text_tuple_problems("needs", spec.needs))
    yield from not_texts
    if not not_texts:
        for need in spec.needs:
            if need not in statistics and not is_target(need):
                yield f"needs {need!r}, which is neither package.module:object nor one of {_listed(statistics)}"


def _reporter_problems(spec: ReporterSpec) -> Iterator[str]:
    if spec.form not in get_args(ReportForm):
        yield f"form {spec.form!r} is none of {', '.join(get_args(ReportForm))}"
    media_type: Any = spec.media_type
    if not isinstance(media_type, str) or "/" not in media_type:
        yield f"media_type {media_type!r} is not a media type such as text/plain"
    if spec.flag != "":
        yield from _name_problems("flag", spec.flag)


def _kernel_problems(spec: KernelSpec) -> Iterator[str]:
    if spec.name in CORE_KERNELS:
        yield f"name {spec.name!r} belongs to a kernel of the core"


def _subset_problems(field: str, value: Any, allowed: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(value, tuple) or not set(value) <= set(allowed):
        yield f"{field} {value!r} is not a tuple of {', '.join(allowed)}"


def _options_problems(options: Any) -> Iterator[str]:
    if not isinstance(options, tuple) or not all(isinstance(option, Option) for option in options):
        yield "options is not a tuple of Option records"
        return
    seen: set[str] = set()
    for option in options:
        yield from (f"option {option.name!r}: {problem}" for problem in option_problems(option))
        if option.name in seen:
            yield f"option {option.name!r} is declared twice"
        seen.add(option.name)


def _choices_problems(option: Option) -> Iterator[str]:
    if option.kind == "choice" and not option.choices:
        yield "choices is empty"
    if option.kind != "choice" and option.choices:
        yield f"choices only fit the kind 'choice', not {option.kind!r}"


def _default_problems(option: Option) -> Iterator[str]:
    if option.kind == "flag":
        if option.multiple or option.default is not False:
            yield "a flag has the default False and is not multiple"
    elif option.multiple:
        fits = isinstance(option.default, tuple) and all(_fits(option, value) for value in option.default)
        if not fits:
            yield f"default {option.default!r} is not a tuple of the kind {option.kind!r}; write default=()"
    elif option.default is not None and not _fits(option, option.default):
        yield f"default {option.default!r} does not have the kind {option.kind!r}; write default=None for no value"


def _fits(option: Option, value: Any) -> bool:
    return value in option.choices if option.kind == "choice" else _FITS[option.kind](value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and value == value)  # noqa: PLR0124 - NaN is no default


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_regex(value: Any) -> bool:
    with suppress(UsageError):
        regex(value)
        return True
    return False


_FITS: dict[str, Callable[[Any], bool]] = {
    "integer": _is_integer,
    "number": _is_number,
    "text": _is_text,
    "regex": _is_regex,
}


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
