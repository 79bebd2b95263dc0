"""Opens an OpenVINO IR: the XML that describes a model, and the file beside it that holds its bytes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError, Source
from diffai_load_openvino.contents import Contents
from diffai_load_openvino.document import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_load_openvino.document import Net

FOLDER_FILE = "openvino_model.xml"
"""What a folder is recognised by; the name that Optimum gives."""


def open_openvino(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: the ``.xml`` of an IR, or a folder with an ``openvino_model.xml``.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If the XML is damaged or refused, the file of weights is missing or too short, or the two
            contradict each other.
    """
    described = source.child(FOLDER_FILE) if source.is_folder else source
    with ExitStack() as files:
        xml = files.enter_context(described.open())
        net = read_document(xml)
        weights = files.enter_context(_weights(described).open()) if _has_bytes(net) else None
        contents = Contents(xml, weights)
        graph = contents.add(net)
        artifact = Artifact(
            name=source.name,
            format="openvino",
            tensors=contents.tensors,
            tree=net.extra | ({"strings": contents.strings} if contents.strings else {}),
            graph=graph,
            files=(xml,) if weights is None else (xml, weights),
        )
        files.pop_all()  # from here on the artefact closes them
    return artifact


def _has_bytes(net: Net) -> bool:
    return any(layer.type == "Const" and layer.data.get("size") != "0" for layer in _all_layers(net))


def _all_layers(net: Net) -> Iterator[Any]:
    for layer in net.layers:
        yield layer
        for body in layer.bodies.values():
            yield from _all_layers(body)


def _weights(described: Source) -> Source:
    """Return the file beside the XML that has its name and ends with ``.bin``."""
    folder = Source(described.path.parent, os.path.dirname(described.name) or ".")  # noqa: PTH120 - a name, no path
    name = described.path.name
    candidates = dict.fromkeys([Path(name).with_suffix(".bin").name, f"{name}.bin"])
    for candidate in candidates:
        if (described.path.parent / candidate).exists():
            return folder.child(candidate)
    wanted = next(iter(candidates))
    raise LoadError(described.name, f"its weights are missing: there is no {wanted} in the same folder")
