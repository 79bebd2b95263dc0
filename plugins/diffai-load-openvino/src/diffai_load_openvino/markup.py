"""XML read without trust: no document type, no entities, bounded in size, depth and number of elements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.plugin import DataFile

MAX_BYTES = 256 << 20
MAX_ELEMENTS = 2_000_000
"""Elements that are kept; what ``fold`` turns into a number is not counted."""
MAX_DEPTH = 100
_CHUNK = 1 << 20
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Element:
    """An element, with the byte of the file at which it begins.

    Args:
        tag: Its name.
        attributes: Its attributes.
        offset: Where it begins.
    """

    __slots__ = ("attributes", "children", "offset", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str], offset: int) -> None:
        self.tag = tag
        self.attributes = attributes
        self.offset = offset
        self.children: list[Any] = []
        self.text = ""


def read_markup(file: DataFile, fold: Callable[[Element, Element], Any]) -> Element:
    """Return the root of an XML file.

    Args:
        file: The file.
        fold: Called as ``fold(element, parent)`` when an element ends; what it returns stands among the children of
            the parent in its place.

    Raises:
        LoadError: If it is not well-formed, declares a document type, or is beyond the bounds of this module.
    """
    if file.size > MAX_BYTES:
        raise LoadError(file.name, f"has {file.size:,} bytes of XML; at most {MAX_BYTES:,} are read", MAX_BYTES)
    return _Reader(file, fold).read()


class _Reader:
    def __init__(self, file: DataFile, fold: Callable[[Element, Element], Any]) -> None:
        self._file = file
        self._fold = fold
        self._open: list[Element] = [Element("", {}, 0)]
        self._n_elements = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def read(self) -> Element:
        try:
            for place in range(0, self._file.size, _CHUNK):
                self._parser.Parse(self._file.read(place, min(_CHUNK, self._file.size - place)), False)
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            reason = f"is not well-formed XML: {expat.ErrorString(error.code)}"
            raise LoadError(self._file.name, reason, max(self._parser.ErrorByteIndex, 0)) from error
        except (LookupError, ValueError) as error:  # from Python's codecs, which expat asks for rare encodings
            raise LoadError(self._file.name, f"its character encoding cannot be read ({error})", 0) from error
        root: Element = self._open[0].children[0]
        return root

    def _error(self, reason: str) -> LoadError:
        return LoadError(self._file.name, reason, self._parser.CurrentByteIndex)

    def _refuse(self, *_: object) -> None:
        raise self._error("declares a document type, which could name entities and other files; it is not read")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) > MAX_DEPTH:
            raise self._error(f"XML elements are nested deeper than {MAX_DEPTH}")
        self._open.append(Element(tag, attributes, self._parser.CurrentByteIndex))

    def _text(self, text: str) -> None:
        if not text.isspace():
            self._open[-1].text += text

    def _end(self, _: str) -> None:
        element = self._open.pop()
        found = self._fold(element, self._open[-1])
        if not isinstance(found, int):
            self._n_elements += 1
            if self._n_elements > MAX_ELEMENTS:
                raise self._error(f"has more than {MAX_ELEMENTS:,} XML elements")
        self._open[-1].children.append(found)


def whole_number(text: str, what: str, file: DataFile, offset: int) -> int:
    """Return the number that ``text`` spells.

    Raises:
        LoadError: If it is no whole number of at most 18 digits.
    """
    if not _WHOLE.fullmatch(text.strip()):
        raise LoadError(file.name, f"{what} is {text[:40]!r}, not a whole number", offset)
    return int(text)


def plain(element: Element) -> Any:
    """Return an element without records as plain values.

    An element with nothing but a value is that value. Children and attributes become the entries of a mapping; a
    child that carries a ``name`` is entered under it. What is there several times becomes a list.
    """
    attributes = {key: value for key, value in element.attributes.items() if key != "name"}
    if not element.children and not element.text and set(attributes) == {"value"}:
        return attributes["value"]
    if not element.children and not attributes:
        return element.text
    entries: dict[str, list[Any]] = {key: [value] for key, value in attributes.items()}
    if element.text:
        entries.setdefault("text", []).append(element.text)
    for child in element.children:
        if isinstance(child, Element):
            entries.setdefault(child.attributes.get("name", child.tag), []).append(plain(child))
    return {key: values[0] if len(values) == 1 else values for key, values in entries.items()}
