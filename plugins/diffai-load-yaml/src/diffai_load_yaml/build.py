"""Builds plain values from the events of the parser: without recursion, without copies of aliased values.

The parser's own composer and constructor would recurse, keep a node for every scalar, take the last of two equal
keys, and multiply merge keys without bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from diffai_load_yaml.scalars import MERGE_TAG, construct, tag_of, written_tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.plugin import LoadError, Text

MAX_DEPTH = 200
"""Levels of nesting that are read; the time of the parser grows with the depth."""
MAX_MERGED = 1_000_000
"""Entries that merge keys (``<<``) may copy in one file."""

_SEQUENCE_TAGS = frozenset({None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("seq", "omap", "pairs"))})
_MAPPING_TAGS = frozenset({None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("map", "set"))})


class _Mark:
    """Stands for something that is no value."""


_NO_KEY: Final = _Mark()
_MERGE: Final = _Mark()
_UNFINISHED: Final = _Mark()


@dataclass(slots=True)
class _Open:
    """A sequence or mapping whose end has not come yet."""

    container: Any
    anchor: str | None
    key: Any = _NO_KEY
    merged: list[list[dict[Any, Any]]] = field(default_factory=list)


def build_documents(text: Text) -> list[Any]:
    """Return the documents of a YAML text.

    Raises:
        LoadError: If they are not made of plain values, or not within bounds.
        YAMLError: If the text is not YAML.
    """
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text.content)
    try:
        builder = _Builder(text, parser)
        while parser.check_event():
            builder.take(parser.get_event())
    finally:
        parser.dispose()
    return builder.documents


class _Builder:
    def __init__(self, text: Text, parser: Any) -> None:
        self.documents: list[Any] = []
        self._text = text
        self._parser = parser
        self._stack: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._n_merged = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._start_sequence,
            yaml.MappingStartEvent: self._start_mapping,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.DocumentStartEvent: self._start_document,
        }

    def take(self, event: Any) -> None:
        """Take the next event of the parser."""
        handler = self._handlers.get(type(event))
        if handler:
            handler(event)

    def _start_document(self, _event: Any) -> None:
        self._anchors.clear()

    def _scalar(self, event: Any) -> None:
        tag = tag_of(event, self._parser)
        if tag == MERGE_TAG and self._awaits_key():
            self._add(_MERGE, event)
            return
        try:
            value = construct(tag, event, self._parser)
        except ValueError as error:
            raise self._error(str(error), event) from error
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        self._add(value, event)

    def _alias(self, event: Any) -> None:
        value = self._anchors.get(event.anchor, _NO_KEY)
        if value is _NO_KEY:
            raise self._error(f"the alias *{event.anchor} names no anchor before it", event)
        if value is _UNFINISHED:
            raise self._error(f"the alias *{event.anchor} stands inside the value it names", event)
        self._add(value, event)

    def _start_sequence(self, event: Any) -> None:
        self._start([], event, _SEQUENCE_TAGS)

    def _start_mapping(self, event: Any) -> None:
        self._start({}, event, _MAPPING_TAGS)

    def _start(self, container: Any, event: Any, tags: frozenset[str | None]) -> None:
        if event.tag not in tags:
            raise self._error(f"the tag {written_tag(event.tag)} is refused; only plain values are read", event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH:,} levels", event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _UNFINISHED
        self._stack.append(_Open(container, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        for mappings in reversed(done.merged):
            for mapping in mappings:
                self._merge(done.container, mapping, event)
        if done.anchor is not None:
            self._anchors[done.anchor] = done.container
        self._add(done.container, event)

    def _merge(self, into: dict[Any, Any], mapping: dict[Any, Any], event: Any) -> None:
        self._n_merged += len(mapping)
        if self._n_merged > MAX_MERGED:
            raise self._error(f"merge keys (<<) copy more than {MAX_MERGED:,} entries", event)
        for key, value in mapping.items():
            into.setdefault(key, value)

    def _awaits_key(self) -> bool:
        return bool(self._stack) and type(self._stack[-1].container) is dict and self._stack[-1].key is _NO_KEY

    def _add(self, value: Any, event: Any) -> None:
        """Put a finished value where it belongs."""
        if not self._stack:
            self.documents.append(value)
            return
        parent = self._stack[-1]
        if type(parent.container) is list:
            parent.container.append(value)
        elif parent.key is _NO_KEY:
            parent.key = self._checked_key(value, parent, event)
        else:
            if parent.key is _MERGE:
                parent.merged.append(self._mappings(value, event))
            else:
                parent.container[parent.key] = value
            parent.key = _NO_KEY

    def _checked_key(self, key: Any, parent: _Open, event: Any) -> Any:
        if isinstance(key, list | dict):
            raise self._error("a list or a mapping stands as a key; only scalar keys are read", event)
        if key is not _MERGE and key in parent.container:
            raise self._error(f"the key {_shown(key)} stands twice in one mapping", event)
        return key

    def _mappings(self, value: Any, event: Any) -> list[dict[Any, Any]]:
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            raise self._error("a merge key (<<) has a value that is not a mapping", event)
        return mappings

    def _error(self, reason: str, event: Any) -> LoadError:
        index = event.start_mark.index
        return self._text.error(f"{reason} ({self._text.place(index)})", index)


def _shown(key: Any) -> str:
    text = f'"{key}"' if isinstance(key, str) else str(key)
    visible = text if text.isprintable() else ascii(key)
    return visible if len(visible) <= 60 else f"{visible[:60]}…"  # noqa: PLR2004 - one line of a message
